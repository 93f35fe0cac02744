"""Intervals and p values, valid at small n, of a mean or of any score of summed rows.

A score of sums is spread out to one number a row, the jackknife's pseudo-values (Tukey 1958; Miller
1974, https://doi.org/10.1093/biomet/61.1.1), whose mean and variance are those of the score. What
lies from 0 to 1 gets Wilson's interval, and a paired difference of such Tango's (Tango 1998,
Statistics in Medicine 17:891-908), both widened or narrowed by how the variance of the
pseudo-values compares with that of hits and misses (the dispersion of McCullagh and Nelder 1989,
chapter 4). Quantiles are Student's; for intervals of one score with the degrees of freedom that
the kurtosis leaves (the variance of a variance), so that rare large values widen them.

How often these intervals hold is measured by ``tests/scoring/test_coverage.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = [
    "IntervalEnds",
    "DifferenceEnds",
    "bound_mean",
    "bound_ratio",
    "bound_share",
    "find_spread_bounds",
    "find_tail",
    "is_constant",
    "make_pseudo_values",
    "tango",
    "measure_mean_difference",
    "measure_share_difference",
]


Floats = npt.NDArray[np.float64]

GROUPS = 1000
"""Most pseudo-values; if there are more rows, groups of rows are left out one at a time."""
LEAST_DF = 2.0
"""Least degrees of freedom, however heavy the tails of a few rows look."""
STEPS = 60
"""Bisections of an end: more do not change a double from -1 to 1."""
_TINY = 1e-12


class IntervalEnds(NamedTuple):
    """Ends of an interval."""

    low: float
    high: float


class DifferenceEnds(NamedTuple):
    """Ends of the interval of a difference, and the p of the same test for no difference."""

    low: float
    high: float
    p: float


def make_pseudo_values(value: Callable[[Floats], float | None], rows: Floats) -> Floats | None:
    """Compute a jackknife pseudo-value of a score for each row; their mean is the score.

    The pseudo-values of a mean are the rows' own values. More than :data:`GROUPS` rows are divided
    into random groups, always the same ones, with one pseudo-value each. The bias that the
    jackknife finds is subtracted.

    Args:
        value: from a summed row (s,) to the score.
        rows: two or more.  # (n, s)

    Returns:
        The numbers, or None where the score is undefined without one of the rows.
    """
    total = rows.sum(axis=0)
    whole = value(total)
    left = rows
    if len(rows) > GROUPS:
        order = np.random.default_rng(0).permutation(len(rows))
        left = np.stack([rows[some].sum(axis=0) for some in np.array_split(order, GROUPS)])
    without = [value(total - row) for row in left]
    if whole is None or any(one is None for one in without):
        return None
    n = len(left)
    made: Floats = n * whole - (n - 1) * np.array(without, dtype=np.float64)
    made += whole - made.mean()
    return made


def bound_share(value: float, pseudo: Floats, level: float) -> IntervalEnds:
    """Compute Wilson's interval of a score from 0 to 1, by the spread of its pseudo-values.

    If all rows are 0, or all are 1, it is as wide as for hits and misses. If all rows have the same
    value in between, there is no interval; the caller checks :func:`is_constant` first.
    """
    n = len(pseudo)
    variance = value * (1 - value)
    constant = is_constant(pseudo) or variance < _TINY
    dispersion = 1.0 if constant else float(pseudo.var(ddof=1)) / variance
    t = _quantile(n - 1 if constant else _degrees(pseudo), level)
    k = t * t * dispersion / n
    centre = (value + k / 2) / (1 + k)
    half = math.sqrt(max(0.0, k * variance + k * k / 4)) / (1 + k)
    low = 0.0 if value <= 0 else centre - half
    high = 1.0 if value >= 1 else centre + half
    return IntervalEnds(low, high)


def bound_ratio(value: float, pseudo: Floats, level: float) -> IntervalEnds:
    """Compute Student's interval of a score above 0 without upper end, on a logarithmic scale."""
    reach = _quantile(_degrees(pseudo), level) * _error(pseudo) / value
    return IntervalEnds(value * math.exp(-reach), value * math.exp(reach))


def bound_mean(value: float, pseudo: Floats, level: float) -> IntervalEnds:
    """Compute Student's interval of an unbounded score."""
    reach = _quantile(_degrees(pseudo), level) * _error(pseudo)
    return IntervalEnds(value - reach, value + reach)


