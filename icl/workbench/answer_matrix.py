"""The answers of several columns to the same rows as a matrix, with a reader's verdicts on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from icl.core.bounded_regex import BoundedRegex
from icl.core.errors import ConfigError
from icl.core.safe_text import clean
from icl.records.feedback import Feedback, read
from icl.records.verdict_lines import write_new
from icl.workbench.answer import ModelAnswer
from icl.workbench.feedback import FEEDBACK, note
from icl.workbench.row_cache import summary
from icl.workbench.side_by_side import LETTERS, SideBySide

__all__ = [
    "MODES",
    "PAGE_ROWS",
    "AnswerMatrix",
    "MatrixCell",
    "MatrixPage",
    "MatrixQuery",
    "MatrixRow",
]


MODES = ("all", "different", "wrong")
"""Rows that are shown: all, those answered differently, or those answered wrongly by a column."""
PAGE_ROWS = 25
ROW_CHARS = 160
"""Most characters of a row's inputs on its line."""
_MOST_EXPORTS = 10_000

_Verdicts = dict[tuple[str, str, str], Feedback]


@dataclass(frozen=True, slots=True)
class MatrixQuery:
    """The rows and columns of a matrix that are shown."""

    mode: str = "all"
    pattern: str = ""
    """Regular expression that the row, its right answers or a shown answer must match; case does
    not count."""
    hidden: tuple[int, ...] = ()
    """Places of columns that are not shown, and count for nothing."""


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """One column's answer to one row, with the reader's last verdict on it."""

    column: int
    answer: str
    right: bool | None
    """Whether it is one of the right answers; None if the row has none."""
    verdict: str = ""
    """``good``, ``bad`` or ``corrected``; empty without one."""
    comment: str = ""
    correction: str = ""


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """One row of the data with the answers of all shown columns."""

    id: str
    text: str
    """The inputs on one line."""
    targets: tuple[str, ...]
    cells: tuple[MatrixCell, ...]


@dataclass(frozen=True, slots=True)
class MatrixPage:
    """One page of a matrix."""

    columns: tuple[int, ...]
    rows: tuple[MatrixRow, ...]
    number: int
    """Counted from 1."""
    pages: int
    found: int
    """Number of rows that the query found, on all pages."""
    of: int
    """Number of rows that all columns answered."""


