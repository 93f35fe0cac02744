"""Differences of conditions to their strongest baseline: a column, and a sentence for a task."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace

from icl.core.errors import CalibrationError, CommandError, ConfigError, MetricError
from icl.core.number_text import format_interval, format_number, format_p, format_score
from icl.core.score_name import primary
from icl.core.types import JSON, Score
from icl.experiment.differences import name_place
from icl.records.results import ConditionResult, find_varying_axes
from icl.reports.axis_columns import Column, make_number_column
from icl.scoring.against import Margins
from icl.scoring.checks import find_score_direction, name_conditions
from icl.scoring.compare import Comparison, compare
from icl.scoring.pairs import are_alike, list_derived_settings

__all__ = [
    "MARGIN",
    "describe_task",
    "format_margin",
    "list_margin",
    "make_margin_column",
    "note_margins",
]


MARGIN = "over the best baseline [95 % interval], p"
"""Head of the column where each cell names its baseline."""
NEAR = 10.0
"""Points: a baseline is not near if the interval of the difference lies this far from 0."""
PLACES = ("locale", "pair", "language")
"""Axes whose conditions are not alternatives, so that there is no best one to choose."""


def format_margin(one: Comparison | None) -> str:
    """Write the difference to the strongest baseline: its name, interval and p.

    >>> format_margin(None)
    '–'
    """
    if one is None or one.difference.value is None:
        return "–"
    p = f", p = {format_p(_p(one))}".replace("= <", "< ")
    return f"{format_score(one.difference, sign='+')}{p} ({one.a})"


def make_margin_column(found: Sequence[Comparison | None]) -> Column:
    """Make the column of differences for a terminal; without intervals if it is too wide."""
    return replace(_lay_out(found, True), shorter=_lay_out(found, False))


def _lay_out(found: Sequence[Comparison | None], intervals: bool) -> Column:
    """Align the numbers; each cell names its baseline unless all have the same one."""
    known = [one for one in found if one is not None]
    roles = {one.a for one in known}
    ends = [format_interval(one.difference, sign="+") for one in known]
    ps = [format_p(_p(one)) + ("*" if one.shown else "") for one in known]
    widths = max(map(len, ends), default=0), max(map(len, ps), default=0)
    cells = []
    for one in found:
        if one is None:
            cells.append("–".rjust(6))
            continue
        words = [
            f"{format_number(one.difference.value, sign='+'):>6}",
            *([ends.pop(0).ljust(widths[0])] if intervals else []),
            ps.pop(0).ljust(widths[1]),
            *([one.a] if len(roles) > 1 else []),
        ]
        cells.append(" ".join(words))
    whose = roles.pop() if len(roles) == 1 else "best baseline"
    heads = [" diff.", *(["95 % int."[: widths[0]].ljust(widths[0])] if intervals else []), "p"]
    title = f" over {whose}\n{' '.join(heads)}"
    return make_number_column(title, cells, "margin", "cyan", "left")


def list_margin(one: Comparison | None) -> dict[str, JSON]:
    """List the difference to the strongest baseline for programs, unrounded; empty if none."""
    if one is None:
        return {}
    made = one.difference
    return {
        "baseline": one.a,
        "difference": made.value,
        "difference_low": made.low,
        "difference_high": made.high,
        "difference_p": made.p,
        "difference_p_holm": one.p_holm,
    }


def note_margins(found: Sequence[Comparison | None]) -> Iterator[str]:
    """Yield a note on the tests behind the differences to the strongest baseline."""
    known = [one for one in found if one is not None]
    if not known:
        return
    fixed = known[0].compared
    of = f", corrected for {fixed} conditions (Holm)" if fixed > 1 else ""
    tests = ", ".join(dict.fromkeys(one.difference.test for one in known))
    yield f"over the best baseline: paired by row; p{of}; test: {tests}"


def describe_task(rows: Sequence[ConditionResult], margins: Margins, title: str) -> str:
    """Summarize the tests of a task in a sentence; empty if nothing is scored.

    Args:
        rows: the conditions of one task.
        margins: of the same conditions, or more.
        title: what tables call the first score.
    """
    scored = [(row, score) for row in rows if (score := primary(row.scores)) is not None]
    if not scored:
        return ""
    way = find_score_direction(scored[0][0], scored[0][1].name)
    scored = [pair for pair in scored if pair[1].name == scored[0][1].name]
    if way == "none":
        return ""
    sign = -1 if way == "lower" else 1
    ordered = sorted(scored, key=lambda pair: -sign * (pair[1].value or 0.0))
    named = name_conditions(rows)
    task = rows[0].entry.task
    if {*find_varying_axes([row for row, _ in scored])} & {*PLACES}:
        said = _describe_range(ordered, margins)
    else:
        said = _describe_best(rows, ordered[0], margins, named)
    line = f"{task}: {said.replace('SCORE', title, 1)}."
    return "\n".join(textwrap.wrap(line, 80, break_on_hyphens=False))


def _describe_range(ordered: Sequence[tuple[ConditionResult, Score]], margins: Margins) -> str:
    """Describe the range from best to worst over places, and the number that beat a baseline."""
    (best, high), (worst, low) = ordered[0], ordered[-1]
    named = name_conditions([row for row, _ in ordered])
    ends = [
        f"{format_number(score.value)} ({named[row.entry.fingerprint]})"
        for row, score in ((worst, low), (best, high))
    ]
    said = f"SCORE from {ends[0]} to {ends[1]}"
    tested = [
        one
        for row, _ in ordered
        if (one := margins.strongest.get(row.entry.fingerprint)) is not None
    ]
    if tested:
        beaten = sum(one.shown and _is_better(one) for one in tested)
        said += (
            f"; shown to be better than the best baseline in {beaten} of {len(tested)} conditions"
        )
    return said


def _describe_best(
    rows: Sequence[ConditionResult],
    best: tuple[ConditionResult, Score],
    margins: Margins,
    named: dict[str, str],
) -> str:
    """Compare the best condition with the same without shots, and with its baseline, in words."""
    row, score = best
    who = named[row.entry.fingerprint] or _name_shots(row)
    parts = [f"{who}: SCORE {format_score(score)}"]
    several = sum(
        (own := primary(one.scores)) is not None and own.name == score.name for one in rows
    )
    if several > 1:
        parts[0] += f", the best of {several}"
    bare = _compare_without_shots(rows, row)
    if bare is not None and bare.difference.value is not None:
        shown = "shown" if bare.shown else "not shown to differ"
        parts[0] += f", against {format_number(bare.value_a)} without shots"
        parts.append(f"{shown} (p {_told_p(bare)})")
    if margin := margins.strongest.get(row.entry.fingerprint):
        parts.append(_describe_margin(margin))
    return "; ".join(parts)


def _describe_margin(one: Comparison) -> str:
    beside = f"{one.a} {format_number(one.value_a)}"
    if one.difference.p is None:
        return f"too few rows for a test against the best baseline, {beside}"
    if not one.shown:
        return f"not shown to be better than the best baseline, {beside} (p {_told_p(one)})"
    if not _is_better(one):
        return f"worse than {beside}, which needs no model (p {_told_p(one)})"
    ends = [end for end in (one.difference.low, one.difference.high) if end is not None]
    if ends and min(map(abs, ends)) >= NEAR:
        return f"no baseline comes near (the best, {beside})"
    return f"better than the best baseline, {beside} (p {_told_p(one)})"


def _compare_without_shots(
    rows: Sequence[ConditionResult], best: ConditionResult
) -> Comparison | None:
    """Compare the best condition with the same one without shots, if there is one.

    p is multiplied by the number of conditions with shots, of which it was picked (Bonferroni).
    """
    if best.entry.settings is None or best.axes.get("shots") == "0":
        return None
    shots = {"shots"} | list_derived_settings(best)
    for row in rows:
        if row.entry.settings is None or row.axes.get("shots") != "0" or not row.records:
            continue
        if are_alike(row, best, shots):
            try:
                made = compare(row, best)
            except (CalibrationError, CommandError, ConfigError, MetricError):
                return None  # a metric that cannot be computed here: its scores stand
            picked = sum(one.axes.get("shots") != "0" for one in rows)
            p = made.difference.p
            p = None if p is None else min(1.0, p * picked)
            return replace(made, p_holm=p, compared=picked)
    return None


def _name_shots(row: ConditionResult) -> str:
    word = row.axes.get("shots", "")
    if word.isdigit():
        return "no shots" if word == "0" else f"{word} shots"
    return name_place("shots", word)


def _is_better(one: Comparison) -> bool:
    value = one.difference.value or 0.0
    return value < 0 if one.better == "lower" else value > 0


def _p(one: Comparison) -> float | None:
    return one.difference.p if one.p_holm is None else one.p_holm


def _told_p(one: Comparison) -> str:
    return f"= {format_p(_p(one))}".replace("= <", "< ")
