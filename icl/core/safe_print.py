"""All printing to a terminal: text and errors, with invisible characters shown as marks.

Nothing else in the package prints, but the tables of :mod:`icl.core.safe_console`; a test looks for
it. What a text holds never becomes a colour or a movement of the cursor.
"""

from __future__ import annotations

import logging
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import IO, Any

from icl.core.safe_text import clean

__all__ = ["draw_what_is_logged", "echo", "echo_data", "print_traceback"]


def echo(
    text: object = "",
    err: bool = False,
    nl: bool = True,
    file: IO[str] | None = None,
    drawn: bool = False,
) -> None:
    """Print text to the terminal, or to a stream, with every control character as a mark.

    Args:
        text: the text to print; tabs and line ends are unchanged.
        err: to the error stream.
        nl: whether a line end follows.
        file: another stream.
        drawn: the text comes from icl's own console and has its marks already; colours stay.
    """
    stream = file or (sys.stderr if err else sys.stdout)
    stream.write((str(text) if drawn else clean(str(text))) + "\n" * nl)
    stream.flush()


def echo_data(text: str) -> None:
    """Print data for other programs: unchanged into a file or pipe, with marks on a terminal."""
    echo(text, nl=False, drawn=not sys.stdout.isatty())


def print_traceback(error: BaseException) -> None:
    """Print the traceback of a bug as Python does, with control characters as marks."""
    echo("".join(traceback.format_exception(error)), err=True, nl=False)


class _DrawnLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return clean(super().format(record))


def draw_what_is_logged() -> None:
    """Insert marks into Python's own lines on the terminal, too: last log handler and warnings."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_DrawnLine())
    before: Callable[..., str] = warnings.formatwarning
    if getattr(before, "drawn", False):
        return

    def shown(*args: Any, **options: Any) -> str:
        return clean(before(*args, **options))

    shown.drawn = True  # type: ignore[attr-defined]
    warnings.formatwarning = shown