class AnswerMatrix:
    """The rows and columns of a comparison; verdicts are saved in ``feedback.jsonl`` of a folder.

    Args:
        made: the answers of all columns.
        base: the folder.
    """

    def __init__(self, made: SideBySide, base: Path) -> None:
        self.made, self.base = made, base

    @cached_property
    def heads(self) -> list[tuple[str, str, str]]:
        """The letter, the settings and the score with its interval of each column."""
        head, lines = self.made.table()
        return [(letter, title, f"{head[2]} {value}") for letter, title, value, *_ in lines]

    def page(self, query: MatrixQuery, number: int = 1) -> MatrixPage:
        """Return a page of the rows that a query finds; a number too high gives the last page.

        Raises:
            ConfigError: an unknown mode, every column hidden, no regular expression, or one that
                takes too long.
            DataError: a line of ``feedback.jsonl`` is no verdict.
        """
        columns = self._columns(query)
        found = self.find(query)
        pages = max(1, -(-len(found) // PAGE_ROWS))
        number = max(1, min(number, pages))
        verdicts = self._verdicts()
        rows = tuple(
            self._row(name, columns, verdicts)
            for name in found[(number - 1) * PAGE_ROWS : number * PAGE_ROWS]
        )
        return MatrixPage(columns, rows, number, pages, len(found), len(self.made.examples))

    def find(self, query: MatrixQuery) -> list[str]:
        """Return the ids of the rows that a query finds; see :meth:`page`."""
        if query.mode not in MODES:
            raise ConfigError(f"{query.mode!r}: must be one of {', '.join(MODES)}")
        columns = self._columns(query)
        ways = {"different": self.made.different, "wrong": self.made.wrong}
        found = ways[query.mode](columns) if query.mode in ways else list(self.made.examples)
        if not query.pattern:
            return found
        pattern = BoundedRegex(query.pattern, ignore_case=True)
        texts = [(name, text) for name in found for text in self._texts(name, columns)]
        hits = zip(texts, pattern.search(text for _, text in texts), strict=True)
        return list(dict.fromkeys(name for (name, _), hit in hits if hit))

    def _columns(self, query: MatrixQuery) -> tuple[int, ...]:
        every = range(len(self.made.results))
        shown = tuple(place for place in every if place not in query.hidden)
        if not shown:
            raise ConfigError("every column is hidden: show at least one")
        return shown

    def _check_column(self, column: int) -> None:
        count = len(self.made.results)
        if not 0 <= column < count:
            raise ConfigError(f"there is no column {column + 1}; there are {count}")

    def _texts(self, name: str, columns: Sequence[int]) -> list[str]:
        """Return the texts of a row in which a search looks, each for itself."""
        example = self.made.examples[name]
        inputs = (str(value) for value in example.inputs.values())
        answers = (self.made.answers[place][name] for place in columns)
        return [name, *inputs, *example.targets, *answers]

    def _row(self, name: str, columns: Sequence[int], verdicts: _Verdicts) -> MatrixRow:
        example = self.made.examples[name]
        return MatrixRow(
            name,
            summary(example, ROW_CHARS),
            example.targets,
            tuple(self._cell(name, place, verdicts) for place in columns),
        )

    def _cell(self, name: str, place: int, verdicts: _Verdicts) -> MatrixCell:
        answer, right = self.made.answers[place][name], self.made.right[place][name]
        record = self.made.results[place].records[name]
        said = verdicts.get((name, record.condition, record.request))
        if said is None or said.output != answer:
            return MatrixCell(place, answer, right)
        return MatrixCell(place, answer, right, said.verdict, said.comment, said.correction or "")

    def _verdicts(self) -> _Verdicts:
        """Return the last verdict on each answer, by its row, condition and request."""
        path = self.base / FEEDBACK
        found = read(path) if path.exists() else []
        return {(one.id, one.condition, one.request): one for one in found}

    def key(self, text: str) -> str:
        """Return a row's id from its text on the page, which shows control characters as signs.

        Raises:
            ConfigError: there is no such row.
        """
        if text in self.made.examples:
            return text
        found = next((name for name in self.made.examples if clean(name) == text), None)
        if found is None:
            raise ConfigError(f"no row {text!r} is answered here; click a cell, or give its id")
        return found

    def cell(self, row: str, column: int) -> MatrixCell:
        """Return one column's answer to a row.

        Raises:
            ConfigError: there is no such row or column.
            DataError: a line of ``feedback.jsonl`` is no verdict.
        """
        self._check_column(column)
        return self._cell(self.key(row), column, self._verdicts())

    def judge(
        self, row: str, column: int, verdict: str, correction: str | None, comment: str
    ) -> Path:
        """Append a verdict on a cell to ``feedback.jsonl``; return the path.

        Raises:
            ConfigError: there is no such row or column.
            DataError: an unknown verdict, or a correction without text.
            StoreError: it cannot be written.
        """
        name = self.key(row)
        self._check_column(column)
        result, condition = self.made.results[column], self.made.conditions[column]
        record = result.records[name]
        example = next(one for one in condition.examples if one.id == name)
        answer = ModelAnswer(
            condition, condition.request(example), record, result.predict(record), 0.0
        )
        return note(self.base, answer, verdict, correction, comment.strip())

    def export(self, query: MatrixQuery) -> Path:
        """Write the found rows with the shown columns as a new ``matrix-N.jsonl``; return the path.

        Raises:
            ConfigError, DataError: see :meth:`page`; or no row is found.
            StoreError: it cannot be written.
        """
        names = self.find(query)
        if not names:
            raise ConfigError("no row to export: choose all, or search for something else")
        taken = (self.base / f"matrix-{number}.jsonl" for number in range(1, _MOST_EXPORTS))
        path = next((one for one in taken if not one.exists()), None)
        if path is None:
            raise ConfigError("too many files are called matrix-….jsonl; move them away")
        write_new(path, list(self._lines(names, self._columns(query))), f"{path} exists already")
        return path

    def _lines(self, names: Sequence[str], columns: Sequence[int]) -> Iterator[dict[str, Any]]:
        verdicts = self._verdicts()
        for name in names:
            example = self.made.examples[name]
            cells = [self._cell(name, place, verdicts) for place in columns]
            yield {
                "id": name,
                "fields": dict(example.inputs),
                "targets": list(example.targets),
                "answers": [
                    {
                        "column": LETTERS[one.column],
                        "settings": self.made.titles[one.column],
                        "condition": self.made.results[one.column].entry.fingerprint,
                        "answer": one.answer,
                        "right": one.right,
                        "verdict": one.verdict or None,
                        "comment": one.comment,
                        "correction": one.correction or None,
                    }
                    for one in cells
                ],
            }
