"""The search runner of ``icl run``: the best prompt and shots within a budget, then one test."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from icl.cli.common import pasted
from icl.core.safe_print import echo
from icl.running.progress import format_duration

if TYPE_CHECKING:
    from icl.cli.run_options import RunOptions
    from icl.experiment.grid import Experiment
    from icl.experiment.lint import Problem
    from icl.running.search.search import SearchPlan

__all__ = ["lint_search", "run_search"]


NAMED = 12
"""The number of candidates that a dry run lists by name."""


def run_search(experiment: Experiment, options: RunOptions) -> None:
    """Search as the file's ``search:`` says, and print what was found; or only plan it."""
    from icl.core.files import replace_file
    from icl.records.paths import TABLE
    from icl.running.search.outcome import render
    from icl.running.search.search import plan
    from icl.running.search.search import search as find

    if options.dry_run:
        _tell_plan(plan(experiment, options.out, options.progress))
        return
    found = find(experiment, options.out, options.progress, options.again)
    text = render(found)
    if found.shots:
        text += f"shots:      {found.shots}\n"
    text += f"experiment: {found.best}\n  icl run {pasted(found.best)}\n"
    replace_file(options.out / found.name / TABLE, text, options.out)
    echo(text, nl=False)


def lint_search(experiment: Experiment, name: str) -> Iterable[Problem]:
    """Return the problems of the ``search:`` block, found without a model."""
    from icl.running.search.check import find_search_problems

    return find_search_problems(experiment, name)


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
