"""Edit distance: known distances, several targets, missing answers."""

from __future__ import annotations

import pytest

from icl.core.errors import MetricError
from icl.core.stats import score
from icl.core.types import Example, Prediction
from icl.metrics import find_direction
from icl.metrics.edit_distance import EditDistance, count_edits


@pytest.mark.parametrize(
    ("first", "second", "edits"),
    [
        ("kitten", "sitting", 3),  # the usual example of Levenshtein's distance
        ("saturday", "sunday", 3),
        ("", "abc", 3),
        ("abc", "", 3),
        ("", "", 0),
        ("caf\u00e9", "cafe\u0301", 0),  # the same letter in NFC and in NFD
        ("no  pretext\u00e9is", "no pretext\u00e9is", 0),
        ("\u0915\u0942\u091f\u0928\u093e", "\u0915\u0942\u091f", 2),
    ],
)
def test_known_distances(first: str, second: str, edits: int) -> None:
    assert count_edits(first, second) == count_edits(second, first) == edits


def test_the_mean_over_rows_takes_the_nearest_target() -> None:
    rows = [Example("1", {}, ("dreamt", "dreamed")), Example("2", {}, ("sang",))]
    answers = [Prediction("1", "dreamed"), Prediction("2", None, "empty")]
    made = score("edit_distance", EditDistance().stats(answers, rows))
    assert (made.value, made.n) == (2.0, 2)
    assert find_direction(EditDistance()) == "lower"


def test_no_rows_have_no_score_and_a_row_needs_a_target() -> None:
    assert score("edit_distance", EditDistance().stats([], [])).value is None
    with pytest.raises(MetricError, match="needs a target, and example '1' has none"):
        EditDistance().stats([Prediction("1", "x")], [Example("1", {})])


def test_an_interval_is_given_for_enough_rows() -> None:
    rows = [Example(str(n), {}, ("aaaa",)) for n in range(40)]
    answers = [Prediction(str(n), "a" * (n % 5)) for n in range(40)]
    made = score("edit_distance", EditDistance().stats(answers, rows))
    assert made.value == 2 and made.low is not None and made.high is not None
    assert made.low < 2 < made.high
