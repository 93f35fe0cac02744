"""Which conditions of a run, or of two, differ in just one setting, and what to call them then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from icl.core.errors import ConfigError
from icl.core.score_name import ScoreName
from icl.core.stats import Metric
from icl.core.types import Example, Prediction
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
    """Every setting of a run's conditions with its values, in their order."""
    return collect_values(condition.settings for condition in run.conditions)


def list_derived_settings(condition: ConditionResult) -> set[str]:
    """Settings that are parts of the word ``shots``, not axes of their own."""
    return set(condition.settings.keys() - condition.axes.keys())


def pair_equal_but_for(
    run: Run, setting: str, baseline: str
) -> Iterator[tuple[ConditionResult, ConditionResult]]:
    """Each condition beside the one with the baseline's value that is equal in all else."""
    for b in run.conditions:
        if b.settings.get(setting, baseline) == baseline:
            continue
        for a in run.conditions:
            if a.settings.get(setting) == baseline and are_alike(a, b, _moved(setting, a, b)):
                yield a, b


def _moved(setting: str, a: ConditionResult, b: ConditionResult) -> set[str]:
    """Settings that differ where this one does: ``shots`` is one word for what it is made of."""
    parts = list_derived_settings(a) | list_derived_settings(b)
    if setting == ENTRY:
        return {setting} | {axis for c in (a, b) for axis in c.settings if is_difference(axis)}
    if setting == "shots":
        return {setting} | parts
    return {setting, "shots"} if setting in parts else {setting}


def are_alike(a: ConditionResult, b: ConditionResult, ignored: set[str]) -> bool:
    """Whether two conditions are equal in all other settings that both of them have.

    What their entries are called changes no answer, and keeps none apart.
    """
    one, two = a.settings, b.settings
    shared = one.keys() & two.keys() - ignored - {ENTRY}
    return all(one[name] == two[name] for name in shared)


def find_telling_settings(a: Run, b: Run) -> set[str]:
    """Settings of one value in each run, and of another in the other."""
    one, two = collect_settings(a), collect_settings(b)
    return {
        name
        for name in one.keys() & two.keys()
        if len(one[name]) == len(two[name]) == 1 and one[name] != two[name]
    }


def find_own_settings(a: ConditionResult, b: ConditionResult) -> tuple[tuple[str, str], ...]:
    """Settings that just one of two has; a mean is taken over seeds, not over selectors."""
    one, two = a.settings, b.settings
    names = (one.keys() ^ two.keys()) - {"seed", "shots"}
    return tuple(sorted((name, (one | two)[name]) for name in names))


def find_shared_axes(a: ConditionResult, b: ConditionResult) -> dict[str, str]:
    """The axes on which both stand at the same place."""
    return {axis: word for axis, word in a.axes.items() if word and b.axes.get(axis) == word}


def find_own_keys(a: ConditionResult, b: ConditionResult) -> dict[str, str]:
    """The keys of a task that say something of one alone, as those of a pool where there are no
    shots: they tell several such pairs apart.
    """
    one, two = a.settings, b.settings
    names = [*one, *(name for name in two if name not in one)]
    apart = one.keys() ^ two.keys()
    return {name: (one | two)[name] for name in names if name in apart and is_difference(name)}


def name_apart(condition: ConditionResult, where: Mapping[str, str]) -> str:
    """The words of a condition that the settings shared leave open; empty where they name all."""
    return join_axes({a: word for a, word in condition.axes.items() if a not in where})


def name_by(
    condition: ConditionResult, both: tuple[ConditionResult, ConditionResult], setting: str
) -> str:
    """What a table calls a condition: its value of the setting, or the words of its shots."""
    shots = {c.axes["shots"] for c in both}
    if setting not in condition.axes and len(shots) > 1:
        return condition.axes["shots"]
    return condition.settings[setting]


