"""Verdicts of readers as JSON Lines: dataclasses appended one by one, and rows made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from icl.core.errors import DataError, StoreError
from icl.core.files import append_lines
from icl.core.registry import did_you_mean
from icl.data import json_lines

__all__ = ["append", "read", "write_new"]


if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Kept = TypeVar("Kept", bound="DataclassInstance")


def append(path: Path, made: DataclassInstance) -> None:
    """Append one line, synced.

    Raises:
        StoreError: no room, or the file cannot be written.
    """
    append_lines(path, [json.dumps(asdict(made), ensure_ascii=False)])


def read(path: Path, kind: type[Kept], what: str) -> list[Kept]:
    """Every line of a file as a ``kind``, which messages call ``what``.

    Raises:
        DataError: not there, or a line is none (file:line).
    """
    known = {spec.name for spec in fields(kind)}
    found = []
    for line, row in json_lines(path):
        unknown = next((key for key in row if key not in known), None)
        if unknown is not None:
            raise DataError(f"{path}:{line}: unknown key {unknown!r}{did_you_mean(unknown, known)}")
        try:
            found.append(kind(**row))
        except TypeError as error:
            raise DataError(f"{path}:{line}: no {what} of this version: {error}") from error
        except DataError as error:
            raise DataError(f"{path}:{line}: {error}") from error
    return found


def write_new(path: Path, rows: Sequence[Mapping[str, Any]], refusal: str) -> None:
    """Write rows; a file that is there is not written over.

    Raises:
        StoreError: the file is there, as ``refusal`` says; or it cannot be written.
    """
    if path.exists():
        raise StoreError(refusal)
    append_lines(path, [json.dumps(row, ensure_ascii=False) for row in rows])
