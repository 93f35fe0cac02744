"""Pairs of conditions that differ in one setting, and their names in tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from icl.core.errors import ConfigError
from icl.core.score_name import ScoreName
from icl.core.stats import Metric
from icl.core.types import Example, Prediction
from icl.data.hints import HINT_FIELDS
from icl.experiment.differences import is_difference
from icl.experiment.settings import collect_values, join_axes
from icl.metrics import make_metric, starts_program
from icl.records.results import ConditionResult, Run
from icl.scoring.scores import find_metric, make_metrics
from icl.tasks.patterns import ParserEntry

__all__ = [
    "Asked",
    "Side",
    "are_alike",
    "find_calibrator",
    "find_common",
    "list_derived_settings",
    "pair_equal_but_for",
    "pick_first_metric",
    "find_score_metric",
    "name_apart",
    "name_by",
    "find_own_keys",
    "find_own_settings",
    "pick_metrics",
    "collect_settings",
    "find_shared_axes",
    "find_shared_words",
    "make_side",
    "find_telling_settings",
]


ENTRY = "entry"
"""The setting that holds the ``name:`` of a task: a word for all in which it differs."""


def collect_settings(run: Run) -> dict[str, list[str]]:
    """Collect every setting of a run's conditions with its values, in their order."""
    return collect_values(condition.settings for condition in run.conditions)


def list_derived_settings(condition: ConditionResult) -> set[str]:
    """List the settings that are parts of the word ``shots``, not axes themselves."""
    return set(condition.settings.keys() - condition.axes.keys())


def pair_equal_but_for(
    run: Run, setting: str, baseline: str
) -> Iterator[tuple[ConditionResult, ConditionResult]]:
    """Yield (baseline, condition) pairs that differ in nothing but the setting."""
    for b in run.conditions:
        if b.settings.get(setting, baseline) == baseline:
            continue
        for a in run.conditions:
            if a.settings.get(setting) == baseline and are_alike(a, b, _moved(setting, a, b)):
                yield a, b


def _moved(setting: str, a: ConditionResult, b: ConditionResult) -> set[str]:
    """Return the settings that change together with this one: ``shots`` contains its parts."""
    parts = list_derived_settings(a) | list_derived_settings(b)
    if setting == ENTRY:
        return {setting} | {axis for c in (a, b) for axis in c.settings if is_difference(axis)}
    if setting == "shots":
        return {setting} | parts
    return {setting, "shots"} if setting in parts else {setting}


def are_alike(a: ConditionResult, b: ConditionResult, ignored: set[str]) -> bool:
    """Return whether two conditions are equal in all other settings that both of them have.

    What their entries are called changes no answer, and keeps none apart.
    """
    one, two = a.settings, b.settings
    shared = one.keys() & two.keys() - ignored - {ENTRY}
    return all(one[name] == two[name] for name in shared)


def find_telling_settings(a: Run, b: Run) -> set[str]:
    """Find settings with one value in each run, which differ between the runs."""
    one, two = collect_settings(a), collect_settings(b)
    return {
        name
        for name in one.keys() & two.keys()
        if len(one[name]) == len(two[name]) == 1 and one[name] != two[name]
    }


def find_own_settings(a: ConditionResult, b: ConditionResult) -> tuple[tuple[str, str], ...]:
    """Find settings that only one of two conditions has, except seed and shots."""
    one, two = a.settings, b.settings
    names = (one.keys() ^ two.keys()) - {"seed", "shots"}
    return tuple(sorted((name, (one | two)[name]) for name in names))


def find_shared_axes(a: ConditionResult, b: ConditionResult) -> dict[str, str]:
    """Return the axes on which both conditions have the same value."""
    return {axis: word for axis, word in a.axes.items() if word and b.axes.get(axis) == word}


def find_own_keys(a: ConditionResult, b: ConditionResult) -> dict[str, str]:
    """Return the keys of a task that only one of two conditions has.

    For example, only a condition with shots has a pool. These keys distinguish several such pairs.
    """
    one, two = a.settings, b.settings
    names = [*one, *(name for name in two if name not in one)]
    apart = one.keys() ^ two.keys()
    return {name: (one | two)[name] for name in names if name in apart and is_difference(name)}


def name_apart(condition: ConditionResult, where: Mapping[str, str]) -> str:
    """Name a condition by the axes that are not in ``where``; empty if all are in it."""
    return join_axes({a: word for a, word in condition.axes.items() if a not in where})


def name_by(
    condition: ConditionResult, both: tuple[ConditionResult, ConditionResult], setting: str
) -> str:
    """Name a condition in a table by its value of the setting, or by its whole shots value."""
    shots = {c.axes["shots"] for c in both}
    if setting not in condition.axes and len(shots) > 1:
        return condition.axes["shots"]
    return condition.settings[setting]


def find_shared_words(names: Sequence[str]) -> str:
    """Return the words that all names share: ``8 random`` of ``8 random s0``, ``8 random s1``."""
    first, *rest = [name.split() for name in names]
    return " ".join(word for word in first if all(word in other for other in rest))


