"""The command line: one file for each group of verbs, all of them on one Typer app."""

from __future__ import annotations

import sys

import typer
from typer.models import CommandInfo

from icl.cli import author, compare, export, feedback, report, run, search, show, workbench
from icl.cli.common import STOPPED, app
from icl.core.errors import IclError, join_lines

__all__ = ["app", "main"]


_MODULES = (author, run, search, workbench, compare, show, report, feedback, export)
"""The files whose verbs are on the app, in the order of the help."""
_PANELS = ("Write", "Run", "Look", "Use")


def _place(verb: CommandInfo) -> tuple[int, int]:
    """Return where the help shows a verb: its panel, then the file it is written in."""
    assert verb.callback is not None
    written = [module.__name__ for module in _MODULES].index(verb.callback.__module__)
    return [*_PANELS, verb.rich_help_panel].index(verb.rich_help_panel), written


app.registered_commands.sort(key=_place)


def main() -> None:
    """Entry point: an expected error is one line and exit code 2, never a traceback."""
    try:
        code = app(standalone_mode=False)
        if code == STOPPED:
            typer.echo("icl: stopped; run the same command again to go on", err=True)
        sys.exit(code)
    except IclError as error:
        typer.echo(f"icl: {join_lines(error)}", err=True)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(0)
    except typer.TyperException as error:
        show_usage = getattr(error, "show", None)
        if show_usage is None:
            raise
        show_usage()
        sys.exit(2)
