"""Of several events of a page only the newest one's answer is shown; numbers are whole."""

from __future__ import annotations

import math
import threading
from typing import Any

import gradio as gr
import pytest

from icl.core.errors import ConfigError
from icl.workbench.web.widgets import NewestAnswer, number


def page(name: str = "one") -> Any:
    return gr.Request(session_hash=name)


def is_skipped(answer: Any) -> bool:
    return bool(answer == [gr.skip()] * 2)


def test_an_older_event_that_comes_late_makes_nothing() -> None:
    made: list[str] = []
    newest = NewestAnswer()
    handler = newest.handler(lambda request, value: made.append(value) or [value, value], 2)
    assert handler(page(), 2, "new") == ["new", "new"]
    assert is_skipped(handler(page(), 1, "old"))
    assert handler(page("two"), 1, "other") == ["other", "other"]
    assert handler(page(), 3, "newer") == ["newer", "newer"]
    assert made == ["new", "other", "newer"]
    newest.leave(page())
    assert handler(page(), 1, "again") == ["again", "again"]


def test_an_answer_overtaken_while_it_is_made_is_discarded() -> None:
    begun, go = threading.Event(), threading.Event()
    discarded: list[Any] = []
    answers: dict[int, Any] = {}

    def work(request: Any, value: str) -> list[str]:
        if value == "slow":
            begun.set()
            assert go.wait(30)
        return [value, value]

    newest = NewestAnswer(discard=lambda request: discarded.append(request.session_hash))
    handler = newest.handler(work, 2)
    ask = [
        threading.Thread(target=lambda n=n, v=v: answers.update({n: handler(page(), n, v)}))
        for n, v in ((1, "slow"), (2, "waits"), (3, "newest"))
    ]
    ask[0].start()
    assert begun.wait(30)
    ask[2].start()
    ask[1].start()
    assert handler(page("two"), 1, "x") == ["x", "x"]  # another page waits for none of it
    ask[2].join(0.5)  # it waits for its turn, as the one before it may
    assert 3 not in answers
    go.set()
    for thread in ask:
        thread.join(30)
    assert answers[3] == ["newest", "newest"]
    assert is_skipped(answers[1]) and is_skipped(answers[2])
    assert discarded == ["one"]


def test_whatever_a_browser_sends_as_the_number_is_the_oldest() -> None:
    handler = NewestAnswer().handler(lambda request, value: value, 1)
    assert handler(page(), 7, "known") == "known"
    for other in (None, "8", [9], 1.5):
        assert handler(page(), other, "unknown") == gr.skip()


@pytest.mark.parametrize("value", [2.5, -1, 65, True, None, "3", math.nan, math.inf])
def test_what_is_no_whole_number_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="^k is .*; a whole number from 0 to 64 is needed$"):
        number(value, "k", 0, 64)


def test_whole_numbers_are_taken_as_they_are() -> None:
    assert [number(value, "k", 0, 64) for value in (0, 3.0, 64)] == [0, 3, 64]
