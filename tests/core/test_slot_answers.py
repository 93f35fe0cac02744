"""Slots of a row: gold in each of its forms, each way in which it may not fit, one normal form."""

from __future__ import annotations

import pytest

from icl.core.slot_answers import (
    SlotAnswer,
    SlotSource,
    read_slot_answer,
    read_slot_source,
    read_slot_tags,
    write_slot_answer,
)

TEXT = "wake me at five am on friday"
SOURCE = SlotSource(TEXT, tuple(TEXT.split()))
TAGS = ["O", "O", "O", "B-time", "I-time", "O", "B-date"]
FORMS = {
    "marks": "wake me at [time : five am] on [date : friday]",
    "tags": TAGS,
    "iobes": ["O", "O", "O", "B-time", "E-time", "O", "S-date"],
    "characters": [
        {"name": "time", "start": 11, "end": 18},
        {"label": "date", "start": 22, "end": 28, "text": "friday"},
    ],
    "tokens": [
        {"name": "time", "start_token": 3, "end_token": 5},
        {"name": "date", "start_token": 6, "end_token": 7},
    ],
    "texts": [{"name": "date", "text": "friday"}, {"name": "time", "text": "five am"}],
    "values": {"time": ["five am"], "date": "friday"},
}


@pytest.mark.parametrize("form", FORMS)
def test_gold_in_any_form_is_the_same(form):
    assert read_slot_tags(FORMS[form], SOURCE) == TAGS
    assert read_slot_tags([], SOURCE) == ["O"] * 7


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "is no slots; accepted: a text with [name : words], a list of BIO tags"),
        ("wake me at [time : six am] on friday", "differs from"),
        (["O"], "1 tags for the 7 tokens"),
        ([*TAGS[:-1], "date"], "the tag 'date' is none of O, B-NAME"),
        ([{"start": 0, "end": 4}], "has no name; give it one under `name`"),
        ([{"name": "time"}], "says nothing of where it is; give `start` and `end`"),
        ([{"name": "time", "start": 12, "end": 18}], "where no word begins or ends; count from 0"),
        ([{"name": "time", "start": 18, "end": 11}], "where no word begins or ends"),
        ([{"name": "time", "start": 22, "end": 4}], "ends before it begins"),
        ([{"name": "time", "start_token": 3, "end_token": 9}], "the text has 7; count from 0"),
        ([{"name": "time", "start_token": "3", "end_token": 5}], "the text has 7"),
        ([{"name": "time", "text": "six"}], "is 'six', which is not in"),
        (
            [{"name": "time", "start": 11, "end": 18, "text": "six"}],
            "at its place stands 'five am'",
        ),
        (
            [{"name": "a", "text": "five am"}, {"name": "b", "start": 11, "end": 15}],
            "the slots 'a' and 'b' overlap at 'five'",
        ),
    ],
)
def test_gold_that_does_not_fit_is_told_in_one_line(value, message):
    with pytest.raises(ValueError) as caught:
        read_slot_tags(value, SOURCE)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tokens_are_a_field_or_those_of_the_language():
    row = {"utt": "rain today?", "tokens": ["rain", "today", "?"], "tags": ["O", "B-d", "O"]}
    tagged = read_slot_source(row, "utt", "tags", "en")
    assert (tagged.tokens, tagged.merge) == (("rain", "today", "?"), False)
    assert tagged.mark(read_slot_tags(row["tags"], tagged)) == "rain [d : today]?"
    assert read_slot_source({"utt": "这周"}, "utt", None, "zh-CN").tokens == ("这", "周")
    assert read_slot_source({"utt": "这周"}, "utt", None, None).tokens == ("这周",)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "hi"}, "the field 'utt' holds None, and a text is needed; name the field"),
        ({"utt": "hi", "tokens": ["ho"]}, "the token 'ho' does not come next in 'hi'"),
    ],
)
def test_a_row_needs_its_text(row, message):
    with pytest.raises(ValueError, match=message):
        read_slot_source(row, "utt", "annot_utt", None)


def test_slots_that_touch_merge_unless_gold_is_tags():
    spans = [
        {"name": "time", "start_token": 3, "end_token": 4},
        {"name": "time", "start_token": 4, "end_token": 5},
    ]
    assert read_slot_tags(spans, SOURCE)[3:5] == ["B-time", "I-time"]
    apart = ["O", "O", "O", "B-time", "B-time", "O", "O"]
    assert read_slot_tags(apart, SlotSource(TEXT, SOURCE.tokens, merge=False)) == apart


def test_values_and_marks_of_tags():
    assert SOURCE.mark(TAGS) == FORMS["marks"]
    assert SOURCE.values(TAGS) == {"time": ["five am"], "date": ["friday"]}
    said = SlotAnswer(tuple(TAGS), "alarm_set", ("place",))
    assert SOURCE.describe(said) == f"alarm_set | {FORMS['marks']} (not in the text: place)"


@pytest.mark.parametrize(
    "answer",
    [
        SlotAnswer(()),
        SlotAnswer(("O", "B-time"), "alarm_set"),
        SlotAnswer(("O",), None, ("date", "time")),
    ],
)
def test_the_normal_form_is_read_again(answer):
    assert read_slot_answer(write_slot_answer(answer)) == answer


@pytest.mark.parametrize(
    "text", ["x", "[]", "{}", '{"tags":[1]}', '{"tags":[],"intent":1}', '{"tags":[],"more":1}']
)
def test_other_texts_are_no_answer(text):
    with pytest.raises(ValueError):
        read_slot_answer(text)
