"""Components and handlers that several tabs share: choosers, Run and Stop, the queue."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from icl.core.errors import ConfigError
from icl.workbench.queue import ModelQueue

__all__ = ["SECRET", "PageStops", "chooser", "wait_in_queue", "number", "run_row", "run_buttons"]

WIDTHS = ("", "fp32", "bf16", "fp16", "int8", "nf4", "fp4")

SECRET = "nothing secret: it stays in this browser"
"""A constant, so that after a restart the app can read what the browser stored."""


def chooser(*given: Any, **more: Any) -> Any:
    """Make a dropdown that accepts any value, so that icl's own error answers a wrong one."""
    return gr.Dropdown(*given, allow_custom_value=True, **more)


def number(value: Any, name: str, low: int, high: int) -> int:
    """Check a whole number from a browser.

    Raises:
        ConfigError: it is no number, or out of bounds.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ConfigError(f"{name} is {value!r}; a number from {low} to {high} is needed")
    return int(value)


def run_buttons(busy: bool) -> list[Any]:
    """Enable one of the buttons Run and Stop."""
    return [gr.Button(interactive=not busy), gr.Button(interactive=busy)]


def run_row(key: str, title: str, hint: str) -> tuple[Any, Any, Any]:
    """Make the buttons Run and Stop and the status box in an open row.

    Args:
        key: prefix of the components' ids.
        title: title of the button Run.
        hint: text of the status box before anything ran.
    """
    run = gr.Button(
        title, variant="primary", elem_id=f"{key}-run", size="md", elem_classes="runs", min_width=90
    )
    stop = gr.Button("Stop", interactive=False, elem_id=f"{key}-stop", size="md", min_width=70)
    status = gr.Textbox(
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
    return run, stop, status


def wait_in_queue(
    queue: ModelQueue,
    what: str,
    status: Any,
    work: Callable[..., Any],
    stop: Callable[[gr.Request], threading.Event] | None = None,
) -> Callable[..., Iterator[Any]]:
    """Wrap a handler so that it waits in the queue for the model, and shows its place meanwhile."""

    def asking(request: gr.Request, *values: Any) -> Iterator[Any]:
        turn = queue.join(what, str(request.session_hash))
        halt = threading.Event() if stop is None else stop(request)
        try:
            while not queue.wait_for(turn, 0.5):
                if halt.is_set():
                    yield {status: gr.Textbox("stopped while waiting: nothing was sent")}
                    return
                more = "; Stop leaves the queue" if stop else ""
                yield {status: gr.Textbox(queue.status_line(turn) + more, elem_classes=[])}
            if inspect.isgeneratorfunction(work):
                yield from work(request, *values)
            else:
                yield work(request, *values)
        finally:
            queue.leave(turn)

    return asking


class PageStops:
    """A stop event for the work of each page, waiting or running."""

    def __init__(self) -> None:
        self._events: dict[str, threading.Event] = {}

    def arm(self, request: gr.Request) -> None:
        """Create a stop event for a page, and stop its earlier work."""
        self.leave(request)
        self._events[str(request.session_hash)] = threading.Event()

    def of(self, request: gr.Request) -> threading.Event:
        """Return the stop event of a page's work."""
        return self._events.setdefault(str(request.session_hash), threading.Event())

    def halt(self, request: gr.Request) -> Any:
        """Stop a page's work, and disable the button."""
        self.of(request).set()
        return gr.Button(interactive=False)

    def leave(self, request: gr.Request) -> None:
        """Stop the work of a page that was closed."""
        event = self._events.pop(str(request.session_hash), None)
        if event is not None:
            event.set()
