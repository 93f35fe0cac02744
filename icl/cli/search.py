"""The command ``icl search``: the best prompt and shots within a budget."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from icl.cli.common import ASK, Out, app
from icl.core.safe_print import echo
from icl.running.progress import format_duration

if TYPE_CHECKING:
    from icl.running.search.search import SearchPlan

NAMED = 12
"""The number of candidates that a dry run lists by name."""


@app.command(rich_help_panel=ASK)
def search(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Experiment with a search: block.")],
    out: Out = Path("runs"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show candidates, rungs, tokens and time.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Test another winner on the same test rows, too.")
    ] = False,
) -> None:
    """Find the best prompt and shots within a budget; test once."""
    from icl.running.progress import Progress
    from icl.running.search.outcome import render
    from icl.running.search.search import plan
    from icl.running.search.search import search as find

    progress = Progress(sys.stderr)
    if dry_run:
        _tell_plan(plan(file, out, progress))
        return
    found = find(file, out, progress, again)
    echo(render(found), nl=False)
    if found.shots:
        echo(f"shots:      {found.shots}")
    echo(f"experiment: {found.best}\n  icl run {found.best}")


def _tell_plan(made: SearchPlan) -> None:
    from rich import box
    from rich.table import Table

    from icl.core.safe_console import SafeConsole

    names = [candidate.name for candidate in made.field.candidates]
    echo(f"{len(names)} candidates:")
    for name in names[:NAMED]:
        echo(f"  {name}")
    if len(names) > NAMED:
        echo(f"  … and {len(names) - NAMED} more")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in ("rung", "candidates", "rows", "new rows", "tokens at most", "time"):
        table.add_column(title, justify="right")
    asked = 0
    for place, (rung, tokens) in enumerate(zip(made.rungs, made.tokens, strict=True), 1):
        new, asked = rung.candidates * (rung.rows - asked), rung.rows
        cells = [str(place), str(rung.candidates), str(rung.rows), str(new), f"{tokens:,.0f}"]
        table.add_row(*cells, _time(tokens, made.pace))
    base = made.field.baseline
    table.add_row(
        "test",
        "2",
        str(len(base.examples)),
        str(2 * len(base.examples)),
        f"{made.test_tokens:,}",
        _time(made.test_tokens, made.pace),
    )
    SafeConsole().print(table)
    total = sum(made.tokens)
    budget = f"; the budget is {made.budget}" if made.budget else "; there is no budget"
    echo(
        f"about {total:,.0f} tokens, {_time(total, made.pace)} before the test{budget}\n"
        "nothing was run or saved"
    )


def _time(tokens: float, pace: float | None) -> str:
    return "–" if pace is None else format_duration(tokens * pace)
