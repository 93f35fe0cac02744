"""The order in which selected shots are sent (Lu et al. 2022, arXiv 2104.08786)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import islice, permutations
from random import Random
from typing import Literal

from icl.core.registry import did_you_mean
from icl.core.types import Shot

__all__ = ["MOST_PERMUTED", "arrange_shots", "simplify_order", "expand_orders", "explain_misfit"]


ORDERS = ("selected", "reversed", "nearest_first", "nearest_last", "random", "permutations")
MOST_PERMUTED = 5
"""Most shots for all permutations: 5 have 120; 6 would have 720."""

_PERMUTATION = re.compile(r"p(0|[1-9][0-9]{0,8})")


def explain_misfit(order: str, k: int | None) -> str | None:
    """Return why ``k`` shots cannot be sent in this order; None if they can."""
    one = _PERMUTATION.fullmatch(order)
    if order not in ORDERS and not one:
        return f"unknown order {order!r}{did_you_mean(order, [*ORDERS, 'p0'])}"
    if order != "permutations" and not one:
        return None
    if k is None:
        return f"order: {order} needs k, the number of shots; {MOST_PERMUTED} at most"
    if k > MOST_PERMUTED:
        have = f"{math.factorial(k):,}" if k <= 12 else "far more"  # 4,000! has no end on a screen
        return (
            f"order: {order} takes {MOST_PERMUTED} shots at most (120 orders); {k} shots have "
            f"{have}; lower k, or name some, as order: [selected, reversed, random]"
        )
    count = math.factorial(k)
    if one and int(one[1]) >= count:
        return f"there is no order {order!r}: {k} shots have {count}, p0 to p{count - 1}"
    return None


def expand_orders(orders: Sequence[str], k: int | None) -> list[str]:
    """Expand orders one by one: ``permutations`` of k shots become ``p0``, ``p1`` …

    >>> expand_orders(["selected", "permutations"], 2)
    ['selected', 'p0', 'p1']
    """
    found: list[str] = []
    for order in orders:
        if order == "permutations":  # at most MOST_PERMUTED shots: see unfit
            found += [f"p{place}" for place in range(math.factorial(k or 0))]
        else:
            found.append(order)
    return list(dict.fromkeys(found))


def simplify_order(order: str, k: int | None, scores: Literal["falling", "mixed"] | None) -> str:
    """Return the simplest order with the same prompts, so that equal conditions run only once.

    Args:
        order: one of :func:`expand_orders`.
        k: shots per query; None if unknown.
        scores: how the selector's scores run along its order; None if it has none.

    >>> simplify_order("nearest_last", 8, "falling"), simplify_order("nearest_last", 8, None)
    ('reversed', 'selected')
    """
    if k is not None and k < 2:
        return "selected"
    if order.startswith("nearest") and scores is None:
        return "selected"
    if order.startswith("nearest") and scores == "falling":
        return "reversed" if order == "nearest_last" else "selected"
    if k is not None and k <= MOST_PERMUTED and order == f"p{math.factorial(k) - 1}":
        return "reversed"
    return "selected" if order == "p0" else order


def arrange_shots(shots: Sequence[Shot], order: str, k: int | None, numbers: Random) -> list[Shot]:
    """Arrange selected shots in the order in which they are sent.

    Permutation ``p7`` is the eighth in lexicographic order of the positions as selected. If a
    query has fewer shots than k, missing positions are skipped. Without scores the nearest
    are unknown, and the shots stay as selected; of equal scores the one selected first
    counts as nearer.

    >>> from icl.core.types import Example
    >>> three = [Shot(Example(name, {})) for name in "abc"]
    >>> [shot.example.id for shot in arrange_shots(three, "p3", 3, Random(0))]
    ['b', 'c', 'a']
    """
    placed = list(shots)
    if order == "reversed":
        return placed[::-1]
    if order == "random":
        numbers.shuffle(placed)
        return placed
    if order.startswith("nearest"):
        if any(shot.score is None for shot in placed):
            return placed
        placed.sort(key=lambda shot: -(shot.score or 0.0))
        return placed if order == "nearest_first" else placed[::-1]
    if (one := _PERMUTATION.fullmatch(order)) is None or k is None:
        return placed
    places = next(islice(permutations(range(k)), int(one[1]), None))
    return [placed[place] for place in places if place < len(placed)]
