"""The fitting of tables to a width: columns that distinguish rows, their widths, their order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from icl.experiment.differences import is_difference
from icl.records.results import ConditionResult, find_varying_axes

__all__ = [
    "Column",
    "FittedTable",
    "break_title",
    "find_table_axes",
    "make_axis_column",
    "make_number_column",
]

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

WORD_WIDTH = 12
"""Least characters of a settings column, however full the table is: ``balanced run``."""
SHOTS_WIDTH = 16
"""Most characters of a name of shots that are not broken over lines."""
TITLE_WIDTH = 9
"""Most characters of such a column's head that is never broken at its marks."""


def find_table_axes(rows: Sequence[ConditionResult]) -> list[str]:
    """List the axes that vary, those absent from some rows too, and always the shots."""
    axes = dict.fromkeys(axis for row in rows for axis in row.axes)
    shown = {*find_varying_axes(rows), "shots"}
    return [axis for axis in axes if axis in shown]


def break_title(axis: str) -> str:
    """Break an axis for the head of a narrow column: a line for each part of a key or long word.

    >>> break_title("sampling.max_tokens").split(), break_title("shown_labels").split()
    (['sampling.', 'max_tokens'], ['shown_', 'labels'])
    """
    if is_difference(axis):
        return axis.replace(".", ".\n", 1)
    return axis.replace("_", "_\n") if len(axis) > TITLE_WIDTH else axis


@dataclass(frozen=True)
class Column:
    """A column of a table with its cells, as wide as they are or, for settings, as space allows."""

    title: str
    cells: Sequence[str]
    justify: Literal["left", "right"] = "left"
    style: str = ""
    kind: str = ""
    """Name by which a table may leave it out; empty for an indispensable one."""
    axis: str = ""
    """The axis that it shows; empty for numbers, whose cells are never broken."""
    firm: bool = False
    """Whether its cells are not broken either, although they are settings."""
    shorter: Column | None = None
    """A shorter column to use before it is left out."""

    @property
    def name(self) -> str:
        """Return its name in a note."""
        return self.axis or " ".join(self.title.split())

    @property
    def whole(self) -> int:
        """Return the characters that it takes with no cell broken."""
        return _widest([self.axis or self.title, *self.cells])

    @property
    def least(self) -> int:
        """Return the fewest characters that it can take."""
        if not self.axis or self.firm:
            return self.whole
        return max(_widest([self.title]), min(_widest(self.pieces), WORD_WIDTH))

    @property
    def pieces(self) -> list[str]:
        """Return the pieces into which its cells are broken if space is short."""
        return [word for cell in self.cells for word in _break_words(cell).split()]


def make_axis_column(axis: str, cells: Sequence[str]) -> Column:
    """Make a column of settings; its words may be broken if space is short, brief shots not."""
    firm = axis == "shots" and _widest(cells) <= SHOTS_WIDTH
    return Column(break_title(axis), cells, axis=axis, firm=firm)


def make_number_column(
    title: str,
    cells: Sequence[str],
    kind: str = "",
    style: str = "",
    justify: Literal["left", "right"] = "right",
) -> Column:
    """Make a column of numbers, or of other cells that are never broken."""
    return Column(title, cells, justify, style, kind)


@dataclass(frozen=True)
class FittedTable:
    """A table that leaves out columns if not all fit, and names those in a note."""

    columns: Sequence[Column]
    spare: Sequence[Column] = ()
    """Kinds of columns that it may leave out, the least needed first."""
    styles: Mapping[int, str] = field(default_factory=dict)
    """Index of a row -> its style."""

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        from rich import box
        from rich.table import Table

        from icl.core.safe_console import make_text

        columns, left = list(self.columns), []
        for one in self.spare:
            if _add([column.least for column in columns]) <= options.max_width:
                break
            if one.shorter is not None:
                columns[columns.index(one)] = one.shorter
                one = one.shorter
                if _add([column.least for column in columns]) <= options.max_width:
                    break
            left.append(one.name)
            columns.remove(one)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0, show_edge=False)
        cells: list[Sequence[str]] = []
        for column, width in zip(columns, _share(columns, options.max_width), strict=True):
            broken = width < column.whole
            cells.append(list(map(_break_words, column.cells)) if broken else column.cells)
            table.add_column(
                make_text(column.title if broken or not column.axis else column.axis),
                justify=column.justify,
                style=column.style,
                overflow="fold",
                width=width,
            )
        for place, row in enumerate(zip(*cells, strict=True)):
            table.add_row(*row, style=self.styles.get(place))
        yield table
        if left:
            yield make_text(f"no room here for the columns: {', '.join(left)}", style="dim")


def _share(columns: Sequence[Column], width: int) -> list[int]:
    """Compute the width of each column: its least, and the rest for those that it makes whole."""
    left = width - _add([column.least for column in columns])
    made = []
    for column in columns:
        wish = column.whole - column.least
        if wish > left:  # then as far as no word is broken where it has no mark
            wish = min(_widest(column.pieces) - column.least, left)
        more = max(0, wish)
        left -= more
        made.append(column.least + more)
    return made


def _add(widths: Sequence[int]) -> int:
    return sum(widths) + len(widths) - 1


def _widest(texts: Sequence[str]) -> int:
    return max((len(line) for text in texts for line in text.split("\n")), default=1)


def _break_words(cell: str) -> str:
    """Mark where a cell may be broken: after the marks of its long words, not inside a name.

    >>> _break_words("prompts/fields.j2").split()
    ['prompts/', 'fields.j2']
    """
    return " ".join(_break_word(word) for word in cell.split(" "))


def _break_word(word: str) -> str:
    """Split a long word into pieces that end at a mark, no longer than a narrow column."""
    lines = [""]
    for part in re.split(r"(?<=[/→:=,+_-])", word) if len(word) > WORD_WIDTH else [word]:
        if lines[-1].endswith(("/", "→")) or len(lines[-1] + part) > WORD_WIDTH:
            lines.append("")
        lines[-1] += part
    return "\n".join(filter(None, lines))
