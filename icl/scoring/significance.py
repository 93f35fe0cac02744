"""Whether two systems differ on the same examples: paired tests, intervals, power.

Both sides are :class:`icl.core.stats.Stats` of the same rows in the same order, so every corpus
metric is tested by its own definition. ``a`` is the baseline: differences are ``b - a``.

Sources: paired bootstrap, Koehn 2004 (https://aclanthology.org/W04-3250); approximate
randomization, Riezler and Maxwell 2005 (https://aclanthology.org/W05-0908); McNemar 1947,
Psychometrika 12:153-157; interval of a paired difference of proportions, Newcombe 1998, Statistics
in Medicine 17:2635-2650, method 10; Holm 1979, Scandinavian Journal of Statistics 6:65-70; number
of pairs, Connett, Smith and McHugh 1987, Statistics in Medicine 6:735-744.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from icl.core import stats as chunked
from icl.core.errors import MetricError
from icl.core.stats import Metric, Rows, Stats, check_level, resampled_sums, wilson
from icl.core.types import Example, Prediction, signature_text

__all__ = [
    "Difference",
    "approximate_randomization",
    "measure_difference",
    "holm",
    "mcnemar",
    "paired_bootstrap",
    "power",
    "align_stats",
]


SAMPLES, TRIALS = 1000, 10_000
"""Bootstrap samples and randomization trials, as many as sacreBLEU takes."""
ROUNDING = 1e-9
"""Differences nearer than this are equal: sums of the same rows in another order differ so."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How much ``b`` is above ``a`` on the same rows, on the metric's scale from 0 to 100."""

    value: float | None
    """``b - a``; None where the metric is undefined for either."""
    low: float | None
    """Of the 95 % interval; None where there is none, as of a single row resampled."""
    high: float | None
    p: float | None
    """Two-sided: how often as large a difference comes about where there is none."""
    test: str
    """What made ``p`` and the interval, with its settings: ``mcnemar:exact|ci:newcombe10``."""
    n: int
    """Pairs, or clusters of pairs, that were resampled."""


def align_stats(
    metric: Metric,
    a: Sequence[Prediction],
    b: Sequence[Prediction],
    examples: Sequence[Example],
) -> tuple[Stats, Stats]:
    """Statistics of two systems on the same examples, their columns the same.

    They are made in one call, since a metric may lay out its columns by what it sees, as macro-F1
    does by labels.

    Raises:
        MetricError: the sequences do not run parallel, or the metric is undefined for a row.
    """
    made = metric.stats([*a, *b], [*examples, *examples])
    n = len(a)
    return tuple(  # type: ignore[return-value]
        Stats(rows, made.value, made.signature, made.proportion)
        for rows in (made.rows[:n], made.rows[n:])
    )


def measure_difference(a: Stats, b: Stats, seed: int = 0) -> Difference:
    """The difference with the test that fits: McNemar's for proportions, else randomization.

    >>> from icl.core.stats import proportion
    >>> one = proportion([True] * 8 + [False] * 13, "accuracy")
    >>> two = proportion([True] * 2 + [False] * 19, "accuracy")
    >>> made = measure_difference(two, one)
    >>> f"{made.value:.1f} [{made.low:.1f}, {made.high:.1f}], p = {made.p:.3f}, {made.test}"
    '28.6 [6.0, 49.0], p = 0.031, mcnemar:exact|ci:newcombe10'

    Raises:
        MetricError: the rows do not run parallel.
    """
    if a.proportion and b.proportion:
        return mcnemar(a, b)
    return approximate_randomization(a, b, seed=seed)


