"""Scores beside the plain ones: every metric that reads labels, under every calibrator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from icl.calibration import Calibration
from icl.calibrators import Calibrator, make
from icl.errors import CalibrationError, MetricError
from icl.metrics.command import Command
from icl.reliability import ece_stats
from icl.results import ConditionResult
from icl.stats import Metric, Stats, score
from icl.types import Score

__all__ = ["FITTED", "check_applied", "with_calibrators"]

FITTED = "|fitted:"
"""What stands behind it in a signature was chosen from data, and may be another one tomorrow."""

Entry = str | Mapping[str, Any]


def with_calibrators(
    condition: ConditionResult,
    metrics: Sequence[tuple[str, Metric]],
    entries: Sequence[Entry],
    failed: dict[str, MetricError],
) -> tuple[list[Score], list[Calibration]]:
    """Scores named ``metric+calibrator`` of one condition, and what is to be said of each.

    Outside programs are left out. Beside the metrics stands ``ece``, the expected calibration
    error, with ``ece+none`` to compare with. Nothing is made where choices are not ranked. What a
    metric refuses is added to ``failed`` by its name.
    """
    scores: list[Score] = []
    notes: list[Calibration] = []
    if not entries or condition.entry["method"] != "rank" or not condition.records:
        return scores, notes
    used = [one for one in metrics if not isinstance(one[1], Command)]
    for entry in entries:
        name, calibrator = make(entry)
        values = {"calibrator": entry} if isinstance(entry, str) else dict(entry)
        try:
            made, note = _applied(condition, used, (name, calibrator), failed)
        except CalibrationError as error:
            notes.append(Calibration(name, values, refused=str(error)))
            continue
        scores += made
        notes.append(replace(note, entry=values))
    plain, _ = _applied(condition, [], make("none"), failed)
    return [*plain, *(s for s in scores if s.name != "ece+none")], notes


def _applied(
    condition: ConditionResult,
    metrics: Sequence[tuple[str, Metric]],
    calibrator: tuple[str, Calibrator],
    failed: dict[str, MetricError],
) -> tuple[list[Score], Calibration]:
    name, used = calibrator
    made = condition.calibrated(used)
    plain, predictions = condition.predictions(), condition.predictions(calibrator=used)
    settings = used.settings() + (f"{FITTED}{made.fitted}" if made.fitted else "")

    def signed(stats: Stats) -> Stats:
        return replace(stats, signature=f"{stats.signature}|{settings}")

    scores = []
    for metric_name, metric in metrics:
        try:
            stats = signed(metric.stats(predictions, condition.examples))
            scores.append(score(f"{metric_name}+{name}", stats))
        except MetricError as error:
            failed.setdefault(metric_name, error)
    if all(example.targets for example in condition.examples):
        scores.append(score(f"ece+{name}", signed(ece_stats(condition, used))))
    pairs = zip(plain, predictions, strict=True)
    return scores, Calibration(
        name,
        {},
        changed=sum(one.value != other.value for one, other in pairs),
        tied=sum(int((row == row.max()).sum() > 1) for row in made.scores),
        fitted=made.fitted,
        notes=made.warnings,
    )


def check_applied(
    conditions: Sequence[ConditionResult], entries: Sequence[Entry], command: str
) -> None:
    """Raise where a calibrator could be applied to none of the conditions.

    Raises:
        CalibrationError: the first reason, with the command that ran the experiment.
    """
    for entry in entries:
        name, _ = make(entry)
        found = [c for condition in conditions for c in condition.calibrations if c.name == name]
        if not found:
            raise CalibrationError(
                f"{name}: no condition of this run ranks choices, so there is nothing to calibrate"
            )
        if all(one.refused for one in found):
            missing = "are missing" in str(found[0].refused)
            again = f": {command}" if missing and command else ""
            raise CalibrationError(f"{name}: {found[0].refused}{again}")
