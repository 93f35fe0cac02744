"""The conversion of table rows to examples (split, ids, fields, gold), one row at a time."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain, islice
from typing import Any

from icl.core.errors import ConfigError, DataError
from icl.core.registry import did_you_mean
from icl.core.types import JSON, Example
from icl.data.spec import DataSpec, Expressions, fill_placeholders, is_expression

__all__ = [
    "Digests",
    "IDS",
    "Row",
    "RowTable",
    "SPLITS",
    "find_wanted_columns",
    "read_column",
    "read_examples",
]


IDS, SPLITS = ("id",), ("split", "partition")
"""Usual names of the columns of ids and of splits."""
_INDEX = ("Unnamed: 0", "__index_level_0__")
"""Column name under which pandas stores row numbers without a name."""
ROW = "row"
"""``id: row`` takes row numbers; in expressions, the whole row. A column of this name wins."""
BATCH_ROWS = 256
"""Rows whose expressions are evaluated at a time."""

Row = tuple[str, dict[str, Any]]
"""The row's place (``file:line``), and column -> value."""


class Digests:
    """64-bit hashes of texts in the order added: a set of many millions at 8 bytes each.

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
        """Yield positions (first, next) of repeated hashes, the earliest repetition first.

        Different texts with equal hashes are possible, but as rare as 1 in 10**6 for 10**7 texts.
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
    """Whether an empty answer means no answer, as in CSV."""
    split_is_chosen: bool = False
    """Whether the rows are already limited to the spec's split."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Properties of all rows, inferred from the first one."""

    id: str | None
    split: str | None
    hidden: frozenset[str | None]
    """Columns that do not become fields when all columns are taken."""
    empty_is_none: bool
    fields: Mapping[str, str]
    """Those of the spec with their placeholders filled."""
    answer: str | None
    """Column or expression of the right answer."""
    read: frozenset[str]
    """Columns that an expression for the answer reads."""
    reads_all: bool
    """Whether no column can be named that the answer does not come from."""
    expressions: tuple[str, ...]
    """Those of fields and answer, each once."""


def read_examples(table: RowTable, spec: DataSpec) -> Iterator[Example]:
    """Yield the rows of the spec's split as examples; row numbers count all rows of the table.

    Raises:
        DataError: a missing column or split, a wrong id or answer, an id that occurs twice, an
            expression that fails, a row that the spec's ``check`` refuses; with the place of the
            row.
    """
    rows = table.rows()
    first = next(rows, None)
    if first is None:
        return
    layout = _layout(first[1], table, spec)
    meta = {name: getattr(spec, name) for name in ("locale", "source", "target", "split")}
    known = {name: value for name, value in meta.items() if value is not None}
    ids = Digests()
    chosen = _chosen(chain([first], rows), table, spec, layout)
    for identity, where, row, values in _evaluated(chosen, table, spec, layout):
        if layout.id is not None:
            ids.add(identity)
        split = row.get(layout.split) if layout.split else None
        own = known | {"split": split} if isinstance(split, str) else known
        fields, targets, gold = _parts(row, where, spec, layout, values)
        example = Example(identity, fields, targets, own, gold)
        if spec.check is not None:
            spec.check(where, example)
        yield example
    for pair in ids.doubled():
        again = _chosen(table.rows(), table, spec, layout)
        _tell_doubled(
            pair,
            ((identity, where, row) for identity, where, row, _ in _kept(again, table, spec)),
        )


def _layout(row: Mapping[str, Any], table: RowTable, spec: DataSpec) -> _Layout:
    identity = spec.id or ("id" if "id" in row else None)
    numbered = identity == ROW and ROW not in row
    split = next((name for name in SPLITS if name in row), None)
    chosen = table.split_is_chosen or "{split}" in str(spec.path)
    hidden = frozenset({identity, split, *_INDEX, *(["id"] if numbered else [])})
    fields = {
        name: source
        if is_expression(source)
        else fill_placeholders(source, spec, f"{table.place}: fields: {name}: {source!r}")
        for name, source in spec.fields.items()
    }
    answer = spec.answer
    if answer is not None and not is_expression(answer):
        answer = fill_placeholders(answer, spec, f"{table.place}: answer: {answer!r}")
        answer = fields.get(answer, answer)
    written = [one for one in (*fields.values(), answer) if is_expression(one)]
    read: frozenset[str] = frozenset()
    if answer is not None and is_expression(answer):
        (read,) = _evaluator(spec).find_columns([answer])
    return _Layout(
        None if numbered else identity,
        None if chosen else split,
        hidden,
        table.empty_is_none,
        fields,
        answer,
        read | ({ROW} if ROW in row and read else set()),
        ROW in read and ROW not in row,
        tuple(dict.fromkeys(one for one in written if one is not None)),
    )


