"""Coverage of a dictionary, and use of its hints, on rows counted by hand."""

from __future__ import annotations

from typing import Any

import pytest

from icl.core.errors import MetricError
from icl.core.stats import score
from icl.core.types import Example, Prediction
from icl.metrics.hint_use import HintCoverage, HintFit, HintUse


def row(number: int, target: str, **lookup: Any) -> Example:
    return Example(str(number), {"hint_lookup": lookup}, (target,))


ROWS = [
    row(
        0, "Mtoto ni mzuri.", words=4, known=2, pairs=[["child", ["mtoto", "Kind"]], ["a", ["le"]]]
    ),
    row(1, "dar es salaam", words=6, known=1, pairs=[["D", ["Dar es  Salaam"]]]),
    row(2, "x", words=0, known=0, pairs=[]),
]


@pytest.mark.parametrize(
    ("metric", "answers", "value"),
    [
        (HintCoverage(), ["", "", ""], 30.0),
        (HintFit(), ["", "", ""], 100 * 2 / 3),
        (HintUse(), ["das KIND", "Dar es Salaam!", "y"], 100 * 2 / 3),
        (HintUse(), ["Mtoto le", "Dar", "mtoto"], 100 * 2 / 3),
        (HintUse(), ["watoto lele", None, ""], 0.0),
    ],
)
def test_known_answers(metric: Any, answers: list[str | None], value: float) -> None:
    given = [
        Prediction(str(number), text, None if text is not None else "empty")
        for number, text in enumerate(answers)
    ]
    stats = metric.stats(given, ROWS)
    assert score("x", stats).value == pytest.approx(value)
    assert score("x", metric.stats(given[2:], ROWS[2:])).value is None, "nothing was looked up"


def test_rows_without_hints_are_told() -> None:
    with pytest.raises(MetricError, match="example '0' has none; add `hints: {lexicon: NAME}`"):
        HintUse().stats([Prediction("0", "x")], [Example("0", {}, ("x",))])
