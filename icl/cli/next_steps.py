"""The output of ``icl`` without a verb: the contents of this folder, and three next commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from icl.cli.common import ABOUT, app, pasted
from icl.core.safe_print import echo

__all__ = ["find_next_steps"]


MOST_LOOKED_AT = 1000
"""Most files of a folder that are examined, since a folder may hold millions."""
_LOOKED_AT, _KEYS = 100_000, (b"models", b"tasks")
"""Bytes that are read of a YAML file, and the keys that show an experiment."""


def _print_version(wanted: bool) -> None:
    """Print the version and end, if ``--version`` is given."""
    if wanted:
        from importlib.metadata import version

        echo(f"icl {version('icl-workbench')}")
        raise typer.Exit


@app.callback(invoke_without_command=True, help=ABOUT)
def tell_next_steps(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Print the next steps if no verb is given."""
    if context.invoked_subcommand is None and not context.resilient_parsing:
        echo("\n".join(find_next_steps(Path())))


def find_next_steps(folder: Path) -> list[str]:
    """Return the lines for a folder: its contents, and three commands with their purpose."""
    runs, experiments, tables = _find_runs(folder), _find_experiments(folder), _find_tables(folder)
    begin = [
        ("icl init first", "a small experiment that runs as it is"),
        ("icl init mine --from FILE", "one from your own table of texts and answers"),
        ("icl app", "the workbench, in the browser"),
    ]
    if runs:
        name = pasted(runs[-1])
        held = f"{_count(runs, 'run')} under runs/, the last one {runs[-1]}"
        steps = [
            (f"icl report {name}", "its scores, prompts and errors as one page"),
            ("icl app", "the workbench, where every record can be read"),
            (f"icl run {pasted(experiments[-1])}", "computes what is missing, no more")
            if experiments
            else begin[1],
        ]
    elif experiments:
        file = pasted(experiments[-1])
        held = f"{_count(experiments, 'experiment')}, the last one {experiments[-1]}"
        steps = [
            (f"icl lint {file}", "finds mistakes before a model runs"),
            (f"icl try {file}", "runs five rows and shows the answers"),
            (f"icl run {file}", "runs all rows and scores the answers"),
        ]
    elif tables:
        held = f"{_count(tables, 'table')}, the last one {tables[-1]}"
        steps = [(f"icl init mine --from {pasted(tables[-1])}", "an experiment from it")]
        steps += [begin[0], begin[2]]
    else:
        held, steps = "no runs, no experiment and no table", begin
    lines = [f"In this folder: {held}. Next:"]
    for command, purpose in steps:
        lines.append(f"  {command}")
        lines.append(f"      {purpose}")
    return [*lines, "All verbs: icl --help"]


def _count(names: list[str], noun: str) -> str:
    return f"{len(names)} {noun}{'s' * (len(names) != 1)}"


def _find_runs(folder: Path) -> list[str]:
    """List the runs under ``runs``, the newest last."""
    found = [
        (path.stat().st_mtime, path.parent.name)
        for path in _first((folder / "runs").glob("*/manifest.json"))
        if path.is_file()
    ]
    return [name for _, name in sorted(found)]


def _find_experiments(folder: Path) -> list[str]:
    """List the experiment files here and one folder below, the newest last."""
    found = [
        (path.stat().st_mtime, str(path.relative_to(folder)))
        for pattern in ("*.yaml", "*.yml", "*/*.yaml", "*/*.yml")
        for path in _first(folder.glob(pattern))
        if path.parent.name != "runs" and path.is_file() and _is_experiment(path)
    ]
    return [name for _, name in sorted(found)]


def _is_experiment(path: Path) -> bool:
    """Return whether the first bytes of a YAML file have the keys of an experiment."""
    with path.open("rb") as raw:
        begin = raw.read(_LOOKED_AT)
    return all(re.search(rb"(?m)^[ {\"]*%s\"? *:|, *\"%s\":" % (key, key), begin) for key in _KEYS)


def _find_tables(folder: Path) -> list[str]:
    """List the files here that may be tables, the newest last."""
    from icl.data.columns import SUFFIXES

    found = [
        (path.stat().st_mtime, path.name)
        for path in _first(folder.iterdir())
        if path.name.removesuffix(".gz").lower().endswith(tuple(SUFFIXES)) and path.is_file()
    ]
    return [name for _, name in sorted(found)]


def _first(paths: Iterator[Path]) -> Iterator[Path]:
    for _, path in zip(range(MOST_LOOKED_AT), paths, strict=False):
        yield path
