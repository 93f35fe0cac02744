"""Tables of a run for a paper, narrow enough for a page.

Intervals are in the cells, calibrators in a separate table, constants in the caption.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from icl.core.number_text import format_interval, format_number
from icl.core.score_name import ScoreName, own_scores
from icl.core.types import Score
from icl.records.results import ConditionResult, Run, find_telling_axes
from icl.reports.axis_columns import find_table_axes
from icl.reports.grid import Cell, Grid, check_metric
from icl.reports.notes import (
    FALLBACK,
    count_rows,
    name_settings,
    note_fallbacks,
    note_gold,
    note_unscored,
)
from icl.reports.tables import FACTS, all_scores, baselines_of, list_scores, title_metric
from icl.scoring.checks import checks, summarize_findings
from icl.scoring.reliability import CHANCE, DEBIASED
from icl.tasks.baselines import describe_ties

__all__ = ["make_paper_grids"]


def make_paper_grids(run: Run, metric: str | None = None) -> list[Grid]:
    """Make a table per task, and one of its calibrated scores; heads are those of the terminal.

    Args:
        run: a scored run.
        metric: the only score to show, with its calibrated forms; all by default.

    Raises:
        ConfigError: no condition has that score.
    """
    check_metric(run, metric)
    findings = checks(run)
    grids = []
    for task in dict.fromkeys(condition.entry.task for condition in run.conditions):
        rows = [condition for condition in run.conditions if condition.entry.task == task]
        own = dict.fromkeys(one.name for row in rows for one in own_scores(row.scores))
        scored = [name for name in own if metric in (None, name)]
        told = tuple(summarize_findings(rows, findings, None, run.called))
        if scored or metric is None:
            grids.append(_grid(f"{run.name}-{task}", rows, scored, told))
        made = _calibrated_names(rows, metric)
        if made:
            grids.append(_calibrated(f"{run.name}-{task}-calibrated", rows, made))
    return grids


def _grid(
    name: str, rows: Sequence[ConditionResult], scored: Sequence[str], told: tuple[str, ...]
) -> Grid:
    axes = find_table_axes(rows)
    baselines = baselines_of(rows, scored[0]) if scored else {}
    facts = [
        one
        for one in list_scores(rows, "count")
        if any(s.value for row in rows for s in row.scores if s.name == one)
    ]
    counts = [count_rows(row) for row in rows]
    apart = len(set(counts)) > 1
    lacking = [FALLBACK] if any(row.entry.fallbacks for row in rows) else []
    heads = [*axes, *(title_metric(one, all_scores(rows)) for one in scored), *baselines.values()]
    heads += [*map(_fact_title, facts), *lacking, *(["n"] if apart else [])]
    body = []
    for row, n in zip(rows, counts, strict=True):
        found = {score.name: score for score in row.scores}
        cells = [row.axes.get(axis, "") for axis in axes]
        cells += [_number(found.get(one)) for one in scored]
        cells += [_value(found.get(one)) for one in [*baselines, *facts]]
        cells += [str(len(row.entry.fallbacks))] if lacking else []
        body.append(tuple(map(Cell, [*cells, *([n] if apart else [])])))
    ties = describe_ties(one for row in rows for one in row.scores if one.name in baselines)
    left = [f"{row.axes['shots']}: {note}" for row in rows for note in note_unscored(row)]
    notes = (*ties, *_signatures(rows, [*scored, *baselines]))
    notes += (*note_gold(rows), *note_fallbacks(rows), *left)
    align = "l" * len(axes) + "r" * (len(heads) - len(axes))
    title = _title(rows, axes, "" if apart else f"n = {counts[0]}", bool(scored))
    return Grid(name, title, tuple(heads), align, tuple(body), notes, told, keys=len(axes))


def _calibrated(name: str, rows: Sequence[ConditionResult], metrics: Sequence[str]) -> Grid:
    """Make a table with a row for each condition and calibrator."""
    shown = [row for row in rows if row.calibrations]
    telling = {*find_telling_axes(rows), "shots"}
    axes = [axis for axis in find_table_axes(rows) if axis in telling]
    titles = {"ece": "ECE", CHANCE: "ECE by chance", DEBIASED: "ECE debiased"}
    heads = [*axes, "calibrator"]
    heads += [titles.get(one, title_metric(one, all_scores(rows))) for one in metrics]
    body = []
    for row in shown:
        found = {score.name: score for score in row.scores}
        for by in ("–", *(one.name for one in row.calibrations if one.name != "none")):
            scores = [_find(found, metric, by) for metric in metrics]
            cells = [*(row.axes.get(axis, "") for axis in axes), by, *map(_number, scores)]
            body.append(tuple(map(Cell, [*cells, _changed(row, by)])))
    heads += ["changed"]
    align = "l" * (len(axes) + 1) + "r" * (len(heads) - len(axes) - 1)
    signed = [
        f"{by.name}: {settings}"
        for by in {one.name: one for row in shown for one in row.calibrations}.values()
        if (settings := shown[0].calibrator(by.name).settings().partition("|")[2])
    ]
    refused = [
        f"{one.name} not applied: {one.refused}"
        for row in shown
        for one in row.calibrations
        if one.refused
    ]
    notes = ("changed: rows whose answer is another one than without it", *signed)
    notes += tuple(dict.fromkeys(refused))
    title = f"{_title(rows, axes, '', True)} · calibrated"
    return Grid(name, title, tuple(heads), align, tuple(body), notes, keys=len(axes) + 1)


def _title(rows: Sequence[ConditionResult], axes: Sequence[str], more: str, intervals: bool) -> str:
    """Return the caption: the settings that all rows share, and the meaning of the brackets."""
    fixed = [value for axis, value in rows[0].axes.items() if axis not in axes and value]
    brackets = ["[95 % interval]"] if intervals else []
    return " · ".join([*fixed, *filter(None, [more]), *brackets])


def _calibrated_names(rows: Sequence[ConditionResult], metric: str | None) -> list[str]:
    """List the calibrated scores: the metrics in their order, then the calibration errors."""
    errors = ("ece", CHANCE, DEBIASED)
    found = {
        str(name.plain): name
        for row in rows
        if row.calibrations
        for name in map(ScoreName.of_score, row.scores)
        if name.calibrator
    }
    own = [one for one, name in found.items() if name.metric not in errors]
    own = [one for one in own if metric in (None, one)]
    return own + [one for one in errors if one in found and metric is None]


def _find(found: dict[str, Score], metric: str, by: str) -> Score | None:
    """Return the score by a calibrator; the uncalibrated one if ``by`` is a dash."""
    plain = ScoreName.of(metric, "model")
    if by != "–":
        return found.get(str(plain.calibrated(by)))
    return found.get(metric) or found.get(str(plain.calibrated("none")))


def _changed(row: ConditionResult, by: str) -> str:
    made = next((one for one in row.calibrations if one.name == by), None)
    return "" if made is None or made.refused else str(made.changed)


def _fact_title(name: str) -> str:
    read = ScoreName.of(name, "count")
    return FACTS.get(read.metric, read.metric) + (f" ({read.way})" if read.way else "")


def _number(score: Score | None) -> str:
    return f"{_value(score)} {format_interval(score)}".rstrip()


def _value(score: Score | None) -> str:
    return format_number(score.value if score else None)


def _signatures(rows: Sequence[ConditionResult], shown: Sequence[str]) -> Iterator[str]:
    """Yield the signature of every number that is shown."""
    for name in shown:
        found = {s.signature: s.settings for row in rows for s in row.scores if s.name == name}
        whose = name_settings(rows, name)
        yield from (f"{name}: {sign}{whose[settings]}" for sign, settings in found.items())
