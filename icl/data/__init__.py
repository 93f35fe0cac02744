"""Readers of data sets as examples, one per format; samples, and pools without test rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from icl.core.errors import ConfigError, DataError
from icl.core.registry import lookup
from icl.core.types import Example
from icl.data.conll import read_conll
from icl.data.flores_ntrex import read_flores, read_ntrex
from icl.data.hub import pin_commit, read_hf
from icl.data.parallel import read_lines
from icl.data.parquet import read_parquet
from icl.data.rows import BATCH_ROWS, Digests, find_kept, tell_left_out
from icl.data.sampling import RowHashes, RowSample, draw, hash_data, keep_apart, sample
from icl.data.spec import DataSpec, Expressions, Quoting, is_expression
from icl.data.tables import (
    read_csv,
    read_json,
    read_json_lines,
    read_jsonl,
    read_massive,
    read_tsv,
)
from icl.data.unimorph import read_unimorph
from icl.data.xlsx import read_xlsx

__all__ = [
    "DataSpec",
    "Expressions",
    "Quoting",
    "RowSample",
    "RowHashes",
    "keep_apart",
    "take_between",
    "hash_data",
    "draw",
    "is_expression",
    "read_json",
    "read_json_lines",
    "load",
    "pin_commit",
    "read_conll",
    "read_csv",
    "read_flores",
    "read_hf",
    "read_jsonl",
    "read_lines",
    "read_massive",
    "read_ntrex",
    "read_parquet",
    "read_tsv",
    "read_unimorph",
    "read_xlsx",
    "sample",
    "scan",
]


_TAKEN_BY = {
    "columns": ("csv", "tsv", "conll", "xlsx", "unimorph"),
    "delimiter": ("csv", "tsv"),
    "quoting": ("csv", "tsv"),
    "at": ("json", "xlsx"),
    "config": ("hf",),
    "revision": ("hf",),
}
"""Keys that only some of the built-in formats accept."""
_TABLES = (
    *("json", "jsonl", "csv", "tsv", "conll", "parquet", "xlsx", "hf", "massive", "unimorph"),
)
"""Formats that go through :func:`icl.data.rows.read_examples`, which knows ``where``."""
_BUILT_IN = (*_TABLES, "lines", "flores", "ntrex")


def load(spec: DataSpec) -> list[Example]:
    """Return all examples of a spec, in file order; see :func:`scan`.

    >>> from pathlib import Path
    >>> rows = load(DataSpec("massive", Path("samples/intent"), locale="sw-KE", split="test"))
    >>> rows[0].gold
    ('intent', 'scenario', 'annot_utt')
    """
    return list(scan(spec))


def scan(spec: DataSpec) -> Iterator[Example]:
    """Yield the examples of a spec in file order, without holding the file in memory.

    Raises:
        ConfigError: the format is unknown, or does not accept a key of the spec.
        DataError: a file is missing or malformed, ids are repeated, or there are no rows. Some
            errors are only found at the end, so trust the rows once all have been yielded.
    """
    for key, formats in _TAKEN_BY.items():
        if getattr(spec, key) and spec.format in _BUILT_IN and spec.format not in formats:
            raise ConfigError(
                f"{spec.path}: {key}: is for the format {' or '.join(formats)}, not {spec.format}"
            )
    ids = Digests()
    for example in _read(spec):
        ids.add(example.id)
        yield example
    if not len(ids):
        raise DataError(f"{spec.path}: no rows; check the path, or that the file is not empty")
    for pair in ids.doubled():
        first, second = (row.id for n, row in enumerate(_read(spec)) if n in pair)
        if first == second:
            raise DataError(
                f"{spec.path}: the id {first!r} appears twice; give another id:, or `id: row` to "
                "number the rows"
            )


def _read(spec: DataSpec) -> Iterator[Example]:
    """Read the data by its format's reader; yield the rows that ``where`` and ``lines`` keep.

    If the reader itself ignores ``where``, the expression reads the fields of the reader's rows.
    """
    examples = lookup("format", spec.format)(spec)
    if spec.where is not None and spec.format not in _TABLES:
        examples = _where(iter(examples), spec)
    return take_between(examples, spec)


def _where(examples: Iterator[Example], spec: DataSpec) -> Iterator[Example]:
    total = left_out = 0
    while batch := list(islice(examples, BATCH_ROWS)):
        kept = find_kept(spec, [(f"{spec.path}: row {row.id}", row.fields) for row in batch])
        total, left_out = total + len(batch), left_out + kept.count(False)
        yield from (row for row, stays in zip(batch, kept, strict=True) if stays)
    tell_left_out(spec, str(spec.path), left_out, total)


def take_between(examples: Iterable[Example], spec: DataSpec) -> Iterator[Example]:
    """Yield the rows ``first`` to ``last``, counted from 1, both included.

    The other rows are read too, because only then files that are not aligned and repeated ids are
    found.

    Raises:
        DataError: the range is invalid, or there are fewer rows.
    """
    if spec.lines is None:
        yield from examples
        return
    first, last = spec.lines
    if not 1 <= first <= last:
        raise DataError(f"lines [{first}, {last}]: 1 <= first <= last is needed")
    number = 0
    for number, example in enumerate(examples, start=1):
        if first <= number <= last:
            yield example
    if number < last:
        raise DataError(
            f"{spec.path}: lines [{first}, {last}] are requested, but there are {number} rows"
        )
