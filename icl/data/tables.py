"""Tables of text: JSON, JSON lines, CSV, TSV and MASSIVE, one row an example."""

from __future__ import annotations

import csv
import json
import math
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from icl.core.errors import DataError
from icl.core.registry import did_you_mean, register
from icl.core.types import Example
from icl.data.rows import Row, RowTable, read_examples
from icl.data.spec import DataSpec, find_file, find_path, note_encoding, read_text_lines

__all__ = [
    "read_json_lines",
    "list_massive_locales",
    "read_csv",
    "read_json",
    "read_jsonl",
    "read_massive",
    "read_tsv",
]


_MASSIVE_FIELDS = ("utt", "intent", "scenario", "annot_utt")
_MASSIVE_GOLD = ("intent", "scenario", "annot_utt")


@register("format", "jsonl")
def read_jsonl(spec: DataSpec) -> Iterator[Example]:
    """Read JSON Lines: one object per line; blank lines are skipped.

    Raises:
        DataError: a malformed line, a missing column, or a repeated id (file:line).
    """
    yield from read_examples(_json_table(find_path(spec), spec), spec)


@register("format", "json")
def read_json(spec: DataSpec) -> Iterator[Example]:
    """Read a JSON file with a list of objects, or an object with that list at the path ``at``.

    The file is read whole, since a JSON list cannot be read in part.

    Raises:
        DataError: no JSON, no list there, a row that is no object, or what :func:`read_jsonl`
            raises (file and row, from 1).
    """
    path = find_file(find_path(spec))
    note_encoding(path, spec)

    def rows() -> Iterator[Row]:
        listed = _json_list(path, spec)
        for number, row in enumerate(listed, start=1):
            where = f"{path}: row {number}"
            if not isinstance(row, dict):
                raise DataError(f"{where}: a JSON object is needed, like {_LIKE}: {_kind(row)}")
            yield where, row

    yield from read_examples(RowTable(str(path), rows), spec)


_LIKE = '{"id": …}'


def _kind(value: Any) -> str:
    return {dict: "an object", list: "a list", str: "a text", type(None): "null"}.get(
        type(value), repr(value)
    )


def _json_list(path: Path, spec: DataSpec) -> list[Any]:
    """Read the list of rows of a JSON file; find it at the path ``at`` if that is set."""
    text = "".join(read_text_lines(path, spec.encoding))
    try:
        found: Any = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        hint = "; for one object a line write format: jsonl" if "Extra data" in error.msg else ""
        raise DataError(f"{path}:{error.lineno}: not JSON: {error.msg}{hint}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON: {error}") from None
    step = "the file"
    for part in (spec.at or "").split(".") if spec.at else ():
        if not isinstance(found, dict) or part not in found:
            known = did_you_mean(part, found) if isinstance(found, dict) else ""
            raise DataError(f"{path}: at: {step} is {_kind(found)} without {part!r}{known}")
        found, step = found[part], repr(part)
    if isinstance(found, list):
        return found
    lists = []
    if isinstance(found, dict):
        lists = [name for name, one in found.items() if isinstance(one, list)]
    if lists:
        before = f"{spec.at}." if spec.at else ""
        raise DataError(
            f"{path}: {step} is an object, a list of rows is needed; write at: {before}{lists[0]}"
        )
    raise DataError(f"{path}: {step} is {_kind(found)}, a list of objects is needed")


@register("format", "csv")
def read_csv(spec: DataSpec) -> Iterator[Example]:
    """Read a table with commas and quotes; values are strings.

    The first line is the header, unless ``columns`` names the columns. An empty answer is a row
    without gold, since CSV has no other way to write one. Without ``delimiter``, a semicolon or
    tab is taken where the first line has no comma outside quotes.

    Raises:
        DataError: a row with more or fewer cells than the header, or broken quotes (file:line).
    """
    yield from _read_table(spec, ",")


@register("format", "tsv")
def read_tsv(spec: DataSpec) -> Iterator[Example]:
    """Read a table with tabs; values are strings.

    IANA's text/tab-separated-values has no quotes, but programs write them all the same. So
    without ``quoting`` they are read if every quote in the file is placed as programs do:
    around a whole cell, and doubled inside.
    """
    yield from _read_table(spec, "\t")


