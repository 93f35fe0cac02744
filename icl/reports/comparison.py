"""Comparisons and spreads for a reader: tables of 80 columns, and sentences.

The sentences say what is shown and what is not. A difference that is not shown may still exist, so
they give the number of examples at which a difference of 2 points would be detected.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from icl.core.errors import ConfigError, join_lines
from icl.core.number_text import format_interval, format_number, format_p, format_score
from icl.experiment.differences import is_difference, pick_telling
from icl.experiment.settings import join_axes
from icl.records.results import Run
from icl.reports.axis_columns import FittedTable, make_axis_column, make_number_column
from icl.scoring.compare import POINTS, Comparison, compare_by
from icl.scoring.pairs import collect_settings, find_shared_words
from icl.scoring.sensitivity import Spread, Stability, rank_stability, spreads

__all__ = [
    "render_comparison",
    "make_comparison_tables",
    "render_plain",
    "make_spread_tables",
    "describe_comparison",
    "format_needed",
]


if TYPE_CHECKING:
    from rich.console import RenderableType

PARTS = ("k", "select", "order", "seed")
"""Settings that are part of the word ``shots``."""
FEW = 3
"""Most comparisons that are described one by one; more are summed up."""
BETTER = {"lower": " (lower is better)", "none": "", "higher": ""}


def render_comparison(run: Run, by: str | None = None, baseline: str | None = None) -> str:
    """Write what ``icl compare RUN --by SETTING --baseline VALUE`` prints, in 80 columns.

    Args:
        run: from :func:`icl.records.results.load_run`.
        by: the setting; by default the experiment's ``compare:``. Without both, the text is
            empty.
        baseline: the value that the others are compared with; by default the experiment's for
            its own setting, otherwise the first one.
    """
    asked = run.manifest.compare
    by = by or (asked.by if asked else None)
    if not by:
        return ""
    if baseline is None and asked and by == asked.by and asked.baseline is not None:
        baseline = str(asked.baseline)
    try:
        found = compare_by(run, by, baseline)
    except ConfigError as error:  # conditions that ask the same are run once: too few are left
        return f"nothing to compare: {join_lines(error)}\n"
    return render_plain(make_comparison_tables(found, by))


def make_comparison_tables(
    comparisons: Sequence[Comparison], by: str = ""
) -> Iterator[RenderableType]:
    """Make a table for each task, metric and baseline, with sentences about the results below it.

    Args:
        comparisons: from :mod:`icl.scoring.compare`.
        by: the setting in which the two differ, for titles; empty for two runs.
    """
    from icl.core.safe_console import make_text

    kept = [one for one in comparisons if not one.problem] or list(comparisons)
    for one in comparisons:
        if one.problem and len(kept) < len(comparisons):  # else it follows with the others
            yield make_text(f"{_place(one)}: {one.b} against {one.a}: {one.problem}\n")
    for task, metric in dict.fromkeys((one.where.get("task"), one.metric) for one in kept):
        rows = [one for one in kept if (one.where.get("task"), one.metric) == (task, metric)]
        varying = _varying(rows)
        fixed = [
            word
            for axis, word in rows[0].where.items()
            if axis not in varying and not is_difference(axis)
        ]
        against = find_shared_words([row.a for row in rows]) or "another each"
        title = f"{rows[0].title}{f' by {by}' if by else ''}, against {against}"
        if any(not row.problem for row in rows):
            yield make_text(" · ".join([*fixed, title]), style="bold")
            yield _table(rows, varying, by or "compared")
        yield make_text("\n".join(_describe_rows(rows, varying)) + "\n", style="dim")


def render_plain(parts: Iterable[RenderableType], width: int = 80) -> str:
    """Render tables as plain text of at most ``width`` columns."""
    from icl.core.safe_console import SafeConsole

    console = SafeConsole(file=io.StringIO(), width=width, color_system=None, force_terminal=False)
    for part in parts:
        console.print(part)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def _varying(rows: Sequence[Comparison]) -> list[str]:
    singles = [row for row in rows if row.pairs == 1] or rows
    axes = dict.fromkeys(axis for row in singles for axis in row.where)
    varying = [axis for axis in axes if len({row.where.get(axis) for row in singles}) > 1]
    return pick_telling(varying, [row.where for row in singles])


def _table(rows: Sequence[Comparison], varying: Sequence[str], by: str) -> FittedTable:
    columns = []
    for place, axis in enumerate(varying):
        means = [f"mean of {row.pairs}" if place == 0 else "" for row in rows]
        words = [
            mean if row.pairs > 1 else row.where.get(axis, "")
            for row, mean in zip(rows, means, strict=True)
        ]
        columns.append(make_axis_column(axis, words))
    if len({row.a for row in rows if row.pairs == 1}) > 1:
        columns.append(make_axis_column("against", [row.a for row in rows]))
    columns.append(make_axis_column(by, [_name(row, varying) for row in rows]))
    columns += [
        make_number_column("base", [format_number(row.value_a) for row in rows], "base"),
        make_number_column(rows[0].title, [format_number(row.value_b) for row in rows]),
        make_number_column(
            "diff.", [format_number(row.difference.value, sign="+") for row in rows]
        ),
        make_number_column(
            "95 % int.", [format_interval(row.difference, sign="+") for row in rows], justify="left"
        ),
    ]
    corrected = rows[0].compared > 1 or len(rows) > 1
    marks = ["*" if row.shown else " " for row in rows]
    if corrected:
        columns.append(make_number_column("p", [format_p(row.difference.p) for row in rows], "p"))
    ps = [format_p(row.p_holm if corrected else row.difference.p) for row in rows]
    marked = [p + mark for p, mark in zip(ps, marks, strict=True)]
    columns.append(make_number_column("Holm" if corrected else "p", marked))
    columns.append(make_number_column("n", [str(row.n) for row in rows]))
    spare = sorted((one for one in columns if one.kind), key=lambda one: one.kind != "p")
    bold = {place: "bold" for place, row in enumerate(rows) if row.shown}
    return FittedTable(columns, spare, bold)


def _name(row: Comparison, varying: Sequence[str]) -> str:
    """Return the row's title; add "mean of N" if the table has no settings columns."""
    return row.b if row.pairs == 1 or varying else f"{row.b}, mean of {row.pairs}"


