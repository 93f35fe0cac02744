"""The base class of selectors, which choose the shots of a query from the pool.

A subclass orders the pool by usefulness; the base class skips the query itself and takes the first
k rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from icl.core.types import JSON, Example, Shot

__all__ = ["Selector"]


if TYPE_CHECKING:
    from icl.selectors.vectors import Vectors, VectorSource


@dataclass
class Selector(ABC):
    """Base of all selectors; the dataclass fields of a subclass are its options in YAML."""

    seed: int = 0
    """Random seed; used only by selectors with ``seeded = True``."""
    pool: Sequence[Example] = field(default=(), init=False, repr=False)
    parallel: bool = field(default=False, init=False, repr=False)
    """Whether a shot may be the query's translation: the same id in another locale."""
    _near: Any = field(default=None, init=False, repr=False, compare=False)
    """The similarity selector that this one is built on, if any."""
    _contents: tuple[Any, dict[int, str]] = field(
        default=((), {}), init=False, repr=False, compare=False
    )

    seeded: ClassVar[bool] = False
    """Whether the seed changes the selection; otherwise it is left out of the fingerprint."""
    scores_are: ClassVar[Literal["falling", "mixed"] | None] = "mixed"
    """Course of the scores along the order: ``falling``, ``mixed`` (any), or None: no scores."""

    @property
    def same_for_all(self) -> bool:
        """Return whether all queries have the same shots, so that their prompts begin alike."""
        return False

    @property
    def asks(self) -> VectorSource | None:
        """Return the source of the vectors to compare; None if the selector needs none."""
        asked: VectorSource | None = self._near.asks if self._near is not None else None
        return asked

    def bind(self, vectors: Vectors) -> None:
        """Set the embedding function requested by :attr:`asks`; call it before :meth:`fit`."""
        assert self._near is not None, "only what asks for vectors is given them"
        self._near.bind(vectors)

    def expect(self, queries: Sequence[Example]) -> None:
        """Announce the queries that will follow, so that they can be embedded together."""
        if self._near is not None:
            self._near.expect(queries)

    def fit(self, pool: Sequence[Example]) -> None:
        """Store the pool, and build an index if the selector needs one."""
        self.pool = pool

    @abstractmethod
    def order(self, query: Example) -> Iterator[tuple[int, float | None]]:
        """Yield (index into the pool, retrieval score or None), best first, no index twice."""

    def apart(self, query: Example) -> Callable[[int], bool]:
        """Return a test whether a pool row differs from the query in both id and content."""
        content, locale = query.content, query.meta.get("locale")
        if self._contents[0] is not self.pool:
            self._contents = (self.pool, {})
        known = self._contents[1]

        def is_apart(index: int) -> bool:
            row = self.pool[index]
            if row.id == query.id and not (self.parallel and row.meta.get("locale") != locale):
                return False
            if index not in known:
                known[index] = row.content
            return known[index] != content

        return is_apart

    def select(self, query: Example, k: int) -> list[Shot]:
        """Select the first ``k`` shots of :meth:`order` that differ from the query.

        A row with the query's id or the query's content is skipped.
        """
        shots: list[Shot] = []
        if k <= 0:
            return shots
        is_apart = self.apart(query)
        for index, score in self.order(query):
            if not is_apart(index):
                continue
            shots.append(Shot(self.pool[index], score))
            if len(shots) == k:
                break
        return shots

    def identity(self) -> dict[str, JSON]:
        """Return the options that change the shots; part of the condition's fingerprint."""
        inert = {"pool"} if self.seeded else {"pool", "seed"}
        options = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        return {name: value for name, value in options.items() if name not in inert}
