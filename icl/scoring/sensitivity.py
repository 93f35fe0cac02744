"""The sensitivity of a score to what should not matter: seeds, orders, prompts, layouts.

Reported so since Lu et al. 2022 (https://aclanthology.org/2022.acl-long.556, orders), Sclar et al.
2023 (https://arxiv.org/abs/2310.11324, layouts) and Mizrahi et al. 2024
(https://arxiv.org/abs/2401.00595, prompts): mean and standard deviation, worst and best, whether
the same one wins elsewhere too.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from icl.core.errors import ConfigError, MetricError
from icl.core.stats import Metric, Stats, aggregate, score
from icl.core.types import Better, Score
from icl.experiment.renamed import describe_unknown_setting
from icl.metrics import asks_judge
from icl.metrics import find_direction as better_of
from icl.records.results import ConditionResult, Run
from icl.scoring.judge_verdicts import judge_parts
from icl.scoring.pairs import (
    Side,
    collect_settings,
    list_derived_settings,
    make_side,
    pick_first_metric,
)
from icl.scoring.scores import make_metrics
from icl.scoring.significance import holm

__all__ = [
    "OVER",
    "Spread",
    "Stability",
    "groups",
    "kendall_tau",
    "measure_stability",
    "name_over",
    "rank_stability",
    "spread_by_chance",
    "spreads",
]


OVER = ("seed", "order", "prompt", "layout")
"""Settings that should not affect a score."""
TRIALS = 200
"""Number of random exchanges that estimate the spread by chance alone."""


@dataclass(frozen=True)
class Spread:
    """The scores of conditions that differ in a few settings only, on common examples."""

    over: tuple[str, ...]
    """Settings in which they differ."""
    where: Mapping[str, str]
    """The other settings."""
    metric: str
    title: str
    """The short title of the metric."""
    names: tuple[str, ...]
    """Names of the conditions: their values of ``over``."""
    values: tuple[float, ...]
    """Their scores on the examples that all of them answered."""
    mean: Score
    """Mean of the values; its interval is about other examples, not about other conditions."""
    better: Better = "higher"
    """Direction of the metric: ``higher``, ``lower``, or ``none``."""
    by_chance: float = 0.0
    """Expected spread, in points of the metric, if the conditions did not differ: the rows of each
    example are exchanged between them at random."""
    p: float = 1.0
    """Probability of at least the observed spread under these exchanges."""
    p_holm: float = 1.0
    """p corrected for all spreads that were found together."""

    @property
    def sd(self) -> float:
        """Standard deviation over the conditions (with n - 1)."""
        return statistics.stdev(self.values)

    @property
    def worst(self) -> float:
        """The worst value; the lowest if the metric has no better direction."""
        return max(self.values) if self.better == "lower" else min(self.values)

    @property
    def best(self) -> float:
        """The best value; the highest if the metric has no better direction."""
        return min(self.values) if self.better == "lower" else max(self.values)

    @property
    def spread(self) -> float:
        """Difference between the highest and the lowest value."""
        return max(self.values) - min(self.values)


@dataclass(frozen=True)
class Stability:
    """The stability of a ranking: how consistently a setting's values rank over other settings."""

    task: str
    of: str
    """The setting whose values are ranked."""
    metric: str
    rankings: int
    """Number of combinations of other settings in which all values were tried."""
    tau: float | None
    """Mean of Kendall's tau-b over pairs of rankings: 1 for the same order, 0 for unrelated, -1 for
    the reverse (Kendall 1945, Biometrika 33:239-251). None with fewer than two rankings."""
    winner: str
    """The value with the best mean."""
    wins: float
    """Number of rankings in which it is first; a shared first place counts as its share."""


def groups(run: Run, over: Sequence[str]) -> list[list[ConditionResult]]:
    """Group the conditions that differ only in the settings ``over``; groups have two or more.

    Raises:
        ConfigError: an unknown setting.
    """
    known = collect_settings(run)
    for name in over:
        if name not in known:
            raise ConfigError(f"{run.name}: {describe_unknown_setting(name, known)}")
    found: dict[tuple[tuple[str, str], ...], list[ConditionResult]] = {}
    for condition in run.conditions:
        found.setdefault(tuple(sorted(_rest(condition, over).items())), []).append(condition)
    return [group for group in found.values() if len(group) > 1]


def spreads(run: Run, over: Sequence[str] = OVER, metric: str | None = None) -> list[Spread]:
    """Compute the spread of each group of conditions that differ only in ``over``.

    Their p are corrected together (Holm). Settings of ``over`` that the run does not have, or has
    in one value alone, are left out.

    Args:
        run: from :func:`icl.records.results.load_run`.
        over: names from :func:`icl.scoring.pairs.collect_settings`.
        metric: a name; the first one of each task by default.

    Raises:
        ConfigError: an unknown metric.
    """
    varied = [name for name in over if len(collect_settings(run).get(name, ())) > 1]
    tried = [_spread(group, varied, metric) for group in groups(run, varied)] if varied else []
    found = [one for one in tried if one is not None]
    corrected = holm([one.p for one in found])
    return [replace(one, p_holm=p) for one, p in zip(found, corrected, strict=True)]


