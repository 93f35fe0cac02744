"""Counted tokens are those that a model then forwards, whichever way it ranks and generates."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from icl.core.types import Sampling
from icl.engines.hf.causal.decode import DecodeRequest, generate
from icl.engines.hf.causal.forward_meter import ForwardMeter
from icl.engines.hf.causal.score import ChoicePlan, score_group
from icl.engines.hf.causal.token_tree import TreeScorer
from icl.engines.hf.forecast import ScoringWay, count_prompts, count_scoring, describe_processor
from icl.engines.hf.seq2seq.score import PairPlan

PREFIX = (1, *range(5, 35))
SUFFIXES = ((7, 8, 9), (7, 10, 11), (12, 13, 14))
PLANS = [ChoicePlan((*PREFIX, query, query + 1), SUFFIXES, 0, 33) for query in (40, 42, 44)]


def test_a_tree_counts_each_token_once_over_batches(build: Any) -> None:
    lm = build("llama", masks=True)
    scorer, batches = TreeScorer(lm), [PLANS, PLANS[:2], [], PLANS[:1], PLANS]
    for plans in batches:
        list(scorer.score(plans))
    # A batch of one prompt has no prefix to share, and leaves the one before where it is.
    assert lm.forwarded_tokens == count_scoring(batches, "tree")
    assert count_scoring([PLANS], "tree") == 31 + 3 * (2 + 5)


@pytest.mark.parametrize(("family", "way"), [("bloom", "expanded"), ("mamba", "whole")])
@pytest.mark.filterwarnings("ignore:.*fast path")
def test_a_model_without_a_tree_forwards_each_prompt(build: Any, family: str, way: Any) -> None:
    lm = build(family)
    assert lm.cached == (way == "expanded")
    for plan in PLANS:
        score_group(lm, plan.prefix, plan.suffixes, 1 << 29)
    # Rows without their last token: the row (7, 8) and (7, 10) begin alike, and do not share.
    apart = 3 if way == "expanded" else 0
    assert lm.forwarded_tokens == count_scoring([PLANS], way) + apart


def test_an_encoders_prompt_counts_once() -> None:
    plan = PairPlan((1,), SUFFIXES, 0, 20, source=tuple(range(20)))
    assert count_scoring([[plan]], "expanded") == 20 + 1 + 5
    assert count_scoring([[plan]], "whole") == 3 * (20 + 1 + 2)


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize(
    ("family", "way", "lengths"),
    [
        ("llama", "tree", (40, 39, 35, 20, 19, 2)),
        ("llama", "tree", (40,)),
        ("bloom", "expanded", (9, 4, 2)),
    ],
)
def test_prompts_and_answers_are_counted_as_they_are_generated(
    build: Any, family: str, way: ScoringWay, lengths: tuple[int, ...], n: int
) -> None:
    lm = build(family, masks=way == "tree")
    prompts = [(*PREFIX, *range(36, 36 + length)) for length in lengths]
    requests = [DecodeRequest(i, ids, (), str(i)) for i, ids in enumerate(prompts)]
    meter, sampling = ForwardMeter(), Sampling(max_tokens=5, n=n)
    list(generate(lm, requests, sampling, str, frozenset(), meter=meter))
    assert meter.total.prefill_tokens == count_prompts(prompts, lm.rows, way)
    assert meter.total.decode_tokens == len(prompts) * n * 4
    assert lm.forwarded_tokens == meter.total.prefill_tokens + meter.total.decode_tokens


def test_a_processor_is_told_with_its_threads() -> None:
    found = describe_processor(torch.device("cpu"))
    assert found["device"] == "cpu" and found["processor"]
    assert found["threads"] == torch.get_num_threads()
