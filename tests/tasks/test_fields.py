"""The parser of extracted fields: JSON, lines and lists, and what is none of them."""

import pytest

from icl.core.errors import ParseError
from icl.tasks.parsers import fields


@pytest.mark.parametrize(
    ("output", "value"),
    [
        (' {"who": ["Bo", "Ann"], "where": "Rome", "age": 4, "x": null}',
         '{"age":["4"],"where":["Rome"],"who":["Ann","Bo"]}'),
        ('["b", "a"]\nText: another', '["a","b"]'),
        ('```json\n{"a": "b"}\n```', '{"a":["b"]}'),
        ('{"a": "東"}', '{"a":["東"]}'),
        ("who: Ann\nwho: Bo\nwhen:\nwhere：Rome", '{"where":["Rome"],"who":["Ann","Bo"]}'),
        ("time: 09:30", '{"time":["09:30"]}'),
        ("- b\n- a", '["a","b"]'),
        ("1. b\n2) a", '["a","b"]'),
        ("* a: b", '["a: b"]'),
        ("None.", "[]"),
        ("{}", "[]"),
        ("[]", "[]"),
    ],
)  # fmt: skip
def test_what_is_read(output, value):
    assert fields(output) == value


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("  ", "empty"),
        (
            '{"who": ["Ann"',
            "broken JSON: Expecting ',' delimiter at character 15: '{\"who\": [\"Ann\"'",
        ),
        ("[" * 100_000, "broken JSON: nested too deeply: '" + "[" * 39 + "…'"),
        ("Ann lives in Rome", "neither JSON, `key: value` lines nor a list: 'Ann lives in Rome'"),
        ("who: Ann\nthat is all", "neither JSON, `key: value` lines nor a list: 'that is all'"),
        ("```\n```", "empty"),
    ],
)
def test_what_is_not(output, reason):
    with pytest.raises(ParseError) as caught:
        fields(output)
    assert str(caught.value) == reason