@register("format", "massive")
def read_massive(spec: DataSpec) -> Iterator[Example]:
    """Read MASSIVE's own folder (FitzGerald et al. 2023).

    ``path`` is the folder with ``data/LOCALE.jsonl`` or ``LOCALE.jsonl``; ``split`` is train,
    dev or test. Fields are utt, intent, scenario and annot_utt, the target is the intent.

    Raises:
        DataError: no such folder or locale, or a malformed row (file:line).
    """
    folder = _massive_folder(find_path(spec))
    locales = list_massive_locales(folder)
    if spec.locale not in locales:
        asked = "massive needs a locale" if spec.locale is None else f"no locale {spec.locale!r}"
        known = did_you_mean(spec.locale or "", locales)
        how = "; write one as `locale:` under `rows:`" if spec.locale is None else ""
        raise DataError(f"{asked} in {folder}{known}{how}")
    fields = spec.fields or {name: name for name in _MASSIVE_FIELDS}
    answer = spec.answer or "intent"
    path = folder / f"{spec.locale}.jsonl"
    there = [name for name, column in fields.items() if column in _MASSIVE_GOLD]
    spec = replace(spec, path=path, fields=fields, answer=answer, gold=(*there, *spec.gold))
    yield from read_examples(_json_table(path, spec), spec)


def list_massive_locales(folder: Path) -> list[str]:
    """List the locales of a MASSIVE folder, sorted.

    Raises:
        DataError: the folder does not exist, or has none.
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
    note_encoding(path, spec)

    def rows() -> Iterator[Row]:
        for line, row in read_json_lines(path, spec.encoding):
            yield f"{path}:{line}", row

    return RowTable(str(path), rows)


def read_json_lines(path: Path, encoding: str = "utf-8") -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, object) of a JSON Lines file; blank lines are skipped.

    Raises:
        DataError: a line is not one JSON object, or has a repeated key, NaN or infinity.
    """
    for number, ended in enumerate(read_text_lines(path, encoding), start=1):
        line = ended.removesuffix("\n")
        if not line.strip(" \t\r"):
            continue
        try:
            row = _DECODER.decode(line)
        except json.JSONDecodeError as error:
            fault = f"{error.msg} at character {error.colno}"
            hint = ""
            if number == 1 and line.strip() in ("[", "{"):
                hint = "; one that goes over several lines is read by format: json"
            raise DataError(f"{path}:{number}: not a line of JSON: {fault}{hint}") from None
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}:{number}: not a line of JSON: {error}") from None
        if not isinstance(row, dict):
            hint = "; a file that is one list is read by format: json"
            raise DataError(
                f"{path}:{number}: a JSON object is needed, like {_LIKE}: {_kind(row)}"
                f"{hint if isinstance(row, list) else ''}"
            )
        yield number, row


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} appears twice in one object")
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


_DELIMITERS = (",", ";", "\t", "|")
"""Separators to guess from by default; the usual one of the format comes first."""
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def _read_table(spec: DataSpec, usual: str) -> Iterator[Example]:
    path = find_file(find_path(spec))
    note_encoding(path, spec)
    dialect = _dialect(path, spec, usual)

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
            named.pop("", None)
            yield f"{path}:{line}", named

    yield from read_examples(RowTable(str(path), rows, empty_is_none=True), spec)


def _dialect(path: Path, spec: DataSpec, usual: str) -> type[csv.Dialect]:
    """Choose separator and quotes: the spec's, else by the look of the file, with a note."""
    between = spec.delimiter or _guess_delimiter(path, spec, usual)
    if spec.delimiter is None and between != usual:
        spec.note(f"{path}: cells are separated by {_NAMES[between]}; delimiter: says otherwise")
    quoted = spec.quoting != "none" if spec.quoting or usual == "," else False
    if spec.quoting is None and usual == "\t" and _looks_quoted(path, spec, between):
        quoted = True
        spec.note(f"{path}: quotes around cells are taken off; `quoting: none` keeps them")

    class CellDialect(csv.excel):
        delimiter = between
        quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
        quotechar = '"' if quoted else None

    return CellDialect


