"""Pivot tables of two settings; a cell is a score, or a mean over other settings.

The best cell of each row is marked, and those that differ from it: paired tests on the common
examples, corrected by Holm for all comparisons of the table (:mod:`icl.scoring.significance`).
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

from icl.core.errors import ConfigError, join_lines
from icl.core.number_text import format_interval, format_number
from icl.core.score_name import ScoreName
from icl.core.stats import aggregate
from icl.core.types import Score
from icl.experiment.renamed import describe_unknown_setting
from icl.records.results import ConditionResult, Run
from icl.reports.grid import Cell, Grid, check_metric
from icl.reports.notes import name_settings
from icl.reports.tables import list_scores, title_metric
from icl.scoring.checks import find_score_direction
from icl.scoring.compare import collect_settings, compare_sides
from icl.scoring.pairs import find_calibrator, find_score_metric, make_side
from icl.scoring.significance import Difference, holm, measure_difference

__all__ = ["ABSENT", "Pivot", "PivotCell", "pivot", "lay_out_pivot"]


ABSENT = "–"
"""Text for a setting that a condition does not have, such as a seed without random choice."""
LEVEL = 0.05
PAIR_ENDS = ("source", "target")
"""Languages of a pair, by which tables of translation are arranged: a row for each source."""


@dataclass(frozen=True, slots=True)
class PivotCell:
    """The cell of a row and a column, with its conditions and scores."""

    row: str
    col: str
    conditions: tuple[ConditionResult, ...]
    scores: tuple[Score, ...]
    """One per condition, each with a value."""
    best: bool = False
    """Whether no other cell of the row has a better value."""
    p: float | None = None
    """Corrected p of the difference from the best cell of the row; None if not tested."""

    @property
    def value(self) -> float:
        """The score, or the mean of the scores."""
        return statistics.fmean(score.value or 0.0 for score in self.scores)

    @property
    def sd(self) -> float | None:
        """Standard deviation over the conditions (with n - 1); None for one condition."""
        values = [score.value or 0.0 for score in self.scores]
        return statistics.stdev(values) if len(values) > 1 else None

    @property
    def differs(self) -> bool:
        """Return whether the difference from the best cell of the row is significant."""
        return self.p is not None and self.p < LEVEL

    @property
    def text(self) -> str:
        """``51.0 [41.3, 60.6]``, or mean ± standard deviation (conditions); ``*`` if it differs."""
        mark = "*" if self.differs else ""
        if self.sd is not None:
            return f"{format_number(self.value)}{mark} ± {self.sd:.1f} ({len(self.scores)})"
        return f"{format_number(self.value)}{mark} {format_interval(self.scores[0])}".rstrip()


@dataclass(frozen=True, slots=True)
class Pivot:
    """One task's conditions, arranged by two settings."""

    run: str
    task: str
    metric: str
    """Name of the score."""
    rows: str
    cols: str
    """Names of the settings; ``cols`` is empty if there is only one column."""
    row_values: tuple[str, ...]
    col_values: tuple[str, ...]
    places: tuple[PivotCell, ...]
    over: tuple[str, ...] = ()
    """Settings that were averaged over."""
    notes: tuple[str, ...] = ()

    def place(self, row: str, col: str) -> PivotCell | None:
        """Return the cell of a row and column; None if no condition has both values and a score."""
        return next((one for one in self.places if (one.row, one.col) == (row, col)), None)


def pivot(run: Run, rows: str, cols: str | None = None, metric: str | None = None) -> list[Pivot]:
    """Make one pivot for each task that has such scores.

    Args:
        run: a scored run.
        rows: a setting, as :attr:`icl.records.results.ConditionResult.settings` names it; of pairs
            of languages also ``source`` or ``target``.
        cols: another setting; by default there is one column.
        metric: name of a score; the first one of each task by default.

    >>> pivot(load_run("runs/quickstart"), "shots")[0].places[0].text    # doctest: +SKIP
    '6.7 [2.6, 15.9]'

    Raises:
        ConfigError: no such setting or score.
    """
    known = {**dict.fromkeys(_list_pair_ends(run)), **collect_settings(run)}
    for name in (rows, cols):
        if name is not None and name not in known:
            raise ConfigError(f"{run.name}: {describe_unknown_setting(name, known)}")
    if rows == cols:
        raise ConfigError(f"rows and columns are both {rows!r}; name two settings")
    check_metric(run, metric)
    made = []
    for task in dict.fromkeys(condition.entry.task for condition in run.conditions):
        of_task = [condition for condition in run.conditions if condition.entry.task == task]
        scored = [metric] if metric else list_scores(of_task, "model")[:1]
        if scored and scored[0] in list_scores(of_task, "model"):
            made.append(_pivot(run, of_task, (rows, cols or ""), scored[0]))
    if not made:
        raise ConfigError(f"{run.name} has no scores yet; make them with: icl score {run.called}")
    return made


