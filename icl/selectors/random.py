"""Random shots, independent of the pool's order, the row limit and the batch size."""

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
    """A seeded random order of the pool, one for each query or one for the whole run.

    >>> pool = [Example(str(n), {"text": f"row {n}"}) for n in range(3)]
    >>> selector = Random(seed=1)
    >>> selector.fit(pool)
    >>> len(selector.select(Example("q", {"text": "query"}), k=2))
    2
    """

    scope: Scope = "query"
    """``query``: a random order for each query; ``run``: one for all, as in most papers."""
    _by_id: Sequence[int] = field(default=(), init=False, repr=False)

    seeded = True
    scores_are = None

    @property
    def same_for_all(self) -> bool:
        """Return whether ``scope`` is ``run``."""
        return self.scope == "run"

    def __post_init__(self) -> None:
        check_scope(self.scope)

    def fit(self, pool: Sequence[Example]) -> None:
        """Store the pool, sorted by id so that its own order has no effect."""
        self.pool = pool
        self._by_id = sort_by_id(pool)

    def order(self, query: Example) -> Iterator[tuple[int, float | None]]:
        """Yield the pool in random order; the work is proportional to the number of rows taken."""
        for index in draw(self._by_id, make_generator(self.seed, self.scope, query)):
            yield index, None


def check_scope(scope: str) -> None:
    """Raise ConfigError unless ``scope`` is one of :data:`Scope`."""
    if scope not in get_args(Scope):
        raise ConfigError(f"unknown scope {scope!r}{did_you_mean(scope, get_args(Scope))}")


def make_generator(seed: int, scope: Scope, query: Example) -> random.Random:
    """Create the random generator of a query, from the seed and, for scope ``query``, its id."""
    return random.Random(f"{seed}:{query.id}" if scope == "query" else f"{seed}")


def sort_by_id(pool: Sequence[Example]) -> list[int]:
    """Return the indices of the pool sorted by id, and by meta where locales share ids."""
    keys = [(row.id, sorted(row.meta.items())) for row in pool]
    return sorted(range(len(pool)), key=keys.__getitem__)


def draw(indices: Sequence[int], numbers: random.Random) -> Iterator[int]:
    """Yield the indices in random order, by a Fisher-Yates shuffle that stores only the swaps.

    Taking k of n costs O(k) time and memory, so a large pool is not shuffled for a few shots.
    """
    moved: dict[int, int] = {}
    for place in range(len(indices)):
        other = numbers.randrange(place, len(indices))
        yield indices[moved.get(other, other)]
        moved[other] = moved.pop(place, place)