def _describe_rows(rows: Sequence[Comparison], varying: Sequence[str]) -> Iterator[str]:
    """Describe the rows' results: in full for a few, in counts for many."""
    import textwrap

    axes = None if any(row.problem for row in rows) else varying
    lines: list[str] = []
    for means in (False, True):
        some = [row for row in rows if (row.pairs > 1) is means]
        if some:
            lines += (
                [describe_comparison(row, axes) for row in some]
                if len(some) <= FEW
                else _summarize_rows(some)
            )
    lines += [
        f"test: {test}"
        for test in dict.fromkeys(row.difference.test for row in rows if not row.problem)
    ]
    singles = [row for row in rows if row.pairs == 1 and row.p_holm is not None]
    if singles and singles[0].compared > 1:
        lines.append(
            f"Holm: p corrected for all {singles[0].compared} comparisons listed; * below 0.05"
        )
    if any(row.pairs > 1 for row in rows):
        lines.append(
            "mean of: whole examples are resampled, each with all its rows; n counts examples"
        )
    left_out = max(row.left_out for row in rows)
    if left_out:
        lines.append(f"{left_out} examples share an id, not text and targets: left out")
    for line in lines:
        yield from textwrap.wrap(line, 80, subsequent_indent="  ", break_on_hyphens=False)


def describe_comparison(one: Comparison, axes: Sequence[str] | None = None) -> str:
    """Describe one comparison: its examples, the result, and the examples needed.

    ``axes`` are the axes that identify it; by default all that both sides share.

    >>> refused = Comparison("accuracy", "acc", "a", "b", {}, 1, 1, 0, problem="no rows")
    >>> print(describe_comparison(refused))
    b against a: nothing can be compared: no rows
    """
    shown = {axis: one.where.get(axis, "") for axis in axes or ()}
    place = _place(one) if axes is None else join_axes(shown)
    head = f"{place}: " if place and one.pairs == 1 else ""
    head += f"{one.b} against {one.a}: "
    if one.problem:
        return f"{head}nothing can be compared: {one.problem}"
    made = one.difference
    if one.pairs > 1:
        rows = f"mean of {one.pairs} pairs, {one.n} different examples"
    elif one.n_a == one.n_b == one.n:
        rows = f"both have answered the same {one.n} example{'s' * (one.n > 1)}"
    else:
        rows = f"of {one.n_a} and {one.n_b} examples, {one.n} are in both"
    if one.n == 1:
        return f"{head}{rows}; one example shows nothing"
    if one.identical:
        return f"{head}{rows}; both have the same score on each, so there is no difference to test"
    numbers = format_score(made, sign="+")
    p = f"p = {format_p(one.difference.p)}".replace("= <", "< ")
    if one.p_holm is not None and one.compared > 1:
        p += f", corrected {format_p(one.p_holm)}"
    if one.shown:
        side = "higher" if (made.value or 0.0) > 0 else "lower"
        better = BETTER[one.better]
        return f"{head}{rows}; shown: {one.title} of {one.b} is {side}, {numbers}, {p}{better}"
    return f"{head}{rows}; the difference is not shown: {numbers}, {p}{_needed([one])}"


def _needed(rows: Sequence[Comparison]) -> str:
    """Describe how many examples would suffice; empty if that cannot be estimated."""
    found = [row.needed for row in rows if row.needed is not None]
    if not found:
        return ""
    least, most = min(low for low, _ in found), max(high for _, high in found)
    points = f"{POINTS:g} points"
    if len(found) == len(rows) and most <= min(row.n for row in rows):
        return f"; a difference of {points} would have been detected in 4 of 5 cases"
    return f"; about {format_needed((least, most))} examples would be needed to see {points}"


def format_needed(needed: tuple[int, int]) -> str:
    """Write the number of needed examples with two digits, since more are not known.

    >>> format_needed((868, 6539))
    '870 to 6,500'
    """
    low, high = (round(n, 2 - len(str(n))) for n in needed)
    return f"{low:,} to {high:,}" if high > low else f"{low:,}"