def _list_pair_ends(run: Run) -> list[str]:
    """Return ``source`` and ``target`` if some condition translates a pair of languages."""
    return [*PAIR_ENDS] if any(_find_tags(condition) for condition in run.conditions) else []


def _find_tags(condition: ConditionResult) -> dict[str, str]:
    """Return the languages that a condition translates from and to; empty for other tasks."""
    meta = next((example.meta for example in condition.examples), {})
    tags = {end: tag for end in PAIR_ENDS if (tag := meta.get(end))}
    return tags if len(tags) == len(PAIR_ENDS) else {}


def _find_word(condition: ConditionResult, axis: str) -> str:
    """Return a condition's word of a setting, or one language of its pair."""
    words = {**_find_tags(condition), **condition.settings}
    return words.get(axis, ABSENT)


def _pivot(
    run: Run, conditions: Sequence[ConditionResult], axes: tuple[str, str], metric: str
) -> Pivot:
    found: dict[tuple[str, str], list[tuple[ConditionResult, Score]]] = {}
    row_values: dict[str, None] = {}
    col_values: dict[str, None] = {}
    for condition in conditions:
        row, col = (_find_word(condition, axis) if axis else "" for axis in axes)
        row_values[row] = col_values[col] = None
        score = next((s for s in condition.scores if s.name == metric), None)
        if score is not None and score.value is not None:
            found.setdefault((row, col), []).append((condition, score))
    places = [
        PivotCell(row, col, tuple(c for c, _ in given), tuple(s for _, s in given))
        for (row, col), given in found.items()
    ]
    way = find_score_direction(conditions[0], metric)
    if way != "none" and len(col_values) > 1:
        places = _best_marked(places, way)
    tested, notes = _tested(places, metric)
    return Pivot(
        run.name,
        conditions[0].entry.task,
        metric,
        *axes,
        tuple(row_values),
        tuple(col_values),
        tuple(tested),
        _averaged(places, axes),
        tuple(notes),
    )


def _best_marked(places: Sequence[PivotCell], way: str) -> list[PivotCell]:
    """Mark the best cells of each row; equal ones are all best."""
    pick = max if way == "higher" else min
    best: dict[str, float] = {}
    for one in places:
        best[one.row] = pick(best.get(one.row, one.value), one.value)
    return [replace(one, best=abs(one.value - best[one.row]) < 1e-9) for one in places]


def _tested(places: Sequence[PivotCell], metric: str) -> tuple[list[PivotCell], list[str]]:
    """Test the cells against the best of their row; return them with p, and notes on the tests."""
    best: dict[str, PivotCell] = {}
    for one in places:
        if one.best:
            best.setdefault(one.row, one)
    pairs = [(place, one) for place, one in enumerate(places) if not one.best and one.row in best]
    if not pairs:
        return list(places), []
    read = ScoreName.of(metric, "model")
    if read.way or read.calibrator and read.metric.partition(":")[0] == "ece":
        return list(places), [f"no tests: {metric} is no metric of the answers that were parsed"]
    try:
        results = [(place, _difference(best[one.row], one, metric)) for place, one in pairs]
    except ConfigError as error:  # a program that is not allowed, or a metric that is gone
        return list(places), [f"no tests: {join_lines(error)}"]
    known = [(place, made) for place, made in results if made is not None and made.p is not None]
    ps = holm([made.p or 0.0 for _, made in known])
    made = list(places)
    for (place, _), p in zip(known, ps, strict=True):
        made[place] = replace(made[place], p=p)
    notes = []
    if known:
        tests = ", ".join(sorted({one.test.partition("|")[0] for _, one in known}))
        compared = f"{len(known)} comparison{'s' if len(known) > 1 else ''}"
        shown = any(one.differs for one in made)
        what = "* differs" if shown else "no place is shown to differ"
        notes.append(
            f"{what} from the best of its row, p < {LEVEL} ({tests}, paired by example; Holm over "
            f"{compared}); bold: best of its row"
        )
    if left := len(pairs) - len(known):
        whom = (
            "1 place was not tested: nothing pairs it"
            if left == 1
            else (f"{left} places were not tested: nothing pairs them")
        )
        notes.append(whom)
    return made, notes