def _evaluator(spec: DataSpec) -> Expressions:
    if spec.expressions is None:
        raise ConfigError(
            f"{spec.path}: a data spec with expressions in {{{{ }}}} needs something that "
            "evaluates them: DataSpec(…, expressions=icl.RowExpressions()); an experiment file "
            "brings it along"
        )
    return spec.expressions


Chosen = tuple[str, str, dict[str, Any]]
"""Id, place and columns of a row of the split."""
Evaluated = tuple[str, str, dict[str, Any], Mapping[str, JSON]]
"""The same with the values of the expressions."""


def _evaluated(
    chosen: Iterator[Chosen], table: RowTable, spec: DataSpec, layout: _Layout
) -> Iterator[Evaluated]:
    """Yield the rows that ``where`` keeps, with the values of the layout's expressions.

    A note counts the rows that ``where`` left out.
    """
    kept = _kept(chosen, table, spec)
    if not layout.expressions:
        yield from kept
        return
    while batch := list(islice(kept, BATCH_ROWS)):
        values = _evaluator(spec).evaluate(
            layout.expressions, [(where, row) for _, where, row, _ in batch]
        )
        for (identity, where, row, _), found in zip(batch, values, strict=True):
            yield identity, where, row, dict(zip(layout.expressions, found, strict=True))


def _kept(chosen: Iterator[Chosen], table: RowTable, spec: DataSpec) -> Iterator[Evaluated]:
    total = left_out = 0
    if spec.where is None:
        yield from ((identity, where, row, {}) for identity, where, row in chosen)
        return
    while batch := list(islice(chosen, BATCH_ROWS)):
        truths = find_kept(spec, [(where, row) for _, where, row in batch])
        total, left_out = total + len(batch), left_out + truths.count(False)
        for (identity, where, row), kept in zip(batch, truths, strict=True):
            if kept:
                yield identity, where, row, {}
    tell_left_out(spec, table.place, left_out, total)


def find_kept(spec: DataSpec, rows: Sequence[tuple[str, Mapping[str, JSON]]]) -> list[bool]:
    """Return for each row (its place, column -> value) whether ``where`` keeps it.

    Raises:
        DataError: the column it names holds something else than true, false and null.
    """
    assert spec.where is not None
    if is_expression(spec.where):
        return [bool(value) for (value,) in _evaluator(spec).evaluate([spec.where], rows)]
    truths = []
    for place, row in rows:
        if not {spec.where, spec.where.partition(".")[0]} & row.keys():
            raise DataError(
                f"{place}: where: no column {spec.where!r}{did_you_mean(spec.where, row)}; an "
                "expression is written in {{ }}"
            )
        value = read_column(row, spec.where, place)
        if not isinstance(value, bool | None):
            raise DataError(
                f"{place}: where: the column {spec.where!r} holds {value!r}, and a column of true "
                f"and false is needed; or write what it must be, as in "
                f'`where: "{{{{ {spec.where} == {value!r} }}}}"`'
            )
        truths.append(bool(value))
    return truths


def tell_left_out(spec: DataSpec, place: str, left_out: int, total: int) -> None:
    """Note how many rows ``where`` left out.

    Raises:
        DataError: none is left.
    """
    if total and left_out == total:
        raise DataError(f"{place}: where: {spec.where} keeps none of {total} rows; correct it")
    if left_out:
        spec.note(f"{place}: {left_out} of {total} rows are left out by where: {spec.where}")


def _tell_doubled(pair: tuple[int, int], chosen: Iterator[Chosen]) -> None:
    """Raise an error for an id that two rows share; read both again, as only hashes are stored."""
    (first, before), (second, where) = (
        (identity, place) for n, (identity, place, _) in enumerate(chosen) if n in pair
    )
    if first == second:
        line = before.rpartition(":")[2]
        at = f"line {line}" if line.isdecimal() else before
        raise DataError(
            f"{where}: the id {first!r} is also on {at}; write `id: row` in the data to number "
            "the rows instead"
        )


