"""The number of tokens that batches would send through a model, counted without running it."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

import torch

from icl.core.types import JSON
from icl.engines.hf.causal.decode_batches import find_shared_prefix, group_alike
from icl.engines.hf.causal.score import ChoicePlan, Ids
from icl.engines.hf.causal.token_tree import Tree
from icl.engines.hf.seq2seq.score import PairPlan

__all__ = [
    "ScoringWay",
    "count_prompts",
    "count_scoring",
    "describe_processor",
]


ScoringWay: TypeAlias = Literal["tree", "expanded", "whole"]
"""Way in which a model ranks: a batch as a tree of tokens, each prompt alone with its choices after
its cache, or every text whole."""


def count_scoring(batches: Iterable[Sequence[ChoicePlan]], way: ScoringWay) -> int:
    """Count the tokens forwarded to rank the choices of batches, one after the other.

    In a tree every token counts once, and the prefix that a batch shares with the batch before
    not at all. Padding and what is computed twice for lack of memory are left out.
    """
    if way != "tree":
        return sum(_count_alone(plan, way) for plans in batches for plan in plans)
    found, kept = 0, None
    for plans in batches:
        if not plans:
            continue
        tree = Tree.of(plans)
        found += tree.unique_tokens
        if tree.prefix:
            found -= len(tree.prefix) if tree.prefix == kept else 0
            kept = tree.prefix
    return found


def _count_alone(plan: ChoicePlan, way: ScoringWay) -> int:
    """Count the tokens of one prompt and its choices; of an encoder's prompt, its source."""
    source = len(plan.source) if isinstance(plan, PairPlan) else 0
    if way == "whole":
        return sum(source + len(plan.prefix) + len(suffix) - 1 for suffix in plan.suffixes)
    tree = Tree.of([plan])
    return source + tree.unique_tokens


def count_prompts(prompts: Sequence[Ids], most: int, way: ScoringWay) -> int:
    """Count the tokens forwarded to read prompts that are generated for as one batch.

    Args:
        prompts: the tokens of each.
        most: how many can be generated for at a time.
        way: how the model ranks, which says how it can generate.
    """
    if way != "tree" or len(prompts) == 1:
        lengths = [len(ids) for ids in prompts]
        return sum(lengths) if way == "whole" else max(lengths) * len(lengths)
    prefix = find_shared_prefix(prompts)
    tails = sorted((len(ids) - len(prefix) for ids in prompts), reverse=True)
    joins = (tails[at : at + most] for at in range(0, len(tails), most))
    padded = sum(
        tails[group.start] * len(tails[group]) for tails in joins for group in group_alike(tails)
    )
    return len(prefix) + int(padded)


def describe_processor(device: torch.device) -> dict[str, JSON]:
    """Return the properties of the machine that change the speed: processor, and CPU threads."""
    if device.type == "cuda":
        return {"device": "cuda", "processor": torch.cuda.get_device_name(device)}
    return {
        "device": device.type,
        "processor": _processor_name(),
        "threads": torch.get_num_threads(),
    }


@cache
def _processor_name() -> str:
    """Return the processor's name from the system, or else its architecture."""
    listed = Path("/proc/cpuinfo")
    if listed.is_file():
        for line in listed.read_text("utf-8", "replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
