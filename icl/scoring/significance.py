"""Paired tests of two systems on the same examples, with intervals and power.

Both sides are :class:`icl.core.stats.Stats` of the same rows in the same order, so every corpus
metric is tested by its own definition. ``a`` is the baseline: differences are ``b - a``.

A p value and its interval come from one procedure: p is below 0.05 exactly if the 95 % interval
excludes zero.

Sources: McNemar 1947, Psychometrika 12:153-157, with mid-p as Fagerland, Lydersen and Laake 2013
(https://doi.org/10.1186/1471-2288-13-91) advise; interval of a paired difference of proportions,
Tango 1998, Statistics in Medicine 17:891-908; differences of all other scores, the jackknife of
:mod:`icl.core.intervals`; where no interval would hold, approximate randomization, Riezler and
Maxwell 2005 (https://aclanthology.org/W05-0908); Holm 1979, Scandinavian Journal of Statistics
6:65-70; number of pairs, Connett, Smith and McHugh 1987, Statistics in Medicine 6:735-744.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from icl.core.errors import MetricError
from icl.core.intervals import (
    Floats,
    find_spread_bounds,
    is_constant,
    make_pseudo_values,
    measure_mean_difference,
    measure_share_difference,
    tango,
)
from icl.core.stats import (
    Metric,
    Rows,
    Stats,
    check_level,
    mean,
    proportion,
    tell_lack,
    wilson,
)
from icl.core.types import Example, Prediction, signature_text

__all__ = [
    "Difference",
    "align_stats",
    "approximate_randomization",
    "holm",
    "mcnemar",
    "measure_difference",
    "measure_row_difference",
    "power",
]


TRIALS = 10_000
"""Randomization trials, as many as sacreBLEU takes."""
CHUNK_CELLS = 1_000_000
"""Exchanges held at a time: 8 MB, however many examples and trials there are."""
FEW = 5
"""Fewest rows that differ from the most frequent one; with fewer a side is nearly constant."""
ROUNDING = 1e-9
"""Differences smaller than this count as zero; sums in another order differ by less."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of two systems on the same rows, on the metric's scale from 0 to 100."""

    value: float | None
    """``b - a``; None if the metric is undefined for either."""
    low: float | None
    """Lower end of the 95 % interval; None if none would hold, as with few rows."""
    high: float | None
    p: float | None
    """Two-sided p: how often chance alone gives at least as large a difference."""
    test: str
    """Method of ``p`` and the interval, or why there is none: ``mcnemar:midp|ci:tango``."""
    n: int
    """Pairs, or clusters of pairs."""


def align_stats(
    metric: Metric,
    a: Sequence[Prediction],
    b: Sequence[Prediction],
    examples: Sequence[Example],
) -> tuple[Stats, Stats]:
    """Compute statistics of two systems on the same examples, with the same columns.

    They are computed in one call, since a metric's columns may depend on its input, as those of
    macro-F1 depend on the labels.

    Raises:
        MetricError: the sequences are not parallel, or the metric is undefined for a row.
    """
    made = metric.stats([*a, *b], [*examples, *examples])
    n = len(a)
    return tuple(  # type: ignore[return-value]
        replace(made, rows=rows) for rows in (made.rows[:n], made.rows[n:])
    )


