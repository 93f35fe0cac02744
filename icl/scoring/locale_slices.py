"""Scores by locale, script, family or genus, and their mean over locales.

The mean is macro: every locale counts once, whatever its number of rows. Its interval is the
jackknife's over ids: one id is left out in all locales at a time, each locale's score is computed
again, and the scores are averaged (:func:`icl.core.stats.aggregate`). An id that only one locale
has is so left out of that one alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from icl.core.errors import ConfigError, DataError
from icl.core.languages import Language, find_language
from icl.core.registry import did_you_mean
from icl.core.stats import Metric, Stats, aggregate, score, tell_lack
from icl.core.types import Better, Score
from icl.data.locales import pick_locales
from icl.metrics import asks_judge
from icl.metrics import find_direction as better_of
from icl.records.results import ConditionResult, Run
from icl.scoring.judge_verdicts import judge_parts
from icl.scoring.pairs import find_calibrator, find_score_metric, make_side, pick_first_metric
from icl.scoring.significance import Difference, measure_difference

__all__ = ["BY", "UNKNOWN", "LocaleSlice", "LocaleSlices", "find_locale_slice", "slice_run"]


BY = ("locale", "script", "family", "genus")
"""Properties of a locale by which scores are grouped."""
UNKNOWN = "unknown"
"""LocaleSlice of the locales whose script, family or genus no table has."""

_SHOTS = ("pool", "shot_locale")
_LANGUAGES = (*_SHOTS, "language", "prompt_language", "label_language")
"""Axes whose words may be a language, or that of the row."""
_OF_ROW = ("same", "row")

_Part = tuple[Stats, Sequence[str]]
"""Statistics of a locale's rows, and the id of each."""


@dataclass(frozen=True)
class LocaleSlice:
    """The mean score of the locales that share a property."""

    name: str
    """The locale, script, family or genus."""
    locales: tuple[str, ...]
    score: Score
    difference: Difference | None
    """This slice minus the reference locale; None for the reference itself, or without one."""


@dataclass(frozen=True)
class LocaleSlices:
    """The locales of one task and one combination of all other settings, grouped by a property."""

    task: str
    where: Mapping[str, str]
    """The settings that all its conditions share, by axis."""
    by: str
    metric: str
    label: str
    """Title of the metric."""
    better: Better
    slices: tuple[LocaleSlice, ...]
    """From the best to the worst; those without a value last."""
    macro: Score
    """Mean over all locales."""
    over_slices: Score
    """Mean over the slices, each of which is the mean over its locales."""
    reference: str | None
    """The locale with which the slices are compared."""
    apart: tuple[str, ...]
    """Locales of which no id is that of another locale."""

    @property
    def locales(self) -> int:
        """Number of locales."""
        return sum(len(one.locales) for one in self.slices)


def find_locale_slice(locale: str, by: str) -> str:
    """Return the name of the slice that a locale is in; of a pair, by the language translated into.

    >>> find_locale_slice("sw-KE", "family"), find_locale_slice("en→zh-TW", "script")
    ('Atlantic-Congo', 'Hant')
    >>> find_locale_slice("tlh", "genus")
    'unknown'
    """
    if by == "locale":
        return locale
    try:
        found: Language = find_language(locale.rpartition("→")[2])
    except DataError:
        return UNKNOWN
    names = {"script": found.script, "family": found.family, "genus": found.genus}
    return names[by] or UNKNOWN


def slice_run(
    run: Run, by: str, reference: str | None = None, metric: str | None = None
) -> list[LocaleSlices]:
    """Group the conditions of a run by a property of their locales.

    Args:
        run: a run with records.
        by: one of :data:`BY`.
        reference: a locale to compare with; by default the English one, if there is one.
        metric: name of a score; the first one of each task by default.

    >>> slice_run(load_run("runs/massive"), "family")[0].macro.value    # doctest: +SKIP
    62.5

    Raises:
        ConfigError: no such property, locale or score; or no two conditions differ in the locale.
    """
    if by not in BY:
        raise ConfigError(f"unknown slice {by!r}{did_you_mean(by, BY)}")
    several = [(where, group) for where, group in _group(run) if len(group) > 1]
    if not several:
        raise ConfigError(
            f"{run.name}: no two conditions differ in their locale alone, so there is nothing to "
            f"group by {by}; name several under `rows:`, as in `locale: all`"
        )
    return [_slice_group(where, group, by, reference, metric) for where, group in several]


def _group(run: Run) -> list[tuple[dict[str, str], list[ConditionResult]]]:
    """Group conditions that differ in nothing but their locale, by their other axes.

    A condition that belongs to several groups was run once and is put into each: shots of the row's
    language and shots in English are the same for English rows.
    """
    there = [one for one in run.conditions if one.axes.get("locale") and one.records]
    groups: dict[tuple[tuple[str, str], ...], dict[str, ConditionResult]] = {}
    for condition in there:
        rest = tuple((a, word) for a, word in condition.axes.items() if a != "locale" and word)
        groups.setdefault(rest, {})[condition.axes["locale"]] = condition
    for rest, group in groups.items():
        for condition in there:
            if condition.axes["locale"] not in group and _belongs(condition.axes, dict(rest)):
                group[condition.axes["locale"]] = condition
    order = list(dict.fromkeys(condition.axes["locale"] for condition in there))
    return [
        (dict(rest), [group[locale] for locale in order if locale in group])
        for rest, group in groups.items()
    ]


