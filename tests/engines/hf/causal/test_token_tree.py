"""The token tree gives the plain scorer's numbers and forwards every token once."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from icl.core.errors import OutOfMemory
from icl.engines.hf.causal import token_tree
from icl.engines.hf.causal.attention_masks import Masks, list_candidates, shrink_config
from icl.engines.hf.causal.forward import CausalModel, Work
from icl.engines.hf.causal.score import ChoicePlan, score_whole
from icl.engines.hf.causal.token_tree import TRIED, Tree, TreeScorer, find_ancestors, find_masks
from tests.engines.conftest import DENSE, FAMILIES, WITHOUT_CACHE

PACKED = [name for name in FAMILIES if name not in ("bloom", "falcon_alibi", "mpt")]


@cache
def loaded(family: str) -> CausalModel:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        config = (FAMILIES | WITHOUT_CACHE)[family]()
        lm = CausalModel(hf.AutoModelForCausalLM.from_config(config)).inspect()
    lm.masks = find_masks(lm.model) if lm.cached else None
    return lm


def plain(lm: CausalModel, plans: list[ChoicePlan]) -> list[list[float]]:
    return [[score_whole(lm, p.prefix + s, len(s)) for s in p.suffixes] for p in plans]


def tree(lm: CausalModel, plans: list[ChoicePlan], **options: int) -> list[list[float]]:
    found = dict(TreeScorer(lm, **options).score(plans))
    return [found[place] for place in range(len(plans))]


@pytest.mark.parametrize("family", PACKED)
@pytest.mark.parametrize(
    "options", [{}, {"pack_tokens": 12}, {"pack_tokens": 5, "alone_tokens": 3}, {"alone_tokens": 1}]
)
def test_the_tree_gives_the_plain_numbers(family: str, options: dict[str, int]) -> None:
    lm = loaded(family)
    assert lm.masks is not None, "this family takes ancestor masks"
    for got, want in zip(tree(lm, TRIED, **options), plain(lm, TRIED), strict=True):
        assert got == pytest.approx(want, abs=1e-4)


@pytest.mark.parametrize("family", ["bloom", "falcon_alibi", "mpt", "mamba"])
@pytest.mark.filterwarnings("ignore:.*fast path")
def test_models_that_do_not_take_the_mask_are_found_out(family: str) -> None:
    assert loaded(family).masks is None


suffix = st.lists(st.integers(60, 63), min_size=1, max_size=4).map(tuple)
plan = st.builds(
    lambda shared, own, suffixes: ChoicePlan(
        (1, *range(2, 2 + shared), *own), tuple(suffixes), 0, 0
    ),
    st.sampled_from([0, 3, 18, 25]),
    st.lists(st.integers(50, 53), max_size=12),
    st.lists(suffix, min_size=1, max_size=6, unique=True),
)


@settings(
    max_examples=25, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(
    plans=st.lists(plan, min_size=1, max_size=4),
    pack=st.integers(1, 40),
    alone=st.integers(1, 40),
    family=st.sampled_from(PACKED),
)
def test_random_trees_under_random_budgets(
    plans: list[ChoicePlan], pack: int, alone: int, family: str
) -> None:
    lm = loaded(family)
    lm.kept, before = None, lm.work.forwarded_tokens
    scorer = TreeScorer(lm, pack_tokens=pack, alone_tokens=alone)
    found = dict(scorer.score(plans))
    assert lm.work.forwarded_tokens - before == scorer.unique_tokens == unique(plans)
    for place, want in enumerate(plain(lm, plans)):
        assert found[place] == pytest.approx(want, abs=2e-4)


def unique(plans: list[ChoicePlan]) -> int:
    """Distinct beginnings of all sequences, last tokens left out: counted without a tree."""
    whole = {p.prefix[:n] for p in plans for n in range(1, len(p.prefix) + 1)}
    inner = {p.prefix + s[:n] for p in plans for s in p.suffixes for n in range(1, len(s))}
    return len(whole | inner)


def test_each_node_is_forwarded_once_and_only_scored_ones_are_projected() -> None:
    lm = loaded("llama")
    lm.kept, lm.work = None, Work()
    tree(lm, TRIED)
    # 21 shared; 31 32, 40 41; 33, 40 41, 51 52 53; 34 35 36; the last tokens are left out
    assert lm.work.forwarded_tokens == 21 + 4 + 6 + 3 == unique(TRIED)
    # after 32, 40, 41; after 33, 40, 41, 51, 52, 53; after 36
    assert lm.work.projected_positions == 3 + 6 + 1 == len(Tree.of(TRIED).wanted)
    assert lm.work.calls == 2


def test_a_prefix_is_kept_between_batches_and_changes_no_byte() -> None:
    lm = loaded("gemma3")
    lm.kept, before = None, lm.work.forwarded_tokens
    first = dict(TreeScorer(lm).score(TRIED))
    again = dict(TreeScorer(lm).score(TRIED))
    assert lm.work.forwarded_tokens - before == 2 * unique(TRIED) - 21
    lm.kept = None
    assert again == first == dict(TreeScorer(lm).score(TRIED))


def test_a_forgotten_window_is_caught() -> None:
    lm = loaded("gemma3")
    right, (blind,) = (
        lm.masks,
        [
            m
            for m in list_candidates(
                hf.Gemma3TextConfig(**DENSE | {"num_hidden_layers": 7}, sliding_window=10**6)
            )
        ],
    )
    try:
        lm.masks = blind
        apart = np.abs(np.array(tree(lm, TRIED)[0]) - np.array(plain(lm, TRIED)[0]))
    finally:
        lm.masks = right
    assert apart.max() > 0.1


def test_ancestor_masks_have_windows_and_chunks_in_them() -> None:
    sees = np.concatenate([np.ones((3, 4), bool), find_ancestors([-1, 0, 0])], axis=1)
    positions, keys = np.array([4, 5, 5]), np.array([0, 1, 2, 3, 4, 5, 5])
    masks = Masks({"a": (3, None), "b": (None, 4)}, named=True)
    made = masks.of(sees[None], positions[None], keys[None], torch.float32, torch.device("cpu"))
    assert isinstance(made, dict)
    assert (made["a"][0, 0] == 0).int().tolist() == [
        [0, 0, 1, 1, 1, 0, 0],
        [0, 0, 0, 1, 1, 1, 0],
        [0, 0, 0, 1, 1, 0, 1],
    ]
    assert (made["b"][0, 0] == 0).int().tolist() == [
        [0, 0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 1, 1, 0],
        [0, 0, 0, 0, 1, 0, 1],
    ]


def test_the_clone_has_every_kind_of_layer_and_short_windows() -> None:
    config = hf.Gemma3TextConfig(num_hidden_layers=18, sliding_window=512)
    small = shrink_config(config)
    assert set(small.layer_types) == set(config.layer_types)
    assert (small.sliding_window, small.hidden_size, config.hidden_size) == (8, 64, 2304)


@pytest.mark.parametrize("fits", [1, 2, 5, 30])
def test_out_of_memory_splits_packs_and_keeps_the_numbers(
    fits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = loaded("llama")
    want = plain(lm, TRIED)
    monkeypatch.setattr(token_tree, "SHARED_TOKENS", 10**6)
    states = CausalModel.states

    def small(self: CausalModel, ids: Any, *rest: Any, **named: Any) -> Any:
        if ids.shape[1] > max(fits, 23 if fits > 1 else 0):
            raise torch.OutOfMemoryError("out of memory")
        return states(self, ids, *rest, **named)

    monkeypatch.setattr(CausalModel, "states", small)
    if fits == 1:
        with pytest.raises(OutOfMemory):
            tree(lm, TRIED)
        return
    for got, expected in zip(tree(lm, TRIED), want, strict=True):
        assert got == pytest.approx(expected, abs=1e-4)


def test_log_probabilities_over_chunks_of_the_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = loaded("gemma2")
    prompt = ChoicePlan(tuple(range(1, 30)), tuple((token,) for token in range(97)), 0, 29)
    monkeypatch.setattr("icl.engines.hf.causal.projection.CHUNK_CELLS", 1)
    monkeypatch.setattr("icl.engines.hf.causal.projection.LEAST_CHUNK", 7)
    sums = tree(lm, [prompt])[0]
    assert math.fsum(math.exp(value) for value in sums) == pytest.approx(1, abs=1e-5)
    assert sums == pytest.approx(plain(lm, [prompt])[0], abs=1e-4)
