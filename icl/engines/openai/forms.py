"""Forms of answers as servers take them: which way a server has, and what is sent for a form."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from icl.core.answer_forms import FORM_KINDS, AnswerForm, FormKind, write_gbnf
from icl.core.errors import EngineError
from icl.engines.openai.answer_text import read_choice
from icl.engines.openai.capabilities import apply_extra, offer
from icl.engines.openai.client import Link

__all__ = ["TAKEN", "FormWay", "find_form_way", "write_form"]


FormWay: TypeAlias = Literal["structured_outputs", "grammar", "response_format"]
"""Field that carries a form: of vLLM from 0.12 on, of llama.cpp, of OpenAI and servers like it."""

TAKEN: dict[FormWay, tuple[FormKind, ...]] = {
    "structured_outputs": FORM_KINDS,
    "grammar": ("choice", "json_schema", "source"),
    "response_format": ("json_schema",),
}
"""The kinds of form that each way can tell."""

_WORD = "qzxj"
"""A text that no model generates unless a form demands it."""
_OBJECT = {
    "type": "object",
    "properties": {"a": {"type": "string", "enum": [_WORD]}},
    "required": ["a"],
    "additionalProperties": False,
}


def find_form_way(
    link: Link, path: str, body: Mapping[str, Any], extra: Mapping[str, Any]
) -> FormWay | None:
    """Find by at most three short requests how a server keeps answers to a form; None if not.

    A server may accept a key and not know it, so the answer is looked at.
    """
    for way in TAKEN:
        kind: FormKind = "json_schema" if way == "response_format" else "choice"
        schema = json.dumps(_OBJECT)
        form = AnswerForm(kind, schema if kind == "json_schema" else f'start: "{_WORD}"\n')
        if kind == "choice":
            form = AnswerForm(kind, form.text, choices=(_WORD,))
        data = offer(link, path, apply_extra({**body, **write_form(form, way)}, extra))
        text = read_choice(data["choices"][0])["text"].strip() if data else ""
        if text in (_WORD, json.dumps({"a": _WORD}), f'{{"a":"{_WORD}"}}'):
            return way
    return None


def write_form(form: AnswerForm, way: FormWay) -> dict[str, Any]:
    """Write the part of a request that holds its answer to a form.

    Raises:
        EngineError: the way does not take this kind of form.
    """
    if form.kind not in TAKEN[way]:
        raise EngineError(
            f"the server takes forms by {way}, which tells {', '.join(TAKEN[way])} and not "
            f"{form.kind}; hold the answer to one of these, or answer with a model of the engine hf"
        )
    if way == "structured_outputs":
        return {"structured_outputs": _structured(form)}
    if way == "grammar":
        if form.kind == "json_schema":
            return {"json_schema": json.loads(form.text)}
        return {"grammar": write_gbnf(form)}
    told = {"name": "answer", "strict": True, "schema": json.loads(form.text)}
    return {"response_format": {"type": "json_schema", "json_schema": told}}


def _structured(form: AnswerForm) -> dict[str, Any]:
    if form.kind == "json_schema":
        return {"json": json.loads(form.text)}
    if form.kind == "regex":
        return {"regex": f"{re.escape(form.lead)}(?:{form.text})" if form.lead else form.text}
    if form.choices:
        return {"choice": [form.lead + text for text in form.choices]}
    if not form.lead:
        return {"grammar": form.text}
    lead = f"start: {json.dumps(form.lead)} answer\nanswer:"
    return {"grammar": re.sub(r"^start\s*:", lambda _: lead, form.text, count=1, flags=re.M)}
