"""Log-likelihood of continuations: joint tokenization, one shared prefix, a batch of choices.

All choices of a prompt are scored from the longest token prefix that the prompt and every
prompt + choice have in common, so that a token over the border never compares different texts.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from icl.core.errors import ChoiceError, EngineError, OutOfMemory, WindowError
from icl.core.types import ChoiceScore
from icl.engines.hf.causal.forward import CausalModel, count_bytes_per_token, widen_cache
from icl.engines.hf.weights.memory import is_out_of_memory, translate_out_of_memory

__all__ = [
    "ChoicePlan",
    "add_logprobs",
    "group_by_prefix",
    "find_common_prefix",
    "plan_choices",
    "assign_scores",
    "score_group",
    "score_whole",
]


logger = logging.getLogger(__name__)

Ids: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ChoicePlan:
    """The token sequences of one prompt's choices."""

    prefix: Ids
    """Shared by all choices; at least one token, which the first scored token depends on."""
    suffixes: tuple[Ids, ...]
    """The scored tokens of each choice; none is empty, no two are equal."""
    spanning: int
    """Number of tokens at the end of the prompt that are scored with the choices."""
    prompt_tokens: int


def plan_choices(
    prompt: Ids,
    choices: Sequence[str],
    joined: Sequence[Ids],
    window: int,
    start: int | None,
) -> ChoicePlan:
    """Split the joint tokenizations of a prompt's choices into prefix and scored suffixes.

    ``joined`` holds the tokens of prompt + choice, special tokens at the front included.
    ``start`` is put in front if the first scored token would have no token before it.

    Raises:
        ChoiceError: an empty choice, one without tokens of its own, or two with equal tokens.
        EngineError: nothing to condition on.
        WindowError: longer than the window.
    """
    n_shared = find_common_prefix([prompt, *joined])
    spanning = len(prompt) - n_shared
    if n_shared == 0:
        if start is None:
            raise EngineError(
                "the tokenizer has neither BOS nor EOS to put before the first scored token; "
                "begin the prompt with a text that all choices share"
            )
        n_shared = 1
        prompt, joined = (start, *prompt), [(start, *ids) for ids in joined]
    seen: dict[Ids, str] = {}
    for choice, ids in zip(choices, joined, strict=True):
        _check_choice(choice, ids[n_shared:], seen)
        if len(ids) > window:
            raise WindowError(
                f"prompt and choice {choice!r} have {len(ids)} tokens, the window is {window}; "
                "use fewer or shorter shots, or a model with a longer window"
            )
    suffixes = tuple(ids[n_shared:] for ids in joined)
    return ChoicePlan(joined[0][:n_shared], suffixes, spanning, len(prompt))


def assign_scores(
    choices: dict[str, list[int]], plan: ChoicePlan, sums: Sequence[float]
) -> Iterator[tuple[int, ChoiceScore]]:
    """Yield the score of each choice of one prompt under each of its indices.

    ``sums`` are the log-likelihoods of the plan's choices, in their order.
    """
    for (choice, indices), suffix, logprob in zip(
        choices.items(), plan.suffixes, sums, strict=True
    ):
        score = ChoiceScore(
            logprob=logprob,
            tokens=len(suffix),
            chars=len(choice),
            bytes=len(choice.encode("utf-8", "surrogatepass")),
            spanning=plan.spanning,
            prompt_tokens=plan.prompt_tokens,
        )
        for i in indices:
            yield i, score


def group_by_prefix(
    prompt: Ids, rows: Iterable[Mapping[str, list[int]]], ids: Mapping[str, Ids]
) -> list[dict[str, list[int]]]:
    """Group the choices of rows that send one text, so that each group has one prefix.

    A choice of one row whose token spans the end of the text must not change the prefix of another
    row, and choices of two rows may have the same tokens.

    Args:
        prompt: the text's tokens.
        rows: each row's choices with the indices of their items.
        ids: choice -> the tokens of text and choice.
    """
    groups: dict[tuple[int, int], tuple[dict[str, list[int]], dict[Ids, str]]] = {}
    for own in rows:
        shared, number = find_common_prefix([prompt, *(ids[choice] for choice in own)]), 0
        while any(
            groups.get((shared, number), ({}, {}))[1].get(ids[choice], choice) != choice
            for choice in own
        ):
            number += 1
        together, taken = groups.setdefault((shared, number), ({}, {}))
        for choice, indices in own.items():
            together.setdefault(choice, []).extend(indices)
            taken[ids[choice]] = choice
    return [together for together, _ in groups.values()]


def _check_choice(choice: str, suffix: Ids, seen: dict[Ids, str]) -> None:
    if not choice:
        raise ChoiceError(
            "an empty choice ('') has no tokens to score; leave it out or give it a text"
        )
    if not suffix:
        raise ChoiceError(
            f"choice {choice!r} adds no token to the prompt; "
            "give it a text that the tokenizer keeps"
        )
    if suffix in seen:
        raise ChoiceError(
            f"choices {seen[suffix]!r} and {choice!r} have the same tokens; "
            "make them differ in more than what the tokenizer drops"
        )
    seen[suffix] = choice


def find_common_prefix(sequences: Sequence[Ids]) -> int:
    """Return the number of tokens that all sequences begin with."""
    first, last = min(sequences), max(sequences)
    pairs = enumerate(zip(first, last, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(first), len(last)))


