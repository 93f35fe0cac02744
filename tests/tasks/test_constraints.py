"""What answers are held to, from the experiment file to a row's form."""

from __future__ import annotations

from pathlib import Path

import pytest

from icl.core.answer_forms import grammar_form, regex_form, schema_form
from icl.core.errors import ConfigError, DataError
from icl.core.types import Choice, Example
from icl.tasks.constraints import Constraint, check_form, read_grammar, read_schema
from tests.core.test_answer_forms import keeps

ROW = Example("7", {"utt": " 这周五点叫我 "}, meta={"locale": "zh-CN"})


def test_a_row_s_form_is_made_of_its_words() -> None:
    made = Constraint("source", lead=" ", field="utt", names=("date", "time"))
    assert keeps(made.form(ROW, ()), " [date : 这周] [time : 五点] 叫我")
    made = Constraint("source", field="utt", names=("date",), output="json")
    assert keeps(made.form(ROW, ()), '{"date": ["这周"]}')
    listed = Example("8", {"utt": "rain today?", "tokens": ["rain", "today", "?"]})
    made = Constraint("source", field="utt", names=("date",), intents=("ask",), divider=" | ")
    assert keeps(made.form(listed, ()), "ask | rain [date : today]?")
    with pytest.raises(DataError, match="example '9': the token 'x' .* correct the field 'tokens'"):
        made.form(Example("9", {"utt": "rain today?", "tokens": ["x"]}), ())
    choices = [Choice("a", " joy"), Choice("b", " fear")]
    assert keeps(Constraint("choice").form(ROW, choices), " fear")
    both = Constraint("choice", separator=", ").form(ROW, choices)
    assert keeps(both, " fear, joy")


@pytest.mark.parametrize("fields", [{}, {"utt": 7}, {"utt": "  "}])
def test_a_row_without_words_is_refused(fields: dict[str, object]) -> None:
    made = Constraint("source", field="utt", names=("x",))
    with pytest.raises(DataError, match="example '9': .*name a field with text"):
        made.form(Example("9", fields), ())  # type: ignore[arg-type]


def test_only_what_is_set_is_hashed() -> None:
    assert Constraint("choice").identity() == {"kind": "choice"}
    made = Constraint("source", lead=" ", field="utt", names=("a",), output="json")
    assert made.identity() == {
        "kind": "source", "lead": " ", "field": "utt", "names": ["a"], "output": "json",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (regex_form("ab(c"), "here:1:3: unclosed group; write a regular expression"),
        (regex_form("(?!a)b"), "here:1:1: look-around.*without look-around"),
        (grammar_form("start: x y\nx: \"a\n"), r"here:2:6: lexer error; write the grammar in Lark"),
        (grammar_form("start: x"), 'here:1:8: unknown name: "x"'),
        (schema_form({"type": "objekt"}), "here: Invalid type: objekt"),
        (regex_form(r"[^\s\S]"), "here: allows no answer at all; write one"),
    ],
)  # fmt: skip
def test_a_wrong_form_is_told_with_its_place(form: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        check_form(form, "here")  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_files_of_forms(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"type": "integer"}')
    (tmp_path / "bad.json").write_text('{\n "type": }')
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "a.lark").write_text('start: "a"\n')
    assert read_schema("a.json", tmp_path, "x") == (
        '{"type": "integer"}', str(tmp_path / "a.json"),
    )  # fmt: skip
    assert read_schema({"type": "integer"}, tmp_path, "x") == ('{"type": "integer"}', "x")
    assert read_grammar("a.lark", tmp_path, "x")[0] == 'start: "a"\n'
    assert read_grammar('start: "b"', tmp_path, "x") == ('start: "b"', "x")
    with pytest.raises(ConfigError, match=r"bad\.json:2:10: .*write a JSON schema"):
        read_schema("bad.json", tmp_path, "x")
    with pytest.raises(ConfigError, match="a JSON schema is an object"):
        read_schema("list.json", tmp_path, "x")
    with pytest.raises(ConfigError, match=r"x: .*none\.lark: No such file.*name a file"):
        read_grammar("none.lark", tmp_path, "x")
