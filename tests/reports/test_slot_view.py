"""Slots drawn as coloured words, on the card and on the page of a run."""

from __future__ import annotations

import re
from pathlib import Path

from icl import load_run, run
from icl.core.bio import Span
from icl.core.slot_answers import SlotAnswer, SlotSource
from icl.experiment.file import load_experiment
from icl.reports.card import make_card, render_card
from icl.reports.page.page import report_page
from icl.reports.slot_view import SLOT_STYLE, draw_slots, judge_spans
from tests.scoring.test_slot_scores import make

SOURCE = SlotSource("wake <b> at five am", ("wake", "<b>", "at", "five", "am"))
GOLD = SlotAnswer(("O", "O", "O", "B-time", "I-time"), "alarm")


def bare(drawn: str) -> str:
    return re.sub(r"<[^>]*>", "", drawn)


def test_a_span_is_right_near_or_wrong() -> None:
    own = [Span("time", 0, 2), Span("time", 3, 4), Span("date", 5, 6), Span("x", 7, 8)]
    others = [Span("time", 0, 2), Span("time", 3, 5), Span("place", 5, 6)]
    assert [verdict for _, verdict in judge_spans(own, others)] == [
        "right", "near", "near", "wrong",
    ]  # fmt: skip


def test_gold_stands_above_the_answer_and_the_text_stays_as_it_is() -> None:
    said = SlotAnswer(("O", "B-who", "O", "B-time", "O"), "news", ("place",))
    drawn = draw_slots(SOURCE, GOLD, said, {"broken": 0, "invented": 1})
    right, answer, told = drawn.split("<div>")[1:]
    assert bare(right) == "rightalarm wake &lt;b&gt; at five am", "escaped, and nothing added"
    assert bare(answer) == "answernews wake &lt;b&gt; at five am"
    assert 'class="near" data-name="time ≠">five am<' in right
    assert 'class="wrong" data-name="intent ✗">news<' in answer
    assert 'class="wrong" data-name="who ✗">&lt;b&gt;<' in answer
    assert 'class="near" data-name="time ≠">five</mark> am' in answer
    assert bare(told) == "values not in the text: 1; not in the text: place"
    assert drawn.count('dir="auto"') == 2
    for kind in ("right", "near", "wrong"):
        assert f".slots mark.{kind}" in SLOT_STYLE


def test_a_name_cannot_leave_its_attribute() -> None:
    said = SlotAnswer(('B-"><script>', "O", "O", "O", "O"))
    drawn = draw_slots(SOURCE, None, said)
    assert "<script" not in drawn and "&quot;&gt;&lt;script&gt;" in drawn
    assert drawn.count('class="who"') == 1, "gold is not known"


def test_an_answer_that_could_not_be_read_says_so() -> None:
    assert "none that could be read" in draw_slots(SOURCE, GOLD, None)


def test_characters_without_spaces_keep_their_text() -> None:
    source = SlotSource("五点叫我", tuple("五点叫我"), unspaced=True)
    drawn = draw_slots(source, None, SlotAnswer(("B-time", "I-time", "O", "O")))
    assert bare(drawn) == "answer五点叫我"


def test_card_and_page_show_spans_and_not_tags(
    tmp_path: Path,
) -> None:
    run(load_experiment(make(tmp_path, ["slots/marked"])), tmp_path / "runs")
    found = load_run(tmp_path / "runs" / "e")
    condition = found.conditions[0]
    card = render_card(make_card(condition, condition.record("3")))
    assert '<div class="slots">' in card and SLOT_STYLE in card and "B-time" not in card
    assert "lamp in the [time : attic]" in card, "the answer as marks"
    page = report_page(found)
    assert page.count('<div class="slots">') > 2 and SLOT_STYLE in page
    assert '"tags"' not in page and "&#34;tags" not in page
    assert "The strongest baseline, marking the words that are slots in the shots" in page
    assert "Slots one by one" in page and '<th scope="row">room</th><td>time</td>' in page
    assert re.search(r'<th scope="row">room</th><td class="n">2</td>', page), "support"
