"""Seeded samples in bounded memory, pools without test rows, and the hash of data."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from icl.core.errors import ConfigError
from icl.core.types import Example, canonicalize
from icl.data.rows import Digests

__all__ = ["RowSample", "RowHashes", "keep_apart", "hash_data", "draw", "sample"]


@dataclass(slots=True)
class RowHashes:
    """Hashes of all test rows, 16 bytes each, by which a pool recognizes them."""

    ids: Digests = field(default_factory=Digests)
    contents: Digests = field(default_factory=Digests)
    labels: set[str] = field(default_factory=set)
    """Different first answers, if collected: see :func:`draw`."""

    def add(self, example: Example) -> None:
        """Add one test row."""
        self.ids.add(example.id)
        self.contents.add(example.content)

    def has(self, example: Example, same_source: bool) -> bool:
        """Return whether a pool row is a test row, by content or, from the same source, by id."""
        return (same_source and example.id in self.ids) or example.content in self.contents

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class RowSample:
    """A sample of rows, with the number and hashes of all rows that it was drawn from."""

    examples: list[Example]
    available: int
    seen: RowHashes


def draw(examples: Iterable[Example], n: int | None, seed: int, labels: bool = True) -> RowSample:
    """Sample ``n`` rows as :func:`sample` does, from rows that need not fit into memory.

    Held are the sample and 16 bytes a row; with ``labels`` the different answers too.

    >>> drawn = draw((Example(str(i), {"t": str(i)}) for i in range(10_000)), 3, seed=0)
    >>> [row.id for row in drawn.examples], drawn.available
    (['9977', '4506', '9079'], 10000)
    """
    seen = RowHashes()

    def passing() -> Iterator[Example]:
        for example in examples:
            seen.add(example)
            if labels:
                seen.labels.update(example.targets)
            yield example

    rows = sample(passing(), n, seed)
    return RowSample(rows, len(seen), seen)


def sample(examples: Iterable[Example], n: int | None, seed: int) -> list[Example]:
    """Return the first ``n`` examples in the order of SHA-256 over ``seed:id``; None takes all.

    The order depends only on ids, so parallel rows are sampled together in every locale, and a
    larger ``n`` only adds rows. If there are fewer than ``n``, all are returned. At most ``n``
    are in memory at a time.

    Raises:
        ConfigError: ``n`` is negative.
    """
    if n is not None and n < 0:
        raise ConfigError(f"n is {n}; give the number of rows to draw, or leave it out for all")

    def place(example: Example) -> bytes:
        return hashlib.sha256(f"{seed}:{example.id}".encode("utf-8", "surrogatepass")).digest()

    if n is None:
        return sorted(examples, key=place)
    return heapq.nsmallest(max(n, 1), examples, key=place)[:n]  # for 0 it would read nothing


def keep_apart(
    pool: Iterable[Example],
    test: Iterable[Example] | RowHashes,
    same_source: bool = True,
    n: int | None = None,
    seed: int = 0,
) -> tuple[list[Example], int]:
    """Return the pool without test rows, and the number of rows left out.

    A row is left out if its inputs are those of a test row, case and white space folded, or, if
    both come from the same data set (``same_source``), if it has the id of one. Equal
    rows inside the pool stay. With ``n`` the pool is a sample of the rest, in its order.
    """
    seen = test if isinstance(test, RowHashes) else RowHashes()
    if not isinstance(test, RowHashes):
        for example in test:
            seen.add(example)
    left_out = 0

    def staying() -> Iterator[Example]:
        nonlocal left_out
        for row in pool:
            if seen.has(row, same_source):
                left_out += 1
            else:
                yield row

    kept = list(staying()) if n is None else sample(staying(), n, seed)
    return kept, left_out


def hash_data(examples: Iterable[Example]) -> str:
    """Hash the examples in their order: SHA-256 over id, fields and targets, 64 hex digits."""
    total = hashlib.sha256(b"[")
    for number, row in enumerate(examples):
        text = canonicalize([row.id, dict(row.fields), list(row.targets)])
        total.update((b"," if number else b"") + text.encode("utf-8", "surrogatepass"))
    total.update(b"]")
    return total.hexdigest()
