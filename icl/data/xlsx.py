"""The XLSX format: one sheet of a workbook, read with openpyxl within bounds; values, no formulas.

A workbook is a ZIP file of XML, and may come from a stranger: what its parts unpack to is looked
at before any of them is parsed.
"""

from __future__ import annotations

import datetime
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from icl.core.errors import DataError
from icl.core.registry import did_you_mean, register
from icl.core.types import Example
from icl.data.parquet import need, plain_row
from icl.data.rows import Row, RowTable, read_examples
from icl.data.spec import DataSpec, find_file, find_path

__all__ = ["MOST_CELLS", "read_sheet", "read_xlsx"]


MOST_CELLS = 1_000_000
"""Most cells of a sheet; empty ones before others in a row, and empty rows, count."""
MOST_BYTES = 32 << 20
"""Largest file."""
MOST_UNPACKED = 128 << 20
"""Most bytes of all parts that are read, unpacked."""
MOST_TAGS, MOST_ROW_TAGS = 5 * MOST_CELLS, 5 * 16_384
"""Most XML tags of all parts, and of one row: a cell has four and no sheet has more columns."""
MOST_OTHER = 8 << 20
"""Most bytes of a part that is neither a sheet nor the texts of one, such as styles."""
_SHEET = re.compile(r"xl/worksheets/[^/]+\.xml")
_TEXTS = "xl/sharedStrings.xml"
_ROW = re.compile(rb"<(?:[\w.-]+:)?row[\s/>]")
_DECLARATIONS = tuple("<!DOCTYPE".encode(name) for name in ("utf-8", "utf-16-le", "utf-16-be"))
"""Beginning of a declaration of entities, by which a small file can grow without end."""


@register("format", "xlsx")
def read_xlsx(spec: DataSpec) -> Iterator[Example]:
    """Read one sheet of an XLSX workbook: the first, or the one that ``at`` names.

    The first row that holds anything is the header, unless ``columns`` names the columns. Numbers
    and truth values stay what they are, dates become ISO 8601 strings, an empty cell is an empty
    text, and an empty answer is a row without gold. Of a formula the value is read that the
    spreadsheet saved last.

    Raises:
        ConfigError: openpyxl is not installed.
        DataError: no workbook, one that is too large, no such sheet, a row with more cells than
            the header (file and row, from 1).
    """
    need("openpyxl", "xlsx")
    path = find_file(find_path(spec))

    def rows() -> Iterator[Row]:
        cells = read_sheet(path, spec)
        if spec.columns:
            header = list(spec.columns)
        else:
            number, first = next(cells, (1, []))
            header = _header(path, number, first)
        for number, row in cells:
            where = f"{path}: row {number}"
            if len(row) > len(header):
                raise DataError(
                    f"{where}: {len(row)} cells, but there are {len(header)} columns; name each "
                    "column in the first row, or empty what stands beside the table"
                )
            row += [""] * (len(header) - len(row))
            named = dict(zip(header, row, strict=True))
            named.pop("_", None)
            yield where, plain_row(named, where)

    yield from read_examples(RowTable(str(path), rows, empty_is_none=True), spec)


def read_sheet(path: Path, spec: DataSpec) -> Iterator[tuple[int, list[Any]]]:
    """Yield the number, from 1, and the cells of each row of the sheet that holds anything.

    Empty cells at the end of a row are left out, others are empty texts.

    Raises:
        DataError: as :func:`read_xlsx`.
    """
    need("openpyxl", "xlsx")
    _check_parts(path)
    from openpyxl import load_workbook

    # They tell of looks and of checks on what is typed, which are not read.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"openpyxl")
    with path.open("rb") as file:  # its own, since openpyxl leaves a broken one open
        with _faults_of(path):
            book = load_workbook(file, read_only=True, data_only=True, keep_links=False)
        sheet = _find_sheet(path, book, spec)
        with _faults_of(path):
            sheet.reset_dimensions()  # what the file says of its own size may be wrong
            rows = iter(sheet.iter_rows(values_only=True))
        yield from _filled(path, rows)


def _filled(path: Path, rows: Iterator[Sequence[Any]]) -> Iterator[tuple[int, list[Any]]]:
    number = total = 0
    while True:
        with _faults_of(path, number):
            row = next(rows, None)
        if row is None:
            return
        number, total = number + 1, total + len(row) + 1
        if total > MOST_CELLS:
            raise DataError(
                f"{path}: row {number}: more than {MOST_CELLS:,} cells, counting empty ones before "
                "others; save the sheet as CSV"
            )
        cells = [_value(cell) for cell in row]
        while cells and cells[-1] == "":
            cells.pop()
        if cells:
            yield number, cells


