"""Outputs read as slots, however broken, and the answers of rows without a model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icl.core.errors import ParseError
from icl.core.slot_answers import SlotAnswer, SlotSource, read_slot_answer
from icl.core.types import Choice, Output, Record
from icl.tasks.predict import predict
from icl.tasks.slots import (
    LexiconShots,
    SlotReader,
    find_lexicon_slots,
    make_slot_baselines,
    read_object,
)

TEXT = "wake me at five am on friday"
SOURCE = SlotSource(TEXT, tuple(TEXT.split()))
NAMES = {"time": "time", "date": "date"}


def spell(answer: SlotAnswer) -> str:
    """The slots of an answer, a letter a token."""
    return "".join(tag[2:3] or "." for tag in answer.tags)


def faults(found) -> dict[str, int]:
    return {name: count for name, count in found.faults.items() if count}


@pytest.mark.parametrize(
    ("output", "slots", "wrong"),
    [
        (" wake me at [time : five am] on [date : friday]", "...tt.d", {}),
        ("wake me at [time : five am] on [date : friday]\nUtterance: more", "...tt.d", {}),
        ("wake me at [ Time:five am ] on [date :friday]", "...tt.d", {}),
        ("wake me at [time : five am on [date : friday]", "......d", {"broken": 1}),
        ("wake me at [hour : five am] on friday", "...hh..", {"unknown": 1}),
        ("wake up at [time : five am] on [date : friday]", "...tt.d", {"altered": 1}),
        ("wake me [time : five am]", "...tt..", {"altered": 1}),
        ("none", ".......", {"altered": 1}),
    ],
)
def test_marked_outputs(output, slots, wrong):
    found = SlotReader(SOURCE, "marked", NAMES).read(output)
    assert (spell(found.answer), faults(found)) == (slots, wrong)
    assert set(found.faults) == {"broken", "unknown", "altered"}


@pytest.mark.parametrize(
    ("output", "intent", "slots", "wrong"),
    [
        ("alarm_set | wake me at [time : five am] on friday", "alarm_set", "...tt..", {}),
        ("alarm_set\nwake me at [time : five am] on friday", "alarm_set", "...tt..", {}),
        ("wake me at [time : five am] on friday", None, "...tt..", {"broken": 1}),
        ("alarm_set |", "alarm_set", ".......", {"altered": 1}),
    ],
)
def test_marked_outputs_with_an_intent(output, intent, slots, wrong):
    found = SlotReader(SOURCE, "marked", NAMES, intent=True).read(output)
    assert (found.answer.intent, spell(found.answer), faults(found)) == (intent, slots, wrong)


@pytest.mark.parametrize(
    ("output", "slots", "wrong"),
    [
        ('{"time": ["five am"], "date": "friday"}', "...tt.d", {}),
        ('```json\n{"time": ["five am"]}\n``` So.', "...tt..", {}),
        ('{"time": ["Five  AM"], "date": null}', "...tt..", {}),
        ("{}", ".......", {}),
        ('{"time": ["noon", "five"]}', "...t...", {"invented": 1}),
        ('{"time": ["five", "five"]}', "...t...", {"invented": 1}),
        ('{"hour": ["five"]}', "...h...", {"unknown": 1}),
        ('{"time": [["five"], {"a": 1}], "date": ["friday"]}', "......d", {"broken": 2}),
        ('{"time": ["five am"], "date": ["fri', "...tt..", {"broken": 1, "invented": 1}),
    ],
)
def test_json_outputs(output, slots, wrong):
    found = SlotReader(SOURCE, "json", NAMES).read(output)
    assert (spell(found.answer), faults(found)) == (slots, wrong)


def test_json_outputs_with_an_intent():
    reader = SlotReader(SOURCE, "json", NAMES, intent=True)
    found = reader.read('{"intent": "alarm_set", "time": ["five am"]}')
    assert (found.answer.intent, spell(found.answer)) == ("alarm_set", "...tt..")
    assert reader.read('{"time": ["five am"]}').answer.intent is None


def test_the_same_value_twice_has_two_places():
    source = SlotSource("from five to five", ("from", "five", "to", "five"))
    found = SlotReader(source, "json", {}).read('{"a": ["five"], "b": ["five"]}')
    assert found.answer.tags == ("O", "B-a", "O", "B-b")


@pytest.mark.parametrize(("output", "message"), [("", "empty"), ("none", "no JSON object: 'none'")])
def test_json_outputs_without_an_object_are_no_answer(output, message):
    with pytest.raises(ParseError, match=message):
        SlotReader(SOURCE, "json", NAMES).read(output)


def test_names_are_read_as_the_prompt_writes_them():
    names = {"time": "Uhrzeit", "date": "Tag"}
    found = SlotReader(SOURCE, "marked", names).read("wake me at [Uhrzeit : five am] on friday")
    assert spell(found.answer) == "...tt.." and not faults(found)
    found = SlotReader(SOURCE, "json", names).read('{"Tag": "friday"}')
    assert spell(found.answer) == "......d" and not faults(found)


def test_chinese_marks_may_have_spaces_around_them():
    source = SlotSource("这周五点叫我", tuple("这周五点叫我"), unspaced=True)
    for output in ("[date : 这周] [time : 五点] 叫我", "[date : 这周][time:五点]叫我"):
        found = SlotReader(source, "marked", NAMES).read(output)
        assert (spell(found.answer), faults(found)) == ("ddtt..", {})


def test_each_slot_by_itself():
    reader = SlotReader(SOURCE, "per_slot", NAMES, separator="; ")
    found = reader.read_each({"time": " five am\nmore", "date": "Friday; noon", "x": " None."})
    assert spell(found.answer) == "...tt.d"
    assert faults(found) == {"invented": 1}
    with pytest.raises(ParseError, match="empty"):
        reader.read_each({"time": " ", "date": ""})


def make_record(*texts: str, names: tuple[str, ...] = (), finish: str = "stop") -> Record:
    outputs = tuple(Output(text, finish, 1, 1, n) for n, text in enumerate(texts))  # type: ignore[arg-type]
    return Record("1", "c", "r", outputs=outputs, choices=tuple(Choice(n, n) for n in names))


def test_a_record_of_questions_is_one_prediction():
    reader = SlotReader(SOURCE, "per_slot", NAMES)
    made = predict(make_record("five am", "", names=("time", "date")), (), "text", reader)
    assert spell(read_slot_answer(str(made.value))) == "...tt.."
    assert made.faults == {"broken": 0, "unknown": 0, "invented": 0}
    empty = predict(make_record("", "", names=("time", "date")), (), "text", reader)
    assert (empty.value, empty.error) == (None, "empty")
    cut = predict(
        make_record("five", "none", names=("time", "date"), finish="length"), (), "text", reader
    )
    assert cut.finish == "length" and cut.value is not None


def test_samples_vote_by_what_they_say():
    reader = SlotReader(SOURCE, "marked", NAMES)
    said = ("wake me at [time : five am] on friday", "wake me at [date : five am] on friday")
    spaced = said[0].replace("[time : ", "[ time:")
    made = predict(make_record(said[1], said[0], spaced), (), "text", reader)
    assert spell(read_slot_answer(str(made.value))) == "...tt.." and made.votes == 2


def test_objects_that_break_are_read_as_far_as_they_go():
    assert read_object('{"a": "x", "b": ["y", "z"') == ([("a", "x"), ("b", "y"), ("b", "z")], 1)
    assert read_object('{"a": 5, "a": true}') == ([("a", "5")], 1)
    for text in ('{"a": ' + "[" * 5000, '{"' * 5000, '{"a": "' + "\\" * 5001):
        assert read_object(text)[1] == 1


@given(st.text(alphabet='[]{}":|, \ntimefv', max_size=60), st.sampled_from(["marked", "json"]))
def test_no_output_is_too_broken(output, form):
    reader = SlotReader(SOURCE, form, NAMES, intent=form == "marked")
    try:
        found = reader.read(output)
    except ParseError:
        return
    assert len(found.answer.tags) == 7 and found.value


def shots(*texts: str) -> LexiconShots:
    found = []
    for text in texts:
        tags, words = [], []
        for word in text.split():
            word, _, name = word.partition("/")
            words.append(word)
            tags.append(f"{'I' if tags and tags[-1][2:] == name else 'B'}-{name}" if name else "O")
        found.append((SlotSource(" ".join(words), tuple(words)), SlotAnswer(tuple(tags), words[0])))
    return LexiconShots(found)


@pytest.mark.parametrize(
    ("lexicon", "text", "slots"),
    [
        (["at five/t am/t", "five/n apples"], "five am five", "ttn"),  # the longest first
        (["call mom/p"], "mom and Mom", "p.p"),  # each of its places
        (["five/a", "five/b", "five/b"], "five", "b"),  # the most frequent slot
        (["five/a", "five/b"], "five", "a"),  # of equals the first
        (["new/c york/c", "york/d city/d"], "new york city", ".dd"),  # without overlap
        (["five"], "five", "."),
        ([], "five", "."),
    ],
)
def test_the_lexicon_vote(lexicon, text, slots):
    source = SlotSource(text, tuple(text.split()))
    assert "".join(tag[2:] or "." for tag in find_lexicon_slots(source, shots(*lexicon))) == slots


def test_baselines_without_a_model():
    sources = [SlotSource("call mom", ("call", "mom")), SlotSource("go", ("go",))]
    made = make_slot_baselines(
        ["1", "2"], sources, [shots("call mom/p"), shots("ring up", "go on")], ["x", "y"]
    )
    read = {
        name: [[read_slot_answer(str(one.value)) for one in row] for row in rows]
        for name, rows in made.items()
    }
    assert read["no_slots"][0] == [SlotAnswer(("O", "O"), "x"), SlotAnswer(("O", "O"), "y")]
    assert read["vote"][0] == [SlotAnswer(("O", "B-p"), "call")]
    assert [one.intent for one in read["vote"][1]] == ["ring", "go"]
    assert list(make_slot_baselines(["1"], sources[:1], [shots()], [])) == ["no_slots"]
