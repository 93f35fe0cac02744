"""The division of a table into parts that fit the page, by an estimate of its text's width.

Widths are those of Computer Modern Roman, whose letters nearly all text fonts of papers come near
to; characters without an entry count as wide ones. A part narrower than a column of a
two-column page is a ``table``, any other a ``table*``, which goes over both.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from icl.reports.grid import Cell, Grid

__all__ = ["GridPart", "PAGE_EM", "COLUMN_EM", "divide_grid", "measure_em"]


PAGE_EM, COLUMN_EM = 35.5, 20.5
"""Text width of LaTeX's ``article`` at 10 pt (345 pt), and a column of two (200 pt), in em of
``\\small`` (9.25 pt), with 5 % to spare."""
GAP_EM = 0.66
"""Space between two columns: twice ``\\tabcolsep`` of 3 pt."""
KEYS_SHARE = 0.5
"""Largest share of the page for the columns in front."""
LEAST_EM = 3.0
"""Width below which no column is squeezed."""
PAGE_ROWS = 36
"""Rows that fit on a page besides caption and notes."""
_WIDTHS = {
    0.28: "ijl.,:;'|[]!ı", 0.34: " frtIs-()/", 0.40: 'cezJ"{}',
    0.56: "abdghknopquvxyßS0123456789?_*$@†–",
    0.70: "LFPTEBCZ#+=<>~&", 0.78: "ADGHKNOQRUVXY", 0.86: "mw%", 1.06: "MW…—→←↑↓±",
}  # fmt: skip
_EM = {char: width for width, chars in _WIDTHS.items() for char in chars}
_BOLD = 1.16
WIDEST_EM = 1.1
"""Width of a character that is not in the table: no Latin one is wider."""


@dataclass(frozen=True, slots=True)
class GridPart:
    """Some columns and rows of a table, with the widths of those columns that are wrapped."""

    grid: Grid
    widths: tuple[float | None, ...]
    """Em of each wrapped column; None for one as wide as its widest cell."""
    number: int
    of: int

    @property
    def em(self) -> float:
        """The width of the part in em of its font."""
        return _total(_natural(self.grid), self.widths)


def measure_em(text: str, bold: bool = False) -> float:
    """Estimate the width of a text in em.

    >>> measure_em("00"), measure_em("il") < measure_em("MW")
    (1.12, True)
    """
    plain = unicodedata.normalize("NFD", " ".join(text.split()))
    kept = [char for char in plain if not unicodedata.combining(char)]
    return sum(_EM.get(char, WIDEST_EM) for char in kept) * (_BOLD if bold else 1)


def divide_grid(grid: Grid) -> list[GridPart]:
    """Divide a table into parts no wider than the page and no longer than it.

    Each part repeats the columns in front. Only what cannot fit by itself is wrapped.
    """
    natural = _natural(grid)
    keys = list(range(grid.keys))
    caps: list[float | None] = [None] * len(natural)
    _squeeze(natural, caps, keys, PAGE_EM * (KEYS_SHARE if len(natural) > grid.keys else 1))
    front = _total([natural[key] for key in keys], [caps[key] for key in keys])
    room = PAGE_EM - front - GAP_EM
    groups: list[list[int]] = [[]]
    for place in range(grid.keys, len(natural)):
        if natural[place] > room:
            caps[place] = room
        chosen = [*groups[-1], place]
        wide = _total([natural[one] for one in chosen], [caps[one] for one in chosen])
        if groups[-1] and wide > room:
            groups.append([place])
        else:
            groups[-1].append(place)
    lines = [grid.rows[at : at + PAGE_ROWS] for at in range(0, max(1, len(grid.rows)), PAGE_ROWS)]
    parts = [([*keys, *group], rows) for rows in lines for group in groups]
    return [
        _part(grid, columns, rows, caps, number, len(parts))
        for number, (columns, rows) in enumerate(parts, 1)
    ]


def _part(
    grid: Grid,
    columns: Sequence[int],
    rows: Sequence[tuple[Cell, ...]],
    caps: Sequence[float | None],
    number: int,
    of: int,
) -> GridPart:
    last = number == of
    made = Grid(
        grid.name if number == 1 else f"{grid.name}-{number}",
        grid.title if of == 1 else f"{grid.title} ({number} of {of})",
        tuple(grid.heads[place] for place in columns),
        "".join(grid.align[place] for place in columns),
        tuple(tuple(row[place] for place in columns) for row in rows),
        grid.notes if last else (),
        grid.warnings if number == 1 else (),
        grid.keys,
    )
    return GridPart(made, tuple(caps[place] for place in columns), number, of)


def _natural(grid: Grid) -> list[float]:
    """Return each column's width in em if nothing in it is wrapped."""
    found = [measure_em(head) for head in grid.heads]
    for row in grid.rows:
        found = [
            max(width, measure_em(cell.text, cell.bold))
            for width, cell in zip(found, row, strict=True)
        ]
    return found


def _total(natural: Sequence[float], caps: Sequence[float | None]) -> float:
    widths = [width if cap is None else cap for width, cap in zip(natural, caps, strict=True)]
    return sum(widths) + GAP_EM * max(0, len(widths) - 1)


def _squeeze(
    natural: Sequence[float], caps: list[float | None], places: Sequence[int], room: float
) -> None:
    """Cap the widest of some columns, evenly, until all of them fit the room."""

    def excess() -> float:
        return _total([natural[one] for one in places], [caps[one] for one in places]) - room

    while places and excess() > 0:
        width = {one: natural[one] if caps[one] is None else caps[one] or 0.0 for one in places}
        widest = max(places, key=lambda one: width[one])
        if width[widest] <= LEAST_EM:
            return
        caps[widest] = max(LEAST_EM, width[widest] - max(0.5, excess() / len(places)))
