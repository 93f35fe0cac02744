"""Servers that hold an answer to a form, each in its own way, and servers that do not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from icl.core.answer_forms import (
    AnswerForm,
    choice_form,
    grammar_form,
    marked_source_form,
    regex_form,
    schema_form,
)
from icl.core.errors import EngineError, ModelError
from icl.core.types import Prompt, Sampling
from icl.engines.openai import OpenAIEngine
from icl.engines.openai.forms import write_form
from tests.servers import Reply, Server

Serve = Callable[..., Server]
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


def keeper(*known: str) -> Callable[[str, dict[str, Any]], Reply | None]:
    """A server that knows some ways to tell a form, and overlooks the others."""

    def answer(path: str, body: dict[str, Any]) -> Reply | None:
        text = None
        if "structured_outputs" in known and "structured_outputs" in body:
            text = body["structured_outputs"].get("choice", ["kept"])[0]
        elif "grammar" in known and "grammar" in body:
            text = body["grammar"].split('"')[-2]
        elif "response_format" in known and "response_format" in body:
            text = json.dumps({"a": "qzxj"})
        if text is None:
            return None
        choice = {"index": 0, "text": text, "message": {"content": text}, "finish_reason": "stop"}
        return Reply({"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})

    return answer


def engine_of(server: Server, **options: Any) -> OpenAIEngine:
    entry = server.entry(**options)
    return OpenAIEngine(**{name: value for name, value in entry.items() if name != "engine"})


@pytest.mark.parametrize(
    ("known", "kinds"),
    [
        (("structured_outputs", "response_format"),
         ("choice", "regex", "json_schema", "grammar", "source")),
        (("grammar", "response_format"), ("choice", "json_schema", "source")),
        (("response_format",), ("json_schema",)),
        ((), ()),
    ],
)  # fmt: skip
def test_what_a_server_keeps_is_found_out_by_its_answers(
    serve: Serve, known: tuple[str, ...], kinds: tuple[str, ...]
) -> None:
    server = serve(quirk=keeper(*known))
    engine = engine_of(server)
    assert tuple(engine.list_forms()) == kinds
    assert tuple(engine.list_forms()) == kinds, "it is not asked again"
    assert server.asked == [], "only by probes"


def test_a_form_is_sent_with_its_prompt(serve: Serve) -> None:
    server = serve(quirk=keeper("structured_outputs"))
    engine = engine_of(server)
    prompts = [Prompt("a", form=choice_form([" yes", " no"])), Prompt("b")]
    made = dict(engine.generate(prompts, Sampling(max_tokens=5)))
    assert made[0].text == " yes" and made[0].form is None
    held = [body.get("structured_outputs") for body in server.asked]
    assert sorted(held, key=str) == [None, {"choice": [" yes", " no"]}] or held.count(None) == 1


def test_a_way_that_is_named_is_not_tried(serve: Serve) -> None:
    server = serve(quirk=keeper("grammar"))
    named = engine_of(server, forms="response_format")
    assert tuple(named.list_forms()) == ("json_schema",)
    assert tuple(engine_of(server, forms="never").list_forms()) == ()
    with pytest.raises(ModelError, match="unknown forms 'gbnf'"):
        engine_of(server, forms="gbnf").list_forms()


@pytest.mark.parametrize(
    ("known", "form", "said"),
    [
        ((), regex_form("a"), "keeps no form of an answer, and not regex; leave the form out"),
        (("grammar",), regex_form("a"), "keeps choice, json_schema, source, and not regex"),
    ],
)
def test_a_form_that_a_server_does_not_take_is_refused_in_one_line(
    serve: Serve, known: tuple[str, ...], form: AnswerForm, said: str
) -> None:
    engine = engine_of(serve(quirk=keeper(*known)))
    with pytest.raises(EngineError, match=said) as caught:
        list(engine.generate([Prompt("a", form=form)], Sampling(max_tokens=5)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("form", "way", "body"),
    [
        (regex_form("a|b", " "), "structured_outputs",
         {"structured_outputs": {"regex": r"\ (?:a|b)"}}),
        (schema_form(SCHEMA), "structured_outputs", {"structured_outputs": {"json": SCHEMA}}),
        (grammar_form('start: "a"', " "), "structured_outputs",
         {"structured_outputs": {"grammar": 'start: " " answer\nanswer: "a"'}}),
        (choice_form([" a", " b"], ", "), "structured_outputs",
         {"structured_outputs": {
             "grammar": 'start: " " answer\nanswer: label (", " label)*\nlabel: "a" | "b"\n'}}),
        (schema_form(SCHEMA), "grammar", {"json_schema": SCHEMA}),
        (choice_form([" a", " b"]), "grammar", {"grammar": 'root ::= " " ("a" | "b")\n'}),
        (schema_form(SCHEMA), "response_format", {"response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA}}}),
    ],
)  # fmt: skip
def test_what_is_sent(form: AnswerForm, way: Any, body: dict[str, Any]) -> None:
    assert write_form(form, way) == body


def test_marks_become_a_grammar_of_llama_cpp() -> None:
    sent = write_form(marked_source_form("at five", ["time"]), "grammar")["grammar"]
    assert sent.startswith("root ::= (a0)\n") and "start" not in sent


def test_a_way_refuses_what_it_cannot_tell() -> None:
    with pytest.raises(
        EngineError, match="response_format, which tells json_schema and not choice"
    ):
        write_form(choice_form(["a"]), "response_format")