def _guess_delimiter(path: Path, spec: DataSpec, usual: str) -> str:
    """Guess the separator from the first lines; in doubt take the format's usual one.

    Where ``columns`` names the columns, only one that gives as many is taken.
    """
    lines = read_text_lines(path, spec.encoding, newline="")
    filled = (line for line in lines if line.strip("\r\n \t"))
    bare = [_QUOTED.sub("", line) for line in islice(filled, _LINES_LOOKED_AT)]
    others = [one for one in _DELIMITERS if one != usual]
    wanted = len(spec.columns) - 1 if spec.columns else None
    if not bare or _parts_evenly(bare, usual, None):
        return usual
    even = [one for one in others if _parts_evenly(bare, one, wanted)]
    if even:
        return even[0]
    if usual in bare[0]:
        return usual
    best = max(others, key=bare[0].count)
    return best if bare[0].count(best) and wanted is None else usual


_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_LINES_LOOKED_AT = 10


def _parts_evenly(lines: Sequence[str], delimiter: str, wanted: int | None) -> bool:
    counts = {line.count(delimiter) for line in lines}
    return len(counts) == 1 and 0 not in counts and wanted in (None, *counts)


def _looks_quoted(path: Path, spec: DataSpec, between: str) -> bool:
    """Return whether a file's quotes are all such as a program writes around cells.

    Those of the first row are around each cell, or only cells with a separator, a quote or a line
    break are quoted. Lexicons and treebanks have quotes elsewhere too.
    """
    raw: list[str] = []

    def listened() -> Iterator[str]:
        for line in read_text_lines(path, spec.encoding, newline=""):
            raw.append(line)
            yield line

    class QuotedDialect(csv.excel):
        delimiter = between

    whole, found = None, False
    try:
        for cells in _without_limit(csv.reader(listened(), QuotedDialect, strict=True)):
            marks = sum(line.count('"') for line in raw)
            if len(raw) > 1 and {line.count(between) + 1 for line in raw} == {len(cells)}:
                return False  # each line is a row of its own, with quotes that are text
            raw.clear()
            around = marks - 2 * sum(cell.count('"') for cell in cells)
            needed = 2 * sum(any(mark in cell for mark in (between, '"', "\n")) for cell in cells)
            if whole is None:
                whole = bool(cells) and around == 2 * len(cells)
            if around < needed or (around > needed and not whole):
                return False
            found = found or marks > 0
    except csv.Error:
        return False
    return found


def _without_limit(reader: Iterator[list[str]]) -> Iterator[list[str]]:
    """Yield a CSV reader's rows without its default limit of 131,072 characters a cell."""
    while True:
        limit = csv.field_size_limit(sys.maxsize)
        try:
            cells = next(reader, None)
        finally:
            csv.field_size_limit(limit)
        if cells is None:
            return
        yield cells


def _records(
    path: Path, encoding: str, dialect: type[csv.Dialect]
) -> Iterator[tuple[int, list[str]]]:
    """Yield each row's cells with the number of its first line; blank lines are skipped."""
    reader = csv.reader(read_text_lines(path, encoding, newline=""), dialect, strict=True)
    begin = 1
    records = _without_limit(reader)
    while True:
        try:
            cells = next(records, None)
        except csv.Error as error:
            raise DataError(f"{path}:{begin}: {error}; check the quotes of this row") from None
        if cells is None:
            return
        if cells:
            yield begin, cells
        begin = reader.line_num + 1


def _header(path: Path, record: tuple[int, list[str]] | None) -> list[str]:
    if record is None:
        raise DataError(f"{path}: empty; a first line with the names of the columns is needed")
    line, header = record
    # pandas and R write the number of each row in front, in a column without a name.
    named = header[1:] if header[:1] == [""] else header
    wrong = next((name for name in named if not name or header.count(name) > 1), None)
    if wrong is not None:
        fault = f"the column {wrong!r} appears twice" if wrong else "a column has no name"
        raise DataError(
            f"{path}:{line}: {fault} in the header; for a file without one give columns: [NAME, …]"
        )
    return header
