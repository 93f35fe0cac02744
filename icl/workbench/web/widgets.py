"""Components and handlers that several tabs share: choosers, Run and Stop, the queue."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from icl.core.errors import ConfigError
from icl.workbench.queue import ModelQueue

__all__ = [
    "SECRET",
    "NewestAnswer",
    "PageStops",
    "chooser",
    "wait_in_queue",
    "number",
    "run_row",
    "run_buttons",
]

WIDTHS = ("", "fp32", "bf16", "fp16", "int8", "nf4", "fp4")

SECRET = "nothing secret: it stays in this browser"
"""A constant, so that after a restart the app can read what the browser stored."""

NUMBERED = """(number, ...values) =>
  [window.iclEvents = (window.iclEvents || 0) + 1, ...values]"""
"""Script that numbers the events of a page in the order in which their values were read."""


def chooser(*given: Any, **more: Any) -> Any:
    """Make a dropdown that accepts any value, so that icl's own error answers a wrong one."""
    return gr.Dropdown(*given, allow_custom_value=True, **more)


def number(value: Any, name: str, low: int, high: int) -> int:
    """Check a whole number from a browser.

    Raises:
        ConfigError: it is no whole number, or out of bounds.
    """
    known = isinstance(value, int | float) and not isinstance(value, bool)
    if not known or not low <= value <= high or value != int(value):
        raise ConfigError(f"{name} is {value!r}; a whole number from {low} to {high} is needed")
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


def _tell(line: str) -> Any:
    return gr.Textbox(line, elem_classes=[])


def wait_in_queue(
    queue: ModelQueue,
    what: str,
    status: Any,
    work: Callable[..., Any],
    stop: Callable[[gr.Request], threading.Event] | None = None,
    tell: Callable[[str], Any] = _tell,
) -> Callable[..., Iterator[Any]]:
    """Wrap a handler so that it waits in the queue for the model, and shows its place meanwhile.

    ``tell`` makes the new value of ``status`` from a line: by default that of a text box.
    """

    def asking(request: gr.Request, *values: Any) -> Iterator[Any]:
        turn = queue.join(what, str(request.session_hash))
        halt = threading.Event() if stop is None else stop(request)
        try:
            while not queue.wait_for(turn, 0.5):
                if halt.is_set():
                    yield {status: tell("stopped while waiting: nothing was sent")}
                    return
                more = "; Stop leaves the queue" if stop else ""
                yield {status: tell(queue.status_line(turn) + more)}
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


class NewestAnswer:
    """A handler whose answer is shown only if the page sent no newer values meanwhile.

    Gradio's ``always_last`` waits for an answer only once its request is sent. Components that
    change at the same moment, as on a reload, send a request each, some with values of before; the
    answers come in any order, and the last one to come would stay.

    Args:
        discard: called for a page whose answer is not shown.
    """

    def __init__(self, discard: Callable[[gr.Request], None] | None = None) -> None:
        self._discard = discard
        self._lock = threading.Lock()
        self._newest: dict[str, int] = {}
        self._turns: dict[str, threading.Lock] = {}

    def event(
        self, work: Callable[..., Any], inputs: list[Any], outputs: list[Any]
    ) -> dict[str, Any]:
        """Return ``fn``, ``inputs``, ``outputs`` and ``js`` of an event, inside an open layout."""
        given = [gr.Number(0, visible=False), *inputs]
        return {
            "fn": self.handler(work, len(outputs)),
            "inputs": given,
            "outputs": outputs,
            "js": NUMBERED,
        }

    def handler(self, work: Callable[..., Any], outputs: int) -> Callable[..., Any]:
        """Wrap ``work(request, *values)``: its first input becomes the event's number."""

        def answer(request: gr.Request, number: Any, *values: Any) -> Any:
            page = str(request.session_hash)
            mine = number if isinstance(number, int) else 0
            with self._lock:
                self._newest[page] = max(mine, self._newest.get(page, 0))
                turn = self._turns.setdefault(page, threading.Lock())
            with turn:  # one after the other: those that became old while they waited cost nothing
                if mine == self._newest.get(page):
                    made = work(request, *values)
                    if mine == self._newest.get(page):
                        return made
                    if self._discard is not None:
                        self._discard(request)
            return gr.skip() if outputs == 1 else [gr.skip()] * outputs

        return answer

    def leave(self, request: gr.Request) -> None:
        """Forget a page that was closed."""
        self._newest.pop(str(request.session_hash), None)
        self._turns.pop(str(request.session_hash), None)
