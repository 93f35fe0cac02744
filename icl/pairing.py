"""Which conditions of a run, or of two, differ in just one setting, and what to call them then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from icl.results import ConditionResult, Run
from icl.settings import values_of

__all__ = [
    "alike",
    "derived",
    "equal_but_for",
    "name_apart",
    "name_by",
    "own_settings",
    "settings_of",
    "shared_axes",
    "shared_words",
    "telling_apart",
]


def settings_of(run: Run) -> dict[str, list[str]]:
    """Every setting of a run's conditions with its values, in their order."""
    return values_of(condition.settings for condition in run.conditions)


def derived(condition: ConditionResult) -> set[str]:
    """Settings that are parts of the word ``shots``, not axes of their own."""
    return set(condition.settings.keys() - condition.axes.keys())


def equal_but_for(
    run: Run, setting: str, baseline: str
) -> Iterator[tuple[ConditionResult, ConditionResult]]:
    """Each condition beside the one with the baseline's value that is equal in all else."""
    for b in run.conditions:
        if b.settings.get(setting, baseline) == baseline:
            continue
        for a in run.conditions:
            if a.settings.get(setting) == baseline and alike(a, b, _moved(setting, a, b)):
                yield a, b


def _moved(setting: str, a: ConditionResult, b: ConditionResult) -> set[str]:
    """Settings that differ where this one does: ``shots`` is one word for what it is made of."""
    parts = derived(a) | derived(b)
    if setting == "shots":
        return {setting} | parts
    return {setting, "shots"} if setting in parts else {setting}


def alike(a: ConditionResult, b: ConditionResult, ignored: set[str]) -> bool:
    """Whether two conditions are equal in all other settings that both of them have."""
    one, two = a.settings, b.settings
    return all(one[name] == two[name] for name in one.keys() & two.keys() - ignored)


def telling_apart(a: Run, b: Run) -> set[str]:
    """Settings of one value in each run, and of another in the other."""
    one, two = settings_of(a), settings_of(b)
    return {
        name for name in one.keys() & two.keys()
        if len(one[name]) == len(two[name]) == 1 and one[name] != two[name]
    }  # fmt: skip


def own_settings(a: ConditionResult, b: ConditionResult) -> tuple[tuple[str, str], ...]:
    """Settings that just one of two has; a mean is taken over seeds, not over selectors."""
    one, two = a.settings, b.settings
    names = (one.keys() ^ two.keys()) - {"seed", "shots"}
    return tuple(sorted((name, (one | two)[name]) for name in names))


def shared_axes(a: ConditionResult, b: ConditionResult) -> dict[str, str]:
    """The axes on which both stand at the same place."""
    return {axis: word for axis, word in a.axes.items() if word and b.axes.get(axis) == word}


def name_apart(condition: ConditionResult, where: Mapping[str, str]) -> str:
    """The words of a condition that the settings shared leave open; empty where they name all."""
    return " ".join(word for axis, word in condition.axes.items() if word and axis not in where)


def name_by(
    condition: ConditionResult, both: tuple[ConditionResult, ConditionResult], setting: str
) -> str:
    """What a table calls a condition: its value of the setting, or the words of its shots."""
    shots = {c.axes["shots"] for c in both}
    if setting not in condition.axes and len(shots) > 1:
        return condition.axes["shots"]
    return condition.settings[setting]


def shared_words(names: Sequence[str]) -> str:
    """The words that all names have: ``8 random`` of ``8 random s0`` and ``8 random s1``."""
    first, *rest = [name.split() for name in names]
    return " ".join(word for word in first if all(word in other for other in rest))
