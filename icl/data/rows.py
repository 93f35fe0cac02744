"""Rows of a table -> examples: split, ids, fields, gold; one row in memory at a time."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from typing import Any

from icl.core.errors import DataError
from icl.core.registry import did_you_mean
from icl.core.types import Example
from icl.data.spec import DataSpec

__all__ = ["Digests", "Row", "RowTable", "read_column", "read_examples", "find_wanted_columns"]


_SPLITS = ("split", "partition")

Row = tuple[str, dict[str, Any]]
"""Where the row stands (``file:line``), and column -> value."""


class Digests:
    """64-bit hashes of texts in the order added: a set of many millions in 8 bytes each.

    >>> seen = Digests(["a", "b", "a"])
    >>> "b" in seen, "c" in seen, list(seen.doubled())
    (True, False, [(0, 2)])
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._hashes = array("Q")
        self._sorted: Any = None
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """Add one text."""
        self._hashes.append(_hash(text))
        self._sorted = None

    def __len__(self) -> int:
        return len(self._hashes)

    def __contains__(self, text: str) -> bool:
        import numpy as np

        if not self._hashes:
            return False
        if self._sorted is None:
            self._sorted = np.sort(np.frombuffer(self._hashes, dtype=np.uint64))
        value = np.uint64(_hash(text))
        place = int(np.searchsorted(self._sorted, value))
        return place < len(self._sorted) and bool(self._sorted[place] == value)

    def doubled(self) -> Iterator[tuple[int, int]]:
        """Positions (first, next) of hashes that stand twice, the earliest repetition first.

        Equal hashes of different texts are as rare as 1 in 10**6 for 10**7 texts, but possible.
        """
        import numpy as np

        hashes = np.frombuffer(self._hashes, dtype=np.uint64)
        order = np.argsort(hashes, kind="stable")
        same = np.flatnonzero(hashes[order[1:]] == hashes[order[:-1]])
        pairs = sorted((int(order[n + 1]), int(order[n])) for n in same)
        yield from ((first, second) for second, first in pairs)


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())


@dataclass(frozen=True, slots=True)
class RowTable:
    """A table that can be read from its beginning as often as needed."""

    place: str
    """The file, for messages about the table as a whole."""
    rows: Callable[[], Iterator[Row]]
    empty_is_none: bool = False
    """Whether an empty answer is none, as in CSV."""
    split_is_chosen: bool = False
    """Whether these rows are those of the split already."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the first row tells of all."""

    id: str | None
    split: str | None
    hidden: frozenset[str | None]
    """Columns that are no fields where all are taken."""
    empty_is_none: bool


def read_examples(table: RowTable, spec: DataSpec) -> Iterator[Example]:
    """Yield the rows of the spec's split as examples; row numbers count all rows of the table.

    Raises:
        DataError: a missing column or split, a wrong id or answer, an id that stands twice; with
            the place of the row.
    """
    rows = table.rows()
    first = next(rows, None)
    if first is None:
        return
    layout = _layout(first[1], table, spec)
    meta = {name: getattr(spec, name) for name in ("locale", "source", "target", "split")}
    known = {name: value for name, value in meta.items() if value is not None}
    ids = Digests()
    for identity, where, row in _chosen(chain([first], rows), table, spec, layout):
        if layout.id is not None:
            ids.add(identity)
        split = row.get(layout.split) if layout.split else None
        own = known | {"split": split} if isinstance(split, str) else known
        fields, targets, gold = _parts(row, where, spec, layout)
        yield Example(identity, fields, targets, own, gold)
    for pair in ids.doubled():
        _tell_doubled(pair, _chosen(table.rows(), table, spec, layout))


def _layout(row: Mapping[str, Any], table: RowTable, spec: DataSpec) -> _Layout:
    identity = spec.id or ("id" if "id" in row else None)
    split = next((name for name in _SPLITS if name in row), None)
    chosen = table.split_is_chosen or "{split}" in str(spec.path)
    hidden = frozenset({identity, split})
    return _Layout(identity, None if chosen else split, hidden, table.empty_is_none)


def _tell_doubled(pair: tuple[int, int], chosen: Iterator[tuple[str, str, Any]]) -> None:
    """Read the ids of two rows again, since only their hashes were kept; tell where they stand."""
    (first, before), (second, where) = (
        (identity, place) for n, (identity, place, _) in enumerate(chosen) if n in pair
    )
    if first == second:
        line = before.rpartition(":")[2]
        at = f"line {line}" if line.isdecimal() else before
        raise DataError(f"{where}: the id {first!r} stands on {at} too")