def score_group(
    lm: CausalModel, prefix: Ids, suffixes: Sequence[Ids], cache_bytes: int
) -> list[float]:
    """Return the log-likelihood of each suffix after the prefix: float32 sums of natural logs.

    The prefix is forwarded once. Suffixes are forwarded without their last token, and not if
    another
    begins with them; ``cache_bytes`` limits their keys and values.

    Raises:
        OutOfMemory: even a single row does not fit.
    """
    if not lm.cached:
        return [score_whole(lm, prefix + suffix, len(suffix)) for suffix in suffixes]
    nexts = _nexts(suffixes)
    cache = DynamicCache()
    ids = torch.tensor([prefix], device=lm.device)  # (1, tokens)
    last = torch.zeros_like(ids, dtype=torch.bool)
    last[:, -1] = True
    with translate_out_of_memory(f"a prompt of {len(prefix)} tokens"):
        found = _gather(lm, lm.states(ids, last, cache), [()], nexts)
    rows = _rows(suffixes)
    row_bytes = count_bytes_per_token(cache) * (len(prefix) + max(map(len, rows), default=0))
    fit = max(1, cache_bytes // row_bytes)
    while rows:
        try:
            found |= _score_rows(lm, cache, rows[:fit], nexts, found)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            fit = _halved(min(fit, len(rows)), error)
        else:
            rows = rows[fit:]
    return [add_logprobs(found[s[:i], token] for i, token in enumerate(s)) for s in suffixes]


def score_whole(lm: CausalModel, ids: Ids, n_scored: int) -> float:
    """Return the log-likelihood of the last ``n_scored`` tokens, from one whole forward pass.

    The plain reference: no cache, no shared prefix, the model's own logits.
    """
    lm.forget_lengths()
    lm.work.calls += 1
    lm.work.forwarded_tokens += len(ids) - 1
    lm.work.projected_positions += len(ids) - 1
    given = torch.tensor([ids[:-1]], device=lm.device)  # (1, tokens)
    with translate_out_of_memory(f"a text of {len(ids)} tokens"), torch.inference_mode():
        logits = lm.model(input_ids=given, use_cache=False).logits[0, -n_scored:]
        logits = logits.float()  # (scored, vocabulary)
        targets = torch.tensor(ids[-n_scored:], device=logits.device)
        found = logits.gather(1, targets[:, None])[:, 0]
        # torch's float32 log_softmax is off by 1e-4 a token over 262,144 entries, this by 1e-6.
        return add_logprobs((found - logits.logsumexp(-1)).tolist())


def _halved(fit: int, error: BaseException) -> int:
    if fit == 1:
        raise OutOfMemory(
            "out of memory on a single choice; use shorter prompts or a smaller model"
        ) from error
    logger.warning("out of memory on %d choices; going on with %d at a time", fit, fit // 2)
    return fit // 2


def _nexts(suffixes: Sequence[Ids]) -> dict[Ids, list[int]]:
    """Map every beginning of a suffix to the distinct tokens that follow it."""
    nexts: dict[Ids, dict[int, None]] = {}
    for suffix in suffixes:
        for i, token in enumerate(suffix):
            nexts.setdefault(suffix[:i], {})[token] = None
    return {node: list(tokens) for node, tokens in nexts.items()}


def _rows(suffixes: Sequence[Ids]) -> list[Ids]:
    """Return the rows to forward: suffixes without last token, none a beginning of another.

    In sorted order the beginnings of a row come directly before it. The longest come first.
    """
    rows = sorted({suffix[:-1] for suffix in suffixes} - {()})
    ends = zip_longest(rows, rows[1:], fillvalue=())
    kept = [row for row, following in ends if following[: len(row)] != row]
    return sorted(kept, key=lambda row: (-len(row), row))


def _score_rows(
    lm: CausalModel,
    prefix: DynamicCache,
    rows: Sequence[Ids],
    nexts: Mapping[Ids, list[int]],
    done: Mapping[tuple[Ids, int], float],
) -> dict[tuple[Ids, int], float]:
    """Forward rows as one batch after the prefix, padded at the right, where no token sees it."""
    width, n_prefix = max(map(len, rows)), prefix.get_seq_length()
    ids = torch.zeros((len(rows), width), dtype=torch.long)  # (rows, tokens)
    keep = torch.zeros((len(rows), width), dtype=torch.bool)
    nodes: list[Ids] = []
    taken: set[Ids] = set()
    for r, row in enumerate(rows):
        ids[r, : len(row)] = torch.tensor(row)
        for end in range(1, len(row) + 1):
            node = row[:end]
            if node in taken or (node, nexts[node][0]) in done:
                continue
            taken.add(node)
            nodes.append(node)
            keep[r, end - 1] = True
    positions = torch.arange(n_prefix, n_prefix + width, device=lm.device).expand(len(rows), -1)
    states = lm.states(
        ids.to(lm.device),
        keep.to(lm.device),
        widen_cache(prefix, len(rows)),
        positions=positions,
    )
    return _gather(lm, states, nodes, nexts)


def _gather(
    lm: CausalModel,
    states: Tensor,  # (nodes, features)
    nodes: Sequence[Ids],
    nexts: Mapping[Ids, list[int]],
) -> dict[tuple[Ids, int], float]:
    """Return the log-probability of every wanted next token."""
    asked = [(r, node, token) for r, node in enumerate(nodes) for token in nexts[node]]
    values = lm.logprobs(states, [(r, token) for r, _, token in asked])
    return {(node, token): v for (_, node, token), v in zip(asked, values, strict=True)}


def add_logprobs(logprobs: Iterable[float]) -> float:
    """Add the log-probabilities of tokens in any order, rounded once, to float32."""
    return float(np.float32(math.fsum(logprobs)))
