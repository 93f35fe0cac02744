"""Shots by overlap of features: their order, their ties and what is refused."""

from __future__ import annotations

import pytest

from icl.core.errors import ConfigError
from icl.core.registry import construct
from icl.core.types import Example
from icl.selectors.features import FeatureOverlap


def row(name: str, lemma: str, features: str) -> Example:
    return Example(name, {"lemma": lemma, "features": features, "form": "x"}, ("x",), {}, ("form",))


POOL = [
    row("a", "go", "V;PST"),
    row("b", "wolf", "N;PL"),
    row("c", "sing", "V;PST"),
    row("d", "walk", "V;PRS;3;SG"),
    row("e", "ring", "V;PST"),
]


def ids(selector: FeatureOverlap, query: Example, k: int = 5) -> list[str]:
    selector.fit(POOL)
    return [shot.example.id for shot in selector.select(query, k)]


def test_most_shared_features_come_first_then_the_ending_then_the_id() -> None:
    query = row("q", "fling", "V;PST")
    assert ids(FeatureOverlap(), query) == ["c", "e", "a", "d", "b"]
    assert ids(FeatureOverlap(word=""), query) == ["a", "c", "e", "d", "b"]


def test_scores_are_jaccards_coefficient() -> None:
    selector = FeatureOverlap()
    selector.fit(POOL)
    query = row("q", "fling", "V;PST;NEG")
    assert selector.scores(query).tolist() == pytest.approx([2 / 3, 0, 2 / 3, 1 / 6, 2 / 3])
    assert selector.between(1).tolist() == [0, 1, 0, 0, 0]
    found = [score for _, score in selector.order(query)]
    assert found == sorted(found, reverse=True)


def test_the_order_of_the_pool_does_not_matter() -> None:
    query = row("q", "fling", "V;PST")
    selector = FeatureOverlap()
    selector.fit(POOL[::-1])
    found = [shot.example.id for shot in selector.select(query, 5)]
    assert found == ids(FeatureOverlap(), query)


def test_the_query_is_no_shot_of_itself() -> None:
    assert ids(FeatureOverlap(), POOL[2]) == ["e", "a", "d", "b"]


def test_its_options_stand_in_its_identity() -> None:
    made = construct("selector", "features", {"word": ""}, "shots")
    assert made.identity() == {"features": "features", "word": ""}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": ""}, "features is ''; the name of a field is needed"),
        ({"word": 3}, "word is 3; the name of a field is needed"),
    ],
)
def test_wrong_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FeatureOverlap(**options)  # type: ignore[arg-type]


def test_a_missing_field_is_named() -> None:
    with pytest.raises(ConfigError, match="row 'a' has no input field 'tags'"):
        FeatureOverlap(features="tags").fit(POOL)
    with pytest.raises(ConfigError, match=r"no input field 'form' \(it gives the answer away\)"):
        FeatureOverlap(word="form").fit(POOL)
