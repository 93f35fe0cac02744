"""The grid runner of ``icl run``: every condition of a file, and a table of scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icl.cli.common import pasted
from icl.core.safe_print import echo

if TYPE_CHECKING:
    from icl.cli.run_options import RunOptions
    from icl.experiment.grid import Experiment

__all__ = ["run_grid"]


def run_grid(experiment: Experiment, options: RunOptions) -> None:
    """Compute the records that are missing and print all scores; or only estimate them."""
    from icl.core.files import replace_file
    from icl.records.paths import TABLE
    from icl.reports.comparison import render_comparison
    from icl.reports.locale_tables import render_slices
    from icl.reports.tables import render
    from icl.reports.terminal import as_text
    from icl.running.run import run as run_experiment

    if options.dry_run:
        _tell_estimates(experiment, options)
        return
    done = run_experiment(experiment, options.out, options.progress)
    more = [text for text in (render_comparison(done), render_slices(done)) if text]
    replace_file(done.folder / TABLE, render(done) + "".join(more), options.out)
    echo(as_text(done, details=False), nl=False, drawn=True)
    echo("".join(f"\n{text}" for text in more), nl=False)
    one = f"{done.called}#1/{next(iter(done.conditions[0].ids))}"
    echo(
        f"{done.computed} records computed, {done.reused} reused; all of them in {done.folder}\n"
        f"look at one:  icl show {pasted(one)}"
    )


def _tell_estimates(experiment: Experiment, options: RunOptions) -> None:
    from rich import box
    from rich.table import Table

    from icl.core.safe_console import SafeConsole
    from icl.running.estimate import HEAD, estimate, sum_estimates

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for place, title in enumerate(HEAD):
        table.add_column(title, justify="right" if place else "left", overflow="fold")
    found = []
    with options.progress:
        for one in estimate(experiment, options.out, options.progress):
            found.append(one)
            table.add_row(*one.cells())
    SafeConsole().print(table)
    echo(sum_estimates(found))
