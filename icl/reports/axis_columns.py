"""The columns of a table that tell its rows apart: which axes have one, and how wide it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from icl.experiment.differences import is_difference
from icl.records.results import ConditionResult, find_varying_axes

__all__ = ["WORD_WIDTH", "add_axis_column", "break_title", "find_table_axes", "measure_words"]

if TYPE_CHECKING:
    from rich.table import Table

WORD_WIDTH = 7
"""Characters that a column of settings keeps, however full the table is: ``flipped``."""
LEAST_WIDTH = 4
"""Characters that it keeps in a table that leaves no other column out."""


def find_table_axes(rows: Sequence[ConditionResult]) -> list[str]:
    """List the axes that vary, those absent from some rows too, and always the shots."""
    axes = dict.fromkeys(axis for row in rows for axis in row.axes)
    shown = {*find_varying_axes(rows), "shots"}
    return [axis for axis in axes if axis in shown]


def break_title(axis: str) -> str:
    """Break a task's key after its first dot, for the head of a narrow column.

    >>> break_title("sampling.max_tokens").split()
    ['sampling.', 'max_tokens']
    """
    return axis.replace(".", ".\n", 1) if is_difference(axis) else axis


def measure_words(title: str, cells: Sequence[str], most: int = WORD_WIDTH) -> int:
    """Measure the least width of a column of these words, in characters, in a crowded table."""
    words = [*title.split(), *(word for cell in cells for word in cell.split())]
    return min(max(map(len, words), default=1), most)


def add_axis_column(table: Table, axis: str, cells: Sequence[str], no_wrap: bool = False) -> None:
    """Add a column that is folded where there is no room, and never vanishes."""
    title = break_title(axis)
    least = None if no_wrap else measure_words(title, cells, LEAST_WIDTH)
    table.add_column(title, overflow="fold", no_wrap=no_wrap, min_width=least)