def _chosen(
    rows: Iterator[Row], table: RowTable, spec: DataSpec, layout: _Layout
) -> Iterator[Chosen]:
    """Yield (id, where, row) of the rows of the spec's split."""
    filtered = spec.split is not None and not (table.split_is_chosen or "{split}" in str(spec.path))
    if filtered and layout.split is None:
        raise DataError(
            f"{table.place}: split {spec.split!r} is requested, but there is no column 'split' or "
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
    """List the columns that a spec with ``fields`` reads, so that others are skipped; None for all.

    Raises:
        DataError: a column does not exist.
    """
    if not spec.fields:
        return None
    there = list(names)
    sources = [*spec.fields.values(), *filter(None, [spec.answer, spec.where])]
    written = [source for source in sources if is_expression(source)]
    read = frozenset[str]().union(*_evaluator(spec).find_columns(written)) if written else set()
    if ROW in read and ROW not in there:
        return None
    asked = [source for source in (*spec.fields.values(), *filter(None, [spec.where]))]
    if spec.id is not None and (spec.id != ROW or ROW in there):
        asked.append(spec.id)
    if spec.answer is not None:
        asked.append(spec.fields.get(spec.answer, spec.answer))
    asked = [
        fill_placeholders(source, spec, f"{place}: the column {source!r}")
        for source in asked
        if not is_expression(source)
    ]
    roots = [name if name in there else name.partition(".")[0] for name in asked]
    for name, root in zip(asked, roots, strict=True):
        if root not in there:
            raise DataError(f"{place}: no column {name!r}{did_you_mean(name, there)}")
    kept = {*roots, *read, *SPLITS, *(() if spec.id else ("id",))}
    return [name for name in there if name in kept]


def read_column(row: Mapping[str, Any], name: str, where: str) -> Any:
    """Return the value of a column, or of ``column.key`` inside its objects.

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
    row: dict[str, Any],
    where: str,
    spec: DataSpec,
    layout: _Layout,
    values: Mapping[str, JSON],
) -> tuple[dict[str, Any], tuple[str, ...], tuple[str, ...]]:
    """Split a row into fields, targets and gold; the answer's column is always a field."""
    columns = dict(layout.fields) or {name: name for name in row if name not in layout.hidden}
    gold: list[str] = []
    targets: tuple[str, ...] = ()
    turns: list[JSON] | None = None
    answer = layout.answer
    if answer is not None:
        value = values[answer] if answer in values else read_column(row, answer, where)
        if isinstance(value, list) and is_chat(value):
            turns, targets = _split_turns(value, answer, where)
        elif not (layout.empty_is_none and value == ""):
            targets = _targets(value, answer, where)
        if answer not in values and answer not in columns.values():
            columns[answer] = answer
        gold = _gold(columns, answer, layout)
    unknown = next((name for name in spec.gold if name not in columns), None)
    if unknown is not None:
        raise DataError(f"{where}: gold names no field {unknown!r}{did_you_mean(unknown, columns)}")
    fields = {
        name: values[source] if source in values else read_column(row, source, where)
        for name, source in columns.items()
    }
    if turns is not None:  # what was said before the answer gives nothing away
        held = [name for name, source in columns.items() if source == answer]
        fields |= dict.fromkeys(held, turns)
        gold = [name for name in gold if name not in held]
    return fields, targets, tuple(dict.fromkeys([*gold, *spec.gold]))


def _gold(columns: Mapping[str, str], answer: str, layout: _Layout) -> list[str]:
    """List fields that give the answer away: its column, or those that its expression reads."""
    if not is_expression(answer):
        roots = {answer, answer.partition(".")[0]}
        return [name for name, source in columns.items() if source in roots]
    return [
        name
        for name, source in columns.items()
        if source == answer
        or (
            not is_expression(source)
            and (layout.reads_all or {source, source.partition(".")[0]} & layout.read)
        )
    ]


def is_chat(values: list[Any]) -> bool:
    """Return whether the values are chat turns: objects with ``role`` and ``content``."""
    return len(values) > 0 and all(
        isinstance(turn, dict) and {"role", "content"} <= turn.keys() for turn in values
    )


def _split_turns(turns: list[Any], name: str, where: str) -> tuple[list[JSON], tuple[str, ...]]:
    """Split turns into those before the assistant's last one, and that one's text.

    Without a turn of the assistant there is no answer.
    """
    places = [n for n, turn in enumerate(turns) if turn["role"] == "assistant"]
    if not places:
        return turns, ()
    content = turns[places[-1]]["content"]
    if isinstance(content, list):  # the parts that servers write
        texts = [part.get("text") if isinstance(part, dict) else part for part in content]
        written = [text for text in texts if isinstance(text, str)]
        content = "".join(written) if len(written) == len(texts) else content
    if not isinstance(content, str):
        raise DataError(
            f"{where}: the last turn of the assistant in {name!r} is {content!r}; a text is needed"
        )
    return turns[: places[-1]], (content,)


def _targets(value: Any, name: str, where: str) -> tuple[str, ...]:
    """Convert an answer to strings, numbers as JSON writes them; null or an empty list is none."""
    values = value if isinstance(value, list) else [] if value is None else [value]
    for one in values:
        if one is None or isinstance(one, list | dict):
            raise DataError(
                f"{where}: the answer in {name!r} is {one!r}; "
                "a string, a number, true, false or a list of them is needed"
            )
    return tuple(one if isinstance(one, str) else json.dumps(one) for one in values)