def _belongs(axes: Mapping[str, str], rest: Mapping[str, str]) -> bool:
    """Return whether axes say in other words what a group's say: a language, or that of the row."""
    own = {axis: word for axis, word in axes.items() if axis != "locale" and word}
    differing = [axis for axis in own.keys() | rest.keys() if own.get(axis) != rest.get(axis)]
    if not all(axis in _LANGUAGES and axis in own and axis in rest for axis in differing):
        return False
    locale = axes["locale"]
    one, two = (
        [locale if side[axis] in _OF_ROW else side[axis] for axis in differing]
        for side in (own, rest)
    )
    return all(
        a == b or axis not in _SHOTS and _same_language(a, b)
        for axis, a, b in zip(differing, one, two, strict=True)
    )


def _same_language(one: str, two: str) -> bool:
    try:
        return find_language(one).code == find_language(two).code
    except DataError:
        return False


def _slice_group(
    where: Mapping[str, str],
    group: Sequence[ConditionResult],
    by: str,
    reference: str | None,
    asked: str | None,
) -> LocaleSlices:
    name, metric = _find_metric(group[0], asked)
    parts = dict(zip([c.axes["locale"] for c in group], _parts(group, name, metric), strict=True))
    compared = _find_reference(list(parts), reference)
    members: dict[str, list[str]] = {}
    for locale in parts:
        members.setdefault(find_locale_slice(locale, by), []).append(locale)
    means = {one: _mean([parts[locale] for locale in found]) for one, found in members.items()}
    better = better_of(metric)
    slices = [
        LocaleSlice(
            one,
            tuple(found),
            score(name, means[one][0]),
            None
            if compared is None or found == [compared]
            else _difference(parts[compared], means[one]),
        )
        for one, found in members.items()
    ]
    return LocaleSlices(
        group[0].entry.task,
        where,
        by,
        name,
        metric.label,
        better,
        tuple(sorted(slices, key=lambda one: _rank(one.score, better))),
        score(name, _mean(list(parts.values()))[0]),
        score(name, _mean(list(means.values()))[0]),
        compared,
        _find_apart(parts),
    )


def _find_metric(condition: ConditionResult, asked: str | None) -> tuple[str, Metric]:
    if asked is not None:
        return find_score_metric(condition, asked)
    found = pick_first_metric(condition)
    if not found:
        raise ConfigError(
            f"the task {condition.entry.task!r} has outside programs for metrics alone; name one "
            "of its scores: --metric NAME"
        )
    return found[0]


def _parts(group: Sequence[ConditionResult], name: str, metric: Metric) -> list[_Part]:
    """Compute the statistics of every locale in one call, so that all have the same columns."""
    sides = [make_side(condition, calibrator=find_calibrator(name)) for condition in group]
    ids = [list(side.predictions) for side in sides]
    said = [[side.predictions[key] for key in keys] for side, keys in zip(sides, ids, strict=True)]
    if asks_judge(metric):
        return list(zip(judge_parts(group, name, metric, said), ids, strict=True))
    made = metric.stats(
        [one for several in said for one in several],
        [side.examples[key] for side, keys in zip(sides, ids, strict=True) for key in keys],
    )
    ends = np.cumsum([len(keys) for keys in ids])[:-1]
    rows = np.split(made.rows, ends)
    return [(replace(made, rows=own), keys) for own, keys in zip(rows, ids, strict=True)]


def _mean(parts: Sequence[_Part]) -> _Part:
    """Return the mean of several parts, with one row for every id that any of them has."""
    if len(parts) == 1:
        return parts[0]
    return aggregate(parts), list(dict.fromkeys(key for _, keys in parts for key in keys))


def _difference(reference: _Part, other: _Part) -> Difference | None:
    """Compare a slice with the reference; an id that one of them lacks adds nothing to its sums."""
    keys = list(dict.fromkeys([*reference[1], *other[1]]))
    one, two = (_spread_out(part, keys) for part in (reference, other))
    if one.rows.shape != two.rows.shape and (tell_lack(one) or tell_lack(two)):
        return None  # too few rows for an interval, and nothing that could be exchanged
    return measure_difference(one, two)


def _spread_out(part: _Part, keys: Sequence[str]) -> Stats:
    """Return the statistics with a row for each key, of zeros where the part has none."""
    stats, own = part
    places = {key: place for place, key in enumerate(keys)}
    rows = np.zeros((len(keys), stats.rows.shape[1]))
    np.add.at(rows, [places[key] for key in own], stats.rows)
    whole = len(own) == len(keys)
    return replace(stats, rows=rows, proportion=stats.proportion and whole)


def _find_reference(locales: Sequence[str], asked: str | None) -> str | None:
    """Return the locale to compare with: the requested one, or else the first in English."""
    if asked is None:
        return next((one for one in locales if _is_english(one)), None)
    (found,) = pick_locales([asked], locales, "the run")
    if found not in locales:
        raise ConfigError(f"no locale {asked!r} to compare with{did_you_mean(asked, locales)}")
    return found


def _is_english(locale: str) -> bool:
    try:
        return "→" not in locale and find_language(locale).code == "en"
    except DataError:
        return False


def _find_apart(parts: Mapping[str, _Part]) -> tuple[str, ...]:
    """List the locales that share no id with another one."""
    counts: dict[str, int] = {}
    for _, keys in parts.values():
        for key in keys:
            counts[key] = counts.get(key, 0) + 1
    return tuple(
        locale for locale, (_, keys) in parts.items() if all(counts[key] == 1 for key in keys)
    )


def _rank(one: Score, better: Better) -> tuple[bool, float]:
    value = one.value or 0.0
    return one.value is None, value if better == "lower" else -value
