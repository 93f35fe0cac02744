"""Tables for the terminal, in its width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from icl.records.results import Run
from icl.reports.appendix import Appendix
from icl.reports.grid import Grid
from icl.reports.tables import show

__all__ = ["as_text"]


if TYPE_CHECKING:
    from rich.console import RenderableType


def as_text(
    run: Run,
    grids: Sequence[Grid] = (),
    appendix: Appendix | None = None,
    plain: bool = False,
    details: bool = True,
) -> str:
    """Write the given tables, or those of the run, for the terminal's width.

    ``plain`` uses no bold letters, for a file; without ``details`` the run's tables have their
    gravest checks alone, and no settings of numbers.
    """
    from icl.core.safe_console import SafeConsole

    console = SafeConsole(force_terminal=False if plain else None)
    with console.capture() as captured:
        for grid in grids:
            for part in _grid_parts(grid):
                console.print(part)
        if not grids:
            show(run, console, details)
        for part in _appendix_parts(appendix) if appendix else ():
            console.print(part, soft_wrap=True)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().rstrip().split("\n"))


def _grid_parts(grid: Grid) -> Iterator[RenderableType]:
    """Yield title, table and notes of a grid for a rich console; its text is never markup."""
    from rich import box
    from rich.table import Table

    from icl.core.safe_console import make_text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    for head, side in zip(grid.heads, grid.align, strict=True):
        table.add_column(
            make_text(head), justify="right" if side == "r" else "left", overflow="fold"
        )
    for row in grid.rows:
        table.add_row(
            *(
                make_text(("▸ " if one.bold else "") + one.text, style="bold" if one.bold else "")
                for one in row
            )
        )
    yield make_text(grid.title, style="bold")
    yield table
    marked = ["▸ best of its row"] if any(one.bold for row in grid.rows for one in row) else []
    lines = [*marked, *grid.notes, *grid.warnings]
    yield make_text("\n".join(lines) + "\n", style="dim")


def _appendix_parts(made: Appendix) -> Iterator[RenderableType]:
    """Yield templates, prompts and citations one below the other."""
    from icl.core.safe_console import make_text

    parts = [(f"template {one.name} ({one.language})", one.text) for one in made.templates]
    parts += [(f"prompt of {one.title}, row {one.example}", one.text) for one in made.prompts]
    parts += [(f"data {name}", text) for name, text in made.citations]
    for title, text in parts:
        yield make_text(f"── {title} ".ljust(72, "─"), style="bold")
        yield make_text(text + "\n")
