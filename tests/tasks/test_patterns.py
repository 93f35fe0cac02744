"""Parsers with options: patterns, numbers and JSON, and how an entry names them."""

from __future__ import annotations

import pytest

from icl.core.bounded_regex import MOST_CHARS
from icl.core.errors import ConfigError, ParseError
from icl.core.types import Choice, Output, Record
from icl.tasks.patterns import (
    JSONParser,
    NumberParser,
    RegexParser,
    make_parser,
    parser_name,
)
from icl.tasks.predict import predict


@pytest.mark.parametrize(
    ("parser", "output", "answer"),
    [
        (RegexParser(r"answer is (-?[0-9.,]+)\."), " The answer is 5. So the answer is 7.", "7"),
        (RegexParser(r"answer is (\d+)", match="first"), "answer is 5, answer is 7", "5"),
        (RegexParser(r"(-?[$0-9.,]{2,})|(-?[0-9]+)"), "it is 5 of 1,200", "1,200"),
        (RegexParser(r"(-?[$0-9.,]{2,})|(-?[0-9]+)"), "it is 5", "5"),
        (RegexParser(r"(\d+) of (\d+)", group=2), "3 of 4", "4"),
        (RegexParser(r"(?P<part>\d+)/(\d+)", group="part"), "3/4", "3"),
        (RegexParser(r"\d+"), "3 and 4", "4"),
        (RegexParser("ja|nein", ignore_case=True), "NEIN", "NEIN"),
        (RegexParser(r"(?m)^#### (.*)$"), "1\n#### 5\n#### 6 \nQ:", "6"),
        (NumberParser(), "So 1,200 pens.", "1200"),
        (NumberParser(match="first"), "3 of 1,200", "3"),
        (NumberParser(decimal=","), "Das sind 1.200,50 €.", "1200.5"),
        (NumberParser(), "it costs -$5.00", "-5"),
        (JSONParser(), 'Sure:\n```json\n{"b": 1, "a": [2]}\n```', '{"a":[2],"b":1}'),
        (JSONParser("a.0.name"), '{"a": [{"name": "Ann"}]}', "Ann"),
        (JSONParser("ok"), '{"ok": true}', "true"),
        (JSONParser("0"), 'a [b] and ["x"]', "x"),
        (JSONParser(), "3", "3"),
    ],
)
def test_what_is_taken_from_an_output(parser, output, answer):
    assert parser(output) == answer


@pytest.mark.parametrize(
    ("parser", "output", "reason"),
    [
        (RegexParser("x"), " \n", "^empty$"),
        (RegexParser("x"), "abc", "nothing matches 'x'"),
        (RegexParser("(x)?a", group=1), "a", "nothing matches"),
        (NumberParser(), "none at all", "^no number$"),
        (JSONParser(), "no brackets {", "^no JSON object or list$"),
        (JSONParser(), "[" * 100_000, "^no JSON object or list$"),
        (JSONParser(), '{"a": NaN}', "^no JSON object or list$"),
        (JSONParser("a.b"), '{"a": [1]}', "nothing at 'a.b': no 'b'"),
        (JSONParser("a"), '{"a": null}', "nothing at 'a': null"),
    ],
)
def test_what_cannot_be_read_says_why(parser, output, reason):
    with pytest.raises(ParseError, match=reason):
        parser(output)


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        ({"parser": "regex"}, "the parser 'regex' needs 'pattern'"),
        ({"parser": "regex", "patern": "x"}, "unknown option 'patern'"),
        ({"parser": "regex", "pattern": "(["}, "is no regular expression: "),
        (
            {"parser": "regex", "pattern": "x" * (MOST_CHARS + 1)},
            "a text of up to 2,000 characters",
        ),
        ({"parser": "regex", "pattern": 5}, "pattern: 5; a text of up to"),
        ({"parser": "regex", "pattern": "a", "group": 1}, "has no group 1; put what you want in"),
        ({"parser": "regex", "pattern": "a", "match": "all"}, "accepted: first, last"),
        ({"parser": "number", "decimal": ";"}, "decimal is ';'; accepted"),
        ({"parser": "json", "path": 5}, "write keys joined by dots"),
        ({"parser": "label", "x": 1}, "the parser 'label' takes no options; leave out x"),
        ({"parser": "text", "name": "a+b"}, "cannot call a parser; accepted: letters"),
        ({"pattern": "x"}, "is no parser; write a name, or as in {parser: regex"),
        ("regexp", "unknown parser 'regexp'. Did you mean 'regex'?"),
    ],
)
def test_a_wrong_entry_is_one_line(entry, error):
    with pytest.raises(ConfigError) as caught:
        make_parser(entry)
    assert error in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pattern_that_backtracks_for_ever_is_stopped(monkeypatch):
    monkeypatch.setattr("icl.core.bounded_regex.TIMEOUT_S", 0.1)
    said = "worked for more than 0.1 s on one answer and was stopped; write it without a repeat"
    with pytest.raises(ConfigError, match=said):
        RegexParser("(a|aa)+$")("a" * 80 + "b")


def test_entries_have_names():
    assert parser_name("label") == "label"
    assert parser_name({"parser": "regex", "pattern": "x"}) == "regex"
    assert parser_name({"parser": "regex", "pattern": "x", "name": "final"}) == "final"


def test_outputs_vote_by_what_an_entry_reads():
    texts = ["It is 1,200.", "1200", "7"]
    record = Record("a", "c", "h", outputs=tuple(Output(text, "stop", 1, 1) for text in texts))
    found = predict(record, [Choice("x", " x")], {"parser": "number"})
    assert (found.value, found.votes, found.samples) == ("1200", 2, 3)
