"""Columns of a run's tables for programs: the same names in data frames and in CSV.

A setting is called as the experiment's settings are (``k``, ``select``, ``rows.lines``). Only one
that is called like another column of the table has ``setting.`` in front.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from icl.core.types import JSON, Example, Prediction, Score, UnscoredRow

if TYPE_CHECKING:
    import pandas

__all__ = [
    "Cells",
    "make_prediction_frame",
    "make_score_frame",
    "name_setting_column",
    "write_prediction_cells",
    "write_score_cells",
    "write_unscored_cells",
]


Cells = Mapping[str, object]
"""The cells of one row by column; a column that it lacks is NA."""


FRONT = ("run", "condition")
SCORE = ("score", "kind", "value", "low", "high", "n", "signature", "tied")
PREDICTION = (
    "id", "prediction", "targets", "right", "error", "finish", "samples", "votes", "tied",
    "shortened",
)  # fmt: skip
TAKEN = frozenset([*FRONT, *SCORE, *PREDICTION])
"""Names that a setting cannot have without a prefix, in any of the tables."""
WORDS = frozenset([
    "task", "entry", "prompt", "layout", "model", "locale", "pair", "language", "label_language",
    "prompt_language", "width", "shots", "method", "pool", "select", "order", "shown_labels",
])  # fmt: skip
"""Settings that are always words, even if all values of a run look like numbers."""
NUMBERS = frozenset(["k", "seed"])
"""Settings that are whole numbers; ``k`` is absent for ``all`` shots of a file."""


def name_setting_column(setting: str) -> str:
    """Return the column of a setting.

    >>> name_setting_column("k"), name_setting_column("n")
    ('k', 'setting.n')
    """
    return f"setting.{setting}" if setting in TAKEN else setting


def write_score_cells(score: Score) -> dict[str, JSON]:
    """Return the cells of a score by column, unrounded."""
    made = asdict(score)
    return {"score": made.pop("name"), "kind": made.pop("kind"), **made}


def write_prediction_cells(made: Prediction, example: Example) -> dict[str, object]:
    """Return the cells of an answer by column; the row has the targets that count."""
    return {
        "id": made.id,
        "prediction": made.value,
        "targets": example.targets,
        "right": made.value in example.targets if example.targets else None,
        "error": made.error,
        "finish": made.finish or None,
        "samples": made.samples,
        "votes": made.votes,
        "tied": made.tied,
        "shortened": made.shortened,
    }


def write_unscored_cells(row: UnscoredRow, example: Example) -> dict[str, object]:
    """Return the cells of a row without an answer by column."""
    return {"id": row.id, "targets": example.targets, "error": f"unscored: {row.error}"}


def make_score_frame(rows: Sequence[Cells], settings: Sequence[str]) -> pandas.DataFrame:
    """Make the frame of :meth:`icl.Run.frame`; ``settings`` are the columns of settings."""
    types = dict.fromkeys(("run", "score", "kind"), "category")
    types |= dict.fromkeys(("condition", "signature"), "str")
    types |= dict.fromkeys(("value", "low", "high"), "Float64")
    types |= dict.fromkeys(("n", "tied"), "Int64")
    return _frame(rows, settings, SCORE, types)


def make_prediction_frame(rows: Sequence[Cells], settings: Sequence[str]) -> pandas.DataFrame:
    """Make the frame of :meth:`icl.Run.predictions`; ``settings`` are the columns of settings."""
    types = dict.fromkeys(("run", "finish"), "category")
    types |= dict.fromkeys(("condition", "id", "prediction", "error"), "str")
    types |= {"targets": "object", "right": "boolean"}
    types |= dict.fromkeys(("samples", "votes"), "Int64")
    types |= dict.fromkeys(("tied", "shortened"), "boolean")
    return _frame(rows, settings, PREDICTION, types)


def _frame(
    rows: Sequence[Cells], settings: Sequence[str], behind: Sequence[str], types: Mapping[str, str]
) -> pandas.DataFrame:
    """Make a frame with a typed column for each name, even if no row has it."""
    import pandas

    columns = {}
    for name in [*FRONT, *settings, *behind]:
        cells = [row.get(name) for row in rows]
        columns[name] = (
            _setting_column(name, cells)
            if name in settings
            else pandas.Series(cells, dtype=types[name])
        )
    return pandas.DataFrame(columns)


def _setting_column(name: str, cells: Sequence[object]) -> pandas.Series:
    """Make the column of a setting: of numbers if it is one, else a category in the run's order."""
    import pandas

    words = list(dict.fromkeys(str(cell) for cell in cells if cell is not None))
    if name in NUMBERS:
        numbers = [_read_number(cell, int) for cell in cells]
        return pandas.Series(numbers, dtype="Int64")
    if words and name not in WORDS and not name.startswith(("rows.", "setting.")):
        for kind, dtype in ((int, "Int64"), (float, "Float64")):
            if all(_read_number(word, kind) is not None for word in words):
                found = [_read_number(cell, kind) for cell in cells]
                return pandas.Series(found, dtype=dtype)
    return pandas.Series(pandas.Categorical(list(cells), categories=words))


def _read_number(cell: object, kind: type[int] | type[float]) -> int | float | None:
    """Return the number in a setting's word; None if it is none."""
    if cell is None:
        return None
    text = str(cell)
    try:
        number = kind(text)
    except ValueError:
        return None
    return number if str(number) == text else None
