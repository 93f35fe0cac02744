"""Tables of text: JSON lines, CSV, TSV and MASSIVE, one row an example."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from icl.core.errors import DataError
from icl.core.registry import did_you_mean, register
from icl.core.types import Example
from icl.data.rows import Row, RowTable, read_examples
from icl.data.spec import DataSpec, find_file, find_path, read_text_lines

__all__ = [
    "read_json_lines",
    "list_massive_locales",
    "read_csv",
    "read_jsonl",
    "read_massive",
    "read_tsv",
]


_MASSIVE_FIELDS = ("utt", "intent", "scenario", "annot_utt")
_MASSIVE_GOLD = ("intent", "scenario", "annot_utt")


@register("format", "jsonl")
def read_jsonl(spec: DataSpec) -> Iterator[Example]:
    """JSON Lines: one object a line; blank lines skipped.

    Raises:
        DataError: a malformed line, a missing column, an id that stands twice (file:line).
    """
    yield from read_examples(_json_table(find_path(spec), spec), spec)


@register("format", "csv")
def read_csv(spec: DataSpec) -> Iterator[Example]:
    """A table with commas and quotes; values are strings.

    The first line is the header, unless ``columns`` names the columns. An empty answer is a row
    without gold, since CSV has no other way to write one.

    Raises:
        DataError: a row with more or fewer cells than the header, or broken quotes (file:line).
    """
    yield from _read_table(spec, csv.excel)


@register("format", "tsv")
def read_tsv(spec: DataSpec) -> Iterator[Example]:
    """A table with tabs and no quoting; values are strings.

    Like :func:`read_csv` but for IANA's text/tab-separated-values.
    """
    yield from _read_table(spec, _Tabs)


@register("format", "massive")
def read_massive(spec: DataSpec) -> Iterator[Example]:
    """MASSIVE's own folder (FitzGerald et al. 2023).

    ``path`` is the folder with ``data/LOCALE.jsonl`` or ``LOCALE.jsonl``; ``split`` is train,
    dev or test. Fields are utt, intent, scenario and annot_utt, the target is the intent.

    Raises:
        DataError: no such folder or locale, or a malformed row (file:line).
    """
    folder = _massive_folder(find_path(spec))
    locales = list_massive_locales(folder)
    if spec.locale not in locales:
        asked = "massive needs a locale" if spec.locale is None else f"no locale {spec.locale!r}"
        raise DataError(f"{asked} in {folder}{did_you_mean(spec.locale or '', locales)}")
    fields = spec.fields or {name: name for name in _MASSIVE_FIELDS}
    answer = spec.answer or "intent"
    path = folder / f"{spec.locale}.jsonl"
    there = [name for name, column in fields.items() if column in _MASSIVE_GOLD]
    spec = replace(spec, path=path, fields=fields, answer=answer, gold=(*there, *spec.gold))
    yield from read_examples(_json_table(path, spec), spec)


def list_massive_locales(folder: Path) -> list[str]:
    """The locales of a MASSIVE folder, sorted.

    Raises:
        DataError: no such folder, or none in it.
    """
    folder = _massive_folder(folder)
    files = [*folder.glob("*.jsonl"), *folder.glob("*.jsonl.gz")]
    if not files:
        raise DataError(f"no MASSIVE data in {folder}: LOCALE.jsonl or data/LOCALE.jsonl is needed")
    return sorted({file.name.partition(".jsonl")[0] for file in files})


def _massive_folder(folder: Path) -> Path:
    if not folder.is_dir():
        path = find_file(folder)
        raise DataError(f"{path} is a file; give the folder that holds LOCALE.jsonl and locale:")
    return folder / "data" if (folder / "data").is_dir() else folder


def _json_table(path: Path, spec: DataSpec) -> RowTable:
    path = find_file(path)

    def rows() -> Iterator[Row]:
        for line, row in read_json_lines(path, spec.encoding):
            yield f"{path}:{line}", row

    return RowTable(str(path), rows)


def read_json_lines(path: Path, encoding: str = "utf-8") -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, object) of a JSON Lines file; blank lines are skipped.

    Raises:
        DataError: a line that is not one JSON object, or holds a key twice, NaN or an infinity.
    """
    for number, ended in enumerate(read_text_lines(path, encoding), start=1):
        line = ended.removesuffix("\n")
        if not line.strip(" \t\r"):
            continue
        try:
            row = _DECODER.decode(line)
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


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_no_number, parse_float=_finite
)


class _Tabs(csv.excel_tab):
    quoting = csv.QUOTE_NONE
    quotechar = None


def _read_table(spec: DataSpec, dialect: type[csv.Dialect]) -> Iterator[Example]:
    path = find_file(find_path(spec))

    def rows() -> Iterator[Row]:
        records = _records(path, spec.encoding, dialect)
        header = list(spec.columns) or _header(path, next(records, None))
        for line, cells in records:
            if len(cells) != len(header):
                names = "columns: has" if spec.columns else "the header has"
                raise DataError(
                    f"{path}:{line}: {len(cells)} cells, but {names} {len(header)}; "
                    "quote cells that hold the separator or a line break"
                )
            named = dict(zip(header, cells, strict=True))
            named.pop("_", None)
            yield f"{path}:{line}", named

    yield from read_examples(RowTable(str(path), rows, empty_is_none=True), spec)


def _records(
    path: Path, encoding: str, dialect: type[csv.Dialect]
) -> Iterator[tuple[int, list[str]]]:
    """Yield each row's cells with the line it begins on; blank lines are skipped."""
    reader = csv.reader(read_text_lines(path, encoding, newline=""), dialect, strict=True)
    begin = 1
    while True:
        limit = csv.field_size_limit(sys.maxsize)  # the default refuses documents above 131,072
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise DataError(f"{path}:{begin}: {error}; check the quotes of this row") from None
        finally:
            csv.field_size_limit(limit)
        if cells is None:
            return
        if cells:
            yield begin, cells
        begin = reader.line_num + 1


def _header(path: Path, record: tuple[int, list[str]] | None) -> list[str]:
    if record is None:
        raise DataError(f"{path}: empty; a first line with the names of the columns is needed")
    line, header = record
    wrong = next((name for name in header if not name or header.count(name) > 1), None)
    if wrong is not None:
        fault = f"the column {wrong!r} stands twice" if wrong else "a column has no name"
        raise DataError(
            f"{path}:{line}: {fault} in the header; for a file without one give columns: [NAME, …]"
        )
    return header
