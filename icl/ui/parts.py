"""What several tabs are made of: choosers, stops of a session, and what a browser keeps."""

from __future__ import annotations

import threading
from typing import Any

import gradio as gr

from icl.errors import ConfigError

__all__ = ["SECRET", "Stops", "chooser", "number", "turned"]

SECRET = "nothing secret: it stays in this browser"
"""Fixed, so that another start of the app can read what was kept."""


def chooser(*given: Any, **more: Any) -> Any:
    """A dropdown that takes what the browser sends, so that our own errors answer it.

    Gradio's own would refuse a value that was in the list until a moment ago.
    """
    return gr.Dropdown(*given, allow_custom_value=True, **more)


def number(value: Any, name: str, low: int, high: int) -> int:
    """A whole number that a browser sent.

    Raises:
        ConfigError: it is none, or out of bounds.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ConfigError(f"{name} is {value!r}; a number from {low} to {high} is needed")
    return int(value)


def turned(running: bool) -> list[Any]:
    """The buttons Run and Stop, while something runs or not."""
    return [gr.Button(interactive=not running), gr.Button(interactive=running)]


class Stops:
    """A stop for what each session asked, waiting or under way."""

    def __init__(self) -> None:
        self._events: dict[str, threading.Event] = {}

    def arm(self, request: gr.Request) -> None:
        """A new stop; what ran before is stopped."""
        self.leave(request)
        self._events[str(request.session_hash)] = threading.Event()

    def of(self, request: gr.Request) -> threading.Event:
        """The stop of what runs now."""
        return self._events.setdefault(str(request.session_hash), threading.Event())

    def halt(self, request: gr.Request) -> Any:
        """Stop it; for the button."""
        self.of(request).set()
        return gr.Button(interactive=False)

    def leave(self, request: gr.Request) -> None:
        """A page that is closed stops what it asked for."""
        event = self._events.pop(str(request.session_hash), None)
        if event is not None:
            event.set()
