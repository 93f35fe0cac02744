"""The command line: one file for each group of verbs, all of them on one Typer app."""

from __future__ import annotations

import sys

import typer

from icl.cli import author, comparing, feedback, look, production, reporting, runs, search, web
from icl.cli.common import STOPPED, app
from icl.errors import IclError, one_line

__all__ = ["app", "main"]

_VERBS = (author, comparing, feedback, look, production, reporting, runs, search, web)
"""Imported for the verbs that they put on the app."""
_PANELS = ("Write", "Run", "Look", "Use")
app.registered_commands.sort(
    key=lambda verb: [*_PANELS, verb.rich_help_panel].index(verb.rich_help_panel)
)


def main() -> None:
    """Entry point: an expected error is one line and exit code 2, never a traceback."""
    try:
        code = app(standalone_mode=False)
        if code == STOPPED:
            typer.echo("icl: stopped; run the same command again to go on", err=True)
        sys.exit(code)
    except IclError as error:
        typer.echo(f"icl: {one_line(error)}", err=True)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(0)
    except typer.TyperException as error:
        show_usage = getattr(error, "show", None)
        if show_usage is None:
            raise
        show_usage()
        sys.exit(2)