def _chosen(
    rows: Iterator[Row], table: RowTable, spec: DataSpec, layout: _Layout
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (id, where, row) of the rows of the spec's split."""
    filtered = spec.split is not None and not (table.split_is_chosen or "{split}" in str(spec.path))
    if filtered and layout.split is None:
        raise DataError(
            f"{table.place}: split {spec.split!r} is asked for, but there is no column 'split' or "
            "'partition'; leave out split:, or write {split} in the path, or give lines:"
        )
    splits: set[str] = set()
    for number, (where, row) in enumerate(rows):
        if filtered and layout.split is not None:
            own = read_column(row, layout.split, where)
            splits.add(str(own))
            if own != spec.split:
                continue
        text = str(number) if layout.id is None else _id(row, layout.id, where)
        yield spec.identity(text), where, row
    if filtered and spec.split not in splits:
        known = did_you_mean(str(spec.split), splits)
        raise DataError(f"{table.place}: no split {spec.split!r}{known}")


def find_wanted_columns(spec: DataSpec, names: Iterable[str], place: str) -> list[str] | None:
    """The columns that a spec with ``fields`` reads, so that no other need be; None for all.

    Raises:
        DataError: a column that is not there.
    """
    if not spec.fields:
        return None
    there = list(names)
    asked = [*spec.fields.values(), *filter(None, [spec.id])]
    if spec.answer is not None:
        asked.append(spec.fields.get(spec.answer, spec.answer))
    roots = [name if name in there else name.partition(".")[0] for name in asked]
    for name, root in zip(asked, roots, strict=True):
        if root not in there:
            raise DataError(f"{place}: no column {name!r}{did_you_mean(name, there)}")
    kept = {*roots, *_SPLITS, *(() if spec.id else ("id",))}
    return [name for name in there if name in kept]


def read_column(row: Mapping[str, Any], name: str, where: str) -> Any:
    """The value of a column, or of ``column.key`` inside its objects.

    Raises:
        DataError: no such column or key.
    """
    if name in row:
        return row[name]
    value: Any = row
    for part in name.split("."):
        if not isinstance(value, dict) or part not in value:
            inside = isinstance(value, dict) and value is not row
            known = did_you_mean(part, value) if inside else did_you_mean(name, row)
            raise DataError(f"{where}: no column {name!r}{known}")
        value = value[part]
    return value


def _id(row: Mapping[str, Any], name: str, where: str) -> str:
    value = read_column(row, name, where)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise DataError(f"{where}: the id {value!r} is neither a string nor a whole number")
    return str(value)


def _parts(
    row: dict[str, Any], where: str, spec: DataSpec, layout: _Layout
) -> tuple[dict[str, Any], tuple[str, ...], tuple[str, ...]]:
    """Fields, targets and gold; the answer's column is always a field, for the target half."""
    columns = dict(spec.fields) or {name: name for name in row if name not in layout.hidden}
    gold: list[str] = []
    targets: tuple[str, ...] = ()
    if spec.answer is not None:
        answer = columns.get(spec.answer, spec.answer)
        value = read_column(row, answer, where)
        targets = () if layout.empty_is_none and value == "" else _targets(value, answer, where)
        if answer not in columns.values():
            columns[answer] = answer
        root = answer.partition(".")[0]
        gold = [name for name, source in columns.items() if source in (answer, root)]
    unknown = next((name for name in spec.gold if name not in columns), None)
    if unknown is not None:
        raise DataError(f"{where}: gold names no field {unknown!r}{did_you_mean(unknown, columns)}")
    fields = {name: read_column(row, source, where) for name, source in columns.items()}
    return fields, targets, tuple(dict.fromkeys([*gold, *spec.gold]))


def _targets(value: Any, name: str, where: str) -> tuple[str, ...]:
    """Right answers as strings: numbers as JSON writes them, null and an empty list are none."""
    values = value if isinstance(value, list) else [] if value is None else [value]
    for one in values:
        if one is None or isinstance(one, list | dict):
            raise DataError(
                f"{where}: the answer in {name!r} is {one!r}; "
                "a string, a number, true, false or a list of them is needed"
            )
    return tuple(one if isinstance(one, str) else json.dumps(one) for one in values)
