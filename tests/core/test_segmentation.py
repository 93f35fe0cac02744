"""Words and sentences in any script, and texts made shorter."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icl.core.segmentation import shorten, split_sentences, split_words


@settings(deadline=None)
@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_words_are_those_of_rouge_score(text: str) -> None:
    from rouge_score.tokenize import tokenize

    assert split_words(text) == tokenize(text, None)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Die Häuser, größer.", ["die", "häuser", "größer"]),
        ("हर दस्तावेज़ का", ["हर", "दस्तावेज़", "का"]),
        ("东京へ行く。", ["东", "京", "へ", "行", "く"]),
        ("コーヒー", ["コー", "ヒー"]),
        ("สวัสดี", ["ส", "วั", "ส", "ดี"]),
        ("می‌روم خانه", ["می‌روم", "خانه"]),
        ("e\u0301t\u00e9", ["\u00e9t\u00e9"]),
        ("5 °C ‧ x_y", ["5", "c", "x", "y"]),
        ("GPT4の2", ["gpt4", "の", "2"]),
        ("", []),
    ],
)
def test_words(text: str, found: list[str]) -> None:
    assert split_words(text) == [split_words(word)[0] for word in found]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Dr. Bo met J. Lee. They left.", ["Dr. Bo met J. Lee.", "They left."]),
        ("It cost 3.5 pounds, approx. two euros. Fine.", None),
        ("Was it vitamin C? Yes! He did 5.", ["Was it vitamin C?", "Yes!", "He did 5."]),
        ('"Forty?" he said. "Yes."', ['"Forty?" he said.', '"Yes."']),
        ("一つ。二つ！三", ["一つ。", "二つ！", "三"]),
        ("यह है। वह है।", ["यह है।", "वह है।"]),
        ("A title\n\nA line. More", ["A title", "A line.", "More"]),
        ("  \n ", []),
        ("", []),
    ],
)
def test_sentences(text: str, found: list[str] | None) -> None:
    expected = found or ["It cost 3.5 pounds, approx. two euros.", "Fine."]
    assert split_sentences(text) == (expected if found != [] else [])


@pytest.mark.parametrize(
    ("chars", "left"),
    [(99, "Ab cd. Ef gh."), (12, "Ab cd."), (6, "Ab cd."), (5, "Ab cd"), (4, "Ab"), (1, "")],
)
def test_a_text_loses_whole_sentences_then_whole_words(chars: int, left: str) -> None:
    assert shorten("Ab cd. Ef gh.", chars) == left


@settings(deadline=None)
@given(st.text(max_size=60), st.integers(0, 70))
def test_what_is_left_begins_the_text_and_stays_as_it_is(text: str, chars: int) -> None:
    left = shorten(text, chars)
    assert text.startswith(left) and len(left) <= chars
    assert shorten(text, len(left)) == left, "a prompt is rendered again from the length kept"
    assert all(len(left) <= len(shorten(text, more)) for more in range(chars, chars + 5))


@settings(deadline=None)
@given(st.text(max_size=80))
def test_no_character_is_lost_between_sentences(text: str) -> None:
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())
