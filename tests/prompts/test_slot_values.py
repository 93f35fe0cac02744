"""Templates for slots: what their halves read, what is refused, and gold that does not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from icl.core.errors import DataError, LeakError, TemplateError
from icl.core.slot_answers import read_slot_answer
from icl.core.types import Example, Shot
from icl.prompts.template import bind, load_template
from icl.prompts.template_file import list_templates, parse_template

ROW = Example(
    "7",
    {
        "utt": "wake me at five am",
        "annot_utt": "wake me at [time : five am]",
        "intent": "alarm_set",
        "scenario": "alarm",
    },
    ("alarm_set",),
    {"locale": "en-US"},
    ("intent", "scenario", "annot_utt"),
)
HEAD = "task: slots\ntext_field: utt\nlabel_field: annot_utt\n"
SHOWN = {
    "slots/marked": " wake me at [time : five am]",
    "slots/instructed": " wake me at [time : five am]",
    "slots/json": ' {"time": ["five am"]}',
    "slots/frame": " alarm_set | wake me at [time : five am]",
    "slots/frame_json": ' {"intent": "alarm_set", "time": ["five am"]}',
}


def template(head: str, body: str, labels: tuple[str, ...] = ("time", "date")):
    file = parse_template(f"---\n{head}---\n{body}\n", "t.j2", Path("t.j2"))
    return bind(file, "en", None, labels)


@pytest.mark.parametrize("name", SHOWN)
def test_the_library_shows_slots_in_each_form(name):
    made = load_template(name, label_set=["date", "time"])
    row = made.answered(ROW)
    prompt = made.prompt(ROW, [Shot(row)])
    assert prompt.shots[0][1] == SHOWN[name]
    assert "five am" in prompt.query and "[time" not in prompt.query
    assert read_slot_answer(row.targets[0]).tags == ("O", "O", "O", "B-time", "I-time")
    assert {"annot_utt"} <= {*row.gold} and made.label(row) is None


def test_the_library_asks_about_each_slot():
    made = load_template("slots/per_slot", label_set=["date", "time"])
    row = made.answered(ROW)
    shown = [replace(made, slot=name).prompt(ROW, [Shot(row)]) for name in ("time", "date")]
    assert [one.shots[0][1] for one in shown] == [" five am", " none"]
    assert [one.query.splitlines()[1] for one in shown] == [
        "What is the time?",
        "What is the date?",
    ]
    assert all(f"slots/{one}" in list_templates() for one in ("per_slot", "marked", "json"))


def test_names_of_slots_may_have_words_of_their_own():
    made = template(HEAD + "labels: {time: when}\n", "{{ utt }}:||| {{ marked }}")
    assert made.target(made.answered(ROW)) == " wake me at [when : five am]"


@pytest.mark.parametrize(
    ("head", "body", "message"),
    [
        ("task: slots\nlabel_field: a\n", "{{ utt }}||| {{ marked }}", "text_field: is missing"),
        ("task: slots\ntext_field: utt\n", "{{ utt }}||| {{ marked }}", "label_field: is missing"),
        (HEAD, "{{ utt }}||| {{ slots | json }}", "must read `marked`, as in `|||"),
        (HEAD + "output: json\n", "{{ utt }}||| {{ marked }}", "must read `slots`, as in `|||"),
        (HEAD + "output: xml\n", "{{ utt }}||| {{ marked }}", "output: 'xml'"),
        (HEAD + "output: per_slot\n", "{{ utt }}||| {{ marked }}", "must read `value`"),
        (HEAD, "{{ utt }}||| {{ intent }} {{ marked }}", "do both or neither"),
        (HEAD + "intent_field: intent\n", "{{ utt }}||| {{ marked }}", "do both or neither"),
        (HEAD + "questions: all\n", "{{ utt }}||| {{ marked }}", "asks for all at once; remove it"),
        (
            HEAD + "output: per_slot\nintent_field: intent\n",
            "{{ utt }}{{ slot }}||| {{ value }}{{ intent }}",
            "has no place in questions about one slot each",
        ),
        ("task: generate\noutput: json\n", "{{ utt }}||| {{ target }}", "output: is for templates"),
        (HEAD + 'no_labels: "-"\n', "{{ utt }}||| {{ marked }}", "no_labels: is for templates"),
    ],
)
def test_front_matter_that_makes_no_sense_is_told_in_one_line(head, body, message):
    with pytest.raises(TemplateError) as caught:
        template(head, body)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_an_input_cannot_read_the_answer():
    for name in ("annot_utt", "marked", "intent"):
        own = HEAD + ("intent_field: intent\n" if name == "intent" else "")
        target = "{{ intent }} | {{ marked }}" if name == "intent" else "{{ marked }}"
        with pytest.raises(LeakError, match=f"the input reads '{name}'"):
            template(own, f"{{{{ utt }}}} {{{{ {name} }}}}||| {target}")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"annot_utt": "wake me at [time : six am]"}, "differs from"),
        ({"annot_utt": "wake me at [time : five am"}, "a bracket that makes no [name : words]"),
        ({"utt": None}, "the field 'utt' holds None, and a text is needed"),
        ({"intent": ""}, "the intent in 'intent' is '', and a text is needed"),
    ],
)
def test_a_row_that_does_not_fit_is_named_with_what_repairs_it(fields, message):
    made = load_template("slots/frame", label_set=["time"])
    row = Example("7", {**ROW.fields, **fields}, (), ROW.meta)
    with pytest.raises(DataError) as caught:
        made.answered(row)
    text = str(caught.value)
    assert text.startswith("slots/frame: example '7': ") and message in text and "\n" not in text


def test_a_row_without_slots_in_the_data_has_no_answer():
    made = load_template("slots/marked", label_set=["time"])
    for fields in ({"utt": "go"}, {"utt": "go", "annot_utt": None}):
        assert made.answered(Example("1", fields, ("x",))).targets == ()
    assert made.answered(Example("1", {"utt": "go", "annot_utt": "go"})).targets == (
        '{"tags":["O"]}',
    )
