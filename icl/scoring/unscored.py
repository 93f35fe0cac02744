"""The score that would result if the rows without an answer had been answered wrongly."""

from __future__ import annotations

from dataclasses import dataclass

from icl.core.errors import MetricError
from icl.core.types import Prediction
from icl.metrics import asks_judge
from icl.records.results import ConditionResult
from icl.scoring.pairs import pick_first_metric

__all__ = ["WrongCase", "score_if_wrong"]


@dataclass(frozen=True, slots=True)
class WrongCase:
    """A condition's first metric on its answered rows, and with the others counted as wrong."""

    name: str
    """Name of the score."""
    title: str
    """The short title of the metric."""
    value: float
    if_wrong: float
    """The same metric where each unscored row has an answer that cannot be read."""


def score_if_wrong(condition: ConditionResult) -> WrongCase | None:
    """Compute a condition's first metric with its unscored rows counted as wrong.

    None where every row has an answer, or the metric is not defined, is a judge's or that of an
    outside program.
    """
    rows = condition.unscored
    for name, metric in pick_first_metric(condition):
        if not rows or not condition.records or asks_judge(metric):
            return None
        answered, examples = condition.predictions(), condition.examples
        left = [condition.example(row.record) for row in rows.values()]
        wrong = [Prediction(key, None, "unscored") for key in rows]
        try:
            plain = metric.stats(answered, examples)
            whole = metric.stats([*answered, *wrong], [*examples, *left])
        except MetricError:  # rows without gold: the score table says so
            return None
        value = plain.value(plain.rows.sum(axis=0))
        if_wrong = whole.value(whole.rows.sum(axis=0))
        if value is not None and if_wrong is not None:
            return WrongCase(name, metric.label, value, if_wrong)
    return None