def _difference(best: PivotCell, other: PivotCell, metric: str) -> Difference | None:
    """Compute the mean difference of two cells over conditions that agree in all shared settings.

    Returns None if a condition has no counterpart, or some have more of them than others: a mean
    over
    such pairs would differ from the table's.
    """
    one, two = _by_rest(best, other), _by_rest(other, best)
    sizes = [{len(found) for found in groups.values()} for groups in (one, two)]
    if one.keys() != two.keys() or any(len(size) > 1 for size in sizes):
        return None
    name, made = find_score_metric(best.conditions[0], metric)
    sides = []
    for a, b in (pair for key in one for pair in product(one[key], two[key])):
        one_side, other_side = (make_side(c, calibrator=find_calibrator(name)) for c in (a, b))
        compared = compare_sides(one_side, other_side, name, made, {})
        if compared.problem or compared.sides is None:
            return None
        sides.append(compared.sides)
    if len(sides) == 1:
        return measure_difference(sides[0][0][0], sides[0][1][0])
    return measure_difference(aggregate([a for a, _ in sides]), aggregate([b for _, b in sides]))


def _by_rest(one: PivotCell, other: PivotCell) -> dict[str, list[ConditionResult]]:
    """Group the conditions of a cell by the settings in which the two cells agree."""
    found: dict[str, list[ConditionResult]] = {}
    for condition in one.conditions:
        key = repr([(name, condition.settings.get(name)) for name in _shared(one, other)])
        found.setdefault(key, []).append(condition)
    return found


def _shared(one: PivotCell, other: PivotCell) -> list[str]:
    """List the settings with the same values in both cells."""
    names = dict.fromkeys(name for c in (*one.conditions, *other.conditions) for name in c.settings)

    def values(place: PivotCell, name: str) -> set[str | None]:
        return {condition.settings.get(name) for condition in place.conditions}

    return sorted(name for name in names if values(one, name) == values(other, name))


def _averaged(places: Sequence[PivotCell], axes: tuple[str, str]) -> tuple[str, ...]:
    """List the settings in which conditions of one cell differ; ``shots`` only if no part does."""
    found: dict[str, None] = {}
    for one in places:
        for name in dict.fromkeys(name for c in one.conditions for name in c.settings):
            if len({condition.settings.get(name) for condition in one.conditions}) > 1:
                found[name] = None
    parts = [name for name in found if name != "shots" and name not in axes]
    return tuple(parts or found)


def lay_out_pivot(made: Pivot) -> Grid:
    """Lay out a pivot as a table of text with its notes."""
    scores = [score for one in made.places for score in one.scores]
    called = title_metric(made.metric, scores)
    title = f"{made.task} · {called} by {made.rows}"
    title += f" and {made.cols}" if made.cols else ""
    rows = []
    for row in made.row_values:
        cells = [Cell(row)]
        for col in made.col_values:
            place = made.place(row, col)
            cells.append(Cell(place.text, place.best) if place else Cell(ABSENT))
        rows.append(tuple(cells))
    notes = list(made.notes)
    if made.over:
        counts = sorted({len(one.scores) for one in made.places})
        shown = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        notes.append(
            f"mean ± standard deviation (conditions) over {', '.join(made.over)}: {shown} "
            "conditions a place"
        )
    sizes = sorted({score.n for one in made.places for score in one.scores})
    if sizes:
        shown = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        single = any(one.sd is None for one in made.places)
        notes.append(f"n = {shown} rows a condition{'; [95 % interval]' if single else ''}")
    whose = name_settings([c for one in made.places for c in one.conditions], made.metric)
    signatures = {score.signature: score.settings for score in scores}
    notes += [f"{made.metric}: {sign}{whose[settings]}" for sign, settings in signatures.items()]
    if any(len({score.settings for score in one.scores}) > 1 for one in made.places):
        notes.append(
            f"a mean here goes over {called} of several settings, which measure different things"
        )
    heads = (
        f"{made.rows} \\ {made.cols}" if made.cols else made.rows,
        *(col or called for col in made.col_values),
    )
    name = "-".join(filter(None, (made.run, made.task, made.rows, made.cols)))
    return Grid(name, title, heads, "l" + "r" * (len(heads) - 1), tuple(rows), tuple(notes))
