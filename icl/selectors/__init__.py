"""How shots are chosen: a selector orders the pool for a query, the first k are sent.

A selector orders; leaving out the query itself and cutting at k is done here, once.
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
    """Used only by selectors with ``seeded = True``."""
    pool: Sequence[Example] = field(default=(), init=False, repr=False)
    parallel: bool = field(default=False, init=False, repr=False)
    """Whether a shot may be the query in another locale: its id, but not its locale."""
    _near: Any = field(default=None, init=False, repr=False, compare=False)
    """The selector whose likeness this one goes by, if there is one."""
    _contents: tuple[Any, dict[int, str]] = field(
        default=((), {}), init=False, repr=False, compare=False
    )

    seeded: ClassVar[bool] = False
    """Whether the seed changes what is selected; inert seeds leave the fingerprint."""
    scores_are: ClassVar[Literal["falling", "mixed"] | None] = "mixed"
    """What is known of the scores along the order; None: there are none."""

    @property
    def same_for_all(self) -> bool:
        """Whether all queries get the same shots, so that prompts begin alike."""
        return False

    @property
    def asks(self) -> VectorSource | None:
        """Whose vectors are compared; None where no vectors are needed."""
        asked: VectorSource | None = self._near.asks if self._near is not None else None
        return asked

    def bind(self, vectors: Vectors) -> None:
        """Take the vectors that :attr:`asks` names, before :meth:`fit`."""
        assert self._near is not None, "only what asks for vectors is given them"
        self._near.bind(vectors)

    def expect(self, queries: Sequence[Example]) -> None:
        """Hear which queries will come, so that they can be prepared together."""
        if self._near is not None:
            self._near.expect(queries)

    def fit(self, pool: Sequence[Example]) -> None:
        """Take the pool, and build an index where one is needed."""
        self.pool = pool

    @abstractmethod
    def order(self, query: Example) -> Iterator[tuple[int, float | None]]:
        """Yield (index into the pool, retrieval score or None), best first, no index twice."""

    def apart(self, query: Example) -> Callable[[int], bool]:
        """Whether a pool row is another one than the query: by id and by content."""
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
        """The first ``k`` of :meth:`order` that are not the query, by id and by content."""
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
        """What of the options changes the shots; goes into the condition's fingerprint."""
        inert = {"pool"} if self.seeded else {"pool", "seed"}
        options = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        return {name: value for name, value in options.items() if name not in inert}
