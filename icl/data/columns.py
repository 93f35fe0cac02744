"""A whole table as named columns, before any column has a role."""

from __future__ import annotations

import csv
import gzip
import hashlib
import heapq
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from icl.core.errors import DataError
from icl.core.types import JSON, Example
from icl.data import scan
from icl.data.rows import IDS, SPLITS
from icl.data.spec import DataSpec, find_encoding, find_file, read_text_lines
from icl.data.xlsx import read_sheet

__all__ = ["MOST_ROWS", "SUFFIXES", "ColumnTable", "read_columns"]


MOST_ROWS = 5_000
"""Most rows that are examined and copied; a larger table is sampled."""
SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".xlsx": "xlsx",
}
"""Suffix of a file's name -> the format that reads it."""
_LOOKED_AT = 8192
"""Bytes at the start of a file that show whether it is text."""
_BINARY = ("parquet", "xlsx")
_ROWS_LOOKED_AT = 200
"""Rows below the first line that show whether it holds names of columns."""
_HEADER_WORDS, _HEADER_CHARS = 5, 60
"""Fewest words or characters of a cell in the first line that is a text and no column name."""


@dataclass(frozen=True, slots=True)
class ColumnTable:
    """The rows of a table in file order, each with all of its columns."""

    path: Path
    rows: list[Example]
    names: tuple[str, ...]
    """All columns in the order of their first cell, without those for the id and the split."""
    total: int
    """Rows of the file; above the number of rows here if it is larger than :data:`MOST_ROWS`."""
    notes: tuple[str, ...] = ()
    """Guesses of the reader about the file, one line each."""
    id: str | None = None
    """The column of the ids; None if rows are numbered."""
    split: str | None = None
    """The column that names the split of each row."""

    def values(self, name: str) -> list[JSON]:
        """List the values of a column; None where a row lacks it."""
        return [row.fields.get(name) for row in self.rows]


def read_columns(
    path: Path, headed: str | None = None, only: Sequence[str] = (), least: int = 2
) -> ColumnTable:
    """Read a table in the format that its file name ends in.

    Args:
        path: a file ending in one of :data:`SUFFIXES`, gzipped or not.
        headed: a column that must be there; a first line that has it is a header.
        only: of Parquet, the columns to read, so that those of pictures are left alone.
        least: the fewest columns that are a table.

    Raises:
        DataError: no file, no table, no rows, fewer columns than that, or a first line that is no
            header; the message says what was found and what is needed.
    """
    path = find_file(path.expanduser())
    spec = DataSpec(_find_format(path), path)
    if spec.format not in _BINARY:
        _check_text(path)
    if spec.format == "json":
        spec = replace(spec, at=_find_list(path))
    header: list[str] | None = None
    if spec.format in ("csv", "tsv", "xlsx"):
        header = _check_header(spec, headed)
    if spec.format == "parquet":
        spec = replace(spec, fields={name: name for name in only})
    notes: dict[str, None] = {}
    spec = replace(spec, tell=notes.setdefault)
    try:
        rows, total = _draw(spec)
    except DataError as error:
        try:  # ids that stand twice, or are none, are replaced by the numbers of the rows
            spec = replace(spec, id="row")
            rows, total = _draw(spec)
        except DataError:
            raise error from None
        notes.setdefault(
            f"{path}: ids are missing or repeated, so rows are numbered, or named by a column row"
        )
    names = tuple(dict.fromkeys(name for row in rows for name in row.fields))
    if len(names) < least:
        held = f"one column, {names[0]!r}" if names else "no columns besides its ids"
        raise DataError(
            f"{path} has {held}; at least two are needed: what the model reads, and the right "
            "answer"
        )
    hidden = [
        name
        for name in (*IDS, *SPLITS)
        if name not in names and (name in header if header else _has(spec, name))
    ]
    return ColumnTable(
        path,
        rows,
        names,
        total,
        tuple(notes),
        next((name for name in IDS if name in hidden and spec.id is None), None),
        next((name for name in SPLITS if name in hidden), None),
    )


def _has(spec: DataSpec, name: str) -> bool:
    """Return whether the first row has a column, which the reader may not show as a field."""
    try:
        next(iter(scan(replace(spec, fields={name: name}, tell=None))))
    except DataError:
        return False
    return True


