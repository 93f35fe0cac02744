"""The commands for writing prompts and experiments: ``init``, ``try``, ``lint``, ``schema``."""

from __future__ import annotations

import functools
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from icl.cli.common import DEMO_MODEL, READ, START, app, pasted
from icl.core.errors import ConfigError, IclError, join_lines
from icl.core.number_text import format_score
from icl.core.safe_print import echo, echo_data

if TYPE_CHECKING:
    from icl.experiment.lint import Problem
    from icl.running.trial import Outcome, TrialRow

TAIL_CHARS, TAIL_LINES = 400, 6
"""Most characters and lines that ``icl try`` shows of the end of a prompt."""
TOP = 3
"""The number of labels shown per row."""


@app.command(rich_help_panel=START)
def init(
    folder: Annotated[Path, typer.Argument(metavar="NAME", help="Folder to create.")],
    table: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FILE", help="Your table: .csv .tsv .jsonl .json .parquet .xlsx"
        ),
    ] = None,
    answer: Annotated[
        str | None,
        typer.Option("--answer", metavar="COLUMN", help="Its right answers. Default: guessed."),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="COLUMN", help="What the model reads. Default: guessed."),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--task", help="classify, extract, translation, … Default: guessed, else intent."
        ),
    ] = None,
    model: Annotated[
        str, typer.Option("--model", help="Hub id, folder, .gguf file or pypi:NAME.")
    ] = DEMO_MODEL,
) -> None:
    """Write a small experiment, from a table of your own or from ours; it runs as it is.

    icl init first --task choose

    icl init wishes --from messages.csv --answer wish
    """
    from icl.experiment.starters import init as write

    if table is not None:
        _tell_starter(folder, table, answer, inputs or [], task, model)
        return
    for option, given in (("--answer", answer), ("--input", inputs)):
        if given:
            raise ConfigError(f"{option} names a column of a table; name that too, by --from FILE")
    for path in write(folder, "intent" if task is None else task, model):
        echo(f"  {path}")
    _tell_next(folder)


def _tell_starter(
    folder: Path, table: Path, answer: str | None, inputs: list[str], task: str | None, model: str
) -> None:
    from icl.experiment.table_starter import start_from_table

    made = start_from_table(folder, table, answer=answer, inputs=inputs, task=task, model=model)
    echo(f"guessed of {table}; what is in brackets changes it:")
    for guess in made.guesses:
        _echo_folded(f"  {guess.name:<9} {guess.found}  [{guess.change}]", 12)
    for note in made.notes:
        _echo_folded(f"  note      {note}", 12)
    echo("wrote:")
    for path in made.files:
        echo(f"  {path}")
    _tell_next(folder)


def _echo_folded(line: str, indent: int) -> None:
    echo(textwrap.fill(line, 80, subsequent_indent=" " * indent, break_on_hyphens=False, tabsize=1))


def _tell_next(folder: Path) -> None:
    made = pasted(folder / "experiment.yaml")
    echo(
        f"run it:            icl run {made}\n"
        f"edit and watch:    icl try {made} --condition 2 --watch"
    )


@app.command("try", rich_help_panel=START)
def try_(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Experiment or template.")],
    rows: Annotated[int, typer.Option("--rows", help="How many rows.")] = 5,
    condition: Annotated[int, typer.Option("--condition", help="Which condition, from 1.")] = 1,
    watch: Annotated[bool, typer.Option("--watch", help="Again at every save.")] = False,
    model: Annotated[
        str | None,
        typer.Option("--model", help=f"For a template: the model to use. Default: {DEMO_MODEL}."),
    ] = None,
) -> None:
    """Run a few rows and show the answers; --watch repeats this at every save."""
    from icl.experiment.starters import is_experiment, make_experiment
    from icl.running.trial import Trial
    from icl.running.trial import watch as keep_watching

    if model is not None and is_experiment(file):
        raise ConfigError(f"--model goes with a template; {file} names its models under `models:`")
    asked = functools.partial(make_experiment, file, model or DEMO_MODEL)
    trial = Trial(asked, condition, rows)
    if not watch:
        _tell(trial.run())
        return
    try:
        keep_watching(trial, Path(file), functools.partial(_tell_again, file))
    except KeyboardInterrupt:
        echo("\nstopped", err=True)


