"""Rows out of scope: recall, precision, and the accuracy of the others, on tables by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from icl.core.errors import MetricError
from icl.core.stats import Metric, score
from icl.core.types import Example, Prediction
from icl.metrics.scope import InScopeAccuracy, ScopePrecision, ScopeRecall


def value(metric: Metric, gold: Sequence[str], said: Sequence[str | None]) -> float | None:
    rows = [Example(str(n), {}, (one,)) for n, one in enumerate(gold)]
    answers = [Prediction(str(n), one) for n, one in enumerate(said)]
    return score(metric.name, metric.stats(answers, rows)).value


@pytest.mark.parametrize(
    ("gold", "said", "recall", "precision", "accuracy"),
    [
        ("oos oos a b", "oos a a oos", 50, 50, 50),
        ("oos oos a b", "oos oos a b", 100, 100, 100),
        ("oos oos a b", "a b oos oos", 0, 0, 0),
        ("a b", "a a", None, None, 50),
        ("oos oos", "oos a", 50, 100, None),
    ],
)
def test_known_tables(
    gold: str, said: str, recall: float, precision: float, accuracy: float
) -> None:
    given = gold.split(), said.split()
    assert value(ScopeRecall(), *given) == recall
    assert value(ScopePrecision(), *given) == precision
    assert value(InScopeAccuracy(), *given) == accuracy


def test_the_label_may_be_another_and_a_missing_answer_is_wrong() -> None:
    assert value(ScopeRecall("none"), ["none", "none"], ["none", None]) == 50
    assert value(InScopeAccuracy("none"), ["a", "none"], [None, "none"]) == 0


def test_an_interval_needs_ten_rows_that_count() -> None:
    few = [Example(str(n), {}, ("oos" if n < 9 else "a",)) for n in range(40)]
    answers = [Prediction(row.id, "oos") for row in few]
    made = score("oos_recall", ScopeRecall().stats(answers, few))
    assert made.low is None and "needs 10 rows that count, has 9" in made.signature
    many = [Example(str(n), {}, ("oos" if n % 2 else "a",)) for n in range(40)]
    answers = [Prediction(row.id, "oos" if int(row.id) % 4 == 1 else "a") for row in many]
    made = score("oos_recall", ScopeRecall().stats(answers, many))
    assert made.value == 50 and made.low is not None and made.low < 50 < (made.high or 0)


def test_a_row_without_gold_is_named() -> None:
    for metric in (ScopeRecall(), ScopePrecision(), InScopeAccuracy()):
        with pytest.raises(MetricError, match="example '1' has none"):
            metric.stats([Prediction("1", "a")], [Example("1", {})])
