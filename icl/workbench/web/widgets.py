"""What several tabs are made of: choosers, stops of a session, and what a browser keeps."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from icl.core.errors import ConfigError
from icl.workbench.queue import Turns

__all__ = ["SECRET", "Stops", "chooser", "in_turn", "number", "running", "turned"]

WIDTHS = ("", "fp32", "bf16", "fp16", "int8", "nf4", "fp4")

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


def running(key: str, title: str, hint: str) -> tuple[Any, Any, Any]:
    """The buttons Run and Stop and the text box that says how far it is, for an open row.

    Args:
        key: what the components' ids begin with.
        title: of the button that runs.
        hint: what stands in the text box before anything ran.
    """
    run = gr.Button(
        title, variant="primary", elem_id=f"{key}-run", size="md", elem_classes="runs", min_width=90
    )
    stop = gr.Button("Stop", interactive=False, elem_id=f"{key}-stop", size="md", min_width=70)
    told = gr.Textbox(
        show_label=False,
        container=False,
        interactive=False,
        lines=1,
        max_lines=4,
        elem_id=f"{key}-told",
        label="State",
        scale=6,
        min_width=200,
        placeholder=hint,
    )
    return run, stop, told


def in_turn(
    turns: Turns,
    what: str,
    told: Any,
    work: Callable[..., Any],
    stop: Callable[[gr.Request], threading.Event] | None = None,
) -> Callable[..., Iterator[Any]]:
    """The handler, once its turn to ask the model came; until then it says what it waits for.

    Args:
        turns: the line that all pages wait in.
        what: what it asks, as others are told: ``an experiment``.
        told: the text box among the handler's outputs that says it.
        work: the handler, called with the request first; a generator, or a plain function.
        stop: the stop of a page: once it is set, the page leaves the line.
    """

    def asking(request: gr.Request, *values: Any) -> Iterator[Any]:
        turn = turns.join(what, str(request.session_hash))
        halt = threading.Event() if stop is None else stop(request)
        try:
            while not turns.come(turn, 0.5):
                if halt.is_set():
                    yield {told: gr.Textbox("stopped while waiting: nothing was asked")}
                    return
                more = "; Stop leaves the queue" if stop else ""
                yield {told: gr.Textbox(turns.told(turn) + more, elem_classes=[])}
            if inspect.isgeneratorfunction(work):
                yield from work(request, *values)
            else:
                yield work(request, *values)
        finally:
            turns.leave(turn)

    return asking


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
