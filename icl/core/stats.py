"""Scores and confidence intervals, computed from one row of sufficient statistics per example.

Every corpus metric is a function of a sum of rows (the scheme of sacreBLEU, Post 2018,
https://aclanthology.org/W18-6319), so the score and its interval follow from one definition.
Proportions have Wilson's interval (Wilson 1927, method 3 of Newcombe 1998), all other metrics one
from the jackknife over examples (:mod:`icl.core.intervals`), or none where it would not hold.
Values and intervals of metrics are on the scale from 0 to 100 that the field prints.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from icl.core.errors import MetricError
from icl.core.intervals import (
    bound_mean,
    bound_ratio,
    bound_share,
    is_constant,
    make_pseudo_values,
)
from icl.core.types import Example, Prediction, Score, ScoreKind, signature_text

__all__ = [
    "Interval",
    "Metric",
    "Rows",
    "Stats",
    "aggregate",
    "check_level",
    "interval",
    "mean",
    "proportion",
    "score",
    "tell_lack",
    "wilson",
]


Rows = npt.NDArray[np.float64]

Scale = Literal["percent", "ratio", "real"]
"""Range of a metric's values: from 0 to 100, above 0 without an upper end, or unbounded."""
MIN_ROWS = 10
"""Fewest rows for an interval that covers as often as it says, except for a proportion."""


def _lacks_nothing(rows: Rows) -> str:
    return ""


@dataclass(frozen=True, slots=True, eq=False)
class Stats:
    """A metric's statistics of every example, and the function that turns the sum into a score."""

    rows: Rows
    """Sufficient statistics, one row for each example.  # (n, s)"""
    value: Callable[[Rows], float | None]
    """Score (0 to 100) of a summed row (s,); None if it is undefined."""
    signature: str
    """All settings that change the value, in sacreBLEU's form: ``key:value|key:value``."""
    proportion: bool = False
    """The rows are [hit, 1] with hit 0 or 1: the interval is Wilson's."""
    scale: Scale = "real"
    """Range of the values, which shapes the interval."""
    min_rows: int = MIN_ROWS
    """Fewest rows for an interval, except for a proportion."""
    lack: Callable[[Rows], str] = _lacks_nothing
    """Returns why these rows give no interval, as ``needs about 300 rows``; empty if they do."""


class Interval(NamedTuple):
    """Ends of an interval, with its method or the reason why there is none."""

    low: float | None
    high: float | None
    made: str
    """Method: ``wilson``, ``jackknife-t`` …, or ``none (needs 10 rows)``."""


