"""Successive halving: many candidates on few rows, then the better ones on more.

Sources: Jamieson and Talwalkar 2016, Non-stochastic best arm identification and hyperparameter
optimization (https://arxiv.org/abs/1502.07943); rungs that grow by ``eta`` as in Hyperband, Li et
al. 2018 (https://jmlr.org/papers/v18/16-558.html). The rows of a rung are the first of the next
one's, so that an answer is never computed twice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["LEAST", "Rung", "pick_best", "price_rungs", "find_largest", "plan_rungs"]


LEAST = 4
"""Fewest rows of the first rung; with fewer, chance would decide."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of the schedule: a number of candidates on a number of rows."""

    candidates: int
    rows: int


def plan_rungs(candidates: int, rows: int, eta: int = 3) -> list[Rung]:
    """Plan the schedule whose last rung has ``rows`` rows and picks one candidate.

    >>> plan_rungs(8, 100)
    [Rung(candidates=8, rows=34), Rung(candidates=3, rows=100)]
    """
    sizes = [candidates]
    while sizes[-1] > eta:
        sizes.append(math.ceil(sizes[-1] / eta))
    last = len(sizes) - 1
    least = min(LEAST, rows)
    return [
        Rung(size, max(least, math.ceil(rows / eta ** (last - place))))
        for place, size in enumerate(sizes)
    ]


def price_rungs(schedule: Sequence[Rung], a_row: Sequence[float]) -> list[float]:
    """Compute the highest cost of each rung, if the most expensive candidates survive.

    Args:
        schedule: from :func:`plan_rungs`.
        a_row: the cost of a row, for each candidate.

    Returns:
        A cost for each rung, in the unit of ``a_row``.

    >>> price_rungs(plan_rungs(4, 9), [1, 1, 1, 2])
    [20.0, 15.0]
    """
    dearest = sorted(a_row, reverse=True)
    before = [0, *(rung.rows for rung in schedule)]
    return [
        float(sum(dearest[: rung.candidates]) * (rung.rows - asked))
        for rung, asked in zip(schedule, before, strict=False)
    ]


def find_largest(a_row: Sequence[float], rows: int, eta: int, budget: float) -> int | None:
    """Find the most rows, up to ``rows``, whose schedule costs at most ``budget``.

    Returns None if even the shortest schedule costs more.
    """
    low, high = min(LEAST, rows), rows
    if sum(price_rungs(plan_rungs(len(a_row), low, eta), a_row)) > budget:
        return None
    while low < high:
        middle = (low + high + 1) // 2
        if sum(price_rungs(plan_rungs(len(a_row), middle, eta), a_row)) <= budget:
            low = middle
        else:
            high = middle - 1
    return low


def pick_best(values: Mapping[int, float | None], keep: int, sign: int = 1) -> list[int]:
    """Return the ``keep`` best candidates, best first; ties by number, undefined values last.

    >>> pick_best({0: -1.5, 1: None, 2: -0.5, 3: -0.5}, 2)
    [2, 3]
    """

    def place(number: int) -> tuple[float, int]:
        value = values[number]
        return (math.inf if value is None else -sign * value), number

    return sorted(values, key=place)[:keep]
