"""The CoNLL format: one token per line with its columns, and a blank line between sentences.

The form of the CoNLL-2003 shared task (Tjong Kim Sang & De Meulder, 2003,
https://aclanthology.org/W03-0419), with ``# key = value`` lines as in CoNLL-U and xSID.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from icl.core.errors import DataError
from icl.core.languages import find_language
from icl.core.registry import register
from icl.core.types import Example
from icl.data.parallel import read_plain_lines
from icl.data.rows import Row, RowTable, read_examples
from icl.data.spec import DataSpec, find_file, find_path

__all__ = ["join_tokens", "read_conll"]


_COMMENT = re.compile(r"#\s*([\w-]+)\s*=\s?(.*)", re.DOTALL)
_UNSPACED = {"Hans", "Hant", "Hani", "Jpan", "Thai", "Laoo", "Khmr", "Mymr", "Tibt"}
"""Scripts without spaces between words (Unicode Line Breaking, UAX 14, classes SA and ID)."""


@register("format", "conll")
def read_conll(spec: DataSpec) -> Iterator[Example]:
    """Read sentences of tokens with a tag for each token.

    Yields one example per sentence: fields ``tokens`` and ``tags`` (lists) and ``text``.
    ``columns`` names the columns, ``[tokens, tags]`` by default; ``_`` skips one. Lines ``# key
    = value`` become fields (``id`` the id). If no such line gives ``text``, it is the tokens
    joined, by spaces if the script of ``locale`` has them. The answer is ``tags`` unless another
    column is named; several values of a column are one answer, joined by spaces.

    Raises:
        DataError: a line with more or fewer columns, or a repeated key (file:line).
    """
    columns = spec.columns or ("tokens", "tags")
    path = find_file(find_path(spec))
    if "tokens" not in columns:
        raise DataError(f"columns: {list(columns)} of {path}: one of them has to be 'tokens'")
    answer = spec.answer or ("tags" if "tags" in columns else None)
    column = spec.fields.get(answer, answer) if answer else None
    listed = {"tags"} & ({*spec.fields.values()} if spec.fields else {*columns})
    gold = [name for name in (spec.fields or columns) if spec.fields.get(name, name) in listed]
    made = replace(spec, answer=answer, gold=tuple(dict.fromkeys([*gold, *spec.gold])))

    def rows() -> Iterator[Row]:
        for line, row in _sentences(path, spec, columns):
            yield f"{path}:{line}", row

    for example in read_examples(RowTable(str(path), rows), made):
        joined = column in columns and len(example.targets) > 0
        yield replace(example, targets=(" ".join(example.targets),)) if joined else example


def _sentences(
    path: Path, spec: DataSpec, columns: Sequence[str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line of its first token, row) of each sentence."""
    spaced = spec.locale is None or find_language(spec.locale).script not in _UNSPACED
    notes: dict[str, str] = {}
    cells: list[list[str]] = []
    begin = 0
    number = 0
    for number, line in enumerate(read_plain_lines(path, spec.encoding), start=1):
        if not line.strip():
            if cells:
                yield begin, _row(cells, notes, columns, spaced)
            notes, cells = {}, []
            continue
        found = line.split("\t") if "\t" in line else line.split()
        comment = _COMMENT.fullmatch(line)
        if line.startswith("#") and (comment or len(found) != len(columns)):
            if comment:
                _note(notes, comment[1], comment[2].strip(), columns, f"{path}:{number}")
            continue
        if len(found) != len(columns):
            raise DataError(
                f"{path}:{number}: {len(found)} columns, but columns: names {len(columns)} "
                f"({', '.join(columns)}); name all of them, with _ for one to skip"
            )
        if not cells:
            begin = number
        if found[0] != "-DOCSTART-":
            cells.append(found)
    if cells:
        yield begin, _row(cells, notes, columns, spaced)


def _note(notes: dict[str, str], key: str, value: str, columns: Sequence[str], at: str) -> None:
    if key in notes:
        raise DataError(f"{at}: the key {key!r} appears twice before one sentence")
    if key in columns:
        raise DataError(f"{at}: the key {key!r} is a name in columns: too; rename the column")
    notes[key] = value


def _row(
    cells: Sequence[Sequence[str]], notes: dict[str, str], columns: Sequence[str], spaced: bool
) -> dict[str, Any]:
    listed = {
        name: [cell[place] for cell in cells] for place, name in enumerate(columns) if name != "_"
    }
    text = {"text": join_tokens(listed["tokens"], spaced)} if "text" not in notes else {}
    return {**notes, **text, **listed}


def join_tokens(tokens: Sequence[str], spaced: bool = True) -> str:
    """Join tokens as text: by spaces, or in a script without them only between Latin words.

    >>> join_tokens(["播放", "Taylor", "Swift", "的", "歌"], spaced=False)
    '播放Taylor Swift的歌'
    """
    if spaced:
        return " ".join(tokens)
    text = ""
    for token in tokens:
        apart = text[-1:].isascii() and text[-1:].isalnum() and token[:1].isascii()
        text += (" " if apart and token[:1].isalnum() else "") + token
    return text
