"""Shots drawn at random, the same ones whatever the order of the pool, the limit or the batch."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from icl.core.errors import ConfigError
from icl.core.registry import did_you_mean
from icl.core.types import Example
from icl.selectors import Selector

__all__ = ["Random", "Scope", "draw", "make_generator", "sort_by_id"]


Scope = Literal["query", "run"]


@dataclass
class Random(Selector):
    """A seeded permutation of the pool, one for each query or one for the whole run.

    >>> pool = [Example(str(n), {"text": f"row {n}"}) for n in range(3)]
    >>> selector = Random(seed=1)
    >>> selector.fit(pool)
    >>> len(selector.select(Example("q", {"text": "query"}), k=2))
    2
    """

    scope: Scope = "query"
    """``query``: every query has its own draw; ``run``: one draw for all, as most papers do."""
    _by_id: Sequence[int] = field(default=(), init=False, repr=False)

    seeded = True
    scores_are = None

    @property
    def same_for_all(self) -> bool:
        """With ``scope: run``."""
        return self.scope == "run"

    def __post_init__(self) -> None:
        check_scope(self.scope)

    def fit(self, pool: Sequence[Example]) -> None:
        """Take the pool and sort it by id, so that its own order does not matter."""
        self.pool = pool
        self._by_id = sort_by_id(pool)

    def order(self, query: Example) -> Iterator[tuple[int, float | None]]:
        """Yield the pool in drawn order; the work is proportional to what is taken."""
        for index in draw(self._by_id, make_generator(self.seed, self.scope, query)):
            yield index, None


def check_scope(scope: str) -> None:
    """Raise ConfigError unless ``scope`` is one of :data:`Scope`."""
    if scope not in get_args(Scope):
        raise ConfigError(f"unknown scope {scope!r}{did_you_mean(scope, get_args(Scope))}")


def make_generator(seed: int, scope: Scope, query: Example) -> random.Random:
    """The random numbers of a query: from seed and query id, or from the seed alone."""
    return random.Random(f"{seed}:{query.id}" if scope == "query" else f"{seed}")


def sort_by_id(pool: Sequence[Example]) -> list[int]:
    """Indices of the pool sorted by id, and by meta where locales share ids."""
    keys = [(row.id, sorted(row.meta.items())) for row in pool]
    return sorted(range(len(pool)), key=keys.__getitem__)


def draw(indices: Sequence[int], numbers: random.Random) -> Iterator[int]:
    """Yield the indices without replacement, by a Fisher-Yates shuffle that keeps only swaps.

    Taking k of n costs O(k) time and memory, so a large pool is not shuffled for a few shots.
    """
    moved: dict[int, int] = {}
    for place in range(len(indices)):
        other = numbers.randrange(place, len(indices))
        yield indices[moved.get(other, other)]
        moved[other] = moved.pop(place, place)
