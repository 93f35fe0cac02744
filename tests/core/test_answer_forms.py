"""Forms of answers, tried byte by byte without a model."""

from __future__ import annotations

import json
from random import Random

import pytest
from llguidance import LLMatcher, LLTokenizer

from icl.core.answer_forms import (
    AnswerForm,
    add_intent,
    choice_form,
    grammar_form,
    json_source_form,
    marked_source_form,
    regex_form,
    schema_form,
    write_gbnf,
)
from icl.core.bio import Span, split_tokens, write_marks

BYTES = LLTokenizer("byte")


def keeps(form: AnswerForm, text: str, lead_optional: bool = False) -> bool:
    """Whether a whole text keeps a form."""
    matcher = LLMatcher(BYTES, form.grammar(lead_optional), log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    tokens = BYTES.tokenize_bytes(text.encode())
    return bool(matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting())


@pytest.mark.parametrize(
    ("form", "kept", "broken"),
    [
        (choice_form([" set alarm", " play"]), [" set alarm", " play"], ["play", " set", " "]),
        (choice_form([" email", " email query"]), [" email", " email query"], [" email q"]),
        (choice_form(["yes", " no"]), ["yes", " no"], [" yes", "no"]),
        (choice_form(['a "b"\\', "c\nd"]), ['a "b"\\', "c\nd"], ['a "b"', "c"]),
        (choice_form([" x", " y"], ", ", "none"), [" x", " x, y", " none"], [" x,y", " x, none"]),
        (regex_form(r"[0-9]{2}/\d\/[ab]+", " "), [" 12/3/ab"], ["12/3/ab", " 12/3/"]),
        (grammar_form('start: x+\nx: "ab"', "\n"), ["\nab", "\nabab"], ["ab", "\naba"]),
        (
            schema_form({"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"],
                         "additionalProperties": False}, " "),
            [' {"a": 1}'],
            [' {"a":1}', ' {"a": 3}', " {}"],
        ),
    ],
)  # fmt: skip
def test_a_form_takes_what_keeps_it_and_nothing_else(
    form: AnswerForm, kept: list[str], broken: list[str]
) -> None:
    assert [keeps(form, text) for text in kept] == [True] * len(kept)
    assert [keeps(form, text) for text in broken] == [False] * len(broken)


TEXTS = [
    ("wake me up  at five am", False),
    ("weck mich um [7] auf: ja", False),
    ("明日の朝五時に起こして", True),
    ("olly 关灯 now", True),
]


@pytest.mark.parametrize(("text", "unspaced"), TEXTS)
def test_marks_around_any_words_keep_the_form_of_the_source(text: str, unspaced: bool) -> None:
    words = split_tokens(text, unspaced)
    form = marked_source_form(text, ["time", "place name"], unspaced=unspaced, lead=" ")
    random = Random(f"marks:{text}")
    for _ in range(20):
        borders = sorted(random.sample(range(len(words) + 1), 4))
        spans = [Span("time", *borders[:2]), Span("place name", *borders[2:])]
        assert keeps(form, " " + write_marks(text, words, spans, unspaced))
    assert keeps(form, f" {text}")
    for broken in (text[1:], text + " x", text[::-1], f"[day : {text}]", f"[time : {text}"):
        assert not keeps(form, f" {broken}")


@pytest.mark.parametrize("names", [["time"], []])
def test_an_intent_stands_in_front(names: list[str]) -> None:
    marked = add_intent(marked_source_form("at five", names, lead=" "), ["set", "play"], " | ")
    assert keeps(marked, " set | at five") and marked.shortest == "set | at five"
    for broken in (" at five", " stop | at five", " set at five", " set |at five"):
        assert not keeps(marked, broken)
    assert keeps(marked, " play | at [time : five]") == bool(names)
    written = add_intent(json_source_form("at five", names), ['a "b"', "play"])
    assert keeps(written, '{"intent": "play"}') and written.shortest == '{"intent": "play"}'
    assert keeps(written, '{"intent": "a \\"b\\""}')
    assert keeps(written, '{"intent": "play", "time": ["five"]}') == bool(names)
    for broken in ("{}", '{"time": ["five"]}', '{"intent": "stop"}', '{"intent": "play", }'):
        assert not keeps(written, broken)


def test_marks_part_the_row_s_own_tokens() -> None:
    form = marked_source_form("rain today?", ["date"], tokens=["rain", "today", "?"])
    assert keeps(form, "rain [date : today]?") and keeps(form, "rain today[date : ?]")
    assert not keeps(form, "rain [date : today] ?"), "the text has no space there"
    assert not keeps(marked_source_form("rain today?", ["date"]), "rain [date : today]?")
    written = json_source_form("rain today?", ["date"], tokens=["rain", "today", "?"])
    assert keeps(written, '{"date": ["today"]}') and keeps(written, '{"date": ["today?"]}')


def test_a_source_without_names_is_copied() -> None:
    form = marked_source_form("a b", [])
    assert keeps(form, "a b") and not keeps(form, "[x : a] b")


@pytest.mark.parametrize(("text", "unspaced"), [*TEXTS, ('say "hi \\ there" 🙂', False)])
def test_values_of_an_object_are_words_that_stand_side_by_side(text: str, unspaced: bool) -> None:
    words = split_tokens(text, unspaced)
    form = json_source_form(text, ["time", 'a "b"'], unspaced=unspaced)

    def write(value: object) -> str:
        return json.dumps(value, ensure_ascii=False)

    first, second = text[: text.index(words[1])].rstrip(), words[1]
    for value in ({}, {"time": [first]}, {'a "b"': [second], "time": [text, first]}):
        assert keeps(form, write(value))
    for value in ({"day": [first]}, {"time": []}, {"time": [first + "x"]}, {"time": first}, []):
        assert not keeps(form, write(value))
    with_gap = " ".join([words[0], words[-1]])
    assert with_gap in text or not keeps(form, write({"time": [with_gap]}))


def test_the_decoder_of_a_pair_may_begin_with_a_space() -> None:
    form = choice_form([" yes", " no"])
    assert keeps(form, "yes", lead_optional=True) and keeps(form, " no", lead_optional=True)


def test_only_forms_written_by_icl_become_grammars_of_llama_cpp() -> None:
    assert write_gbnf(marked_source_form("at five", ["a", "b c"], lead=" ")) == (
        'root ::= " " (a0)\nopen ::= "[" name " : "\nname ::= "a" | "b c"\n'
        'a0 ::= "at" a1 | open i0\ni0 ::= "at" t0\nt0 ::= "]" m1 | " " i1\n'
        'a1 ::= " " "five" | " " open i1\nm1 ::= " " ("five" | open i1)\ni1 ::= "five" "]"\n'
    )
    assert write_gbnf(grammar_form('start: "a"')) is None
    assert write_gbnf(regex_form("a")) is None


def test_identity_holds_what_changes_an_answer() -> None:
    assert regex_form("a", " ").identity() == {"kind": "regex", "text": "a", "lead": " "}
    assert choice_form(["a"]).identity() != choice_form(["b"]).identity()
