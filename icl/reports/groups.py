"""The groups of conditions of one task: their differing settings, scores, and best condition."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property

from icl.core.registry import lookup, names
from icl.core.score_name import ScoreName, primary
from icl.core.types import Score, ScoreKind
from icl.experiment.settings import join_axes
from icl.metrics import find_direction
from icl.records.condition_file import ConditionFile
from icl.records.results import ConditionResult, Run, find_telling_axes
from icl.reports.notes import count_rows
from icl.reports.tables import title_metric

__all__ = ["Group", "Row", "orient_score", "group_conditions", "title_score"]


def title_score(name: str, scores: Iterable[Score] = ()) -> str:
    """Return a score's title in tables: ``acc``, ``chrF++``, ``acc+batch``, ``acc (text)``.

    >>> title_score("accuracy+batch"), title_score("chrf@text")
    ('acc+batch', 'chrF++ (text)')
    """
    read = ScoreName.of(name, "model")
    plain = str(read.plain)
    return title_metric(plain, [replace(one, name=plain) for one in scores if one.name == name]) + (
        f"+{read.calibrator}" if read.calibrator else ""
    )


@dataclass(frozen=True)
class Row:
    """A condition as a row of its group's table."""

    number: int
    """Its number in the run, from 1, as in ``icl show RUN#1/ID``."""
    condition: ConditionResult
    words: tuple[str, ...]
    """Its values of the settings that differ within the group."""

    name: str = ""
    """A name that distinguishes it from the others of its group."""

    @cached_property
    def scores(self) -> dict[str, Score]:
        """Its scores with a value, by name; NaN and infinity are left out."""
        return {
            score.name: replace(score, low=_finite(score.low), high=_finite(score.high))
            for score in self.condition.scores
            if _finite(score.value) is not None
        }

    @property
    def count(self) -> str:
        """Return the rows answered, of all rows, and the number unscored."""
        return count_rows(self.condition)

    def of_kind(self, kind: ScoreKind) -> list[Score]:
        """Return its scores of a kind, in the order of the experiment."""
        return [score for score in self.scores.values() if score.kind == kind]

    @property
    def primary(self) -> Score | None:
        """The first score of the model's own, uncalibrated answers."""
        return primary(self.scores.values())

    def baselines(self) -> list[Score]:
        """Return the baselines' scores by the primary metric."""
        if self.primary is None:
            return []
        wanted = ScoreName.of_score(self.primary).metric
        found = self.of_kind("baseline")
        return [one for one in found if ScoreName.of_score(one).metric == wanted]

    def baseline(self, name: str) -> float | None:
        """Return a baseline's value by the primary metric; None if it has none."""
        found = [s.value for s in self.baselines() if ScoreName.of_score(s).role == name]
        return found[0] if found else None

    @cached_property
    def kept(self) -> ConditionFile | None:
        """The content of its ``condition.json``; None if it has not started."""
        folder = self.condition.store.folder
        return self.condition.store.condition() if (folder / "condition.json").exists() else None

    @property
    def source(self) -> str:
        """Data set, split, lines and locale of its rows, in words; empty if it has not started."""
        if self.kept is None:
            return ""
        rows = self.kept.identity.rows
        more = [
            f"split {rows.split}" if rows.split else "",
            f"lines {rows.lines[0]} to {rows.lines[1]}" if rows.lines else "",
            rows.locale or "→".join(rows.pair or ()),
        ]
        inside = ", ".join(filter(None, more))
        return f"{rows.data} ({inside})" if inside else rows.data


def _finite(value: float | None) -> float | None:
    """Return a value, or None instead of NaN, which an external program may have printed."""
    return value if value is not None and math.isfinite(value) else None


@dataclass(frozen=True)
class Group:
    """The conditions of one task on one data set."""

    task: str
    data: str
    varying: tuple[str, ...]
    """Axes on which its conditions differ."""
    fixed: Mapping[str, str]
    """Axes on which they are equal."""
    rows: tuple[Row, ...]

    @cached_property
    def best(self) -> Row | None:
        """The row with the best primary score; None if nothing is scored."""
        scored = [(row, score) for row in self.rows if (score := row.primary) is not None]
        if not scored:
            return None
        return max(scored, key=lambda pair: orient_score(pair[1]))[0]

    def names(self, kind: ScoreKind) -> list[str]:
        """List the names of the scores of a kind that any row has."""
        return list(dict.fromkeys(s.name for row in self.rows for s in row.of_kind(kind)))


def orient_score(score: Score) -> float:
    """Return a score's value, negated if lower is better, so that scores can be ranked."""
    value = score.value or 0.0
    name = ScoreName.of_score(score).metric
    less = name in names("metric") and find_direction(lookup("metric", name)) == "lower"
    return -value if less else value


def group_conditions(run: Run) -> list[Group]:
    """Group a run's conditions by task and data set, in its order.

    The data of a condition that has not started is unknown; it joins the first group of its task.
    """
    plain = [Row(number, condition, ()) for number, condition in enumerate(run.conditions, 1)]
    found: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(plain, key=lambda row: row.kept is None):  # those that were begun come first
        task = row.condition.entry.task
        if row.kept is not None:
            key = (task, row.kept.identity.rows.data)
        else:
            key = next((known for known in found if known[0] == task), (task, ""))
        found.setdefault(key, []).append(row)
    made = [_group(task, data, rows) for (task, data), rows in found.items()]
    return sorted(made, key=lambda group: group.rows[0].number)


def _named(row: Row, words: Mapping[str, str], telling: Set[str]) -> Row:
    """Return the row with its words, and a name for sentences from those that distinguish it."""
    said = {axis: word for axis, word in words.items() if axis in telling}
    if said.get("shots") == "0":
        said["shots"] = "no shots"
    name = join_axes(said, " · ") or f"condition {row.number}"
    return replace(row, words=tuple(words.values()), name=name)


def _group(task: str, data: str, rows: Sequence[Row]) -> Group:
    ordered = sorted(rows, key=lambda row: row.number)
    axes = dict.fromkeys(axis for row in ordered for axis in row.condition.axes)
    values = {axis: [row.condition.axes.get(axis, "") for row in ordered] for axis in axes}
    varying = [axis for axis in axes if len(set(values[axis])) > 1]
    if not varying:
        varying = [axis for axis in ("shots",) if values.get(axis)]
    telling = {*find_telling_axes([row.condition for row in ordered])} or {"shots"}
    made = [
        _named(row, {axis: row.condition.axes.get(axis, "") for axis in varying}, telling)
        for row in ordered
    ]
    fixed = {axis: values[axis][0] for axis in axes if axis not in varying and values[axis][0]}
    fixed.pop("task", None)
    return Group(task, data, tuple(varying), fixed, tuple(made))
