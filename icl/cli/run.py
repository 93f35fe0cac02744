"""The commands ``icl run`` and ``icl score``: run an experiment, and score a run again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from icl.cli.common import ASK, READ, AllowCommands, HiddenOut, Out, app, pasted
from icl.core.errors import ConfigError
from icl.core.safe_print import echo

if TYPE_CHECKING:
    from icl.experiment.grid import Experiment
    from icl.records.results import Run


@app.command(rich_help_panel=ASK)
def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Experiment file (YAML).")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show conditions, tokens and time; run nothing.")
    ] = False,
    stop_after: Annotated[
        float | None,
        typer.Option(
            "--stop-after",
            metavar="MINUTES",
            min=0,
            help="Stop between two batches; the same command goes on.",
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size", metavar="ROWS", min=1, help="Rows in a batch. Default: what fits."
        ),
    ] = None,
    out: Out = Path("runs"),
    again: Annotated[
        bool,
        typer.Option("--again", hidden=True, help="Of a search: test another winner, too."),
    ] = False,
) -> None:
    """Run what is missing of an experiment and print its scores; with search:, find the best.

    What was answered is kept: a run that was stopped goes on by the same command.
    """
    from icl.cli.run_options import RunOptions
    from icl.cli.runners import find_block, pick_runner
    from icl.experiment.file import load_experiment
    from icl.running.progress import Progress, StopClock

    experiment = load_experiment(file).with_batch_size(batch_size)
    if again and find_block(experiment.raw, file) != "search":
        raise ConfigError(
            f"--again tests another winner of a search, and {file} has no search: block; leave it "
            "out"
        )
    runner = pick_runner(experiment, file)
    clock = None if stop_after is None else StopClock(stop_after)
    runner.run(experiment, RunOptions(out, Progress(sys.stderr, clock=clock), dry_run, again))
    _tell_machine_keys(experiment)


def _tell_machine_keys(experiment: Experiment) -> None:
    """Say where keys of the file belong that change no answer: they are those of the machine."""
    from icl.experiment.user_config import find_config_file, find_machine_keys

    found = list(find_machine_keys(experiment.raw))
    if found:
        option = "`--batch-size` or " if "batch_size" in found else ""
        several = ", ".join(found)
        echo(
            f"note: {several}: accepted, but a setting of the machine, which changes no answer; "
            f"it belongs to {option}{find_config_file() or 'your config.yaml'}",
            err=True,
        )


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
    out: HiddenOut = Path("runs"),
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