def paired_bootstrap(
    a: Stats, b: Stats, samples: int = SAMPLES, seed: int = 0, level: float = 0.95
) -> Difference:
    """Percentile interval of the difference, and p from the same resamples (Koehn 2004).

    ``p`` is twice the smaller share of resamples on either side of zero, one counted too many, so
    that the 95 % interval leaves zero out wherever it is below 0.05. (sacreBLEU's counts resamples
    whose absolute difference is further from the mean of them than the one observed from zero.)

    Raises:
        MetricError: the rows do not run parallel, or a setting is out of range.
    """
    check_level(level)
    _check_samples(samples)
    value = _observed(a, b)
    n = len(a.rows)
    name = f"bootstrap{samples}-seed{seed}"
    if value is None:
        return Difference(None, None, None, None, signature_text(name, "none"), n)
    drawn = bootstrap_differences(a, b, samples, seed)
    if n < 2 or not len(drawn):
        return Difference(value, None, None, 1.0, signature_text(name, "none"), n)
    tail = (1 - level) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    side = min(int((drawn <= ROUNDING).sum()), int((drawn >= -ROUNDING).sum()))
    p = min(1.0, 2 * (side + 1) / (len(drawn) + 1))
    return Difference(value, float(low), float(high), p, signature_text(name, name), n)


def approximate_randomization(
    a: Stats, b: Stats, trials: int = TRIALS, seed: int = 0, samples: int = SAMPLES
) -> Difference:
    """Exchange the systems' rows at random (Riezler and Maxwell 2005); bootstrap interval.

    ``p`` is the share of trials, the observed arrangement among them, whose absolute difference
    is at least the observed one. Identical systems have p = 1.

    Raises:
        MetricError: the rows do not run parallel, or a setting is out of range.
    """
    _check_samples(trials)
    if a.rows.shape != b.rows.shape:
        _check_parallel(a, b)
        raise MetricError(
            f"the rows of the two systems have {a.rows.shape[1]} and {b.rows.shape[1]} columns, "
            "which cannot be exchanged: make both in one call, with "
            "icl.scoring.significance.align_stats"
        )
    around = paired_bootstrap(a, b, samples, seed)
    test = f"randomization{trials}-seed{seed}|{around.test.partition('|')[2]}"
    if around.value is None:
        return Difference(None, None, None, None, test, around.n)
    observed = abs(around.value) - ROUNDING
    extreme = valid = 0
    for row_a, row_b, times in _exchanged(a.rows, b.rows, trials, seed):
        one, two = a.value(row_a), b.value(row_b)
        if one is not None and two is not None:
            valid += times
            extreme += times if abs(two - one) >= observed else 0
    p = (extreme + 1) / (valid + 1)
    return Difference(around.value, around.low, around.high, p, test, around.n)


def mcnemar(a: Stats, b: Stats, level: float = 0.95) -> Difference:
    """McNemar's exact test of two proportions on the same rows, Newcombe's interval (method 10).

    Only pairs count in which one side hits and the other misses; under no difference each of the
    two is as likely, so p is binomial. It is exact whatever their number, so that no approximation
    for many pairs is needed.

    Raises:
        MetricError: the rows do not run parallel, or are no proportions.
    """
    check_level(level)
    if not (a.proportion and b.proportion):
        raise MetricError(
            "McNemar's test compares proportions such as accuracy; for this metric take "
            "approximate_randomization"
        )
    value = _observed(a, b)
    n = len(a.rows)
    if value is None:
        return Difference(None, None, None, None, signature_text("mcnemar:exact", "none"), n)
    both, only_a, only_b, neither = _table(a, b)
    p = _binomial(only_a, only_b)
    low, high = _newcombe(both, only_b, only_a, neither, level)
    return Difference(
        value, 100 * low, 100 * high, p, signature_text("mcnemar:exact", "newcombe10"), n
    )