def find_shared_words(names: Sequence[str]) -> str:
    """The words that all names have: ``8 random`` of ``8 random s0`` and ``8 random s1``."""
    first, *rest = [name.split() for name in names]
    return " ".join(word for word in first if all(word in other for other in rest))


Asked = Sequence[str | Mapping[str, Any]] | None


@dataclass(frozen=True)
class Side:
    """What one side of a comparison answered."""

    name: str
    """What a table calls it."""
    examples: Mapping[str, Example]
    """By id."""
    predictions: Mapping[str, Prediction]
    """By id, of the same examples."""
    condition: ConditionResult | None = None
    """Whose answers these are, where they are those of one: a judge's verdicts lie beside them."""
    rows: Mapping[str, Example] = field(default_factory=dict)
    """The examples as the data has them, where ``examples`` have the gold of a prompt."""


def make_side(
    condition: ConditionResult,
    name: str = "",
    parser: ParserEntry | None = None,
    calibrator: str | None = None,
) -> Side:
    """A condition as one side of a comparison.

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
    """Ids of the examples that both have answered, sorted, and how many only share an id.

    An id in both is the same example if the targets are the same and the inputs are, or stand in
    two languages (parallel rows share their ids).
    """
    shared = sorted(a.examples.keys() & b.examples.keys())
    one, two = (side.rows or side.examples for side in (a, b))
    same = [key for key in shared if _same(one[key], two[key])]
    return same, len(shared) - len(same)


def _same(one: Example, two: Example) -> bool:
    if one.targets != two.targets:
        return False
    other_language = one.meta.get("locale") != two.meta.get("locale")
    return other_language or one.content == two.content


def find_calibrator(score: str) -> str | None:
    """The calibrator in the name of a score.

    >>> find_calibrator("accuracy+batch"), find_calibrator("accuracy")
    ('batch', None)
    """
    return ScoreName.of(score).calibrator or None


def pick_metrics(
    condition: ConditionResult, asked: Asked = None, beside: Sequence[ConditionResult] = ()
) -> list[tuple[str, Metric]]:
    """The metrics asked for, else the first of the task that is no outside program.

    A metric that this condition's task lacks while that of one ``beside`` it has it is left out:
    macro-F1 of labels is not to be had of the translations in the same run.

    Raises:
        ConfigError: an unknown metric, or there is none but outside programs.
        CommandRefused: an outside program that the manifest names, not allowed.
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
    """Whether another condition's task has a metric of this name and this one's has not."""

    def has(one: ConditionResult) -> bool:
        return any(make_metric(own)[0] == name for own in one.entry.metrics)

    if not isinstance(entry, str) or entry.startswith("{"):
        return False  # written out by the user, who means it for all
    name = str(ScoreName.of(entry).plain)
    return not has(condition) and any(map(has, beside))


def pick_first_metric(condition: ConditionResult) -> list[tuple[str, Metric]]:
    """The first metric of the task that is no outside program; none where all are."""
    return [one for one in make_metrics(condition) if not starts_program(one[1])][:1]


def _named(condition: ConditionResult, entry: str | Mapping[str, Any]) -> list[tuple[str, Metric]]:
    """A metric; ``accuracy+batch`` is that metric of calibrated answers."""
    if not isinstance(entry, str) or entry.startswith("{") or not find_calibrator(entry):
        return make_metrics(condition, [entry])
    asked = ScoreName.of(entry)
    return [
        (str(ScoreName(name, calibrator=asked.calibrator)), made)
        for name, made in make_metrics(condition, [str(asked.plain)])
    ]


def find_score_metric(condition: ConditionResult, score: str) -> tuple[str, Metric]:
    """The metric behind the name of a score, as ``scores.json`` of anybody's run holds it.

    Raises:
        ConfigError: an unknown metric.
        CommandRefused: an outside program that the manifest names, not allowed.
    """
    asked = ScoreName.of(score, "model")
    name, metric = find_metric(condition, str(asked.plain))
    return str(ScoreName(name, calibrator=asked.calibrator)), metric
