"""Comparison of conditions from their records: differences on common examples, with tests.

Two conditions are compared on the examples that both have answered; conditions of a run that are
equal but for one setting are paired, and all of their differences corrected together (Holm).
The baseline comes first: differences are the other condition minus it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from icl.core.errors import ConfigError, MetricError
from icl.core.registry import did_you_mean
from icl.core.score_name import ScoreName
from icl.core.stats import Metric, Stats, aggregate
from icl.core.types import Better
from icl.experiment.settings import pick_baseline
from icl.metrics import asks_judge
from icl.metrics import find_direction as better_of
from icl.records.results import ConditionResult, Run
from icl.scoring.judge_verdicts import judge_parts
from icl.scoring.pairs import (
    Asked,
    Side,
    are_alike,
    collect_settings,
    find_calibrator,
    find_common,
    find_own_keys,
    find_own_settings,
    find_shared_axes,
    find_shared_words,
    find_telling_settings,
    make_side,
    name_apart,
    name_by,
    pair_equal_but_for,
    pick_metrics,
)
from icl.scoring.significance import Difference, align_stats, holm, measure_difference, power

__all__ = [
    "Comparison",
    "compare",
    "compare_by",
    "compare_calibrators",
    "compare_runs",
    "compare_sides",
    "correct_comparisons",
    "collect_settings",
]


POINTS = 2.0
"""The difference, in points, for which the number of needed rows is reported."""
CALIBRATOR, PLAIN = "calibrator", "none"
NONE = Difference(None, None, None, None, "none", 0)


@dataclass(frozen=True)
class Comparison:
    """Two conditions, or the means of several pairs, compared on their common examples."""

    metric: str
    """Name of the score."""
    title: str
    """The short title of the metric."""
    a: str
    """Name of the baseline."""
    b: str
    """Name of the condition that is compared with the baseline."""
    where: Mapping[str, str]
    """Settings that both have in common."""
    n_a: int
    """Number of examples that the baseline answered."""
    n_b: int
    """Number of examples that ``b`` answered."""
    n: int
    """Number of examples that both answered; for a mean over pairs, the different ones of all."""
    left_out: int = 0
    """Number of examples with the same id but different text or targets."""
    value_a: float | None = None
    """The baseline's score on the common examples."""
    value_b: float | None = None
    """The score of ``b`` on the common examples."""
    difference: Difference = NONE
    """``b - a`` in points of the metric, with its 95 % interval and p."""
    p_holm: float | None = None
    """p, from 0 to 1, corrected for all comparisons of the same call (Holm)."""
    compared: int = 1
    """Number of comparisons of the same call."""
    needed: tuple[int, int] | None = None
    """Examples needed to see a difference of 2 points in 4 of 5 cases, uncorrected, from least to
    most; None where these rows cannot tell."""
    better: Better = "higher"
    """Direction of the metric: ``higher``, ``lower``, or ``none``."""
    pairs: int = 1
    """Number of pairs of conditions that it is the mean of."""
    problem: str = ""
    """Reason why no difference could be computed; empty if it could."""
    sides: tuple[tuple[Stats, Sequence[str]], tuple[Stats, Sequence[str]]] | None = field(
        default=None, repr=False, compare=False
    )
    """Statistics of both, with the ids of their rows."""

    @property
    def identical(self) -> bool:
        """Return whether both have the same statistics for every example."""
        if self.sides is None:
            return False
        return np.array_equal(self.sides[0][0].rows, self.sides[1][0].rows)

    @property
    def shown(self) -> bool:
        """Return whether the difference is significant at the corrected level of 5 %."""
        p = self.difference.p if self.p_holm is None else self.p_holm
        return p is not None and p < 0.05


def compare(
    a: ConditionResult, b: ConditionResult, metric: str | Mapping[str, Any] | None = None
) -> Comparison:
    """Compare two conditions on their common examples; ``a`` is the baseline.

    Args:
        a: the baseline.
        b: the condition to compare with it.
        metric: a name, or an entry as :func:`icl.metrics.make_metric` reads it; by default the
            task's first one.

    Raises:
        ConfigError: an unknown metric.
    """
    title = find_shared_axes(a, b)
    name, made = pick_metrics(a, None if metric is None else [metric])[0]
    one, two = (
        make_side(
            c, name_apart(c, title) or c.entry.fingerprint[:6], calibrator=find_calibrator(name)
        )
        for c in (a, b)
    )
    return correct_comparisons([compare_sides(one, two, name, made, title)])[0]