def _tell_again(file: str, told: Outcome | IclError) -> None:
    if sys.stdout.isatty():
        echo("\033[H\033[2J", nl=False, drawn=True)  # a fresh screen
    if isinstance(told, IclError):
        echo(f"icl: {join_lines(told)}", err=True)
    else:
        _tell(told)
    echo(f"── watching {file}: save to try again, Ctrl+C to end", err=True)


def _tell(outcome: Outcome) -> None:
    for place, row in enumerate(outcome.rows, 1):
        echo("\n".join(_row_lines(row, place, len(outcome.rows))) + "\n")
    right = sum(row.right for row in outcome.rows)
    line = f"{right} of {len(outcome.rows)} right"
    for score in outcome.scores:
        if score.value is not None:
            line += f" · {score.name} {format_score(score)}"
    echo(f"{line} (no score: {outcome.note})" if outcome.note else line)


def _row_lines(row: TrialRow, place: int, n: int) -> Iterator[str]:
    """Yield the lines of a row: the end of its prompt, the answer and, if wrong, the target."""
    dropped = f", {len(row.dropped)} shots did not fit" if row.dropped else ""
    head = f"── row {place} of {n}, id {row.id}, {row.prompt_tokens} tokens{dropped} "
    yield head + "─" * max(0, 78 - len(head))
    tail = "\n".join(row.prompt[-TAIL_CHARS:].split("\n")[-TAIL_LINES:])
    yield ("…" if len(tail) < len(row.prompt) else "") + tail
    sign = "✓" if row.right else "✗" if row.targets else "?"
    if row.output is None:
        for label, share in row.shares[:TOP]:
            mark = sign if label == row.answer else " "
            yield f"{mark} {label:<28.28} {100 * share:5.1f} % {'█' * round(20 * share)}".rstrip()
    else:
        yield f"{sign} {row.output!r}" + (f"  unparsed: {row.error}" if row.error else "")
    if row.targets and not row.right:
        yield f"  right: {' | '.join(row.targets)}"


@app.command(rich_help_panel=READ)
def lint(
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="Templates, experiments.")],
) -> None:
    """Find errors in templates and experiments without a model; exit code 1 if there are any."""
    from icl.experiment.lint import lint as find

    problems = [problem for file in files for problem in (*find(file), *_lint_block(file))]
    problems = list(dict.fromkeys(problems))
    for problem in problems:
        echo(str(problem))
    clean = len(set(files) - {problem.given for problem in problems})
    count = f"{len(problems)} problem{'s' * (len(problems) != 1)}"
    echo(f"{count}; {clean} of {len(set(files))} files clean", err=True)
    if problems:
        raise typer.Exit(1)


def _lint_block(file: str) -> list[Problem]:
    """Return the problems of the block by which a file is run, as ``search:``, if it has one."""
    from icl.cli.runners import pick_runner
    from icl.experiment.file import load_experiment
    from icl.experiment.starters import is_experiment

    if not is_experiment(file):
        return []
    try:
        experiment = load_experiment(file)
    except IclError:
        return []  # the problem that the lint of the whole file has told
    return list(pick_runner(experiment, file).lint(experiment, file))


@app.command(rich_help_panel=READ, hidden=True)
def schema(
    kind: Annotated[
        str,
        typer.Argument(metavar="KIND", help="experiment, template, or keys: a page on all keys."),
    ] = "experiment",
) -> None:
    """Print the JSON Schema of a file, for editors, or all keys of an experiment file as a page."""
    from icl.core.registry import did_you_mean
    from icl.experiment.json_schema import SCHEMAS, write_schema
    from icl.experiment.key_page import write_key_page

    known = (*SCHEMAS, "keys")
    if kind not in known:
        raise ConfigError(f"no schema of {kind!r}{did_you_mean(kind, known)}")
    echo_data(write_key_page() if kind == "keys" else write_schema(kind))
