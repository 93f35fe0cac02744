"""Paired comparisons of the best condition with the others, on the same examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from icl.core.errors import ConfigError, MetricError
from icl.reports.comparison import format_needed
from icl.reports.groups import Group, Row, orient_score
from icl.scoring.compare import Comparison, compare, correct_comparisons

__all__ = ["BestComparison", "compare_best", "describe_best"]


OTHERS = 12
"""Most conditions to compare the best one with: each needs a paired test."""


@dataclass(frozen=True)
class BestComparison:
    """A comparison of the best condition with another one."""

    row: Row
    """The other condition."""
    comparison: Comparison


def compare_best(group: Group) -> tuple[list[BestComparison], int]:
    """Compare the best condition of a group with its next best ones.

    Only conditions that answered the same rows of the same locale are compared; p is corrected
    for the number of comparisons (Holm).

    Returns:
        The comparisons, and the number of conditions left out.
    """
    best = group.best
    if best is None:
        return [], 0
    others = [
        row
        for row in group.rows
        if row is not best
        and row.primary is not None
        and row.source == best.source
        and row.primary.name == (best.primary.name if best.primary else "")
    ]
    others.sort(key=lambda row: -orient_score(row.primary) if row.primary else 0.0)
    made: list[tuple[Row, Comparison]] = []
    for row in others[:OTHERS]:
        try:
            made.append((row, compare(row.condition, best.condition)))
        except (ConfigError, MetricError):  # a metric of a plug-in that is gone: scores stand
            continue
    fixed = correct_comparisons([comparison for _, comparison in made])
    found = [BestComparison(row, one) for (row, _), one in zip(made, fixed, strict=True)]
    return found, len(others) - len(found)


def describe_best(found: Sequence[BestComparison], best: Row) -> Iterator[str]:
    """Yield sentences that say what the comparisons show."""
    told = [one for one in found if one.comparison.difference.value is not None]
    if not told:
        return
    shown = [one.row.name for one in told if one.comparison.shown]
    not_shown = [one for one in told if not one.comparison.shown]
    many = f"{len(told)} others" if len(told) > 1 else "the other one"
    if shown:
        how = "all of them" if len(shown) == len(told) > 1 else _few(shown)
        yield (
            f"Compared pairwise on the same rows with {many}, {best.name} is shown to be better "
            f"than {how} (paired tests, 5 % after Holm's correction)."
        )
    if not_shown:
        names = _few([one.row.name for one in not_shown])
        needed = [one.comparison.needed for one in not_shown if one.comparison.needed]
        more = ""
        if needed:
            reach = min(low for low, _ in needed), max(high for _, high in needed)
            more = f"; about {format_needed(reach)} rows would be needed to see 2 points"
        start = "It is not shown" if shown else f"{best.name} is not shown"
        yield f"{start} to be better than {names}{more}."


def _few(names: Sequence[str], most: int = 4) -> str:
    left = len(names) - most
    return ", ".join(names[:most]) + (f" and {left} more" if left > 0 else "")