def holm(ps: Sequence[float]) -> list[float]:
    """Correct p values for how many there are (Holm 1979), in the order given.

    Calling differences below 0.05 shown errs in at least one of all with probability 0.05 at most,
    however the tests depend on each other.

    >>> holm([0.01, 0.04, 0.03, 0.005])
    [0.03, 0.06, 0.06, 0.02]

    Raises:
        MetricError: a p outside 0 to 1.
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
) -> int | None:
    """Rows needed to see a difference of so many points, judged by how the two differ here.

    For proportions it follows from the share of rows in which just one of the two hits (Connett,
    Smith and McHugh 1987), for other metrics from the bootstrap variance of the difference.

    Args:
        a: the baseline's statistics.
        b: the other's, of the same rows.
        points: the true difference that is to be seen, on the scale from 0 to 100.
        level: one minus the two-sided level of the test.
        chance: with which probability it is to be seen.

    Returns:
        The number of rows, or of clusters where the rows are clusters; None where it cannot be
        told, since nothing differs or there are less than two rows.

    Raises:
        MetricError: the rows do not run parallel, or ``points`` is not above 0.
    """
    check_level(level)
    check_level(chance)
    if not points > 0:
        raise MetricError(f"points is {points}: give the difference to be seen, such as 2")
    if _observed(a, b) is None or len(a.rows) < 2:
        return None
    z, z_chance = NormalDist().inv_cdf((1 + level) / 2), NormalDist().inv_cdf(chance)
    share = points / 100
    if a.proportion and b.proportion:
        _, only_a, only_b, _ = _table(a, b)
        discordant = (only_a + only_b) / len(a.rows)
        if not discordant:
            return None
        discordant = max(discordant, share)  # fewer could not make such a difference
        root = z * math.sqrt(discordant) + z_chance * math.sqrt(discordant - share**2)
        return math.ceil((root / share) ** 2)
    drawn = bootstrap_differences(a, b, SAMPLES, 0)
    spread = float(drawn.std() * math.sqrt(len(a.rows))) if len(drawn) else 0.0
    if spread <= ROUNDING:
        return None
    return max(2, math.ceil(((z + z_chance) * spread / points) ** 2))


def bootstrap_differences(a: Stats, b: Stats, samples: int, seed: int) -> npt.NDArray[np.float64]:
    """``b - a`` of each bootstrap resample of the pairs in which both are defined.  # (<= samples,)

    With the seed of sacreBLEU the resamples are its own.
    """
    width = a.rows.shape[1]
    found = []
    for row in resampled_sums(np.hstack([a.rows, b.rows]), samples, seed):
        one, two = a.value(row[:width]), b.value(row[width:])
        if one is not None and two is not None:
            found.append(two - one)
    return np.array(found, dtype=np.float64)


def _exchanged(a: Rows, b: Rows, trials: int, seed: int) -> Iterator[tuple[Rows, Rows, int]]:
    """Sums of both systems after exchanging each row with probability one half, and how often.

    Where few rows differ the same sums come again and again, and are given once.
    """
    n = len(a)
    generator = np.random.default_rng(seed)
    # 32 bits are drawn at a time: in chunks of a multiple of it the draws do not depend on chunks.
    chunk = 32 * max(1, chunked.CHUNK_CELLS // (32 * n))
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


def _check_samples(samples: int) -> None:
    if samples < 1:
        raise MetricError(f"samples is {samples}: give at least 1, commonly {SAMPLES}")


def _table(a: Stats, b: Stats) -> tuple[int, int, int, int]:
    """How many rows both hit, only ``a``, only ``b``, neither."""
    one, two = a.rows[:, 0] > 0, b.rows[:, 0] > 0
    both, only_a = int((one & two).sum()), int((one & ~two).sum())
    only_b = int((two & ~one).sum())
    return both, only_a, only_b, len(one) - both - only_a - only_b


def _binomial(one: int, two: int) -> float:
    """Two-sided binomial p of ``one`` against ``two``, both as likely."""
    n, fewer = one + two, min(one, two)
    if 2 * fewer >= n - 1:  # as even as can be: the two tails are everything
        return 1.0
    tail = math.fsum(
        math.exp(math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2))
        for k in range(fewer + 1)
    )
    return min(1.0, 2 * tail)


def _newcombe(
    both: int, first: int, second: int, neither: int, level: float
) -> tuple[float, float]:
    """Interval of the first's share minus the second's, each ``only`` count given."""
    n = both + first + second + neither
    share_1, share_2 = (both + first) / n, (both + second) / n
    (low_1, high_1), (low_2, high_2) = (wilson(both + only, n, level) for only in (first, second))
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    cross = float(both * neither - first * second)
    if cross > 0:  # the correction for continuity that tells method 10 from method 8
        cross = max(0.0, cross - n / 2)
    phi = cross / math.sqrt(margins) if margins else 0.0

    def reach(up: float, down: float) -> float:
        return math.sqrt(max(0.0, up * up - 2 * phi * up * down + down * down))

    apart = share_1 - share_2
    return (
        max(-1.0, apart - reach(share_1 - low_1, high_2 - share_2)),
        min(1.0, apart + reach(high_1 - share_1, share_2 - low_2)),
    )
