"""Tables of scores by locale, script, family or genus: the mean first, then the worst."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from icl.core.errors import ConfigError, DataError, MetricError, join_lines
from icl.core.languages import find_language
from icl.core.number_text import format_bounds, format_interval, format_number
from icl.core.types import JSON
from icl.records.results import Run
from icl.reports.grid import Cell, Grid
from icl.reports.terminal import as_text
from icl.scoring.locale_slices import LocaleSlice, LocaleSlices, slice_run
from icl.scoring.significance import Difference

__all__ = ["lay_out_slices", "list_slice_rows", "name_combination", "name_slice", "render_slices"]


WORST = 5
"""Number of slices shown if not all are: a table of fifty is read on the page."""
MOST = 12
"""Most slices shown together."""
LANGUAGES = {
    "language": "prompt language",
    "pool": "shot locale",
    "label_language": "label language",
}
"""Axes of languages -> what each is the language of."""
PLURALS = {"locale": "locales", "script": "scripts", "family": "families", "genus": "genera"}


def name_slice(one: LocaleSlice, by: str) -> str:
    """Name a slice for a table: a locale with its language, another with its number of locales.

    >>> from icl.core.types import Score
    >>> name_slice(LocaleSlice("sw-KE", ("sw-KE",), Score("acc", 1, 0, 2, 9, ""), None), "locale")
    'sw-KE Swahili'
    """
    if by != "locale":
        return f"{one.name} ({len(one.locales)})"
    try:
        return f"{one.name} {find_language(one.name).name()}"
    except DataError:  # a pair, or the tag of no language
        return one.name


def name_combination(made: LocaleSlices, others: Sequence[LocaleSlices]) -> str:
    """Name the settings in which a group of slices differs from others; all if it is alone."""
    shared = {
        axis: word
        for axis, word in made.where.items()
        if len(others) > 1 and all(one.where.get(axis) == word for one in others)
    }
    apart = {axis: word for axis, word in made.where.items() if axis not in shared}
    plain = ("prompt", "model", "shots")  # whose words say by themselves what they are
    return " · ".join(
        w if a in plain or len(others) == 1 else f"{LANGUAGES.get(a, a)} {w}"
        for a, w in apart.items()
    )


def lay_out_slices(found: Sequence[LocaleSlices], called: str, every: bool = False) -> list[Grid]:
    """Lay out slice_groups as tables: the means of all, then the slices of each.

    Args:
        found: from :func:`icl.scoring.locale_slices.slice_run`.
        called: name of the run, as a command takes it.
        every: whether all slices are listed, however many there are.
    """
    grids = []
    for task in dict.fromkeys(one.task for one in found):
        some = [one for one in found if one.task == task]
        grids += [_macro(some), *(_one(made, some, called, every) for made in some)]
    return grids


def render_slices(run: Run) -> str:
    """Write the slices that the experiment's ``report:`` names, in 80 columns; empty without it."""
    asked = run.manifest.report
    if asked is None:
        return ""
    grids: list[Grid] = []
    for by in asked.by:
        try:
            grids += lay_out_slices(slice_run(run, by, asked.reference), run.called)
        except (ConfigError, MetricError) as error:  # locales that ask the same are run once
            return f"no slices by {by}: {join_lines(error)}\n"
    return as_text(run, grids, plain=True) if grids else ""


