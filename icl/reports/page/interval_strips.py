"""Interval strips: a score with its interval as a mark on a line, for a cell of a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from icl.core.types import Score

__all__ = ["Scale", "Strip", "fit_scale"]


@dataclass(frozen=True, slots=True)
class Strip:
    """Positions of a score, its interval and baselines on a scale, in percent of its width."""

    low: float
    value: float
    high: float
    ticks: tuple[float, ...] = ()
    """Positions of the baselines."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Both ends of the line on which all strips of a table are drawn."""

    bottom: float
    top: float

    def at(self, value: float) -> float:
        """Return the position of a value, in percent of the width; values outside go to the ends.

        >>> Scale(0, 50).at(10)
        20.0
        """
        share = (value - self.bottom) / (self.top - self.bottom)
        return round(100 * min(1.0, max(0.0, share)), 2)

    def strip(self, score: Score | None, baselines: Sequence[Score] = ()) -> Strip | None:
        """Convert a score to a strip; None if it has no value."""
        if score is None or score.value is None:
            return None
        low = score.value if score.low is None else score.low
        high = score.value if score.high is None else score.high
        ticks = tuple(self.at(one.value) for one in baselines if one.value is not None)
        return Strip(self.at(low), self.at(score.value), self.at(high), ticks)


def fit_scale(scores: Sequence[Score]) -> Scale:
    """Find the shortest round scale that holds all intervals; it starts at 0 or below.

    >>> fit_scale([Score("acc", 26.7, 17.1, 39.0, 60, "")])
    Scale(bottom=0, top=40)
    """
    ends = [
        end
        for one in scores
        for end in (one.low, one.value, one.high)
        if end is not None and math.isfinite(end)
    ]
    top, bottom = max([0.0, *ends]), min([0.0, *ends])
    return Scale(-_round_up(-bottom) if bottom < 0 else 0, _round_up(top) if top > 0 else 1)


def _round_up(value: float) -> float:
    """Round up to 1, 2, 2.5, 3, 4, 5, 6, 8 or 10 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    steps = (1, 2, 2.5, 3, 4, 5, 6, 8, 10)
    ends = next(step * power for step in steps if step * power >= value * (1 - 1e-9))
    return int(ends) if ends == int(ends) else ends