Asked = Sequence[str | Mapping[str, Any]] | None


@dataclass(frozen=True)
class Side:
    """One side of a comparison: its examples and predictions."""

    name: str
    """Name in a table."""
    examples: Mapping[str, Example]
    """Example id -> example."""
    predictions: Mapping[str, Prediction]
    """Example id -> prediction, for the same examples."""
    condition: ConditionResult | None = None
    """The condition whose answers these are, if it is only one: a judge's verdicts are stored with
    it."""
    rows: Mapping[str, Example] = field(default_factory=dict)
    """The examples as the data has them, where ``examples`` have the gold of a prompt."""


def make_side(
    condition: ConditionResult,
    name: str = "",
    parser: ParserEntry | None = None,
    calibrator: str | None = None,
) -> Side:
    """Make one side of a comparison from a condition.

    Raises:
        CalibrationError: the calibrator's records are missing.
    """
    predictions = condition.predictions(parser, calibrator)
    return Side(
        name or join_axes(condition.axes),
        {example.id: example for example in condition.gold_examples(parser)},
        {prediction.id: prediction for prediction in predictions},
        condition,
        {example.id: example for example in condition.rows},
    )


def find_common(a: Side, b: Side) -> tuple[list[str], int]:
    """Return the ids of examples that both answered, sorted, and the number that only share an id.

    Two examples with one id are the same if their targets are equal and their inputs are equal or
    in two languages (parallel rows share their ids). Dictionary hints are no part of a question:
    they are what such a comparison is about.
    """
    shared = sorted(a.examples.keys() & b.examples.keys())
    one, two = (side.rows or side.examples for side in (a, b))
    same = [key for key in shared if _same(one[key], two[key])]
    return same, len(shared) - len(same)


def _same(one: Example, two: Example) -> bool:
    if one.targets != two.targets:
        return False
    other_language = one.meta.get("locale") != two.meta.get("locale")
    return other_language or _drop_hints(one).content == _drop_hints(two).content


def _drop_hints(one: Example) -> Example:
    own = {name: value for name, value in one.fields.items() if name not in HINT_FIELDS}
    return replace(one, fields=own)


def find_calibrator(score: str) -> str | None:
    """Return the calibrator in the name of a score; None if it has none.

    >>> find_calibrator("accuracy+batch"), find_calibrator("accuracy")
    ('batch', None)
    """
    return ScoreName.of(score).calibrator or None


def pick_metrics(
    condition: ConditionResult, asked: Asked = None, beside: Sequence[ConditionResult] = ()
) -> list[tuple[str, Metric]]:
    """Return the requested metrics, else the task's first that is no external program.

    A metric that this condition's task lacks, but the task of one of ``beside`` has, is left out:
    translations have no macro-F1, even if labels in the same run have it.

    Raises:
        ConfigError: an unknown metric, or the task has only external programs.
        CommandError: an external program that the manifest names and that is not allowed.
    """
    found = pick_first_metric(condition)
    if asked:
        kept = [entry for entry in asked if not _lacks(condition, entry, beside)]
        found = [made for entry in kept for made in _named(condition, entry)]
    if not found and not asked:
        raise ConfigError(
            f"the task {condition.entry.task!r} has outside programs for metrics alone; name "
            "one of them and allow it to start: --metric NAME --allow-commands"
        )
    return found


def _lacks(
    condition: ConditionResult, entry: str | Mapping[str, Any], beside: Sequence[ConditionResult]
) -> bool:
    """Return whether another condition's task has a metric of this name and this one's has not."""

    def has(one: ConditionResult) -> bool:
        return any(make_metric(own)[0] == name for own in one.entry.metrics)

    if not isinstance(entry, str) or entry.startswith("{"):
        return False  # written out by the user, who means it for all
    name = str(ScoreName.of(entry).plain)
    return not has(condition) and any(map(has, beside))


def pick_first_metric(condition: ConditionResult) -> list[tuple[str, Metric]]:
    """Return the task's first metric that is no external program; empty if all are."""
    return [one for one in make_metrics(condition) if not starts_program(one[1])][:1]


def _named(condition: ConditionResult, entry: str | Mapping[str, Any]) -> list[tuple[str, Metric]]:
    """Return a metric by name; ``accuracy+batch`` is the metric of calibrated answers."""
    if not isinstance(entry, str) or entry.startswith("{") or not find_calibrator(entry):
        return make_metrics(condition, [entry])
    asked = ScoreName.of(entry)
    return [
        (str(ScoreName(name, calibrator=asked.calibrator)), made)
        for name, made in make_metrics(condition, [str(asked.plain)])
    ]


def find_score_metric(condition: ConditionResult, score: str) -> tuple[str, Metric]:
    """Return the metric behind a score's name, which may come from a stranger's run.

    Raises:
        ConfigError: an unknown metric.
        CommandError: an external program that the manifest names and that is not allowed.
    """
    asked = ScoreName.of(score, "model")
    name, metric = find_metric(condition, str(asked.plain))
    return str(ScoreName(name, calibrator=asked.calibrator)), metric