def _spread(
    group: Sequence[ConditionResult], varied: Sequence[str], asked: str | None
) -> Spread | None:
    """Compute the spread of one group; None without common examples or a score on them."""
    over = tuple(
        name for name in varied if len({member.settings.get(name) for member in group}) > 1
    )
    wanted = make_metrics(group[0], [asked]) if asked else pick_first_metric(group[0])
    if not wanted:
        return None
    name, metric = wanted[0]
    sides = [make_side(member, name_over(member, over)) for member in group]
    if not set.intersection(*(set(one.examples) for one in sides)):
        return None
    try:
        parts, ids = _together(sides, name, metric)
    except MetricError:
        return None  # said by the scores themselves, which lack it too
    values = [part.value(part.rows.sum(axis=0)) for part in parts]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    by_chance, p = spread_by_chance(parts, max(known) - min(known))
    return Spread(
        over,
        _rest(group[0], over),
        name,
        metric.label,
        tuple(one.name for one in sides),
        tuple(known),
        score(name, aggregate([(part, ids) for part in parts])),
        better_of(metric),
        by_chance,
        p,
    )


def _together(sides: Sequence[Side], name: str, metric: Metric) -> tuple[list[Stats], list[str]]:
    """Compute statistics of each side on their common examples, with the same columns."""
    ids = sorted(set.intersection(*(set(one.examples) for one in sides)))
    judged = [one.condition for one in sides if one.condition is not None]
    if asks_judge(metric):
        said = [[one.predictions[key] for key in ids] for one in sides]
        return judge_parts(judged, name, metric, said), ids
    made = metric.stats(
        [one.predictions[key] for one in sides for key in ids],
        [one.examples[key] for one in sides for key in ids],
    )
    parts = [replace(made, rows=rows) for rows in np.split(made.rows, len(sides))]
    return parts, ids


def spread_by_chance(parts: Sequence[Stats], observed: float) -> tuple[float, float]:
    """Return the mean spread when rows are exchanged at random, and p of the observed spread."""
    rows = np.stack([part.rows for part in parts], axis=1)  # (n, conditions, s)
    generator = np.random.default_rng(0)
    found = []
    for _ in range(TRIALS):
        order = generator.permuted(np.tile(np.arange(len(parts)), (len(rows), 1)), axis=1)
        sums = np.take_along_axis(rows, order[:, :, None], axis=1).sum(axis=0)
        values = [value for row in sums if (value := parts[0].value(row)) is not None]
        if len(values) == len(parts):
            found.append(max(values) - min(values))
    extreme = sum(one >= observed - 1e-9 for one in found)
    mean = sum(found) / len(found) if found else 0.0
    return mean, (extreme + 1) / (len(found) + 1)


def rank_stability(run: Run, of: str = "prompt") -> list[Stability]:
    """Measure, for each task, whether a setting's values rank the same for all other settings.

    Every combination of the other settings (including seeds and locales) in which all values were
    tried gives one ranking, by the task's first score. A single ranking gives no result.

    Raises:
        ConfigError: an unknown setting.
    """
    tasks: dict[str, list[dict[str, float]]] = {}
    metrics: dict[str, tuple[str, Better]] = {}
    for group in groups(run, [of]):
        if not (wanted := pick_first_metric(group[0])):
            continue  # outside programs alone: their scores are theirs
        name, metric = wanted[0]
        scores = {
            member.settings.get(of, ""): one.value
            for member in group
            for one in member.scores
            if one.kind == "model" and one.name == name and one.value is not None
        }
        task = group[0].entry.task
        metrics[task] = name, better_of(metric)
        tasks.setdefault(task, []).append(scores)
    made = []
    for task, rankings in tasks.items():
        most = set().union(*rankings)
        whole = [ranking for ranking in rankings if ranking.keys() == most]
        if len(whole) > 1 and len(most) > 1:
            made.append(replace(measure_stability(of, whole, *metrics[task]), task=task))
    return made


def measure_stability(
    of: str, rankings: Sequence[Mapping[str, float]], metric: str, better: Better
) -> Stability:
    """Measure how alike rankings are: each has the score of every value of the setting ``of``."""
    sign = -1 if better == "lower" else 1
    names = list(rankings[0])
    means = {name: sum(sign * ranking[name] for ranking in rankings) for name in names}
    winner = max(names, key=lambda name: means[name])
    wins = 0.0
    for ranking in rankings:
        top = max(sign * value for value in ranking.values())
        first = [name for name in names if sign * ranking[name] == top]
        wins += (winner in first) / len(first)
    pairs = itertools.combinations(([ranking[name] for name in names] for ranking in rankings), 2)
    taus = [tau for one, two in pairs if (tau := kendall_tau(one, two)) is not None]
    tau = sum(taus) / len(taus) if taus else None
    return Stability("", of, metric, len(rankings), tau, winner, wins)


def kendall_tau(one: Sequence[float], two: Sequence[float]) -> float | None:
    """Compute Kendall's tau-b of two rankings, from -1 to 1; None if one of them is constant.

    Source: Kendall 1945, Biometrika 33:239-251.

    >>> kendall_tau([1, 2, 3], [1, 3, 2])
    0.3333333333333333
    """
    agree = ties_one = ties_two = pairs = 0
    for i, j in itertools.combinations(range(len(one)), 2):
        apart, other = (one[i] > one[j]) - (one[i] < one[j]), (two[i] > two[j]) - (two[i] < two[j])
        agree += apart * other
        ties_one += not apart
        ties_two += not other
        pairs += 1
    scale = math.sqrt((pairs - ties_one) * (pairs - ties_two))
    return agree / scale if scale else None


def _rest(condition: ConditionResult, over: Sequence[str]) -> dict[str, str]:
    """Return the settings except ``over``; if a part of ``shots`` varies, only its other parts."""
    parts = list_derived_settings(condition)
    dropped = {*over}
    if parts & dropped:
        dropped.add("shots")
    elif "shots" in dropped:
        dropped |= parts
    return {name: value for name, value in condition.settings.items() if name not in dropped}


def name_over(condition: ConditionResult, over: Sequence[str]) -> str:
    """Name a condition by its values of the settings ``over``."""
    return " ".join(condition.settings.get(name, "–") for name in over)
