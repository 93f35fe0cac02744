"""The Parquet format, read with pyarrow, one batch of rows at a time."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from icl.core.errors import ConfigError, DataError
from icl.core.registry import register
from icl.core.types import Example
from icl.data.rows import Row, RowTable, find_wanted_columns, read_examples
from icl.data.spec import DataSpec, find_paths

__all__ = ["BATCH_ROWS", "need", "plain_row", "read_parquet"]


BATCH_ROWS = 256
"""Rows decoded at once: few enough for long documents."""


@register("format", "parquet")
def read_parquet(spec: DataSpec) -> Iterator[Example]:
    """Read one or several Parquet files; lists stay lists.

    Yields one example per row; lists and structs are JSON values. A ``*`` in the path may match
    several files, read one after the other by name. Dates become ISO 8601 strings, decimals
    strings. With ``fields`` no other column is read. Class labels become their names if the
    library datasets stored these in the file; an unknown label (-1) becomes None.

    Raises:
        DataError: a file that is no Parquet, a missing column, a value that JSON cannot hold
            (file and row, from 1).
    """
    need("pyarrow", "parquet")
    paths = find_paths(spec)

    def rows() -> Iterator[Row]:
        for path in paths:
            yield from _rows(path, spec)

    place = str(paths[0]) if len(paths) == 1 else str(spec.path)
    yield from read_examples(RowTable(place, rows), spec)


def need(package: str, extra: str) -> None:
    """Check that an optional package is installed.

    Raises:
        ConfigError: it is not; the message names the extra that installs it.
    """
    if find_spec(package) is None:
        raise ConfigError(
            f"the format needs the package {package}: pip install 'icl-workbench[{extra}]'"
        )


def _rows(path: Path, spec: DataSpec) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            columns = find_wanted_columns(spec, file.schema_arrow.names, str(path))
            names = _label_names(file.schema_arrow.metadata)
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    where = f"{path}: row {number}"
                    for column in names.keys() & row.keys():
                        row[column] = names[column](row[column], where)
                    yield where, plain_row(row, where)
    except (pa.ArrowException, OSError) as error:
        at = f": after row {number}" if number else ""
        fault = str(error).partition("\n")[0].rstrip(".")
        raise DataError(f"{path}{at}: no whole Parquet file: {fault}; get it again") from None


Namer = Callable[[Any, str], Any]
"""Function from a value with class labels and the row's place to the same with label names."""


def _label_names(metadata: Mapping[bytes, bytes] | None) -> dict[str, Namer]:
    """Map columns to their class-label names, as the library datasets notes them in files."""
    try:
        about = json.loads((metadata or {}).get(b"huggingface", b"{}"))
    except ValueError:
        return {}  # of another program, which says nothing of labels
    info = about.get("info") if isinstance(about, dict) else None
    features = info.get("features") if isinstance(info, dict) else None
    found = features.items() if isinstance(features, dict) else ()
    return {name: made for name, kind in found if (made := _namer(kind))}


def _namer(kind: Any) -> Namer | None:
    """Make a function that replaces a column's class numbers by names; None without classes.

    Class labels inside lists and objects are found too.
    """
    if isinstance(kind, list) and len(kind) == 1:  # how older versions wrote a list
        kind = {"_type": "Sequence", "feature": kind[0]}
    if not isinstance(kind, dict):
        return None
    if kind.get("_type") == "ClassLabel" and isinstance(kind.get("names"), list):
        names = kind["names"]

        def named(value: Any, where: str) -> Any:
            if not isinstance(value, int) or value < 0:
                return None if isinstance(value, int) else value
            if value >= len(names):
                raise DataError(
                    f"{where}: the class label {value}, and the file names {len(names)}, from 0; "
                    "get it again, or read it by format: csv or jsonl"
                )
            return names[value]

        return named
    if "_type" in kind:
        inner = _namer(kind.get("feature"))
        return inner and (
            lambda values, where: (
                [inner(one, where) for one in values] if isinstance(values, list) else values
            )
        )
    made = {name: namer for name, part in kind.items() if (namer := _namer(part))}
    return (
        (
            lambda row, where: (
                {n: made[n](v, where) if n in made else v for n, v in row.items()}
                if isinstance(row, dict)
                else row
            )
        )
        if made
        else None
    )


def plain_row(row: dict[str, Any], where: str) -> dict[str, Any]:
    """Convert a row's values to JSON: tuples to lists, dates to ISO 8601, decimals to strings.

    Raises:
        DataError: JSON cannot represent a value; the message names its column.
    """
    try:
        return {name: _plain(value) for name, value in row.items()}
    except ValueError:
        name, fault = next((n, fault) for n, v in row.items() if (fault := _fault(v)))
        raise DataError(
            f"{where}: the column {name!r} holds {fault}; JSON has no form for it: name the "
            "columns that you need under fields:"
        ) from None


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        raise ValueError(f"the number {value}")
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, datetime.date | datetime.time):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise ValueError(f"a value of type {type(value).__name__}")


def _fault(value: Any) -> str:
    try:
        _plain(value)
    except ValueError as error:
        return str(error)
    return ""