def _summarize_rows(rows: Sequence[Comparison]) -> Iterator[str]:
    shown = [row for row in rows if row.shown]
    same = [row for row in rows if row.identical]
    rest = [row for row in rows if not row.shown and not row.identical]
    if shown:
        found = ", ".join(
            f"{row.b} {format_number(row.difference.value, sign='+')} ({_short(row)})"
            for row in shown
        )
        yield f"shown, {len(shown)} of {len(rows)}: {found}{BETTER[rows[0].better]}"
    if rest:
        count = f"{len(rest)} of {len(rows)}"
        yield (
            f"not shown, {count}: neither that they differ nor that they are alike{_needed(rest)}"
        )
    if same:
        yield f"the same score on every example: {len(same)} of {len(rows)}"
    partial = [row for row in rows if row.pairs == 1 and not row.n_a == row.n_b == row.n]
    if partial:
        fewest = min(partial, key=lambda row: row.n)
        yield (
            f"compared on common examples: of {fewest.n_a} and {fewest.n_b}, {fewest.n} are in both"
            f"{' at the least' if len(partial) > 1 else ''}"
        )


def _place(one: Comparison) -> str:
    return join_axes(one.where, " · ")


def _short(row: Comparison) -> str:
    if row.pairs > 1:
        return f"mean of {row.pairs}"
    return join_axes({axis: word for axis, word in row.where.items() if axis != "task"})


def make_spread_tables(run: Run, details: bool = True) -> Iterator[RenderableType]:
    """Make tables of the spread of each task over seeds, orders, prompts or layouts.

    Yields nothing if a run has only one of each. ``details`` adds what the columns mean.
    """
    from icl.core.safe_console import make_text

    found = spreads(run)
    stable = {one.task: one for one in rank_stability(run)} if _several(run, "prompt") else {}
    for task in dict.fromkeys(one.where["task"] for one in found):
        rows = [one for one in found if one.where["task"] == task]
        over = list(dict.fromkeys(name for row in rows for name in row.over))
        yield make_text(f"{task} · {rows[0].title} over {', '.join(over)}", style="bold")
        yield _spread_table(rows)
        notes = list(_spread_notes(rows, stable.get(task))) if details else []
        yield make_text("\n".join([*notes, ""]), style="dim")


def _several(run: Run, setting: str) -> bool:
    return len(collect_settings(run).get(setting, ())) > 1


def _spread_table(rows: Sequence[Spread]) -> FittedTable:
    names = [_where(row.where) for row in rows]
    varying = [
        axis
        for axis in dict.fromkeys(axis for name in names for axis in name)
        if len({name.get(axis) for name in names}) > 1
    ]
    varying = pick_telling(varying, names) or ["shots"]
    columns = [make_axis_column(axis, [name.get(axis, "") for name in names]) for axis in varying]
    if len({row.over for row in rows}) > 1:
        columns.append(make_axis_column("over", [", ".join(row.over) for row in rows]))
    columns.append(make_number_column("times", [str(len(row.values)) for row in rows], "4"))
    columns.append(make_number_column("mean", [format_number(row.mean.value) for row in rows]))
    interval = [format_interval(row.mean) for row in rows]
    columns.append(make_number_column("95 % int.", interval, "5", justify="left"))
    numbers = {
        "sd": ([row.sd for row in rows], "1"),
        "worst": ([row.worst for row in rows], "3"),
        "best": ([row.best for row in rows], "2"),
        "spread": ([row.spread for row in rows], ""),
        "by chance": ([row.by_chance for row in rows], ""),
    }
    for title, (values, kind) in numbers.items():
        columns.append(make_number_column(title, list(map(format_number, values)), kind))
    columns.append(make_number_column("Holm", [format_p(row.p_holm) for row in rows]))
    columns.append(make_number_column("n", [str(row.mean.n) for row in rows]))
    spare = sorted((one for one in columns if one.kind), key=lambda one: one.kind)
    return FittedTable(columns, spare)


def _where(where: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of a group as axes, with the parts of ``shots`` joined again."""
    found = {name: word for name, word in where.items() if name not in PARTS}
    if "shots" not in found:
        parts = [where[name] for name in ("k", "select") if name in where]
        options = [word for name, word in where.items() if name == "order" and word != "selected"]
        found["shots"] = " ".join([*parts, *options])
    return found


def _spread_notes(rows: Sequence[Spread], stable: Stability | None) -> Iterator[str]:
    import textwrap

    lines = [
        "by chance: the spread of conditions that are all alike, their rows exchanged; Holm: how "
        "often it is as large as this one, corrected for all spreads of the run"
    ]
    if stable is not None:
        tau = "" if stable.tau is None else f"Kendall's tau {stable.tau:.2f} on average, "
        lines.append(
            f"{stable.of} ranked at {stable.rankings} places: {tau}{stable.winner} has the best "
            f"mean and is the best at {stable.wins:g} of them"
        )
    for line in lines:
        yield from textwrap.wrap(line, 80, subsequent_indent="  ", break_on_hyphens=False)