def measure_row_difference(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Compare two systems by one number (0 to 1) per row: their mean difference in percent.

    Hits (0 and 1 alone on both sides) are compared by McNemar's test, all others by the jackknife;
    a side may also be what a baseline gets of each row, as the share of right answers by chance.

    >>> made = measure_row_difference([1 / 60] * 60, [0.0] * 60)
    >>> f"{made.value:.1f} [{made.low:.1f}, {made.high:.1f}], p = {made.p:.2f}"
    '-1.7 [-9.1, 4.7], p = 0.32'

    Raises:
        MetricError: the rows do not run parallel.
    """
    hits = all(value in (0, 1) for value in (*a, *b))
    one, two = (
        proportion([value == 1 for value in side], "hits") if hits else mean(side, "mean")
        for side in (a, b)
    )
    return measure_difference(one, two)


def measure_difference(a: Stats, b: Stats, level: float = 0.95, seed: int = 0) -> Difference:
    """Compute the difference of two scores by the test that fits, with that test's interval.

    McNemar's for proportions, else that of the jackknife's pseudo-values. Where no interval would
    hold, p is from approximate randomization, and the test says why there is no interval.

    >>> from icl.core.stats import proportion
    >>> one = proportion([True] * 8 + [False] * 13, "accuracy")
    >>> two = proportion([True] * 2 + [False] * 19, "accuracy")
    >>> made = measure_difference(two, one)
    >>> f"{made.value:.1f} [{made.low:.1f}, {made.high:.1f}], p = {made.p:.3f}, {made.test}"
    '28.6 [8.7, 50.0], p = 0.016, mcnemar:midp|ci:tango'

    Raises:
        MetricError: the rows do not run parallel, or ``level`` is outside 0 to 1.
    """
    check_level(level)
    if a.proportion and b.proportion:
        return mcnemar(a, b, level)
    value = _observed(a, b)
    n = len(a.rows)
    if value is None:
        return Difference(None, None, None, None, signature_text("none", "none"), n)
    lack = tell_lack(replace(a, proportion=False)) or tell_lack(replace(b, proportion=False))
    pseudo = None if lack else _pseudo_differences(a, b)
    if pseudo is None:
        lack = lack or "undefined without one of the rows"
    elif a.scale == b.scale == "percent":
        low, high, p = measure_share_difference(pseudo / 100, level)
        test = signature_text("jackknife-tango", "the same")
        return Difference(value, 100 * low, 100 * high, p, test, n)
    elif is_constant(pseudo):
        lack = "all rows alike"
    else:
        low, high, p = measure_mean_difference(pseudo, level)
        return Difference(value, low, high, p, signature_text("jackknife-t", "the same"), n)
    return approximate_randomization(a, b, seed=seed, lack=lack)


def approximate_randomization(
    a: Stats, b: Stats, trials: int = TRIALS, seed: int = 0, lack: str = ""
) -> Difference:
    """Exchange the systems' rows at random (Riezler and Maxwell 2005); there is no interval.

    ``p`` is the share of trials, the observed arrangement among them, whose absolute difference
    is at least the observed one. Identical systems have p = 1. ``lack`` says in the name of the
    test why there is no interval.

    Raises:
        MetricError: the rows are not parallel, or a setting is out of range.
    """
    if trials < 1:
        raise MetricError(f"trials is {trials}: give at least 1, commonly {TRIALS}")
    value = _observed(a, b)
    if a.rows.shape != b.rows.shape:
        raise MetricError(
            f"the rows of the two systems have {a.rows.shape[1]} and {b.rows.shape[1]} columns, "
            "which cannot be exchanged: make both in one call, with "
            "icl.scoring.significance.align_stats"
        )
    n = len(a.rows)
    made = f"none ({lack})" if lack else "none"
    test = signature_text(f"randomization{trials}-seed{seed}", made)
    if value is None:
        return Difference(None, None, None, None, test, n)
    observed = abs(value) - ROUNDING
    extreme = valid = 0
    for row_a, row_b, times in _exchanged(a.rows, b.rows, trials, seed):
        one, two = a.value(row_a), b.value(row_b)
        if one is not None and two is not None:
            valid += times
            extreme += times if abs(two - one) >= observed else 0
    return Difference(value, None, None, (extreme + 1) / (valid + 1), test, n)


def mcnemar(a: Stats, b: Stats, level: float = 0.95) -> Difference:
    """Apply McNemar's mid-p test to two proportions on the same rows, with Tango's interval.

    Only pairs count in which one side hits and the other misses; under no difference each of the
    two is as likely, so p is binomial. Half of the probability of the observed table counts
    (mid-p), since all of it makes a test of few pairs see too little. Where the test of Tango's
    interval alone would decide otherwise, its critical value is moved by as much as the two differ.

    Raises:
        MetricError: the rows are not parallel, or are not proportions.
    """
    check_level(level)
    if not (a.proportion and b.proportion):
        raise MetricError(
            "McNemar's test compares proportions such as accuracy; for this metric take "
            "measure_difference"
        )
    value = _observed(a, b)
    n = len(a.rows)
    if value is None:
        return Difference(None, None, None, None, signature_text("mcnemar:midp", "none"), n)
    _, only_a, only_b, _ = _table(a, b)
    p = _mid_p(only_a, only_b)
    critical = NormalDist().inv_cdf((1 + level) / 2)
    if only_a != only_b:
        reached = abs(only_b - only_a) / math.sqrt(only_a + only_b)
        if (reached > critical) != (p < 1 - level):
            critical *= reached / NormalDist().inv_cdf(1 - p / 2)
    low, high = tango(only_b, only_a, n, critical)
    return Difference(value, 100 * low, 100 * high, p, signature_text("mcnemar:midp", "tango"), n)


def holm(ps: Sequence[float]) -> list[float]:
    """Correct p values for their number (Holm 1979), in the order given.

    If differences with p below 0.05 are called shown, the probability of at least one error is at
    most 0.05, however the tests depend on each other.

    >>> holm([0.01, 0.04, 0.03, 0.005])
    [0.03, 0.06, 0.06, 0.02]

    Raises:
        MetricError: a p is outside 0 to 1.
    """
    wrong = [p for p in ps if not 0 <= p <= 1]
    if wrong:
        raise MetricError(f"{wrong[0]} is no p value: give numbers from 0 to 1")
    made = [0.0] * len(ps)
    reached = 0.0
    for place, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        reached = max(reached, min(1.0, (len(ps) - place) * ps[index]))
        made[index] = reached
    return made


def power(
    a: Stats, b: Stats, points: float = 2.0, level: float = 0.95, chance: float = 0.8
) -> tuple[int, int] | None:
    """Estimate the rows needed to see a difference of ``points``, from least to most.

    For proportions they follow from the share of rows in which just one of the two hits (Connett,
    Smith and McHugh 1987), for other metrics from the variance of the difference. The ends are
    those of the 95 % interval of that share, or of that variance.

    Args:
        a: the baseline's statistics.
        b: the other's statistics, of the same rows.
        points: the true difference to detect, on the scale from 0 to 100.
        level: one minus the two-sided level of the test.
        chance: the probability of detecting it.

    Returns:
        Two numbers of rows, or of clusters if the rows are clusters; None if they are unknown: no
        interval of the difference would hold, nothing differs, or a side scores nearly all rows
        alike, so that its variance is unknown.

    Raises:
        MetricError: the rows are not parallel, or ``points`` is not above 0.
    """
    check_level(level)
    check_level(chance)
    if not points > 0:
        raise MetricError(f"points is {points}: give the difference to detect, such as 2")
    if _observed(a, b) is None or _is_nearly_constant(a) or _is_nearly_constant(b):
        return None
    z, z_chance = NormalDist().inv_cdf((1 + level) / 2), NormalDist().inv_cdf(chance)
    share, n = points / 100, len(a.rows)
    if a.proportion and b.proportion:
        _, only_a, only_b, _ = _table(a, b)
        if not only_a + only_b:
            return None

        def rows(discordant: float) -> int:
            discordant = max(discordant, share)  # fewer could not make such a difference
            root = z * math.sqrt(discordant) + z_chance * math.sqrt(discordant - share**2)
            return math.ceil((root / share) ** 2)

        low, high = wilson(only_a + only_b, n)
        return rows(low), rows(high)
    if tell_lack(replace(a, proportion=False)) or tell_lack(replace(b, proportion=False)):
        return None
    pseudo = _pseudo_differences(a, b)
    if pseudo is None or is_constant(pseudo):
        return None
    found = (
        max(2, math.ceil(((z + z_chance) * spread / points) ** 2 * n / len(pseudo)))
        for spread in find_spread_bounds(pseudo)
    )
    low_n, high_n = found
    return low_n, high_n


def _is_nearly_constant(stats: Stats) -> bool:
    """Return whether fewer than a few rows differ from the most frequent row."""
    _, counts = np.unique(np.round(stats.rows, 9), axis=0, return_counts=True)
    return len(stats.rows) - int(counts.max(initial=0)) < FEW


def _pseudo_differences(a: Stats, b: Stats) -> Floats | None:
    """Compute one difference per row or cluster, whose mean is the difference of the scores."""
    width = a.rows.shape[1]

    def difference(row: Rows) -> float | None:
        one, two = a.value(row[:width]), b.value(row[width:])
        return None if one is None or two is None else two - one

    return make_pseudo_values(difference, np.hstack([a.rows, b.rows]))


def _exchanged(a: Rows, b: Rows, trials: int, seed: int) -> Iterator[tuple[Rows, Rows, int]]:
    """Yield both systems' sums after exchanging each row with probability 1/2, with their count.

    If few rows differ, the same sums occur repeatedly, and are yielded once with their count.
    """
    n = len(a)
    generator = np.random.default_rng(seed)
    # 32 bits are drawn at a time: in chunks of a multiple of it the draws do not depend on chunks.
    chunk = 32 * max(1, CHUNK_CELLS // (32 * n))
    apart, total = a - b, a.sum(axis=0) + b.sum(axis=0)
    for start in range(0, trials, chunk):
        kept = generator.integers(2, size=(min(chunk, trials - start), n), dtype=bool)
        sums = kept.astype(np.float64) @ apart + b.sum(axis=0)  # (chunk, s)
        # Counts stay whole; what rounding left of a zero must not become a tiny count.
        sums, times = np.unique(
            np.where(np.abs(sums) < ROUNDING, 0.0, sums), axis=0, return_counts=True
        )
        rest = total - sums
        rest = np.where(np.abs(rest) < ROUNDING, 0.0, rest)
        yield from zip(sums, rest, times.tolist(), strict=True)


def _observed(a: Stats, b: Stats) -> float | None:
    _check_parallel(a, b)
    if not len(a.rows):
        return None
    one, two = a.value(a.rows.sum(axis=0)), b.value(b.rows.sum(axis=0))
    return None if one is None or two is None else float(two - one)


def _check_parallel(a: Stats, b: Stats) -> None:
    if len(a.rows) != len(b.rows):
        raise MetricError(
            f"a paired test needs the same rows of both systems, and there are {len(a.rows)} and "
            f"{len(b.rows)}: give those of the common examples, in the same order"
        )


def _table(a: Stats, b: Stats) -> tuple[int, int, int, int]:
    """Count the rows that both hit, only ``a``, only ``b``, and neither."""
    one, two = a.rows[:, 0] > 0, b.rows[:, 0] > 0
    both, only_a = int((one & two).sum()), int((one & ~two).sum())
    only_b = int((two & ~one).sum())
    return both, only_a, only_b, len(one) - both - only_a - only_b


def _mid_p(one: int, two: int) -> float:
    """Compute the two-sided binomial mid-p of ``one`` against ``two``, both equally likely."""
    n, fewer = one + two, min(one, two)
    if one == two:
        return 1.0

    def mass(k: int) -> float:
        logs = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        return math.exp(logs - n * math.log(2))

    return min(1.0, 2 * math.fsum(map(mass, range(fewer + 1))) - mass(fewer))
