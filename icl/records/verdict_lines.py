"""Readers' verdicts as JSON Lines: dataclasses appended one by one, and files written from them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from icl.core.errors import DataError, StoreError
from icl.core.files import append_lines, read_plain
from icl.core.registry import did_you_mean
from icl.core.strict_json import ShapeError, TornLineError, convert, decode, decoder, numbered_lines
from icl.data.spec import find_file

__all__ = ["append", "read", "write_new"]


if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Kept = TypeVar("Kept", bound="DataclassInstance")


def append(path: Path, made: DataclassInstance) -> None:
    """Append a dataclass as one line of JSON, and sync it.

    Raises:
        StoreError: the disk is full, or the file cannot be written.
    """
    append_lines(path, [json.dumps(asdict(made), ensure_ascii=False)])


def read(path: Path, kind: type[Kept], what: str) -> list[Kept]:
    """Read every line of a file as a ``kind``; messages use the word ``what`` for it.

    Raises:
        DataError: the file is missing, or a line is malformed (named as file:line).
    """
    known = {spec.name for spec in fields(kind)}
    found = []
    for number, line in numbered_lines(_data(path)):
        where = f"{path}:{number}"
        try:
            row = decode(line, decoder(dict[str, Any]))
            unknown = next((key for key in row if key not in known), None)
            if unknown is not None:
                raise DataError(f"unknown key {unknown!r}{did_you_mean(unknown, known)}")
            found.append(convert(row, kind))
        except TornLineError as error:
            raise DataError(f"{where}: not a line of JSON: {error}") from error
        except ShapeError as error:
            raise DataError(f"{where}: no {what} of this version: {error}") from error
        except DataError as error:
            raise DataError(f"{where}: {error}") from error
    return found


def _data(path: Path) -> bytes:
    """Read a whole file, without the byte order mark that an editor may have added."""
    return (read_plain(find_file(path)) or b"").removeprefix(b"\xef\xbb\xbf")


def write_new(path: Path, rows: Sequence[Mapping[str, Any]], refusal: str) -> None:
    """Write rows to a new file; never overwrite an existing one.

    Raises:
        StoreError: the file exists (``refusal`` is the message), or it cannot be written.
    """
    if path.exists():
        raise StoreError(refusal)
    append_lines(path, [json.dumps(row, ensure_ascii=False) for row in rows])