def compare_sides(
    a: Side, b: Side, name: str, metric: Metric, where: Mapping[str, str]
) -> Comparison:
    """Compare two sides by one metric, without correction for other comparisons."""
    ids, left_out = find_common(a, b)
    better = better_of(metric)
    plain = Comparison(
        name,
        metric.label,
        a.name,
        b.name,
        where,
        len(a.examples),
        len(b.examples),
        len(ids),
        left_out,
        better=better,
    )
    if not ids:
        return replace(plain, problem=_nothing_common(plain))
    try:
        one, two = _statistics(a, b, ids, name, metric)
    except MetricError as error:
        return replace(plain, problem=str(error))
    return _measured(plain, (one, ids), (two, ids))


def _statistics(
    a: Side, b: Side, ids: Sequence[str], name: str, metric: Metric
) -> tuple[Stats, Stats]:
    """Compute statistics of both sides on these examples; a judge's come from its verdicts."""
    one, two = ([side.predictions[key] for key in ids] for side in (a, b))
    if asks_judge(metric) and a.condition is not None and b.condition is not None:
        made = judge_parts([a.condition, b.condition], name, metric, [one, two])
        return made[0], made[1]
    golds = [[side.examples[key] for key in ids] for side in (a, b)]
    if golds[0] == golds[1]:
        return align_stats(metric, one, two, golds[0])
    # Prompts that teach other answers: each is held against its own, in one call, since a metric
    # may lay out its columns by what it sees.
    both = metric.stats([*one, *two], [*golds[0], *golds[1]])
    first, second = (replace(both, rows=rows) for rows in np.split(both.rows, 2))
    return first, second


def _measured(
    plain: Comparison, a: tuple[Stats, Sequence[str]], b: tuple[Stats, Sequence[str]]
) -> Comparison:
    """Fill in the values, the difference and the needed rows of a comparison."""
    value_a, value_b = (stats.value(stats.rows.sum(axis=0)) for stats, _ in (a, b))
    made = replace(plain, value_a=value_a, value_b=value_b, sides=(a, b))
    if value_a is None or value_b is None:
        return replace(made, problem=f"{plain.title} is undefined for these {plain.n} examples")
    return replace(
        made, difference=measure_difference(a[0], b[0]), needed=power(a[0], b[0], POINTS)
    )


def _nothing_common(plain: Comparison) -> str:
    if plain.left_out:
        return f"no common examples: {plain.left_out} ids are in both, with other texts or targets"
    return f"no common examples: {plain.n_a} and {plain.n_b} examples share no id"