def measure_mean_difference(pseudo: Floats, level: float) -> DifferenceEnds:
    """Compute Student's interval and p of a difference of unbounded scores that is not constant."""
    value, error, df = float(pseudo.mean()), _error(pseudo), _degrees(pseudo)
    reach = _quantile(df, level) * error
    return DifferenceEnds(value - reach, value + reach, find_tail(value / error, df))


def measure_share_difference(pseudo: Floats, level: float) -> DifferenceEnds:
    """Compute Tango's interval and p of a paired difference of scores from 0 to 1.

    Gains and losses of the rows count as pairs that only one side hits. ``p`` and the interval
    come from one statistic, so that p is below ``1 - level`` exactly if the interval excludes
    zero. If no row differs, the interval is that of as many pairs of hits and misses.
    """
    n = len(pseudo)
    scale = max(1.0, float(np.abs(pseudo).max()))
    apart = pseudo / scale
    gained, lost = float(apart[apart > 0].sum()), float(-apart[apart < 0].sum())
    variance = (gained + lost) / n - float(apart.mean()) ** 2
    constant = is_constant(pseudo) or variance < _TINY
    dispersion = 1.0 if constant else float(apart.var(ddof=1)) / variance
    low, high = tango(gained, lost, n, _quantile(n - 1, level), dispersion)
    differ = gained + lost > _TINY
    z = (gained - lost) / math.sqrt(dispersion * (gained + lost)) if differ else 0.0
    return DifferenceEnds(
        max(-1.0, scale * low), min(1.0, scale * high), find_tail(z, n - 1) if differ else 1.0
    )


def tango(
    gained: float, lost: float, n: int, critical: float, dispersion: float = 1.0
) -> tuple[float, float]:
    """Compute Tango's score interval of ``(gained - lost) / n``, a difference of paired shares.

    Source: Tango 1998, Statistics in Medicine 17:891-908. It leaves zero out exactly where
    ``abs(gained - lost) / sqrt(dispersion * (gained + lost))`` is above ``critical``.

    >>> low, high = tango(1, 9, 44, 1.959964)
    >>> f"{low:.3f} to {high:.3f}"
    '-0.328 to -0.050'
    """

    def distance(apart: float) -> float:
        b = -gained - lost + (2 * n - gained + lost) * apart
        c = -lost * apart * (1 - apart)
        share = (math.sqrt(max(0.0, b * b - 8 * n * c)) - b) / (4 * n)
        spread = dispersion * n * (2 * share + apart * (1 - apart))
        return (gained - lost - n * apart) / math.sqrt(max(spread, 1e-300))

    def end(low: float, high: float, wanted: float) -> float:
        for _ in range(STEPS):
            middle = (low + high) / 2
            low, high = (middle, high) if distance(middle) > wanted else (low, middle)
        return (low + high) / 2

    value = (gained - lost) / n
    return end(-1.0, value, critical), end(value, 1.0, -critical)


def find_spread_bounds(values: Floats, level: float = 0.95) -> IntervalEnds:
    """Compute the interval of a standard deviation by chi-square, allowing for kurtosis."""
    from scipy.special import chdtri

    df, spread = _degrees(values), float(values.std(ddof=1))
    tail = (1 - level) / 2
    return IntervalEnds(
        spread * math.sqrt(df / float(chdtri(df, tail))),
        spread * math.sqrt(df / float(chdtri(df, 1 - tail))),
    )


def find_tail(t: float, df: float) -> float:
    """Compute the two-sided p of Student's t."""
    from scipy.special import stdtr

    return min(1.0, 2 * float(stdtr(df, -abs(t))))


def is_constant(values: Floats) -> bool:
    """Return whether numbers are equal up to rounding."""
    return bool(np.ptp(values) <= 1e-9 * max(1.0, float(np.abs(values).max())))


def _error(pseudo: Floats) -> float:
    return math.sqrt(float(pseudo.var(ddof=1)) / len(pseudo))


def _quantile(df: float, level: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(df, (1 + level) / 2))


def _degrees(values: Floats) -> float:
    """Compute the degrees of freedom of numbers' variance by their kurtosis; n - 1 at most."""
    apart = values - values.mean()
    square = float((apart**2).mean())
    kurtosis = float((apart**4).mean()) / square**2 if square else 1.0
    most = len(values) - 1.0
    return min(most, max(min(LEAST_DF, most), 2 * len(values) / max(kurtosis - 1, _TINY)))
