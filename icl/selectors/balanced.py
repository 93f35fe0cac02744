"""Shots balanced over labels: one of each label in turn, labels and rows in seeded order."""

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
    """Round robin over the labels (``targets[0]``); a label that runs out is passed over.

    Fewer shots than labels are all of different labels; the query itself takes no turn.
    """

    scope: Scope = "query"
    """``query``: every query has its own draw; ``run``: one draw for all."""
    _by_label: dict[str, list[int]] = field(default_factory=dict, init=False, repr=False)

    seeded = True
    scores_are = None

    @property
    def same_for_all(self) -> bool:
        """With ``scope: run``."""
        return self.scope == "run"

    def __post_init__(self) -> None:
        check_scope(self.scope)

    def fit(self, pool: Sequence[Example]) -> None:
        """Take the pool and sort it by label and id.

        Raises:
            DataError: a pool row has no target.
        """
        self._by_label = group_by_label(pool)
        self.pool = pool

    def order(self, query: Example) -> Iterator[tuple[int, float | None]]:
        """Yield one row of each label in turn until the pool is used up."""
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
    """Label -> indices of its rows in the order of their ids; labels sorted.

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