class Metric(Protocol):
    """Interface of a metric, which compares predictions with targets."""

    @property
    def name(self) -> str:
        """The registered name."""
        ...

    @property
    def label(self) -> str:
        """The short title of a column."""
        ...

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Compute the statistics of each example; the two sequences are parallel.

        Raises:
            MetricError: the metric is not defined for an example, which the message names.
        """
        ...


def proportion(hits: Sequence[bool], signature: str) -> Stats:
    """Make statistics of the share of hits, in percent, with Wilson's interval.

    ``hits`` has one value per example; the rows of the result are [hit, 1].  # (n, 2)

    >>> score("accuracy", proportion([True, False], "accuracy")).value
    50.0
    """
    rows = np.ones((len(hits), 2))
    rows[:, 0] = hits
    return Stats(rows, _percent, signature, proportion=True, scale="percent")


def mean(values: Sequence[float], signature: str, scale: Scale = "percent") -> Stats:
    """Compute the mean of one number per example, times 100, with a jackknife interval.

    The numbers are from 0 to 1, unless another ``scale`` says where they can lie. The rows of the
    result are [number, 1].  # (n, 2)

    >>> score("f1", mean([0.25, 0.75], "f1")).value
    50.0
    """
    rows = np.ones((len(values), 2))
    rows[:, 0] = values
    return Stats(rows, _percent, signature, scale=scale)


def wilson(hits: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion, as shares between 0 and 1.

    Source: Newcombe 1998, Statistics in Medicine 17:857-872, method 3 (no continuity
    correction). Without observations nothing is known: (0, 1).

    >>> low, high = wilson(15, 148)
    >>> f"{low:.4f} to {high:.4f}"
    '0.0624 to 0.1605'

    Raises:
        MetricError: ``hits`` is outside 0 to ``n``, or ``level`` outside 0 to 1.
    """
    check_level(level)
    if not 0 <= hits <= n:
        raise MetricError(f"{hits} hits of {n} are no proportion: give 0 <= hits <= n")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    centre = (hits + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(hits * (n - hits) / n + z * z / 4)
    # Exact at the ends, where the two terms cancel but for rounding.
    low = 0.0 if hits == 0 else centre - half
    high = 1.0 if hits == n else centre + half
    return low, high


def interval(stats: Stats, level: float = 0.95) -> Interval:
    """Compute the confidence interval of a metric on its scale from 0 to 100.

    Wilson's for proportions, else one from the jackknife by the scale of the metric. There is
    none where it would not cover what it says: with fewer rows than ``min_rows``, where the metric
    says that something lacks, where the value is undefined without one of the rows, and where all
    rows are alike anywhere but at an end of the scale.

    >>> interval(mean([0.5, 0.25], "f1")).made
    'none (needs 10 rows)'

    Raises:
        MetricError: ``level`` is outside 0 to 1.
    """
    check_level(level)
    n = len(stats.rows)
    value = stats.value(stats.rows.sum(axis=0)) if n else None
    if value is None:
        return Interval(None, None, "none")
    if stats.proportion:
        low, high = wilson(float(stats.rows[:, 0].sum()), n, level)
        return Interval(100 * low, 100 * high, "wilson")
    if lack := tell_lack(stats):
        return Interval(None, None, f"none ({lack})")
    pseudo = make_pseudo_values(stats.value, stats.rows)
    if pseudo is None:
        return Interval(None, None, "none (undefined without one of the rows)")
    share, parts = value / 100, pseudo / 100
    at_end = stats.scale == "percent" and not 1e-9 < share < 1 - 1e-9
    if is_constant(parts) and not at_end:
        return Interval(None, None, "none (all rows alike)")
    if stats.scale == "percent":
        low, high = bound_share(min(1.0, max(0.0, share)), parts, level)
        return Interval(100 * low, 100 * high, "jackknife-wilson")
    if stats.scale == "ratio" and value > 0:
        low, high = bound_ratio(value, pseudo, level)
        return Interval(low, high, "jackknife-log-t")
    low, high = bound_mean(value, pseudo, level)
    return Interval(low, high, "jackknife-t")


def tell_lack(stats: Stats) -> str:
    """Return why a metric's rows, if they are no proportion, give no interval; empty if they do.

    >>> tell_lack(mean([0.5], "f1")), tell_lack(mean([0.5] * 10, "f1"))
    ('needs 10 rows', '')
    """
    few = f"needs {stats.min_rows} rows" if len(stats.rows) < stats.min_rows else ""
    return stats.lack(stats.rows) or few


def score(name: str, stats: Stats, kind: ScoreKind = "model") -> Score:
    """Compute the score of all rows with its 95 % interval, both from 0 to 100.

    The signature ends with the interval's method, as ``ci:wilson`` or ``ci:jackknife-t``, or with
    the reason why there is none: ``ci:none (needs 10 rows)``; ``ci:none`` if the value is
    undefined, for example without rows.

    >>> score("accuracy", proportion([True, False], "match:exact")).signature
    'match:exact|ci:wilson'
    """
    n = len(stats.rows)
    value = stats.value(stats.rows.sum(axis=0)) if n else None
    if value is None:
        return Score(name, None, None, None, n, signature_text(stats.signature, "none"), kind)
    low, high, made = interval(stats)
    return Score(name, float(value), low, high, n, signature_text(stats.signature, made), kind)


def _percent(row: Rows) -> float | None:
    total, n = row.tolist()
    return 100 * total / n if n else None


def aggregate(parts: Sequence[tuple[Stats, Sequence[Hashable]]]) -> Stats:
    """Make statistics of the mean of several scores; rows that share a key are resampled together.

    Each part is a condition's statistics with a key for each of its rows: the example's id,
    which parallel rows share over locales and every row over seeds. A row of the result holds
    what all parts know of one key, so that an interval or a paired test takes them together
    (clusters; Cameron and Miller 2015, https://doi.org/10.3368/jhr.50.2.317), and its value is the
    mean of the parts' values; None where one of them is undefined.
    One part with keys that repeat is the plain score of its rows, taken by cluster.

    >>> german = proportion([True, False], "accuracy"), ["r1", "r2"]
    >>> swahili = proportion([True], "accuracy"), ["r2"]
    >>> both = aggregate([german, swahili])
    >>> score("accuracy", both).value, len(both.rows)
    (75.0, 2)

    Raises:
        MetricError: there are no parts, or a part has not one key for each row.
    """
    if not parts:
        raise MetricError("a mean over no conditions is not defined: give at least one")
    for stats, keys in parts:
        if len(stats.rows) != len(keys):
            raise MetricError(f"{len(keys)} keys for {len(stats.rows)} rows: give one for each row")
    places = {
        key: place for place, key in enumerate(dict.fromkeys(k for _, ks in parts for k in ks))
    }
    widths = [stats.rows.shape[1] for stats, _ in parts]
    starts = np.cumsum([0, *widths]).tolist()
    rows = np.zeros((len(places), starts[-1]))
    for (stats, keys), start, width in zip(parts, starts, widths, strict=False):
        np.add.at(rows[:, start : start + width], [places[key] for key in keys], stats.rows)

    def value(row: Rows) -> float | None:
        found = [
            stats.value(row[start : start + width])
            for (stats, _), start, width in zip(parts, starts, widths, strict=False)
        ]
        known = [one for one in found if one is not None]
        return sum(known) / len(known) if len(known) == len(found) else None

    def lack(rows: Rows) -> str:
        found = (
            stats.lack(rows[:, start : start + width])
            for (stats, _), start, width in zip(parts, starts, widths, strict=False)
        )
        return next(filter(None, found), "")

    signatures = "+".join(sorted({stats.signature for stats, _ in parts}))
    mean_of = f"mean:{len(parts)}|" if len(parts) > 1 else ""
    scales = {stats.scale for stats, _ in parts}
    return Stats(
        rows,
        value,
        f"{mean_of}{signatures}|clusters:{len(places)}",
        # One part whose keys are its rows is that part.
        proportion=len(parts) == 1 and parts[0][0].proportion and len(places) == len(parts[0][1]),
        scale=scales.pop() if len(scales) == 1 else "real",
        min_rows=max(stats.min_rows for stats, _ in parts),
        lack=lack,
    )


def check_level(level: float) -> None:
    """Raise an error unless a confidence level is between 0 and 1.

    Raises:
        MetricError: it does not.
    """
    if not 0 < level < 1:
        raise MetricError(f"level is {level}: give a share between 0 and 1, commonly 0.95")
