"""The order of shots: expansion, what is inert, and the arrangement itself."""

from __future__ import annotations

import itertools
import math
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icl.core.errors import ConfigError
from icl.core.types import Example, Shot
from icl.experiment.entries import ShotsHolder, validate
from icl.experiment.shot_order import arrange_shots, expand_orders, explain_misfit, simplify_order


def shots(*scores: float | None) -> list[Shot]:
    return [Shot(Example("abcdefgh"[n], {}), score) for n, score in enumerate(scores)]


def sent(given: list[Shot], order: str, k: int | None = None, seed: int = 0) -> str:
    made = arrange_shots(given, order, len(given) if k is None else k, Random(seed))
    return "".join(shot.example.id for shot in made)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("selected", "abcd"),
        ("reversed", "dcba"),
        ("nearest_first", "bdac"),
        ("nearest_last", "cadb"),
        ("p0", "abcd"),
        ("p1", "abdc"),
        ("p23", "dcba"),
    ],
)
def test_orders_of_scored_shots(order: str, expected: str) -> None:
    assert sent(shots(1.0, 2.0, 1.0, 2.0), order) == expected


def test_without_scores_the_nearest_are_not_known() -> None:
    assert sent(shots(None, 2.0, None), "nearest_last") == "abc"


def test_random_is_a_permutation_by_its_seed() -> None:
    given = shots(*[None] * 6)
    orders = {sent(given, "random", seed=seed) for seed in range(20)}
    assert len(orders) > 10 and all(sorted(order) == list("abcdef") for order in orders)
    assert sent(given, "random", seed=3) == sent(given, "random", seed=3)


def test_all_permutations_are_all_orders() -> None:
    given = shots(*[None] * 4)
    names = expand_orders(["permutations"], 4)
    assert [sent(given, name) for name in names] == [
        "".join(one) for one in itertools.permutations("abcd")
    ]


def test_places_that_a_query_lacks_are_passed_over() -> None:
    assert [sent(shots(None, None), f"p{n}", k=3) for n in range(6)] == [
        "ab",
        "ab",
        "ba",
        "ba",
        "ab",
        "ba",
    ]
    assert sent([], "p5", k=3) == ""


def test_lists_expand_once() -> None:
    assert expand_orders(["reversed", "permutations", "p1"], 2) == ["reversed", "p0", "p1"]
    assert expand_orders(["selected"], None) == ["selected"]
    assert expand_orders(["reversed"], 40) == ["reversed"], "40! names are not even made"


@given(
    st.lists(st.integers(0, 3) | st.none(), max_size=5),
    st.sampled_from(["selected", "reversed", "nearest_first", "nearest_last", "permutations"]),
    st.sampled_from(["falling", "mixed", None]),
)
def test_the_effective_order_sends_the_same(
    scores: list[int | None], order: str, known: Any
) -> None:
    if known == "falling":
        scores = sorted((n or 0 for n in scores), reverse=True)
    if known is None:
        scores = [None] * len(scores)
    given, k = shots(*scores), len(scores)  # type: ignore[arg-type]
    for one in expand_orders([order], k):
        plain = simplify_order(one, k, known)
        assert sent(given, plain, k) == sent(given, one, k)


def test_what_is_inert() -> None:
    assert {simplify_order(order, 1, "mixed") for order in ("random", "reversed", "p0")} == {
        "selected"
    }
    assert simplify_order("nearest_first", 4, "falling") == "selected"
    assert simplify_order("nearest_last", 4, "falling") == "reversed"
    assert simplify_order("nearest_last", 4, "mixed") == "nearest_last"
    assert simplify_order(f"p{math.factorial(4) - 1}", 4, None) == "reversed"


@pytest.mark.parametrize(
    ("order", "k", "message"),
    [
        ("nearest", 4, "unknown order 'nearest'. Did you mean 'nearest_last'?"),
        ("p01", 4, "unknown order 'p01'."),
        ("permutations", 8, "order: permutations takes 5 shots at most (120 orders); 8 shots have "
         "40,320; lower k, or name some, as order: [selected, reversed, random]"),
        ("permutations", None, "order: permutations needs k, the number of shots; 5 at most"),
        ("p6", 3, "there is no order 'p6': 3 shots have 6, p0 to p5"),
        ("p6", 9, "order: p6 takes 5 shots at most"),
        ("permutations", 4000, "order: permutations takes 5 shots at most (120 orders); 4000 shots "
         "have far more; lower k"),
        ("p" + "9" * 5000, 4, "unknown order 'p9999"),
    ],
)  # fmt: skip
def test_orders_that_cannot_be(order: str, k: int | None, message: str) -> None:
    assert (explain_misfit(order, k) or "").startswith(message)
    with pytest.raises(ConfigError) as caught:
        validate(ShotsHolder, {"shots": {"k": k, "order": ["selected", order]}}, "grid")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_many_shots_have_an_order() -> None:
    assert [simplify_order(order, 4000, None) for order in ("selected", "reversed", "random")] == [
        "selected",
        "reversed",
        "random",
    ]


def test_five_shots_have_120_orders() -> None:
    assert (
        explain_misfit("permutations", 5) is None and len(expand_orders(["permutations"], 5)) == 120
    )
