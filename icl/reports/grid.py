"""Tables of scores as plain text cells, before they are formatted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from icl.core.errors import ConfigError
from icl.core.number_text import format_interval, format_number
from icl.core.registry import did_you_mean, names
from icl.records.results import ConditionResult, Run
from icl.reports.axis_columns import find_table_axes
from icl.reports.margins import MARGIN, format_margin, note_margins
from icl.reports.notes import (
    FALLBACK,
    count_rows,
    name_settings,
    note_fallbacks,
    note_gold,
    note_unscored,
)
from icl.reports.tables import FACTS, all_scores, baselines_of, list_scores, title_metric
from icl.scoring.against import Margins, measure_margins
from icl.scoring.checks import checks, summarize_findings
from icl.tasks.baselines import describe_ties

__all__ = ["Cell", "Grid", "check_metric", "make_score_grids"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell, its text unescaped."""

    text: str
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """One table."""

    name: str
    """A word for labels and file names: ``quickstart-intent``."""
    title: str
    """The settings that all rows share."""
    heads: tuple[str, ...]
    align: str
    """``l`` or ``r`` for each column."""
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    """Signatures of the numbers."""
    warnings: tuple[str, ...] = ()
    """Lines of :func:`icl.scoring.checks.summarize_findings`."""
    keys: int = 1
    """Columns in front that tell the rows apart; each part of a divided table repeats them."""


def check_metric(run: Run, metric: str | None) -> None:
    """Raise an error if no condition has a score of this name.

    Raises:
        ConfigError: there is none; the message lists the known ones, or says how to compute it.
    """
    known = list_scores(run.conditions, "model")
    if metric is None or metric in known:
        return
    if metric in names("metric"):
        raise ConfigError(
            f"{run.name} has no scores of {metric!r}; make them with: icl score {run.called} "
            f"--metric {metric}"
        )
    raise ConfigError(f"{run.name} has no scores of {metric!r}{did_you_mean(metric, known)}")


def make_score_grids(run: Run, metric: str | None = None) -> list[Grid]:
    """Make one table per task: a row for each condition with its scores, intervals and baselines.

    The baselines are those of the first score shown, and so is the difference to the strongest.

    Args:
        run: a scored run.
        metric: the only score to show; all by default.

    Raises:
        ConfigError: no condition has that score.
    """
    check_metric(run, metric)
    margins = measure_margins(run.conditions, metric)
    findings = checks(run, None if metric else margins)
    grids = []
    for task in dict.fromkeys(condition.entry.task for condition in run.conditions):
        rows = [condition for condition in run.conditions if condition.entry.task == task]
        scored = [name for name in list_scores(rows, "model") if metric in (None, name)]
        if scored or metric is None:
            told = summarize_findings(rows, findings, None, run.called)
            grids.append(_grid(run.name, rows, scored, margins, tuple(told)))
    return grids


def _grid(
    run: str,
    rows: Sequence[ConditionResult],
    scored: Sequence[str],
    margins: Margins,
    told: tuple[str, ...],
) -> Grid:
    axes = find_table_axes(rows)
    fixed = [value for axis, value in rows[0].axes.items() if axis not in axes and value]
    baselines = baselines_of(rows, scored[0]) if scored else {}
    facts = [
        name
        for name in list_scores(rows, "count")
        if any(s.value for row in rows for s in row.scores if s.name == name)
    ]
    titles = {name: title_metric(name, all_scores(rows)) for name in scored}
    heads = [*axes, *(head for name in scored for head in (titles[name], "95 % interval"))]
    against = [margins.under(row, scored[0]) if scored else None for row in rows]
    compared = [MARGIN] if any(against) else []
    heads += [*compared, *baselines.values()]
    lacking = [FALLBACK] if any(row.entry.fallbacks for row in rows) else []
    heads += [*(FACTS.get(name, name) for name in facts), *lacking, "n"]
    align = (
        "l" * len(axes)
        + "rl" * len(scored)
        + "l" * len(compared)
        + "r" * (len(baselines) + len(facts) + len(lacking) + 1)
    )
    body = tuple(
        tuple(
            map(
                Cell,
                [
                    *(row.axes.get(axis, "") for axis in axes),
                    *_numbers(row, scored, []),
                    *([format_margin(margin)] if compared else []),
                    *_numbers(row, [], [*baselines, *facts]),
                    *([str(len(row.entry.fallbacks))] if lacking else []),
                    count_rows(row),
                ],
            )
        )
        for row, margin in zip(rows, against, strict=True)
    )
    ties = describe_ties(one for row in rows for one in row.scores if one.name in baselines)
    signatures = _signatures(rows, [*scored, *baselines])
    left = [f"{row.axes['shots']}: {note}" for row in rows for note in note_unscored(row)]
    tested = note_margins(against)
    notes = (*tested, *ties, *signatures, *note_gold(rows), *note_fallbacks(rows), *left)
    name = f"{run}-{rows[0].entry.task}"
    return Grid(name, " · ".join(fixed), tuple(heads), align, body, notes, told, keys=len(axes))


def _numbers(row: ConditionResult, scored: Sequence[str], others: Sequence[str]) -> Iterator[str]:
    found = {score.name: score for score in row.scores}
    for name in scored:
        yield format_number(found[name].value if name in found else None)
        yield format_interval(found.get(name))
    for name in others:
        yield format_number(found[name].value if name in found else None)


def _signatures(rows: Sequence[ConditionResult], shown: Sequence[str]) -> Iterator[str]:
    """Yield the signature of every number that is shown."""
    for name in shown:
        found = {s.signature: s.settings for row in rows for s in row.scores if s.name == name}
        whose = name_settings(rows, name)
        yield from (f"{name}: {sign}{whose[settings]}" for sign, settings in found.items())
