"""The matrix of answers as HTML; every text in it is escaped.

A script of the page's own tells which cell was chosen, by a click, Enter or the space bar; arrow
keys go from cell to cell.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape

from icl.core.safe_text import clean
from icl.workbench.answer_matrix import MatrixCell, MatrixPage, MatrixRow
from icl.workbench.web.form_values import browser_text

__all__ = ["EMPTY", "PICK_CELL", "matrix_html"]


EMPTY = ""
CELL_CHARS, WIDE_CHARS = 300, 4000
"""Most characters of an answer in its cell, and in a widened column; a click shows it whole."""
_MARKS = {True: "✓", False: "✗", None: ""}
_CLASSES = {True: "right", False: "wrong", None: "open"}
_WORDS = {True: "right", False: "wrong", None: "no right answer"}

PICK_CELL = """
const cells = () => [...element.querySelectorAll("td[data-row]")];
const pick = cell => {
  for (const one of cells()) {
    one.tabIndex = one === cell ? 0 : -1;
    one.toggleAttribute("data-chosen", one === cell);
  }
  cell.focus();
  trigger("select", {index: Number(cell.dataset.column), value: cell.dataset.row});
};
element.addEventListener("click", event => {
  const cell = event.target.closest("td[data-row]");
  if (cell) pick(cell);
});
element.addEventListener("keydown", event => {
  const cell = event.target.closest("td[data-row]");
  if (!cell || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    pick(cell);
    return;
  }
  const row = cell.parentElement, place = [...row.children].indexOf(cell);
  const next = {
    ArrowLeft: cell.previousElementSibling,
    ArrowRight: cell.nextElementSibling,
    ArrowUp: row.previousElementSibling?.children[place],
    ArrowDown: row.nextElementSibling?.children[place],
  }[event.key];
  if (!next?.matches("td[data-row]")) return;
  event.preventDefault();
  cell.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
});
"""
"""Script that tells the row and the column of the cell that was chosen."""


def matrix_html(
    page: MatrixPage,
    heads: Sequence[tuple[str, str, str]],
    wide: Collection[int] = (),
    chosen: tuple[str, int] | None = None,
) -> str:
    """Write a page of a matrix as a table.

    Args:
        page: the page.
        heads: letter, settings and score of every column, hidden ones too.
        wide: places of the columns that show long answers.
        chosen: row and column of the cell whose answer is shown whole.
    """
    if not page.rows:
        return '<p class="matrix-none">no row is like that: choose all, or another search</p>'
    titles = "".join(
        f'<th scope="col" class="{"wide" if place in wide else ""}">'
        f"<b>{_text(heads[place][0])}</b> "
        f"{_text(heads[place][2])}<small>{_text(heads[place][1])}</small></th>"
        for place in page.columns
    )
    first = (page.rows[0].id, page.columns[0])
    known = chosen in [(row.id, place) for row in page.rows for place in page.columns]
    reached = chosen if known and chosen is not None else first
    lines = "".join(_line(row, wide, reached, chosen) for row in page.rows)
    return (
        '<div class="matrix" role="region" aria-label="Answers" tabindex="0"><table><thead><tr>'
        f'<th scope="col">row</th><th scope="col">right answer</th>{titles}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _line(
    row: MatrixRow, wide: Collection[int], reached: tuple[str, int], chosen: tuple[str, int] | None
) -> str:
    cells = "".join(_cell(row.id, one, one.column in wide, reached, chosen) for one in row.cells)
    targets = _text(" / ".join(row.targets), CELL_CHARS)
    return (
        f'<tr><th scope="row"><small>{_text(row.id, 80)}</small>'
        f'<bdi dir="auto">{_text(row.text)}</bdi></th>'
        f'<td><bdi dir="auto">{targets}</bdi></td>{cells}</tr>'
    )


def _cell(
    row: str,
    one: MatrixCell,
    wide: bool,
    reached: tuple[str, int],
    chosen: tuple[str, int] | None,
) -> str:
    place = (row, one.column)
    said = f"{one.verdict}: {one.correction}" if one.correction else one.verdict
    noted = " – ".join(filter(None, [said, one.comment]))
    verdict = f'<em dir="auto">{_text(noted, CELL_CHARS)}</em>' if noted else ""
    kinds = f"{_CLASSES[one.right]}{' wide' if wide else ''}"
    return (
        f'<td class="{kinds}" tabindex="{0 if place == reached else -1}" '
        f'data-row="{_text(row)}" data-column="{one.column}"'
        f"{' data-chosen' if place == chosen else ''}>"
        f'<span class="mark" role="img" aria-label="{_WORDS[one.right]}">'
        f'{_MARKS[one.right]}</span> <bdi dir="auto">'
        f"{_text(one.answer, WIDE_CHARS if wide else CELL_CHARS)}</bdi>{verdict}</td>"
    )


def _text(text: str, most: int = 10_000) -> str:
    return escape(browser_text(clean(text), most))
