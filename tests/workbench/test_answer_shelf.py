"""An answer is shown as the screen's own only where it answers what the screen asks."""

from __future__ import annotations

from typing import Any

from icl.core.types import Output
from icl.workbench.answer import generated_answer, rank
from icl.workbench.answer_shelf import (
    MOST_KEPT,
    AnswerKey,
    AnswerShelf,
    KeptAnswer,
    PageAnswers,
    answer_key,
)
from icl.workbench.web.playground.answer_view import answer_html
from icl.workbench.workbench import Workbench
from tests.workbench.conftest import screen


def ask(work: Workbench, page: PageAnswers, **changes: Any) -> AnswerKey:
    """The key of what a screen asks, told to its page as the preview does."""
    condition = work.bind(screen(work, "intent/plain", **changes)).condition
    page.asked = answer_key(condition, condition.request(condition.examples[0]))
    return page.asked


def run(work: Workbench, page: PageAnswers, **changes: Any) -> KeptAnswer:
    """Answer what a screen asks."""
    condition = work.bind(screen(work, "intent/plain", **changes)).condition
    request = condition.request(condition.examples[0])
    made = KeptAnswer(answer_key(condition, request), f"row {changes.get('row', 1)}")
    page.begin(made)
    made.answer = rank(condition, request)
    page.end()
    return made


def test_an_answer_goes_with_its_screen_and_comes_back_with_it(work: Workbench) -> None:
    page = PageAnswers()
    ask(work, page)
    assert page.shown is None and page.usable is None and page.belongs
    assert "Run" in answer_html(page) and "band" not in answer_html(page)
    first = run(work, page)
    assert page.usable is first and "band" not in answer_html(page)
    for change in ({"row": 2}, {"k": 1}, {"seed": 7}, {"locale": "de-DE"}, {"words": "row"}):
        ask(work, page, **change)
        if page.asked == first.key:
            continue
        assert page.shown is first and not page.belongs and page.usable is None, change
        said = answer_html(page)
        assert "answer to row 1 as it was · <b>Run</b> to ask this one" in said
        assert 'class="answer stale"' in said
    page.asked = None  # a malformed template asks nothing
    assert not page.belongs and page.usable is None
    ask(work, page)
    assert page.usable is first
    ask(work, page, row=2)
    second = run(work, page, row=2)
    assert page.usable is second
    ask(work, page)
    assert page.usable is first


def test_a_model_and_a_row_are_a_part_of_the_key(work: Workbench) -> None:
    page = PageAnswers()
    one = ask(work, page)
    assert ask(work, page, row=2) != one == ask(work, page)
    own = {"utt": "wake me up"}
    typed = ask(work, page, own=own, answer="alarm_set")
    assert typed != ask(work, page, own=own, answer="alarm_remove")
    assert typed.request == ask(work, page, own=own, answer="alarm_remove").request
    work.models["u"] = {"engine": "table", "default": "hash", "window": 5000}
    assert ask(work, page, model="u").model != one.model


def test_half_an_answer_has_no_score_and_takes_no_verdict(work: Workbench) -> None:
    page = PageAnswers()
    condition = work.bind(screen(work, "generate/question", data="samples/generate", k=0)).condition
    request = condition.request(condition.examples[0])
    made = KeptAnswer(answer_key(condition, request), "row 1")
    page.asked = made.key
    page.begin(made)
    made.text = "The cap"
    assert page.belongs and page.usable is None
    assert "The cap" in answer_html(page)
    made.answer = generated_answer(condition, request, [Output("The cap", "cancelled", 1, 2)], 0.1)
    made.stopped = True
    page.end()
    said = answer_html(page)
    assert "stopped: half an answer has no score" in said and "The cap" in said
    assert "scored" not in said and "verdict" not in said and page.usable is None
    whole = KeptAnswer(made.key, "row 1", "The capital", made.answer)
    page.begin(whole)
    page.end()
    assert page.usable is whole and "scored" in answer_html(page)


def test_what_runs_belongs_to_the_screen_that_began_it(work: Workbench) -> None:
    page = PageAnswers()
    uncounted = ask(work, page)  # before its tokenizer is open a prompt may have more shots
    counted = ask(work, page, k=1)
    page.asked = uncounted
    page.begin(KeptAnswer(counted, "row 1", "so far"))
    assert page.belongs
    page.asked = counted
    assert page.belongs
    ask(work, page, row=2)
    assert not page.belongs and "band" in answer_html(page)


def test_a_page_keeps_a_bounded_number_of_answers() -> None:
    shelf = AnswerShelf()
    page = shelf.of("a")
    for number in range(MOST_KEPT + 5):
        page.begin(KeptAnswer(AnswerKey("m", str(number), ""), "row", "text"))
        page.end()
    page.begin(KeptAnswer(AnswerKey("m", "nothing", ""), "row"))
    page.end()  # nothing came of it
    kept = []
    for number in range(MOST_KEPT + 5):
        page.asked = AnswerKey("m", str(number), "")
        kept.append(page.belongs)
    assert kept == [False] * 5 + [True] * MOST_KEPT
    assert shelf.of("a") is page and shelf.of("b") is not page
    shelf.leave("a")
    assert shelf.of("a") is not page
