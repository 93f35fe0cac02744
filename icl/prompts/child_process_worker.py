"""The work done in the child process of :mod:`icl.prompts.child_process`, and its limits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateError as JinjaError

from icl.core.errors import IclError, TemplateError
from icl.core.kinds import learn_kinds
from icl.core.types import Prompt
from icl.prompts.chat_template import render_sent
from icl.prompts.jinja_sandbox import RowExpression, TemplateHalf
from icl.prompts.own_forms import OwnForms
from icl.prompts.template import bind
from icl.prompts.template_file import TemplateFile, parse_template

__all__ = ["CHAT", "EXPRESSIONS", "SandboxLimits", "answer_request"]


EXPRESSIONS = "the expressions of the data"
"""Name of a data set's expressions in messages."""


CHAT = "the stored chat template"
"""Name of a stored chat template in messages."""
_WRONG = (
    JinjaError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
)
"""Exceptions that a chat template, or malformed values stored with it, may cause."""
_LONGEST_MESSAGE = 2000
"""Most characters of an error message: a template controls the text that is quoted in it."""
_HALVES = ("input", "target", "query", "instruction", "system", "given", "scored")


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """Limits on the time, memory and output of a template."""

    cpu_s: float = 1.0
    """Processor seconds for one :meth:`Sandbox.bind` and everything that its template renders."""
    memory_bytes: int = 256 << 20
    """Address space of the child process."""
    source_bytes: int = 64 << 10
    output_bytes: int = 1 << 20
    """UTF-8 bytes of one rendered half."""


def answer_request(message: Mapping[str, Any], limits: SandboxLimits) -> dict[str, Any]:
    """Answer one message of the parent.

    Returns:
        ``value``, or ``error`` and ``message``; and ``full`` if the process ran out of memory.
    """
    (kind, asked), *_ = message.items()
    learn_kinds(message.get("kinds", ()))
    named = {"sent": CHAT, "columns": EXPRESSIONS, "rows": EXPRESSIONS}
    where = asked["where"] if kind == "half" else named[kind] if kind in named else asked[1]
    try:
        if kind == "columns":
            return {"value": [RowExpression(source).find_columns() for source in asked]}
        if kind == "rows":
            sources, rows, offered = asked
            return {"value": _values(sources, rows, offered, limits)}
        if kind == "bind":
            return {"value": _bind(*asked)}
        if kind == "parse":
            text, name = asked
            return {"value": _parsed(parse_template(text, name, Path(name)))}
        if kind == "sent":
            return {"value": _bounded(_sent(*asked), where, limits)}
        half = TemplateHalf(**asked)
        text = half.render(message["context"], message["offered"])
        return {"value": _bounded(text, f"{where}:{half.first_line}", limits)}
    except IclError as error:
        if not isinstance(error.__cause__, MemoryError):
            shown = str(error)[:_LONGEST_MESSAGE]
            return {"error": type(error).__name__, "message": shown}
        where = str(error).partition(": MemoryError")[0]
    except MemoryError:
        pass
    told = (
        f"{where}: needs more than {limits.memory_bytes >> 20} MB; make its loops or texts smaller"
    )
    return {"error": "TemplateError", "message": told, "full": True}


def _values(
    sources: list[str],
    rows: list[tuple[str, dict[str, Any]]],
    offered: list[str],
    limits: SandboxLimits,
) -> list[list[Any]]:
    """Evaluate every expression for every row; an error begins with the row's place."""
    found = []
    expressions = [RowExpression(source) for source in sources]
    size = 0
    for place, row in rows:
        try:
            values = [expression.evaluate(row, offered) for expression in expressions]
        except TemplateError as error:
            if isinstance(error.__cause__, MemoryError):
                raise
            raise TemplateError(f"{place}: {error}") from error
        size += len(json.dumps(values))
        if size > 8 * limits.output_bytes:
            raise TemplateError(
                f"{place}: {EXPRESSIONS} give more than {8 * limits.output_bytes:,} bytes for "
                "these rows; make what they give smaller"
            )
        found.append(values)
    return found


def _bounded(text: str, where: str, limits: SandboxLimits) -> str:
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > limits.output_bytes:
        raise TemplateError(
            f"{where}: renders {size:,} bytes, {limits.output_bytes:,} are accepted; make its "
            "loops or texts smaller"
        )
    return text


def _sent(parts: Mapping[str, Any], engine: Mapping[str, Any]) -> str:
    """Render the text that was sent; errors caused by a stranger's folder become TemplateError."""
    try:
        return render_sent(Prompt(**parts), engine)
    except _WRONG as error:
        told = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise TemplateError(f"{CHAT} cannot be rendered: {told}") from error


def _bind(
    text: str,
    name: str,
    language_tag: str,
    label_language: str | None,
    label_set: list[str],
    own: list[Any],
) -> dict[str, Any]:
    """Bind a template, and return it as JSON values that :meth:`Sandbox.bind` reassembles."""
    file = parse_template(text, name, Path(name))
    made = bind(file, language_tag, label_language, label_set, OwnForms(*own))
    return {
        "file": _parsed(file),
        "words": dict(made.words),
        "labels": dict(made.labels),
        "fallbacks": list(made.fallbacks),
    }


def _parsed(file: TemplateFile) -> dict[str, Any]:
    """Return a parsed file as JSON values that the parent's ``_file`` reassembles."""
    return {
        "text": file.text,
        "head": {k: v for k, v in vars(file.head).items() if k != "labels"},
        "halves": {part: _plain(getattr(file, part)) for part in _HALVES},
    }


def _plain(half: TemplateHalf | None) -> dict[str, Any] | None:
    if half is None:
        return None
    used = half.words_used
    return {
        "where": half.where,
        "source": half.source,
        "first_line": half.first_line,
        "names": list(half.names.items()),
        "words": None if used is None else sorted(used),
    }
