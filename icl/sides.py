"""What two sides of a comparison answered, under which metric, and which examples they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from icl.errors import ConfigError
from icl.metrics.command import Command
from icl.results import ConditionResult
from icl.scoring import metric_called, metrics_of
from icl.stats import Metric
from icl.types import Example, Prediction

__all__ = [
    "Asked",
    "Side",
    "calibrator_of",
    "common",
    "first_metric",
    "metric_of_score",
    "primary",
    "side",
]

Asked = Sequence[str | Mapping[str, Any]] | None


@dataclass(frozen=True)
class Side:
    """What one side of a comparison answered."""

    name: str
    """What a table calls it."""
    examples: Mapping[str, Example]
    """By id."""
    predictions: Mapping[str, Prediction]
    """By id, of the same examples."""
    condition: ConditionResult | None = None
    """Whose answers these are, where they are those of one: a judge's verdicts lie beside them."""


def side(
    condition: ConditionResult,
    name: str = "",
    parser: str | None = None,
    calibrator: str | None = None,
) -> Side:
    """A condition as one side of a comparison.

    Raises:
        CalibrationError: the calibrator's records are missing.
    """
    predictions = condition.predictions(parser, calibrator)
    return Side(
        name or " ".join(filter(None, condition.axes.values())),
        {example.id: example for example in condition.examples},
        {prediction.id: prediction for prediction in predictions},
        condition,
    )


def common(a: Side, b: Side) -> tuple[list[str], int]:
    """Ids of the examples that both have answered, sorted, and how many only share an id.

    An id in both is the same example if the targets are the same and the inputs are, or stand in
    two languages (parallel rows share their ids).
    """
    shared = sorted(a.examples.keys() & b.examples.keys())
    same = [key for key in shared if _same(a.examples[key], b.examples[key])]
    return same, len(shared) - len(same)


def _same(one: Example, two: Example) -> bool:
    if one.targets != two.targets:
        return False
    other_language = one.meta.get("locale") != two.meta.get("locale")
    return other_language or one.content == two.content


def calibrator_of(score: str) -> str | None:
    """The calibrator in the name of a score.

    >>> calibrator_of("accuracy+batch"), calibrator_of("accuracy")
    ('batch', None)
    """
    return score.partition("+")[2] or None


def primary(condition: ConditionResult, asked: Asked = None) -> list[tuple[str, Metric]]:
    """The metrics asked for, else the first of the task that is no outside program.

    Raises:
        ConfigError: an unknown metric, or there is none but outside programs.
        CommandRefused: an outside program that the manifest names, not allowed.
    """
    found = first_metric(condition)
    if asked:
        found = [made for entry in asked for made in _named(condition, entry)]
    if not found:
        raise ConfigError(
            f"the task {condition.entry['task']!r} has outside programs for metrics alone; name "
            "one of them and allow it to start: --metric NAME --allow-commands"
        )
    return found


def first_metric(condition: ConditionResult) -> list[tuple[str, Metric]]:
    """The first metric of the task that is no outside program; none where all are."""
    return [one for one in metrics_of(condition) if not isinstance(one[1], Command)][:1]


def _named(condition: ConditionResult, entry: str | Mapping[str, Any]) -> list[tuple[str, Metric]]:
    """A metric; ``accuracy+batch`` is that metric of calibrated answers."""
    if not isinstance(entry, str) or entry.startswith("{") or not calibrator_of(entry):
        return metrics_of(condition, [entry])
    base, _, calibrator = entry.partition("+")
    return [(f"{name}+{calibrator}", made) for name, made in metrics_of(condition, [base])]


def metric_of_score(condition: ConditionResult, score: str) -> tuple[str, Metric]:
    """The metric behind the name of a score, as ``scores.json`` of anybody's run holds it.

    Raises:
        ConfigError: an unknown metric.
        CommandRefused: an outside program that the manifest names, not allowed.
    """
    base, mark, calibrator = score.partition("+")
    name, metric = metric_called(condition, base)
    return f"{name}{mark}{calibrator}", metric