@contextmanager
def _faults_of(path: Path, number: int = 0) -> Iterator[None]:
    """Tell whatever openpyxl meets in a broken file as one line."""
    try:
        yield
    except Exception as error:  # it parses lazily, and raises what its parts raise
        at = f": after row {number}" if number else ""
        fault = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
        raise DataError(
            f"{path}{at}: no whole XLSX workbook: {fault}; save it again as .xlsx, or as CSV"
        ) from error


def _check_parts(path: Path) -> None:
    """Refuse a workbook that unpacks to more than is read, or declares entities.

    A ZIP file cannot unpack to more than it says, since reading ends there.
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise _refusal(path, f"it has {size:,} bytes, {MOST_BYTES:,} are read")
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()  # pictures, too: any part may be said to be a sheet
            unpacked = sum(one.file_size for one in parts)
            if unpacked > MOST_UNPACKED:
                raise _refusal(
                    path, f"unpacked it has {unpacked:,} bytes, {MOST_UNPACKED:,} are read"
                )
            tags = 0
            for one in parts:
                small = one.filename.endswith((".xml", ".rels")) and one.filename != _TEXTS
                small = small and not _SHEET.fullmatch(one.filename)
                if small and one.file_size > MOST_OTHER:
                    raise _refusal(
                        path,
                        f"its part {one.filename!r} has {one.file_size:,} bytes, {MOST_OTHER:,} "
                        "are read",
                    )
                tags += _count_tags(path, one.filename, archive.read(one))
                if tags > MOST_TAGS:
                    raise _refusal(path, f"it has more than {MOST_CELLS:,} cells")
    except zipfile.BadZipFile as error:
        raise DataError(
            f"{path} is no XLSX workbook: {str(error).rstrip('.').lower()}; save it as .xlsx "
            "without a password, or as CSV"
        ) from None
    except (OSError, EOFError, zlib.error, RuntimeError, NotImplementedError) as error:
        fault = str(error).rstrip(".") or type(error).__name__
        raise DataError(f"{path}: no whole XLSX workbook: {fault}; save it again") from None


def _count_tags(path: Path, name: str, data: bytes) -> int:
    if any(mark in data for mark in _DECLARATIONS):
        raise _refusal(path, f"its part {name!r} declares entities, which no spreadsheet does")
    if data.count(b"<") > MOST_ROW_TAGS and _SHEET.fullmatch(name):
        longest = max(row.count(b"<") for row in _ROW.split(data))
        if longest > MOST_ROW_TAGS:
            raise _refusal(path, f"a row of {name!r} has more cells than a sheet has columns")
    return data.count(b"<")


def _refusal(path: Path, fault: str) -> DataError:
    return DataError(f"{path}: {fault}; save the sheet as CSV")


def _find_sheet(path: Path, book: Any, spec: DataSpec) -> Any:
    sheets = {sheet.title: sheet for sheet in book.worksheets}
    if not sheets:
        raise DataError(f"{path}: the workbook has no sheet with cells; add one")
    if spec.at is not None:
        if spec.at not in sheets:
            raise DataError(f"{path}: at: no sheet {spec.at!r}{did_you_mean(spec.at, sheets)}")
        return sheets[spec.at]
    first = next(iter(sheets))
    if len(sheets) > 1:
        others = ", ".join(list(sheets)[1:6]) + (", …" if len(sheets) > 6 else "")
        spec.note(f"{path}: the sheet {first!r} is read; at: names another: {others}")
    return sheets[first]


def _value(cell: Any) -> Any:
    """Return a cell's value as JSON has it, or as :func:`icl.data.parquet.plain_row` takes it."""
    if cell is None:
        return ""
    if isinstance(cell, datetime.datetime) and cell.time() == datetime.time():
        return cell.date()
    if isinstance(cell, datetime.timedelta):
        return str(cell)
    return cell


def _header(path: Path, number: int, cells: list[Any]) -> list[str]:
    if not cells:
        raise DataError(f"{path}: empty; a first row with the names of the columns is needed")
    header = [str(cell).strip() for cell in cells]
    wrong = next((name for name in header if not name or header.count(name) > 1), None)
    if wrong is not None:
        fault = f"the column {wrong!r} appears twice" if wrong else "a column has no name"
        raise DataError(
            f"{path}: row {number}: {fault} in the first row; give each column a name of its own, "
            "or for a sheet without names columns: [NAME, …]"
        )
    return header
