"""Tables of calibrated scores, and descriptions of the calibrators."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from icl.calibrators import Calibrator
from icl.core.number_text import format_interval, format_number
from icl.core.registry import names
from icl.core.score_name import ScoreName
from icl.core.types import Score
from icl.metrics import find_label
from icl.records.results import ConditionResult
from icl.reports.axis_columns import (
    Column,
    FittedTable,
    make_axis_column,
    make_number_column,
)
from icl.scoring.checks import name_conditions
from icl.scoring.reliability import CHANCE, DEBIASED

__all__ = ["make_calibration_tables", "describe_calibrator"]


if TYPE_CHECKING:
    from rich.console import RenderableType


def make_calibration_tables(
    rows: Sequence[ConditionResult], varying: Sequence[str], details: bool = True
) -> Iterator[RenderableType]:
    """Make a table with a row for each condition and calibrator, and the lines below it.

    Yields nothing if no calibrator was requested.

    Args:
        rows: conditions of one task.
        varying: axes in which they differ.
        details: whether ECE next to its value by chance, and each calibrator's assumption, follow.
    """
    from icl.core.safe_console import make_text

    shown = [row for row in rows if row.calibrations]
    if not shown:
        return
    yield make_text("calibrated after the fact", style="bold")
    yield _table(shown, varying)
    if not details:
        yield make_text("")
        return
    if any(score.name.startswith(f"{DEBIASED}+") for row in shown for score in row.scores):
        yield make_text("ECE, and what chance makes of it", style="bold")
        yield _ece_table(shown, varying)
    yield make_text("\n".join(_notes(shown)) + "\n", style="dim")


def _table(rows: Sequence[ConditionResult], varying: Sequence[str]) -> FittedTable:
    metrics = list(
        dict.fromkeys(
            str(name.plain)
            for row in rows
            for name in map(ScoreName.of_score, row.scores)
            if name.calibrator and name.metric not in (CHANCE, DEBIASED)
        )
    )
    metrics.sort(key=lambda name: name == "ece")  # the metrics in their order, then ECE
    lines = [line for row in rows for line in _lines(row)]
    scores = [[_score(found, metric, name) for metric in metrics] for _, found, name in lines]
    columns = [*_axis_columns(rows, varying)]
    for place, name in enumerate(metrics):
        cells = [format_number(one.value if (one := line[place]) else None) for line in scores]
        columns.append(make_number_column(_title(name, rows), cells, "metric" if place else ""))
        if place == 0:
            cells = [format_interval(line[0]) for line in scores]
            columns.append(make_number_column("95 % int.", cells, justify="left"))
    changed = []
    for row, _, name in lines:
        made = next((c for c in row.calibrations if c.name == name), None)
        changed.append("" if made is None or made.refused else str(made.changed))
    columns.append(make_number_column("changed", changed))
    counts = [
        str(next((score.n for score in line if score), len(row.records)))
        for (row, _, _), line in zip(lines, scores, strict=True)
    ]
    columns.append(make_number_column("n", counts, "n"))
    spare = [one for kind in ("n", "metric") for one in reversed(columns) if one.kind == kind]
    return FittedTable(columns, spare)


def _lines(row: ConditionResult) -> Iterator[tuple[ConditionResult, dict[str, Score], str]]:
    """Yield the lines of a condition: its scores, and a calibrator, or a dash for none."""
    found = {score.name: score for score in row.scores}
    for name in ["–", *(one.name for one in row.calibrations if one.name != "none")]:
        yield row, found, name


def _axis_columns(rows: Sequence[ConditionResult], varying: Sequence[str]) -> Iterator[Column]:
    """Yield the columns that distinguish lines; a setting is only in a condition's first line."""
    lines = [line for row in rows for line in _lines(row)]
    for axis in varying:
        words = [row.axes.get(axis, "") if name == "–" else "" for row, _, name in lines]
        yield make_axis_column(axis, words)
    yield make_number_column("calibrator", [name for *_, name in lines], justify="left")


def _score(found: dict[str, Score], metric: str, name: str) -> Score | None:
    """Return the score with a calibrator; the uncalibrated one if ``name`` is a dash."""

    def calibrated(by: str) -> str:
        return str(ScoreName.of(metric, "model").calibrated(by))

    if name != "–":
        return found.get(calibrated(name))
    return found.get(metric) or found.get(calibrated("none"))


def _ece_table(rows: Sequence[ConditionResult], varying: Sequence[str]) -> FittedTable:
    """Tabulate calibration errors (ECE) by condition and calibrator, next to those by chance."""
    lines = [line for row in rows for line in _lines(row)]
    columns = [*_axis_columns(rows, varying)]
    metrics = {"ece": "ECE", CHANCE: "by chance", DEBIASED: "debiased"}
    for metric, title in metrics.items():
        scores = [_score(found, metric, name) for _, found, name in lines]
        cells = [format_number(score.value if score else None) for score in scores]
        columns.append(make_number_column(title, cells))
    columns.append(
        make_number_column("95 % int.", list(map(format_interval, scores)), "", "", "left")
    )
    return FittedTable(columns)


def _title(name: str, rows: Sequence[ConditionResult]) -> str:
    if name == "ece":
        return "ECE"
    read = ScoreName.of(name, "model")
    settings = [s.settings for row in rows for s in row.scores if s.name == name]
    known = read.metric in names("metric")
    made = find_label(read.metric, settings) if known else read.metric
    return made + (f" ({read.way})" if read.way else "")


def _notes(rows: Sequence[ConditionResult]) -> Iterator[str]:
    """Yield each calibrator's assumption, and warnings if it does not hold."""
    yield "changed: rows whose answer is another one than without it"
    yield from _wrapped(
        "ECE: expected calibration error in percent, 10 bins; by chance: what a perfectly "
        "calibrated model would have on as many rows; debiased: ECE without it"
    )
    for name in dict.fromkeys(one.name for row in rows for one in row.calibrations):
        used = next(row for row in rows for c in row.calibrations if c.name == name)
        settings = used.calibrator(name).settings().partition("|")[2]
        yield f"{name}: {settings}" if settings else name
        yield from describe_calibrator(type(used.calibrator(name)))
        told: dict[str, list[str]] = {}
        called = name_conditions(rows)
        for row in rows:
            for said in _describe_calibrator(row, name):
                told.setdefault(said, []).append(called[row.entry.fingerprint])
        for said, where in told.items():
            whose = "" if len(where) == len(rows) else f"{', '.join(where)}: "
            yield from _wrapped(f"  {whose}{said}")


def _describe_calibrator(row: ConditionResult, name: str) -> Iterator[str]:
    for one in row.calibrations:
        if one.name != name:
            continue
        if one.refused:
            yield f"not applied: {one.refused}"
        if one.fitted:
            yield f"chosen on data: {one.fitted.replace(',', ', ')}"
        if one.tied:
            yield f"{one.tied} of {len(row.records)} rows tie; the first choice is taken"
        yield from (f"WARNING: {note}" for note in one.notes)


def describe_calibrator(calibrator: type[Calibrator]) -> Iterator[str]:
    """Describe a calibrator's assumption and where it hurts, in lines of 80 columns."""
    yield from _wrapped(f"  assumes: {calibrator.assumes}")
    yield from _wrapped(f"  hurts: {calibrator.hurts}")


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, 80, subsequent_indent="    ", break_on_hyphens=False)