def _macro(found: Sequence[LocaleSlices]) -> Grid:
    """Lay out the mean over locales of each combination of the other settings."""
    first = found[0]
    grouped = first.by != "locale"
    heads = ["", f"macro {first.label}", "95 % interval"]
    heads += [f"over {PLURALS[first.by]}"] if grouped else ["best", "worst"]
    rows, ends = [], []
    for made in found:
        known = [one for one in made.slices if one.score.value is not None]
        extremes = [
            f"{one.name} {format_number(one.score.value)}" for one in known[:1] + known[-1:]
        ]
        name = name_combination(made, found)
        cells = [name if len(found) > 1 else "", format_number(made.macro.value)]
        cells.append(format_interval(made.macro))
        cells += [format_number(made.over_slices.value)] if grouped else (extremes or ["–", "–"])
        rows.append(tuple(map(Cell, [*cells, str(made.locales)])))
        if grouped and extremes:  # names of families are too long for columns
            whose = f"{name}: " if len(found) > 1 else ""
            ends.append(f"{whose}best {extremes[0]}, worst {extremes[-1]}")
    notes = [*ends, *dict.fromkeys(f"{one.metric}: {one.macro.signature}" for one in found)]
    notes.append("macro: every locale counts once; an id is left out of all locales together")
    notes += dict.fromkeys(line for made in found for line in _tell_apart(made))
    return Grid(
        f"{first.task}-{first.by}-macro",
        f"{first.task} · {first.label} by {first.by}",
        (*heads, "locales"),
        "lrl" + ("r" if grouped else "ll") + "r",
        tuple(rows),
        tuple(notes),
    )


def _tell_apart(made: LocaleSlices) -> Iterator[str]:
    """Yield a note on locales whose rows are no translations of those of others."""
    if made.apart:
        whose = "share no id with the others" if len(made.apart) > 1 else "shares no id with others"
        shown = ", ".join(made.apart[:5]) + (", …" if len(made.apart) > 5 else "")
        yield f"{shown} {whose}: rows there are left out on their own"


def _one(made: LocaleSlices, others: Sequence[LocaleSlices], called: str, every: bool) -> Grid:
    """Lay out the slices of one combination; the worst ones alone if there are many."""
    whole = every or len(made.slices) <= MOST
    shown = made.slices if whole else made.slices[-WORST:]
    compared = made.reference is not None
    heads = [made.by, made.label, "95 % interval"]
    heads += [f"− {made.reference}"] if compared else []
    rows = []
    for one in shown:
        cells = [name_slice(one, made.by), format_number(one.score.value)]
        cells.append(format_interval(one.score))
        cells += [_difference(one.difference)] if compared else []
        rows.append(tuple(map(Cell, [*cells, str(one.score.n)])))
    notes = []
    if not whole:
        rest = len(made.slices) - WORST
        notes.append(
            f"the {WORST} worst of {len(made.slices)}; the other {rest} are on the page of: "
            f"icl report {called}"
        )
    if compared:
        notes.append(
            f"− {made.reference}: difference with its own 95 % interval, paired where ids are "
            "shared, not corrected for their number"
        )
    name = name_combination(made, others)
    title = [f"{made.task} · {made.label} by {made.by}", name if len(others) > 1 else ""]
    title += [] if whole else [f"worst {WORST} of {len(made.slices)}"]
    return Grid(
        f"{made.task}-{made.by}",
        " · ".join(filter(None, title)),
        (*heads, "n"),
        "lrl" + "l" * compared + "r",
        tuple(rows),
        tuple(notes),
    )


def _difference(found: Difference | None) -> str:
    if found is None or found.value is None:
        return "–"
    ends = ""
    if found.low is not None and found.high is not None:
        ends = format_bounds(found.low, found.high)
    return f"{format_number(found.value, sign='+')} {ends}".rstrip()


def list_slice_rows(run: str, made: LocaleSlices) -> Iterator[dict[str, JSON]]:
    """Yield the mean and every slice as cells for CSV and JSON, unrounded."""
    head: dict[str, JSON] = {"run": run, "task": made.task, "score": made.metric, **made.where}
    for name, one in (("macro", made.macro), ("macro_over_slices", made.over_slices)):
        yield {
            **head,
            made.by: name,
            "locales": made.locales,
            "value": one.value,
            "low": one.low,
            "high": one.high,
            "n": one.n,
            "signature": one.signature,
        }
    for part in made.slices:
        apart = part.difference
        yield {
            **head,
            made.by: part.name,
            "locales": " ".join(part.locales),
            "value": part.score.value,
            "low": part.score.low,
            "high": part.score.high,
            "n": part.score.n,
            "signature": part.score.signature,
            "reference": made.reference,
            "difference": apart.value if apart else None,
            "difference_low": apart.low if apart else None,
            "difference_high": apart.high if apart else None,
            "difference_p": apart.p if apart else None,
        }