def _find_format(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    found = next((made for end, made in SUFFIXES.items() if name.endswith(end)), None)
    if found is None:
        raise DataError(
            f"{path}: no table is known by the end of this name; accepted: {', '.join(SUFFIXES)}, "
            "and those of text as .gz; save the table as one of them, a spreadsheet as .xlsx"
        )
    return found


def _check_text(path: Path) -> None:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as raw:
            begin = raw.read(_LOOKED_AT)
    except (OSError, EOFError, zlib.error):
        return  # the reader says what is wrong, with the line
    if not begin.strip():
        raise DataError(
            f"{path} is empty; a line with the names of the columns and some rows, or a JSON "
            "object a line, are needed"
        )
    if b"\0" in begin and not find_encoding(path).startswith(("utf-16", "utf-32")):
        raise DataError(
            f"{path} holds bytes that are no text, as spreadsheets and pictures do; a table of "
            "text is needed: save it as CSV in UTF-8, a spreadsheet as .xlsx"
        )


def _find_list(path: Path) -> str | None:
    """Return the key under which a JSON file holds its one list of rows; None for a bare list."""
    try:
        found = json.loads("".join(read_text_lines(path)))
    except (ValueError, RecursionError):
        return None  # the reader says what is wrong, with the line
    lists = [
        name
        for name, value in (found.items() if isinstance(found, dict) else ())
        if isinstance(value, list) and value and all(isinstance(one, dict) for one in value)
    ]
    return lists[0] if len(lists) == 1 and "." not in lists[0] else None


def _read_cells(spec: DataSpec) -> tuple[list[list[str]], str]:
    """Return the cells of the first rows, and the separator of its columns."""
    if spec.format == "xlsx":
        rows = ([str(cell) for cell in row] for _, row in read_sheet(spec.path, spec))
        return list(islice(rows, _ROWS_LOOKED_AT)), " | "
    sample = "".join(islice(read_text_lines(spec.path, newline=""), _ROWS_LOOKED_AT))
    first = sample.split("\n", 1)[0]
    usual = "," if spec.format == "csv" else "\t"
    between = usual if usual in first else max(",;\t|", key=first.count)
    try:
        table = csv.reader(sample.splitlines(True), delimiter=between)
        return [cells for cells in table if cells], between
    except csv.Error:
        return [], between  # the reader reports the error, with the line


def _check_header(spec: DataSpec, headed: str | None) -> list[str]:
    """Return the first line of a table; refuse one that looks like a row of data.

    It does if a cell is a sentence, a number above numbers, a value that occurs again in its
    column, or one that differs from most values of its column only in its digits, as ``item 1``.

    Raises:
        DataError: the first line looks so, or no line follows it.
    """
    table, between = _read_cells(spec)
    header, rows = (table[0], table[1:]) if table else ([], [])
    if header and not rows:
        raise DataError(
            f"{spec.path} has one line, {between.join(header)[:40]!r}, and no rows below it; a "
            "line of names and at least 4 rows are needed"
        )
    if headed in header or not rows:
        return header
    for place, cell in enumerate(map(str.strip, header)):
        below = [cells[place].strip() for cells in rows if len(cells) > place]
        sentence = len(cell.split()) >= _HEADER_WORDS or len(cell) > _HEADER_CHARS
        sentence = sentence or re.search(r"\w\s.*[.!?]$|[。！？।]$", cell) is not None
        number = _is_number(cell) and any(below) and all(map(_is_number, filter(None, below)))
        counted = re.search(r"\d", cell) and 2 * sum(
            _hide_numbers(one) == _hide_numbers(cell) for one in below
        ) >= len(rows)
        if cell and (sentence or number or counted or cell in below):
            names = ["text", "answer", *(f"column{n}" for n in range(3, len(header) + 1))]
            raise DataError(
                f"{spec.path}: the first line reads like a row and not like names of columns (it "
                f"has {cell[:40]!r}); put a line of names above it, such as "
                f"{between.join(names[: len(header)])!r}, or name one of them as the answer"
            )
    return header


def _hide_numbers(text: str) -> str:
    return re.sub(r"\d+", "0", text)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?\d+([.,]\d+)?", text) is not None


def _draw(spec: DataSpec) -> tuple[list[Example], int]:
    """Return at most :data:`MOST_ROWS` rows in file order, and the number of all rows."""
    total = 0

    def placed() -> Iterator[tuple[bytes, int, Example]]:
        nonlocal total
        for total, row in enumerate(scan(spec), start=1):
            yield hashlib.sha256(row.id.encode("utf-8", "surrogatepass")).digest(), total, row

    kept = heapq.nsmallest(MOST_ROWS, placed())
    return [row for _, _, row in sorted(kept, key=lambda one: one[1])], total
