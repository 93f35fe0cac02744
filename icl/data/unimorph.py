"""The tables of UniMorph and of SIGMORPHON's shared tasks: lemma, inflected form and features.

UniMorph and SIGMORPHON 2022 write the form before the features, SIGMORPHON 2023 behind them
(Kodner et al. 2022, https://aclanthology.org/2022.sigmorphon-1.19; Goldman et al. 2023,
https://aclanthology.org/2023.sigmorphon-1.13). The features tell which order a file has.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple

from icl.core.errors import DataError
from icl.core.features import looks_like_features
from icl.core.registry import did_you_mean, register
from icl.core.types import Example
from icl.data.parallel import read_plain_lines
from icl.data.rows import Row, RowTable, read_examples
from icl.data.spec import DataSpec, find_file, find_path, note_encoding

__all__ = ["read_unimorph"]


_FIELDS = ("lemma", "form", "features")
_LINES_LOOKED_AT = 200


class Inflection(NamedTuple):
    """One line of a table."""

    line: int
    """Counted from 1."""
    lemma: str
    features: str
    form: str


@register("format", "unimorph")
def read_unimorph(spec: DataSpec) -> Iterator[Example]:
    """Read inflected forms, one a line: the lemma, its form and the features, between tabs.

    Fields are lemma, features and form; the answer is the form. Which column holds the features is
    seen in the file, unless ``columns`` names all. Where lines of a lemma that stand together have
    the same features, they are one row with several right answers.

    Raises:
        DataError: a line with other columns or an empty cell (file:line), or columns of which not
            exactly one holds features.
    """
    path = find_file(find_path(spec))
    note_encoding(path, spec)
    columns = _find_columns(path, spec)
    made = replace(spec, answer=spec.answer or "form", gold=tuple(dict.fromkeys(_gold(spec))))

    def rows() -> Iterator[Row]:
        merged = 0
        for _, group in groupby(_read_lines(path, spec, columns), lambda one: one.lemma):
            cells: dict[str, list[Inflection]] = {}
            for one in group:
                cells.setdefault(one.features, []).append(one)
            for features, same in cells.items():
                forms = list(dict.fromkeys(one.form for one in same))
                merged += len(same) - 1
                row = {"lemma": same[0].lemma, "features": features, "form": forms}
                yield f"{path}:{same[0].line}", row
        if merged:
            spec.note(
                f"{path}: {merged} lines repeat lemma and features of another one; each form of "
                "such a row counts as right"
            )

    yield from read_examples(RowTable(str(path), rows), made)


def _gold(spec: DataSpec) -> Sequence[str]:
    named = spec.fields or {"form": "form"}
    return [*(name for name, column in named.items() if column == "form"), *spec.gold]


def _find_columns(path: Path, spec: DataSpec) -> Sequence[str]:
    """Return the names of the columns in their order, as the file itself shows it."""
    if spec.columns:
        missing = [name for name in _FIELDS if name not in spec.columns]
        if missing:
            raise DataError(
                f"{path}: columns: {', '.join(spec.columns)} lacks {missing[0]!r}"
                f"{did_you_mean(missing[0], spec.columns)}; name lemma, form and features, and _ "
                "for a column to skip"
            )
        return spec.columns
    lines = (line for line in read_plain_lines(path, spec.encoding) if line.strip())
    rows = [line.split("\t") for line in islice(lines, _LINES_LOOKED_AT)]
    full = [row for row in rows if len(row) == 3]
    if not full:
        wide = len(rows[0]) if rows else 0
        raise DataError(
            f"{path}: {wide} columns in the first line, and lemma, form and features between tabs "
            "are needed; for more columns write columns: [lemma, form, features, _]"
        )
    counts = [sum(looks_like_features(row[place]) for row in full) for place in range(3)]
    found = [place for place, count in enumerate(counts) if count > 0.9 * len(full)]
    if len(found) != 1 or found == [0]:
        shown = ", ".join(f"column {n} in {count}" for n, count in enumerate(counts, start=1))
        raise DataError(
            f"{path}: of the first {len(full)} lines, features such as V;PST stand in {shown}; "
            "they are needed in the second or in the third alone, so write columns: [lemma, form, "
            "features] in the order of the file"
        )
    return _FIELDS if found == [2] else ("lemma", "features", "form")


def _read_lines(path: Path, spec: DataSpec, columns: Sequence[str]) -> Iterator[Inflection]:
    """Yield the lines of a table; empty ones and texts that are not in NFC are counted."""
    empty = mixed = 0
    for number, line in enumerate(read_plain_lines(path, spec.encoding), start=1):
        if not line.strip():
            empty += 1
            continue
        cells = line.split("\t")
        if len(cells) != len(columns):
            raise DataError(
                f"{path}:{number}: {len(cells)} columns, and {len(columns)} are needed "
                f"({', '.join(columns)}); correct the line, or name all columns in columns:"
            )
        named = dict(zip(columns, (cell.strip() for cell in cells), strict=True))
        lacking = next((name for name in _FIELDS if not named[name]), None)
        if lacking is not None:
            raise DataError(
                f"{path}:{number}: the {lacking} is empty; fill it in, or take the line out"
            )
        mixed += not all(unicodedata.is_normalized("NFC", named[name]) for name in _FIELDS)
        yield Inflection(number, *(named[name] for name in ("lemma", "features", "form")))
    if empty:
        spec.note(f"{path}: {empty} empty lines are left out")
    if mixed:
        spec.note(
            f"{path}: {mixed} lines are not in Unicode's form NFC; prompts have them as they are, "
            "scores compare NFC"
        )
