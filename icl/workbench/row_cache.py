"""A memory cache of data sets, so that going to another row reads no file again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from icl.core.types import Example
from icl.data import DataSpec, scan, take_between

__all__ = ["RowCache", "search", "summary"]


@dataclass
class RowCache:
    """The rows of the most recently read data sets."""

    most: int = 6
    """Number of data sets held."""
    _held: OrderedDict[str, tuple[Any, list[Example]]] = field(default_factory=OrderedDict)

    def read(self, spec: DataSpec) -> Iterable[Example]:
        """Yield the rows of :func:`icl.data.scan`, from memory if the file did not change."""
        whole = replace(spec, lines=None)
        key = repr(whole)
        stamp = _stamp(whole)
        known = self._held.get(key)
        if known is None or known[0] != stamp:
            self._held[key] = known = (stamp, list(scan(whole)))
        self._held.move_to_end(key)
        while len(self._held) > self.most:
            self._held.popitem(last=False)
        return take_between(known[1], spec)


def _stamp(spec: DataSpec) -> tuple[int, int] | None:
    """Return time of change and size of a file; None for a folder or pattern, which stay cached."""
    if not spec.path.is_file():
        return None
    state = spec.path.stat()
    return state.st_mtime_ns, state.st_size


def summary(example: Example, chars: int = 80) -> str:
    """Join the texts of a row's inputs on one line, cut to ``chars`` characters.

    >>> summary(Example("1", {"q": "What  is it?", "n": 3}))
    'What is it?'
    """
    texts = [value for value in example.inputs.values() if isinstance(value, str)]
    line = " ".join(" · ".join(texts).split())
    return line if len(line) <= chars else line[: chars - 1] + "…"


def search(rows: Sequence[Example], wanted: str, most: int = 50) -> list[tuple[int, Example]]:
    """Find the rows that contain all words, in any field and case; return (number from 1, row).

    >>> search([Example("a", {"q": "One"}), Example("b", {"q": "Two"})], "two")[0][0]
    2
    """
    words = wanted.casefold().split()
    found = []
    for number, row in enumerate(rows, 1):
        held = " ".join([row.id, *(str(value) for value in row.fields.values())]).casefold()
        if all(word in held for word in words):
            found.append((number, row))
            if len(found) == most:
                break
    return found
