"""What the page is made of: marked text, parts of a prompt, confusions, scales, curves."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icl.core.safe_text import clean
from icl.core.types import Example, Prediction, Prompt, Record, Score
from icl.reports.errors import SHOWN, WHOLE, ScoredAnswer, count_confusions, pick_worst
from icl.reports.page.interval_strips import Scale, fit_scale
from icl.reports.page.plots import Curve, Panel, draw_reliability, draw_shots
from icl.reports.prompt_parts import PromptPiece, bound_pieces, split_sent_prompt
from icl.reports.safe_text import find_html_language, mark_white_space, shorten_middle

PROMPT = Prompt("Q: c\nA:", "Answer.", (("Q: a\nA:", " x"), ("Q: b\nA:", " y")))


def answer(
    name: str, gold: str, said: str | None, sure: float = 0.5, value: float = 0.0
) -> ScoredAnswer:
    example = Example(name, {}, (gold,))
    prediction = Prediction(name, said, None if said is not None else "nothing there")
    return ScoredAnswer(example, Record(name, "c", "r"), prediction, value, sure)


def test_controls_and_lone_surrogates_are_spelled_out() -> None:
    assert clean("a\x00b\x1b[1m\r\x7f\x9b\udc80\uffff") == "a␀b␛[1m␍␡\\x9b\\udc80\\uffff"
    assert clean("tab\tand\nline stay, as do 日本 and م") == "tab\tand\nline stay, as do 日本 and م"


def test_a_long_text_says_how_much_of_it_is_missing() -> None:
    assert shorten_middle("a" * 100, 100) == "a" * 100
    assert shorten_middle("abcdefghijkl", 8) == "abcdef … 4 characters left out … kl"


def test_white_space_that_would_be_missed_is_marked() -> None:
    found = [(mark.kind, mark.text) for mark in mark_white_space(" a b  c\t\u202ed \n")]
    assert found == [
        ("space", " "),
        ("plain", "a b"),
        ("space", "  "),
        ("plain", "c"),
        ("tab", "\t"),
        ("hidden", "\u202e"),
        ("plain", "d"),
        ("space", " "),
        ("newline", "\n"),
    ]
    assert [mark.text for mark in mark_white_space("نمی\u200cخواهم")] == [
        "نمی\u200cخواهم"
    ]  # one word


@given(st.text())
def test_marks_lose_and_add_nothing(text: str) -> None:
    assert "".join(mark.text for mark in mark_white_space(text)) == text


@pytest.mark.parametrize(
    ("tag", "lang"), [("deu_Latn", "de-Latn"), ("ar-SA", "ar-Arab"), ("<b>", ""), (None, "")]
)
def test_locales_become_language_attributes(tag: str | None, lang: str) -> None:
    assert find_html_language(tag) == lang


def test_the_parts_of_a_prompt_are_told_apart_as_sent() -> None:
    found = split_sent_prompt(PROMPT, PROMPT.text)
    assert "".join(piece.text for piece in found) == PROMPT.text
    kinds = [piece.kind for piece in found if piece.kind != "joint"]
    assert kinds == ["instruction", "input", "target", "input", "target", "query"]


def test_the_turns_of_a_chat_are_joints() -> None:
    sent = (
        "<user>Answer.\n\nQ: a\nA:<end><bot>x<end><user>Q: b\nA:<end><bot>y<end><user>Q: c\nA:<end>"
    )
    found = split_sent_prompt(PROMPT, sent)
    assert "".join(piece.text for piece in found) == sent
    assert [piece.text for piece in found if piece.kind == "target"] == ["x", "y"]
    assert found[0] == PromptPiece("joint", "<user>")


def test_a_prompt_that_was_rewritten_is_shown_whole() -> None:
    sent = PROMPT.text.replace("\n", "<br>")
    assert split_sent_prompt(PROMPT, sent) == [PromptPiece("sent", sent)]


def test_a_long_prompt_keeps_its_beginning_and_its_end() -> None:
    cut = bound_pieces([PromptPiece("input", "a" * 50), PromptPiece("query", "b" * 50)], 20)
    assert [(piece.kind, len(piece.text)) for piece in cut if piece.kind != "left"] == [
        ("input", 10),
        ("query", 10),
    ]
    assert cut[1].text == "… 80 characters left out here …"


def test_a_small_confusion_matrix_is_whole() -> None:
    found = count_confusions(
        [
            answer("1", "a", "a"),
            answer("2", "a", "b"),
            answer("3", "b", None),
            answer("4", "a", "b"),
        ]
    )
    assert found is not None
    assert found.labels == ("a", "b")
    assert found.counts == ((1, 2, 0), (0, 0, 1))
    assert found.pairs == (("a", "b", 2, 3), ("b", None, 1, 1))
    assert found.unanswered and not found.joined
    assert count_confusions([]) is None


def test_many_labels_are_joined_and_every_row_is_counted() -> None:
    labels = [f"l{number:02}" for number in range(60)]
    rows = [answer(f"r{i}", one, one) for i, one in enumerate(labels)]
    rows += [answer(f"w{i}", "l00", "l59") for i in range(7)]
    found = count_confusions(rows)
    assert found is not None and len(labels) > WHOLE
    assert len(found.labels) == SHOWN and {"l00", "l59"} <= {*found.labels}
    assert found.joined == 60 - SHOWN
    assert sum(map(sum, found.counts)) == 67
    assert found.counts[-1][-1] == 60 - SHOWN
    assert found.pairs[0] == ("l00", "l59", 7, 8)


def test_the_worst_errors_are_the_surest_ones() -> None:
    rows = [
        answer("a", "x", "y", 0.4),
        answer("b", "x", "x", 0.99, 100.0),
        answer("c", "x", "y", 0.9),
        answer("d", "x", "z", 0.7, 30.0),
    ]
    found, whole = pick_worst(rows, 2)
    assert [one.example.id for one in found] == ["c", "a"]
    assert whole == 3


def test_a_scale_is_round_and_holds_the_intervals() -> None:
    made = fit_scale([Score("acc", 26.7, 17.1, 39.0, 60, "")])
    assert made == Scale(0, 40)
    assert made.strip(Score("acc", 20.0, 10.0, 30.0, 60, "")) is not None
    assert made.at(20) == 50.0
    assert fit_scale([]) == Scale(0, 1)
    assert fit_scale([Score("x", -3.2, -4.0, 1.0, 5, "")]) == Scale(-4, 1)
    assert fit_scale([Score("x", 0.0, 0.0, 0.0, 5, "")]).at(0.0) == 0.0


def test_curves_take_their_colours_from_the_page_and_names_are_text() -> None:
    name = "<b>$x^2$</b> \x00 日本"
    curve = Curve(name, {0: [(5.0, 1.0, 9.0)], 4: [(10.0, 8.0, 12.0), (20.0, 8.0, 30.0)]}, {4: 3.0})
    drawn = draw_shots(Panel("p", (curve,), several=True), "acc", "one")
    assert drawn.startswith("<svg viewBox=") and 'role="img"' in drawn
    assert "&lt;b&gt;$x^2$&lt;/b&gt; ␀ 日本" in drawn and "<b>" not in drawn
    assert "var(--a0)" in drawn and "<style" not in drawn and "metadata" not in drawn
    assert "4 shots: 15.0 [10.0, 20.0], mean of 2 draws" in drawn
    assert (
        set(re.findall(r'id="(.*?)"', drawn)) >= set(re.findall(r'href="#(.*?)"', drawn)) != set()
    )
    assert all(found.startswith("one-") for found in re.findall(r'id="(.*?)"', drawn))
    assert drawn == draw_shots(Panel("p", (curve,), several=True), "acc", "one")


def test_a_reliability_diagram_names_its_bins() -> None:
    drawn = draw_reliability([(55.0, 40.0, 20.0, 60.0, 20)], "r", "ECE 15.0")
    assert "20 rows, confidence 55.0 %: right 40.0 % [20.0, 60.0]" in drawn
    assert 'aria-label="ECE 15.0"' in drawn
