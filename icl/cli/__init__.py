"""The command line: one file for each group of verbs, all of them on one Typer app.

This file imports next to nothing, so that Ctrl+C is met from the first moment on: what it stops
while libraries are still being read ends as quietly as what it stops later.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import typer

    app: typer.Typer

__all__ = ["app", "main"]


STOPPED = 130
"""Exit code after Ctrl+C: the one of shells, and of Typer too."""


class _StopKey:
    """Record of whether Ctrl+C was pressed; interrupted code may raise another error instead."""

    def __init__(self) -> None:
        self.pressed = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.pressed = True
        # What is thrown inside of a callback can go nowhere, and Python would print it.
        sys.unraisablehook = lambda _: None
        raise KeyboardInterrupt


def main() -> None:
    """Run the command line; print an expected error as one line and exit with code 2."""
    key, before = _StopKey(), signal.getsignal(signal.SIGINT)
    listening = before is signal.default_int_handler  # else somebody else sees to it
    hook = sys.unraisablehook
    try:
        if listening:
            signal.signal(signal.SIGINT, key)
        from icl.cli.verbs import call_verb

        code = call_verb()
    except KeyboardInterrupt:
        code = STOPPED
    except Exception:
        if not key.pressed:
            raise
        code = STOPPED  # as when a library cannot be imported because it was broken off
    finally:
        sys.unraisablehook = hook
        if listening:
            signal.signal(signal.SIGINT, before)
    if code == STOPPED:
        sys.stderr.write("icl: stopped; run the same command again to go on\n")
    sys.exit(code)


def __getattr__(name: str) -> Any:
    """Return the app, which imports all verbs."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from icl.cli.verbs import app

    return app