def correct_comparisons(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Correct p for the number of comparisons (Holm); means over pairs are corrected separately.

    Comparisons without a p are not counted.
    """
    made = list(comparisons)
    for means in (False, True):
        places = [
            i
            for i, one in enumerate(made)
            if (one.pairs > 1) is means and one.difference.p is not None
        ]
        ps = holm([made[i].difference.p or 0.0 for i in places])
        for i, p in zip(places, ps, strict=True):
            made[i] = replace(made[i], p_holm=p, compared=len(places))
    return made


def compare_by(
    run: Run, setting: str, baseline: str | None = None, metrics: Asked = None
) -> list[Comparison]:
    """Compare conditions of a run that differ in one setting only, each with the baseline.

    A setting that only one of two conditions has, such as a seed, does not separate them. If one
    value has several pairs, over locales or seeds, the difference of their means follows them; in
    it, the rows of one example are resampled together.

    Args:
        run: from :func:`icl.records.results.load_run`.
        setting: a name from :func:`icl.scoring.pairs.collect_settings`: ``prompt``, ``shots``, …;
            or ``calibrator``: see :func:`compare_calibrators`.
        baseline: the value that the others are compared with; the first one by default.
        metrics: names or entries; the first one of each task by default.

    Raises:
        ConfigError: an unknown setting, value or metric, or a setting with only one value.
    """
    if setting == CALIBRATOR:
        return compare_calibrators(run, baseline, metrics)
    baseline = pick_baseline(collect_settings(run), setting, baseline, run.name)
    groups: dict[tuple[object, ...], list[Comparison]] = {}
    for a, b in pair_equal_but_for(run, setting, baseline):
        where = find_shared_axes(a, b) | find_own_keys(a, b)
        for name, metric in pick_metrics(a, metrics, run.conditions):
            calibrator = find_calibrator(name)
            one, two = (
                make_side(c, name_by(c, (a, b), setting), calibrator=calibrator) for c in (a, b)
            )
            key = a.entry.task, name, b.settings[setting], find_own_settings(a, b)
            groups.setdefault(key, []).append(compare_sides(one, two, name, metric, where))
    if not groups:
        raise ConfigError(
            f"{run.name}: no two conditions differ only in {setting}; with {setting} {baseline!r} "
            "other settings differ too"
        )
    return _with_means(groups)


def compare_calibrators(
    run: Run, baseline: str | None = None, metrics: Asked = None
) -> list[Comparison]:
    """Compare every calibrator of a run with the uncalibrated answers, or another one, row by row.

    Raises:
        ConfigError: the run has no calibrated scores, or none of the baseline; or a metric
            names a calibrator.
        CalibrationError: a calibrator's records are missing.
    """
    ranked = [
        (c, [one.name for one in c.calibrations if not one.refused and one.name != PLAIN])
        for c in run.conditions
    ]
    known = [PLAIN, *dict.fromkeys(name for _, names in ranked for name in names)]
    if len(known) == 1:
        raise ConfigError(
            f"{run.name} has no calibrated scores; add some: icl score {run.called} --calibrator "
            "batch"
        )
    if (baseline or PLAIN) not in known:
        raise ConfigError(
            f"{run.name}: no calibrator {baseline!r}{did_you_mean(str(baseline), known)}"
        )
    against = None if baseline == PLAIN else baseline
    groups: dict[tuple[object, ...], list[Comparison]] = {}
    for condition, names in ranked:
        if against not in (None, *names):
            continue  # without shots, say: its own scores say why it was refused
        where = {axis: word for axis, word in condition.axes.items() if word}
        for other in [PLAIN, *names] if names else []:
            if other == (against or PLAIN):
                continue
            one = make_side(condition, against or PLAIN, calibrator=against)
            two = make_side(condition, other, calibrator=None if other == PLAIN else other)
            for name, metric in pick_metrics(condition, metrics, run.conditions):
                if find_calibrator(name):
                    raise ConfigError(
                        f"{run.name}: {name} names a calibrator, and calibrators are what is "
                        f"compared; ask for {ScoreName.of(name).plain}"
                    )
                key = condition.entry.task, name, other
                groups.setdefault(key, []).append(compare_sides(one, two, name, metric, where))
    return _with_means(groups)


def _with_means(groups: Mapping[tuple[object, ...], Sequence[Comparison]]) -> list[Comparison]:
    made: list[Comparison] = []
    for found in groups.values():
        made += [*found, *_mean(found)]
    return correct_comparisons(made)


def _mean(found: Sequence[Comparison]) -> Iterator[Comparison]:
    """Yield the mean over the pairs, if there are several; rows of one example stay together."""
    sides = [one.sides for one in found if one.sides and not one.problem]
    if len(sides) < 2:
        return
    a, b = (aggregate([pair[place] for pair in sides]) for place in (0, 1))
    first = found[0]
    where = {
        axis: word
        for axis, word in first.where.items()
        if all(one.where.get(axis) == word for one in found)
    }
    ids = [str(place) for place in range(len(a.rows))]
    plain = Comparison(
        first.metric,
        first.title,
        find_shared_words([one.a for one in found]),
        find_shared_words([one.b for one in found]),
        where,
        len(ids),
        len(ids),
        len(ids),
        better=first.better,
        pairs=len(sides),
    )
    yield _measured(plain, (a, ids), (b, ids))


def compare_runs(
    a: Run, b: Run, metrics: Asked = None, names: tuple[str, str] | None = None
) -> list[Comparison]:
    """Compare conditions of two runs that are equal except for what distinguishes the runs.

    To use only some conditions of a run, pass ``replace(run, conditions=(…,))``.
    ``names`` are the names of the two if no setting differs; by default the runs' names.

    Raises:
        ConfigError: no condition of one run matches one of the other.
    """
    if len(a.conditions) == len(b.conditions) == 1:
        pairs = [(a.conditions[0], b.conditions[0])]
    else:
        ignored = find_telling_settings(a, b)
        pairs = [
            (one, two)
            for one in a.conditions
            for two in b.conditions
            if are_alike(one, two, ignored)
        ]
    if not pairs:
        raise ConfigError(
            f"no condition of {a.name} is alike to one of {b.name}; name one of each, as in "
            f"{a.name}#1 {b.name}#1"
        )
    made = []
    for one, two in pairs:
        where = find_shared_axes(one, two)
        titles = [
            name_apart(condition, where) or other
            for condition, other in zip((one, two), names or (a.name, b.name), strict=True)
        ]
        for name, metric in pick_metrics(one, metrics, a.conditions):
            calibrator = find_calibrator(name)
            first = make_side(one, titles[0], calibrator=calibrator)
            second = make_side(two, titles[1], calibrator=calibrator)
            made.append(compare_sides(first, second, name, metric, where))
    return correct_comparisons(made)
