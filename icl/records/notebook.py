"""A run as a small HTML table, for notebooks; text from strangers is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from icl.core.number_text import format_interval, format_number
from icl.core.safe_text import clean
from icl.core.types import Score

__all__ = ["MOST_ROWS", "describe_score", "write_html_table"]


MOST_ROWS = 30
"""Conditions that are shown."""
MOST_CHARS = 60
"""Characters of a cell that are shown."""


def describe_score(score: Score | None) -> list[str]:
    """Return a score's name, value and interval as cells."""
    if score is None:
        return ["–", "–", ""]
    return [score.name, format_number(score.value), format_interval(score)]


def write_html_table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write an HTML table in which no text is markup; long cells are cut."""
    return "\n".join(
        [
            "<table>",
            f"<caption>{escape(' '.join(clean(caption).split()))}</caption>",
            f"<thead>{_row(heads, 'th')}</thead>",
            "<tbody>",
            *(_row(line, "td") for line in rows),
            "</tbody>",
            "</table>",
        ]
    )


def _row(cells: Sequence[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{_cell(cell)}</{tag}>" for cell in cells) + "</tr>"


def _cell(text: str) -> str:
    """Escape a text as one line of at most :data:`MOST_CHARS` characters."""
    line = " ".join(clean(text).split())
    return escape(line if len(line) <= MOST_CHARS else f"{line[: MOST_CHARS - 1]}…")
