"""Tables: JSON lines, CSV, TSV and MASSIVE, one row an example."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from icl.data.files import DataSpec, find_file, find_path, read_text
from icl.errors import DataError
from icl.registry import did_you_mean, register
from icl.types import Example

__all__ = ["json_lines", "read_csv", "read_jsonl", "read_massive", "read_tsv"]

_MASSIVE_FIELDS = ("utt", "intent", "scenario", "annot_utt")
_MASSIVE_GOLD = ("intent", "scenario", "annot_utt")

Row = tuple[int, dict[str, Any]]
"""Line number in the file, from 1, and column -> value."""


@register("format", "jsonl")
def read_jsonl(spec: DataSpec) -> Iterator[Example]:
    """Yield one example a line of a JSON Lines file; blank lines are skipped.

    Raises:
        DataError: a malformed line, a missing column, an id that stands twice (file:line).
    """
    path = find_path(spec)
    yield from _examples(list(json_lines(path, spec.encoding)), path, spec)


@register("format", "csv")
def read_csv(spec: DataSpec) -> Iterator[Example]:
    """Yield one example a row of a CSV file with a header; values are strings.

    An empty answer is a row without gold, since CSV has no other way to write one.

    Raises:
        DataError: a row with more or fewer cells than the header, or broken quotes (file:line).
    """
    yield from _read_table(spec, csv.excel)


@register("format", "tsv")
def read_tsv(spec: DataSpec) -> Iterator[Example]:
    """Like :func:`read_csv`, with tabs and, by IANA's text/tab-separated-values, no quoting."""
    yield from _read_table(spec, _Tabs)


@register("format", "massive")
def read_massive(spec: DataSpec) -> Iterator[Example]:
    """Yield the rows of one locale of MASSIVE (FitzGerald et al. 2023) in its own JSONL.

    ``path`` is the folder with ``data/LOCALE.jsonl`` or ``LOCALE.jsonl``; ``split`` is train,
    dev or test. Fields are utt, intent, scenario and annot_utt, the target is the intent.

    Raises:
        DataError: no such folder or locale, or a malformed row (file:line).
    """
    folder = find_path(spec)
    if not folder.is_dir():
        path = find_file(folder)
        raise DataError(f"{path} is a file; give the folder that holds LOCALE.jsonl and locale:")
    folder = folder / "data" if (folder / "data").is_dir() else folder
    locales = sorted(file.stem for file in folder.glob("*.jsonl"))
    if not locales:
        raise DataError(f"no MASSIVE data in {folder}: LOCALE.jsonl or data/LOCALE.jsonl is needed")
    if spec.locale not in locales:
        asked = "massive needs a locale" if spec.locale is None else f"no locale {spec.locale!r}"
        raise DataError(f"{asked} in {folder}{did_you_mean(spec.locale or '', locales)}")
    fields = spec.fields or {name: name for name in _MASSIVE_FIELDS}
    answer = spec.answer or "intent"
    path = folder / f"{spec.locale}.jsonl"
    there = [name for name, column in fields.items() if column in _MASSIVE_GOLD]
    spec = replace(spec, path=path, fields=fields, answer=answer, gold=(*there, *spec.gold))
    yield from _examples(list(json_lines(path, spec.encoding)), path, spec)


