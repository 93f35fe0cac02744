"""Win rates: the share of rows on which one of two is better, with its interval.

Ties say nothing of who is better, so the share is of the decided rows (the sign test's), with
Wilson's interval.
"""

from __future__ import annotations

from dataclasses import dataclass

from icl.core.errors import MetricError
from icl.core.number_text import format_bounds, format_percent
from icl.core.stats import wilson
from icl.scoring.compare import Comparison

__all__ = ["Wins", "count_wins"]


_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Wins:
    """Number of rows on which the second of two is better, equal, and worse.

    >>> print(Wins(15, 40, 5))
    15 wins, 40 ties, 5 losses; 75.0 % of 20 decided [53.1, 88.8]
    """

    wins: int
    ties: int
    losses: int

    @property
    def decided(self) -> int:
        """Number of rows without a tie."""
        return self.wins + self.losses

    @property
    def share(self) -> float | None:
        """Share of the decided rows won, from 0 to 1; None if all are ties."""
        return self.wins / self.decided if self.decided else None

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the share; 0 to 1 if all are ties."""
        return wilson(self.wins, self.decided)

    def __str__(self) -> str:
        words = [
            (self.wins, "win", "wins"),
            (self.ties, "tie", "ties"),
            (self.losses, "loss", "losses"),
        ]
        counts = ", ".join(f"{count:,} {one if count == 1 else many}" for count, one, many in words)
        if self.share is None:
            return counts
        low, high = self.interval
        return (
            f"{counts}; {format_percent(self.share, 1)} of {self.decided} decided "
            f"{format_bounds(100 * low, 100 * high)}"
        )


def count_wins(comparison: Comparison) -> Wins:
    """Count the common examples on which ``b`` is better than ``a`` by the comparison's metric.

    If a single row has no value, as item F1 of nothing, the change of the total decides when
    ``b``'s
    row replaces ``a``'s.

    Raises:
        MetricError: there are no rows to compare, or the metric has no better direction.
    """
    if comparison.sides is None:
        raise MetricError(comparison.problem or "there is nothing to compare")
    if comparison.better == "none":
        raise MetricError(f"{comparison.title}: neither more nor less of it is better")
    sign = -1 if comparison.better == "lower" else 1
    (a, _), (b, _) = comparison.sides
    total = a.rows.sum(axis=0)
    counts = [0, 0, 0]
    for one, two in zip(a.rows, b.rows, strict=True):
        first, second = a.value(one), b.value(two)
        if first is None or second is None:
            first, second = a.value(total), a.value(total - one + two)
        apart = 0.0 if first is None or second is None else sign * (second - first)
        counts[1 if abs(apart) <= _ROUNDING else 0 if apart > 0 else 2] += 1
    return Wins(*counts)
