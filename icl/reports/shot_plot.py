"""A small plot of score against the number of shots, for wide terminals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from icl.core.number_text import format_number
from icl.core.score_name import primary
from icl.core.types import Score
from icl.experiment.settings import join_axes
from icl.records.results import ConditionResult, find_telling_axes

__all__ = ["ShotPlot"]

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

LEAST_WIDTH = 100
"""Fewest columns of a terminal that shows the plot."""
BAR_WIDTH = 60
"""Characters from the bottom to the top of the scale."""
LEAST_COUNTS, MOST_LINES = 3, 24
"""Fewest numbers of shots for a plot, and most of its lines."""


@dataclass(frozen=True)
class ShotPlot:
    """The first score of the conditions of a task, a line for each number of shots.

    Prints nothing where the terminal is narrow, or where there are too few numbers of shots or
    too many conditions.
    """

    rows: Sequence[ConditionResult]
    title: str
    """Title of the score in tables."""

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        from icl.core.safe_console import make_text

        series = self._series()
        counts = {k for points in series.values() for k in points}
        lines = sum(map(len, series.values()))
        if options.max_width < LEAST_WIDTH or len(counts) < LEAST_COUNTS or lines > MOST_LINES:
            return
        top = max(
            max(score.high or 0.0, score.value or 0.0)
            for points in series.values()
            for scores in points.values()
            for score in scores
        )
        top = 100.0 if top <= 100 else top
        yield make_text(f"{self.title} by shots, from 0 to {top:.0f}", style="bold")
        wide = max(len(str(k)) for k in counts)
        for name, points in series.items():
            if name:
                yield make_text(name)
            for k, scores in sorted(points.items()):
                value = fmean(score.value or 0.0 for score in scores)
                bar = _draw(scores, value, top)
                drawn = make_text(f"{k:>{wide}} │{bar}│ {format_number(value):>5}")
                drawn.stylize("cyan", wide + 2, wide + 2 + len(bar))
                yield drawn
        yield make_text("")

    def _series(self) -> Mapping[str, Mapping[int, Sequence[Score]]]:
        """Map other settings, in words, to the scores (several over seeds) by number of shots."""
        axes = [axis for axis in find_telling_axes(self.rows) if axis != "shots"]
        made: dict[str, dict[int, list[Score]]] = {}
        bare: dict[str, list[Score]] = {}
        for row in self.rows:
            score = primary(row.scores)
            k = (row.entry.settings or {}).get("k", row.axes.get("shots", ""))
            if score is None or not (k.isascii() and k.isdigit()):
                continue
            place = join_axes({axis: row.axes.get(axis, "") for axis in axes}, " · ")
            if k == "0":
                bare.setdefault(place, []).append(score)
                continue
            how = (row.entry.settings or {}).get("select", "")
            name = " · ".join(filter(None, [place, how]))
            points = made.setdefault(name, {})
            points.setdefault(int(k), []).append(score)
            if place in bare:
                points.setdefault(0, bare[place])
        names = made if len(made) > 1 else {"": next(iter(made.values()), {})}
        return names


def _draw(scores: Sequence[Score], value: float, top: float) -> str:
    """Draw the interval of one score, or the range of several, and their mean on a scale."""
    if len(scores) == 1:
        low, high = scores[0].low, scores[0].high
    else:
        values = [score.value or 0.0 for score in scores]
        low, high = min(values), max(values)
    cells = [" "] * BAR_WIDTH

    def place(number: float) -> int:
        return min(BAR_WIDTH - 1, max(0, round(number / top * (BAR_WIDTH - 1))))

    if low is not None and high is not None:
        for at in range(place(low), place(high) + 1):
            cells[at] = "─"
    cells[place(value)] = "●"
    return "".join(cells)