def json_lines(path: Path, encoding: str = "utf-8") -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, object) of a JSON Lines file; blank lines are skipped.

    Raises:
        DataError: a line that is not one JSON object, or holds a key twice, NaN or an infinity.
    """
    for number, line in enumerate(read_text(path, encoding).split("\n"), start=1):
        if not line.strip(" \t\r"):
            continue
        try:
            row = json.loads(
                line,
                object_pairs_hook=_object,
                parse_constant=_no_number,
                parse_float=_finite,
            )
        except json.JSONDecodeError as error:
            fault = f"{error.msg} at character {error.colno}"
            raise DataError(f"{path}:{number}: not a line of JSON: {fault}") from None
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}:{number}: not a line of JSON: {error}") from None
        if not isinstance(row, dict):
            kind = type(row).__name__
            raise DataError(f'{path}:{number}: a JSON object is needed, like {{"id": …}}: {kind}')
        yield number, row


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON value; write null or a number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large for a 64-bit float; write it as a string")
    return value


class _Tabs(csv.excel_tab):
    quoting = csv.QUOTE_NONE
    quotechar = None


def _read_table(spec: DataSpec, dialect: type[csv.Dialect]) -> Iterator[Example]:
    path = find_path(spec)
    rows = _table_rows(path, read_text(path, spec.encoding), dialect)
    yield from _examples(rows, path, spec, empty_is_none=True)


def _table_rows(path: Path, text: str, dialect: type[csv.Dialect]) -> list[Row]:
    """Rows under the header, each with the line it begins on; blank lines are skipped."""
    records: list[tuple[int, list[str]]] = []
    reader = csv.reader(io.StringIO(text, newline=""), dialect, strict=True)
    limit = csv.field_size_limit(sys.maxsize)  # the default refuses documents above 131,072
    begin = 1
    try:
        for cells in reader:
            if cells:
                records.append((begin, cells))
            begin = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}:{begin}: {error}; check the quotes of this row") from None
    finally:
        csv.field_size_limit(limit)
    if not records:
        raise DataError(f"{path}: empty; a first line with the names of the columns is needed")
    (line, header), *body = records
    wrong = next((name for name in header if not name or header.count(name) > 1), None)
    if wrong is not None:
        fault = f"the column {wrong!r} stands twice" if wrong else "a column has no name"
        raise DataError(f"{path}:{line}: {fault} in the header")
    for line, cells in body:
        if len(cells) != len(header):
            raise DataError(
                f"{path}:{line}: {len(cells)} cells, but the header has {len(header)}; "
                "quote cells that hold the separator or a line break"
            )
    return [(line, dict(zip(header, cells, strict=True))) for line, cells in body]


def _examples(
    rows: Sequence[Row], path: Path, spec: DataSpec, empty_is_none: bool = False
) -> Iterator[Example]:
    """The rows of the spec's split as examples; row numbers count all rows of the file."""
    if not rows:
        return
    first = rows[0][1]
    id_column = spec.id or ("id" if "id" in first else None)
    split_column = next((name for name in ("split", "partition") if name in first), None)
    in_path = "{split}" in str(spec.path)
    chosen = list(enumerate(rows))
    if spec.split is not None and not in_path:
        chosen = _of_split(chosen, path, spec.split, split_column)
    meta = {name: getattr(spec, name) for name in ("locale", "source", "target", "split")}
    known = {name: value for name, value in meta.items() if value is not None}
    lines_of: dict[str, int] = {}
    for number, (line, row) in chosen:
        where = f"{path}:{line}"
        identity = str(number) if id_column is None else _id(row, id_column, where)
        if identity in lines_of:
            raise DataError(f"{where}: the id {identity!r} stands on line {lines_of[identity]} too")
        lines_of[identity] = line
        split = row.get(split_column) if split_column and not in_path else None
        own = known | {"split": split} if isinstance(split, str) else known
        yield _example(row, identity, where, spec, own, {id_column, split_column}, empty_is_none)


def _of_split(
    rows: list[tuple[int, Row]], path: Path, split: str, column: str | None
) -> list[tuple[int, Row]]:
    if column is None:
        raise DataError(
            f"{path}: split {split!r} is asked for, but there is no column 'split' or "
            "'partition'; leave out split:, or write {split} in the path, or give lines:"
        )
    splits = [_column(row, column, f"{path}:{line}") for _, (line, row) in rows]
    kept = [row for row, own in zip(rows, splits, strict=True) if own == split]
    if not kept:
        raise DataError(f"{path}: no split {split!r}{did_you_mean(split, set(map(str, splits)))}")
    return kept


def _column(row: Mapping[str, Any], name: str, where: str) -> Any:
    if name not in row:
        raise DataError(f"{where}: no column {name!r}{did_you_mean(name, row)}")
    return row[name]


def _id(row: Mapping[str, Any], column: str, where: str) -> str:
    value = _column(row, column, where)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise DataError(f"{where}: the id {value!r} is neither a string nor a whole number")
    return str(value)


def _example(
    row: dict[str, Any],
    identity: str,
    where: str,
    spec: DataSpec,
    meta: Mapping[str, str],
    hidden: set[str | None],
    empty_is_none: bool,
) -> Example:
    """One example; the answer's column is always a field, so that a target half can read it."""
    columns = dict(spec.fields) or {name: name for name in row if name not in hidden}
    gold: list[str] = []
    targets: tuple[str, ...] = ()
    if spec.answer is not None:
        column = columns.get(spec.answer, spec.answer)
        value = _column(row, column, where)
        targets = () if empty_is_none and value == "" else _targets(value, column, where)
        if column not in columns.values():
            columns[column] = column
        gold = [name for name, source in columns.items() if source == column]
    unknown = next((name for name in spec.gold if name not in columns), None)
    if unknown is not None:
        raise DataError(f"{where}: gold names no field {unknown!r}{did_you_mean(unknown, columns)}")
    fields = {name: _column(row, column, where) for name, column in columns.items()}
    return Example(identity, fields, targets, meta, tuple(dict.fromkeys([*gold, *spec.gold])))


def _targets(value: Any, column: str, where: str) -> tuple[str, ...]:
    """Right answers as strings: numbers as JSON writes them, null and an empty list are none."""
    values = value if isinstance(value, list) else [] if value is None else [value]
    for one in values:
        if one is None or isinstance(one, list | dict):
            raise DataError(
                f"{where}: the answer in {column!r} is {one!r}; "
                "a string, a number, true, false or a list of them is needed"
            )
    return tuple(one if isinstance(one, str) else json.dumps(one) for one in values)
