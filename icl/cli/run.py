"""The commands ``icl run`` and ``icl score``: run an experiment, and score a run again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icl.cli.common import ASK, READ, AllowCommands, Out, app, pasted
from icl.core.errors import ConfigError
from icl.core.safe_print import echo

if TYPE_CHECKING:
    from icl.records.results import Run


@app.command(rich_help_panel=ASK)
def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Experiment file (YAML).")],
    out: Out = Path("runs"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show conditions, tokens and time; run nothing.")
    ] = False,
) -> None:
    """Run what is missing of an experiment and print its scores."""
    from icl.core.files import replace_file
    from icl.experiment.file import load_experiment
    from icl.records.paths import TABLE
    from icl.reports.comparison import render_comparison
    from icl.reports.tables import render
    from icl.reports.terminal import as_text
    from icl.running.progress import Progress
    from icl.running.run import run as run_experiment

    experiment = load_experiment(file)
    progress = Progress(sys.stderr)
    if dry_run:
        _dry_run(experiment, out, progress)
        return
    done = run_experiment(experiment, out, progress)
    compared = render_comparison(done)
    replace_file(done.folder / TABLE, render(done) + compared, out)
    echo(as_text(done, details=False), nl=False, drawn=True)
    echo(f"\n{compared}" if compared else "", nl=False)
    one = f"{done.called}#1/{next(iter(done.conditions[0].ids))}"
    echo(
        f"{done.computed} records computed, {done.reused} reused; all of them in {done.folder}\n"
        f"look at one:  icl show {pasted(one)}"
    )


def _dry_run(experiment: Any, out: Path, progress: Any) -> None:
    from rich import box
    from rich.table import Table

    from icl.core.safe_console import SafeConsole
    from icl.running.estimate import HEAD, estimate, sum_estimates

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for place, title in enumerate(HEAD):
        table.add_column(title, justify="right" if place else "left", overflow="fold")
    found = []
    with progress:
        for one in estimate(experiment, out, progress):
            found.append(one)
            table.add_row(*one.cells())
    SafeConsole().print(table)
    echo(sum_estimates(found))


@app.command(rich_help_panel=READ, hidden=True)
def score(
    run_name: Annotated[str, typer.Argument(metavar="RUN", help="Name or folder of a run.")],
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="Metric to add: a name, or {command: …}.")
    ] = None,
    parser: Annotated[
        str | None, typer.Option("--parser", help="Another parser: a name, or {parser: …}.")
    ] = None,
    calibrator: Annotated[
        list[str] | None,
        typer.Option("--calibrator", help="Calibrator to add: a name, or {calibrator: …}."),
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option("--remove", help="Remove an added score, or all of @PARSER, +CALIBRATOR."),
    ] = None,
    allow_commands: AllowCommands = False,
    out: Out = Path("runs"),
) -> None:
    """Score a run again from its records, without a model.

    Scores by another parser, metric or calibrator stay in every later table; they are listed below
    the table with the words that remove them.
    """
    from icl.records.results import load_run
    from icl.reports.terminal import as_text
    from icl.scoring.added_scores import remove_scores
    from icl.scoring.scores import note_commands_left_out, score_run

    loaded = load_run(run_name, out, allow_commands=allow_commands)
    if remove:
        if metric or parser or calibrator:
            raise ConfigError(
                "--remove makes no scores; leave out --metric, --parser and --calibrator, or call "
                "icl score twice"
            )
        left = remove_scores(loaded, remove)
        count = len(loaded.scores) - len(left.scores)
        echo(f"{count} scores removed from {loaded.name}; the records stay", err=True)
        _list_added(left)
        return
    for line in note_commands_left_out(loaded) if metric is None else ():
        echo(line, err=True)
    scored = score_run(loaded, metric, parser, calibrators=calibrator)
    echo(as_text(scored, details=False), nl=False, drawn=True)
    _list_added(scored)


def _list_added(run: Run) -> None:
    """Print which scores were added to a run, and the commands that remove them."""
    from icl.scoring.added_scores import list_added_scores

    groups: dict[str, list[str]] = {}
    for one in list_added_scores(run):
        groups.setdefault(one.group, []).append(one.name)
    for group, names in groups.items():
        several = ", ".join(list(dict.fromkeys(names))[:2])
        more = len(dict.fromkeys(names)) - 2
        several += f" and {more} more" if more > 0 else ""
        how = f"icl score {pasted(run.called)} --remove {pasted(group)}"
        echo(f"added: {several}\n  remove: {how}", err=True)
