"""The app with all verbs, and the conversion of every error to one line."""

from __future__ import annotations

import re
import sys
from functools import cache
from typing import Any

import typer
from typer.models import CommandInfo

from icl.cli import (
    author,
    compare,
    export,
    feedback,
    next_steps,  # noqa: F401 - what `icl` alone does
    report,
    run,
    show,
    workbench,
)
from icl.cli.common import PANELS, Verb, app
from icl.core.errors import IclError, StoppedError, join_lines
from icl.core.safe_print import draw_what_is_logged, echo, print_traceback
from icl.core.safe_text import clean

__all__ = ["app", "call_verb"]


WRONG, BROKEN, EARLY = 2, 1, 3
"""Exit codes: for a command that cannot be carried out as given, for a bug of icl, and for work
that ended early because the user set a time for it."""
LONGEST_WORD, SHOWN = 300, 120
"""Most characters of a word that errors quote whole, and the number quoted of a longer one."""
LONGEST_LINE = 2000
_MODULES = (author, run, workbench, compare, show, report, feedback, export)
"""Modules whose verbs are on the app, in the order of the help."""


def _place(verb: CommandInfo) -> tuple[int, int]:
    """Return where the help shows a verb: its panel, then the file it is written in."""
    assert verb.callback is not None
    written = [module.__name__ for module in _MODULES].index(verb.callback.__module__)
    return [*PANELS, verb.rich_help_panel].index(verb.rich_help_panel), written


app.registered_commands.sort(key=_place)
for _verb in app.registered_commands:
    _verb.cls = Verb


def call_verb() -> int:
    """Run the verb of a command line; print any error as one line and return the exit code.

    An error that nobody expected is a bug of ours: its traceback is printed, since it is what a
    report of it needs.
    """
    draw_what_is_logged()
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot print a sign shows its number; it must not end a run.
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")
    try:
        return int(_make_command()(standalone_mode=False) or 0)
    except StoppedError as error:
        _tell(f"{join_lines(clean(str(error)))}; run the same command again to go on")
        return EARLY
    except IclError as error:
        return _tell(join_lines(clean(str(error))))
    except BrokenPipeError:
        return 0
    except OSError as error:
        return _tell(_describe_os_error(error))
    except typer.TyperException as error:
        return _tell_usage(error)
    except Exception as error:
        print_traceback(error)
        echo("icl: this is a bug in icl; please report it with the lines above", err=True)
        return BROKEN


@cache
def _make_command() -> Any:
    """Build the app's command, only once: this takes longer than most verbs."""
    return typer.main.get_command(app)


def _tell(line: str) -> int:
    from icl.reports.safe_text import shorten_middle

    told = re.sub(rf"\S{{{LONGEST_WORD},}}", lambda word: shorten_middle(word.group(), SHOWN), line)
    echo(f"icl: {shorten_middle(told, LONGEST_LINE)}", err=True)
    return WRONG


def _describe_os_error(error: OSError) -> str:
    """Describe in one line what the operating system refused, and the repair."""
    names = " and ".join(repr(str(name)) for name in (error.filename, error.filename2) if name)
    what = error.strerror or str(error) or type(error).__name__
    return join_lines(
        f"the system refused {names or 'a file or a connection'}: {what}; repair that, or name "
        "another one, and run the same command again"
    )


def _tell_usage(error: typer.TyperException) -> int:
    """Print a mistake of the command line with the verb's usage; return the exit code.

    Print the help alone if the verb needs arguments and got none.
    """
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":  # the help itself, which is no mistake's line
        echo(error.format_message(), err=True)
        return WRONG
    if context is None:
        return _tell(join_lines(error.format_message()))
    usage = " ".join(context.get_usage().removeprefix("Usage:").split())
    name = f"{context.command_path} {context.help_option_names[-1]}"
    what = join_lines(error.format_message()).rstrip(".")
    return _tell(f"{what}; usage: {usage}; {name} explains more")
