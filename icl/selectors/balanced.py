"""Shots balanced over labels: one of each label in turn, in random order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from icl.core.errors import DataError
from icl.core.types import Example
from icl.selectors import Selector
from icl.selectors.random import Scope, check_scope, draw, make_generator, sort_by_id

__all__ = ["BalancedShots", "group_by_label"]


@dataclass
class BalancedShots(Selector):
    """One shot of each label (``targets[0]``) in turn, in seeded random order.

    Fewer shots than labels are all of different labels; the query itself takes no turn.
    """

    scope: Scope = "query"
    """``query``: a random order for each query; ``run``: one order for all queries."""
    _by_label: dict[str, list[int]] = field(default_factory=dict, init=False, repr=False)

    seeded = True
    scores_are = None

    @property
    def same_for_all(self) -> bool:
        """Return whether ``scope`` is ``run``."""
        return self.scope == "run"

    def __post_init__(self) -> None:
        check_scope(self.scope)

    def fit(self, pool: Sequence[Example]) -> None:
        """Store the pool, and group it by label.

        Raises:
            DataError: a pool row has no target.
        """
        self._by_label = group_by_label(pool)
        self.pool = pool

    def order(self, query: Example) -> Iterator[tuple[int, float | None]]:
        """Yield one row of each label in turn; a label that runs out is skipped."""
        numbers = make_generator(self.seed, self.scope, query)
        labels = list(self._by_label)
        shuffled = [labels[place] for place in draw(range(len(labels)), numbers)]
        is_apart = self.apart(query)
        rows = [filter(is_apart, draw(self._by_label[label], numbers)) for label in shuffled]
        while rows:
            left = []
            for of_label in rows:
                index = next(of_label, None)
                if index is not None:
                    yield index, None
                    left.append(of_label)
            rows = left


def group_by_label(pool: Sequence[Example]) -> dict[str, list[int]]:
    """Group the indices of a pool by label (sorted), each group in the order of ids.

    Raises:
        DataError: a pool row has no target.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for index in sort_by_id(pool):
        if not pool[index].targets:
            raise DataError(
                f"the pool row {pool[index].id!r} has no target, but balanced shots need a "
                "label in every row; give answer: in the pool's data, or select: random"
            )
        groups[pool[index].targets[0]].append(index)
    return dict(sorted(groups.items()))
