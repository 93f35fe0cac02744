"""The line before the model: one at a time, in order, and a place that is given up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icl.workbench.queue import ModelQueue


@dataclass
class Page:
    """What a handler reads of a request."""

    session_hash: str


def test_a_waiting_page_is_told_its_place_and_for_what() -> None:
    turns = ModelQueue()
    first = turns.join("an experiment", "p1")
    assert turns.wait_for(first)
    second, third = turns.join("an answer", "p2"), turns.join("a comparison", "p1")
    assert not turns.wait_for(second) and not turns.wait_for(third)
    assert turns.status_line(second) == (
        "waiting, number 1 in the queue: an experiment of another page is running, 0 s so far"
    )
    assert turns.status_line(third).startswith(
        "waiting, number 2 in the queue: an experiment of this page"
    )
    turns.leave(second)  # it stopped waiting
    assert turns.status_line(third).startswith("waiting, number 1 ")
    turns.leave(first)
    assert turns.wait_for(third)


def test_a_turn_that_comes_wakes_who_waits() -> None:
    turns = ModelQueue()
    first, second = turns.join("an answer", "p1"), turns.join("an answer", "p2")
    came = threading.Event()

    def wait() -> None:
        if turns.wait_for(second, 60):
            came.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not came.is_set()
    turns.leave(first)
    waiting.join(60)
    assert came.is_set()


@given(st.lists(st.integers(0, 9), max_size=40))
def test_one_at_a_time_in_the_order_they_came(steps: list[int]) -> None:
    """0 to 4 leave the line at that place, the others join it."""
    turns, line = ModelQueue(), []
    for step in steps:
        if step > 4:
            line.append(turns.join("an answer", str(step)))
        elif step < len(line):
            turns.leave(line.pop(step))
        assert [turns.wait_for(turn) for turn in line] == [place == 0 for place in range(len(line))]


def test_a_handler_that_ends_or_is_closed_leaves_the_line() -> None:
    pytest.importorskip("gradio")
    from icl.workbench.web.widgets import wait_in_queue

    turns, stop, request = ModelQueue(), threading.Event(), Page("p")

    def work(request: Any, text: str) -> Iterator[str]:
        yield f"asked {text}"
        yield "done"

    handler = wait_in_queue(turns, "an answer", "told", work, lambda request: stop)
    assert list(handler(request, "a")) == ["asked a", "done"]
    closed = handler(request, "b")
    assert next(closed) == "asked b"
    waiting = handler(request, "c")
    said = next(waiting)["told"].value
    assert said.startswith("waiting, number 1 in the queue: an answer of this page is running")
    assert said.endswith("; Stop leaves the queue")
    stop.set()
    assert [one["told"].value for one in waiting] == ["stopped while waiting: nothing was sent"]
    closed.close()
    assert turns.wait_for(turns.join("an answer", "q"))
