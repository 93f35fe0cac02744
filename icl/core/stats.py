"""Scores with their intervals, from one row of sufficient statistics per example.

Every corpus metric is a function of a sum of rows (the scheme of sacreBLEU, Post 2018,
https://aclanthology.org/W18-6319), so the score and its bootstrap follow from one definition.
Proportions have Wilson's interval (Wilson 1927, method 3 of Newcombe 1998), all other metrics
the percentile bootstrap over examples (Efron 1979; Koehn 2004 for machine translation).
Values and intervals of metrics are on the scale from 0 to 100 that the field prints.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol

import numpy as np
import numpy.typing as npt

from icl.core.errors import MetricError
from icl.core.types import Example, Prediction, Score, ScoreKind, signature_text

__all__ = [
    "Metric",
    "Rows",
    "Stats",
    "aggregate",
    "check_level",
    "interval",
    "mean",
    "proportion",
    "resampled_sums",
    "score",
    "wilson",
]


Rows = npt.NDArray[np.float64]

CHUNK_CELLS = 1_000_000
"""Resampling counts held at a time: 8 MB, however many examples and samples there are."""


@dataclass(frozen=True, slots=True, eq=False)
class Stats:
    """What a metric knows of each example, and how the sum becomes a score."""

    rows: Rows
    """Sufficient statistics, one row an example.  # (n, s)"""
    value: Callable[[Rows], float | None]
    """Score from 0 to 100 of a summed row (s,); None where it is undefined."""
    signature: str
    """Every setting that changes the value, as sacreBLEU writes it: ``key:value|key:value``."""
    proportion: bool = False
    """The rows are [hit, 1] with hit 0 or 1: the interval is Wilson's."""


class Metric(Protocol):
    """What compares predictions with targets; a new one is one file with one class."""

    @property
    def name(self) -> str:
        """The registered name."""
        ...

    @property
    def label(self) -> str:
        """The short title of a column."""
        ...

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Statistics of each example; the sequences run parallel.

        Raises:
            MetricError: the metric is not defined for an example, which the message names.
        """
        ...


def proportion(hits: Sequence[bool], signature: str) -> Stats:
    """The share of examples that are hits, in percent, with Wilson's interval.

    >>> score("accuracy", proportion([True, False], "accuracy")).value
    50.0
    """
    rows = np.ones((len(hits), 2))
    rows[:, 0] = hits
    return Stats(rows, _percent, signature, proportion=True)


def mean(values: Sequence[float], signature: str) -> Stats:
    """The mean of one number from 0 to 1 an example, in percent, with a bootstrap interval.

    >>> score("f1", mean([0.25, 0.75], "f1")).value
    50.0
    """
    rows = np.ones((len(values), 2))
    rows[:, 0] = values
    return Stats(rows, _percent, signature)


def wilson(hits: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion, as shares between 0 and 1.

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


def interval(
    stats: Stats, level: float = 0.95, samples: int = 1000, seed: int = 0
) -> tuple[float | None, float | None]:
    """Confidence interval of a metric on its scale from 0 to 100, as (low, high).

    Wilson's for proportions, else the percentiles of ``samples`` bootstrap resamples of the
    rows; the same arguments give the same interval. Resamples for which the value is
    undefined are left out, and (None, None) is returned where none is defined or there are no
    rows. A bootstrap of one row, or of rows all alike, has no width: n says how little it
    means.

    Raises:
        MetricError: ``level`` is outside 0 to 1, or ``samples`` below 1.
    """
    check_level(level)
    if samples < 1:
        raise MetricError(f"samples is {samples}: give at least 1, commonly 1000")
    n = len(stats.rows)
    if n == 0:
        return None, None
    if stats.proportion:
        low, high = wilson(float(stats.rows[:, 0].sum()), n, level)
        return 100 * low, 100 * high
    sums = resampled_sums(stats.rows, samples, seed)
    values = [value for row in sums if (value := stats.value(row)) is not None]
    if not values:
        return None, None
    tail = (1 - level) / 2
    ends = np.quantile(np.array(values), [tail, 1 - tail])
    return float(ends[0]), float(ends[1])


def score(name: str, stats: Stats, kind: ScoreKind = "model") -> Score:
    """The score of all rows with its 95 % interval, both from 0 to 100.

    The signature ends with how the interval was made: ``ci:wilson``, ``ci:bootstrap1000-seed0``,
    or ``ci:none`` where the value is undefined, as it is without rows.

    >>> score("accuracy", proportion([True, False], "match:exact")).signature
    'match:exact|ci:wilson'
    """
    n = len(stats.rows)
    value = stats.value(stats.rows.sum(axis=0)) if n else None
    if value is None:
        return Score(name, None, None, None, n, signature_text(stats.signature, "none"), kind)
    samples, seed = 1000, 0
    low, high = interval(stats, samples=samples, seed=seed)
    made = "wilson" if stats.proportion else f"bootstrap{samples}-seed{seed}"
    return Score(name, float(value), low, high, n, signature_text(stats.signature, made), kind)


def _percent(row: Rows) -> float | None:
    total, n = row.tolist()
    return 100 * total / n if n else None


def aggregate(parts: Sequence[tuple[Stats, Sequence[Hashable]]]) -> Stats:
    """The mean of several scores, with the rows that share a key kept together.

    Each part is a condition's statistics with a key for each of its rows: the id of an example,
    which parallel rows share over locales and every row over seeds. A row of the result holds
    what all parts know of one key, so that a bootstrap or a paired test draws them together
    (clusters; Cameron, Gelbach and Miller 2008, https://doi.org/10.1162/rest.90.3.414), and its
    value is the mean of the parts' values; None where one of them is undefined.
    One part with keys that repeat is the plain score of its rows, resampled by cluster.

    >>> german = proportion([True, False], "accuracy"), ["r1", "r2"]
    >>> swahili = proportion([True], "accuracy"), ["r2"]
    >>> both = aggregate([german, swahili])
    >>> score("accuracy", both).value, len(both.rows)
    (75.0, 2)

    Raises:
        MetricError: there are no parts, or a part has not one key a row.
    """
    if not parts:
        raise MetricError("a mean over no conditions is not defined: give at least one")
    for stats, keys in parts:
        if len(stats.rows) != len(keys):
            raise MetricError(f"{len(keys)} keys for {len(stats.rows)} rows: give one a row")
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

    signatures = "+".join(sorted({stats.signature for stats, _ in parts}))
    mean_of = f"mean:{len(parts)}|" if len(parts) > 1 else ""
    return Stats(rows, value, f"{mean_of}{signatures}|clusters:{len(places)}")


def check_level(level: float) -> None:
    """Refuse a confidence level that is no share.

    Raises:
        MetricError: it is outside 0 to 1.
    """
    if not 0 < level < 1:
        raise MetricError(f"level is {level}: give a share between 0 and 1, commonly 0.95")


def resampled_sums(rows: Rows, samples: int, seed: int) -> Iterator[Rows]:
    """Sum of the rows of each resample, in chunks of samples that bound the memory."""
    n = len(rows)
    generator = np.random.default_rng(seed)
    chunk = max(1, CHUNK_CELLS // n)
    for start in range(0, samples, chunk):
        size = min(chunk, samples - start)
        drawn = generator.integers(0, n, size=(size, n))  # (size, n)
        drawn += n * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
        yield from counts.astype(np.float64) @ rows  # (size, s)
