"""The form that an answer keeps: choices, an expression, a schema, a grammar, or the row's words.

A form is made without a model, from the row alone. Grammars are written in Lark as llguidance
reads it (https://github.com/guidance-ai/llguidance, docs/syntax.md), one of whose parsers holds
the model to it, token by token.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

from icl.core.bio import locate_tokens, split_tokens

__all__ = [
    "FORM_KINDS",
    "AnswerForm",
    "FormKind",
    "FormStep",
    "FormUse",
    "SourceOutput",
    "add_intent",
    "choice_form",
    "grammar_form",
    "json_source_form",
    "marked_source_form",
    "regex_form",
    "schema_form",
    "write_gbnf",
]


FormKind: TypeAlias = Literal["choice", "regex", "json_schema", "grammar", "source"]
"""Kind of a form: choices, a regular expression, a JSON schema, a grammar or the row's words."""
FORM_KINDS: tuple[FormKind, ...] = get_args(FormKind)

SourceOutput: TypeAlias = Literal["marked", "json"]
"""Way to write the words of a row: the text with ``[name : words]``, or names with values."""

_BODY = "answer"
_PAIRS = 'start: "{" (pair (", " pair)*)? "}"'
"""First rule of an object of values."""


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """The form of one answer, as text that an engine compiles."""

    kind: FormKind
    text: str
    """A grammar in Lark; of ``regex`` the expression, of ``json_schema`` the schema as JSON."""
    lead: str = ""
    """White space in front of the answer, as the prompt's target half has it."""
    choices: tuple[str, ...] = ()
    """Of ``choice``: the texts, of which the answer is one."""
    shortest: str | None = None
    """An answer of about the fewest tokens, without the lead; None where it is not known."""

    def identity(self) -> dict[str, str]:
        """Return what changes an answer; a part of the request's hash."""
        return {"kind": self.kind, "text": self.text, "lead": self.lead}

    def grammar(self, lead_optional: bool = False) -> str:
        r"""Return the form as one grammar of llguidance, lead and all.

        Args:
            lead_optional: whether the answer may also begin without the lead or with a space, as
                where a decoder writes a text of its own.

        >>> print(json.loads(AnswerForm("regex", "a/b").grammar())["grammars"][1]["lark_grammar"])
        start: /a\/b/
        <BLANKLINE>
        """
        lead = f"{_quote(self.lead)} " if self.lead else ""
        if lead_optional:
            lead = '" "? '
        body: dict[str, object] = {"name": _BODY}
        if self.kind == "json_schema":
            body["json_schema"] = _spaced(json.loads(self.text))
        else:
            body["lark_grammar"] = self.lark
        front = {"lark_grammar": f"start: {lead}@{_BODY}\n"}
        return json.dumps({"grammars": [front, body]}, ensure_ascii=False)

    @property
    def lark(self) -> str:
        """The form as a grammar in Lark, without the lead; of a schema its JSON."""
        if self.kind == "regex":
            slashed = re.sub(r"(\\.)|/", lambda found: found[1] or r"\/", self.text, flags=re.S)
            return f"start: /{slashed}/\n"
        return self.text


@dataclass(frozen=True, slots=True)
class FormUse:
    """The effect of a form on one output."""

    steps: int
    """Tokens that the model chose."""
    changed: int
    """Of these, those where its likeliest token was not allowed."""
    forced: int
    """Tokens that the form left no choice about, so that the model did not predict them."""


@dataclass(frozen=True, slots=True)
class FormStep:
    """One token of an answer that a form held, and what the form forbade there."""

    text: str
    forced: bool
    """Whether the form left no choice, so that the model predicted nothing."""
    forbidden: tuple[tuple[str, float], ...] = ()
    """(text, log-probability) of the likeliest tokens that were not allowed, likeliest first."""
    changed: bool = False
    """Whether the model's likeliest token was one of them."""


def choice_form(choices: Sequence[str], separator: str = "", none: str = "") -> AnswerForm:
    """Make the form of an answer that is one of the choices.

    Args:
        choices: their texts as they stand behind the prompt; white space in front of all of them
            is the form's lead.
        separator: what stands between labels where an answer is a set of them; empty for one.
        none: what stands for the empty set.

    >>> choice_form([" yes", " no"]).choices
    ('yes', 'no')
    """
    lead = _common_lead(choices)
    texts = tuple(dict.fromkeys(text[len(lead) :] for text in choices))
    one = " | ".join(map(_quote, texts))
    shortest = min((*texts, none) if none else texts, key=len, default=None)
    if not separator:
        return AnswerForm("choice", f"start: {one}\n", lead, texts, shortest)
    empty = f" | {_quote(none)}" if none else ""
    text = f"start: label ({_quote(separator)} label)*{empty}\nlabel: {one}\n"
    return AnswerForm("choice", text, lead, (), shortest)


def regex_form(expression: str, lead: str = "") -> AnswerForm:
    """Make the form of an answer that a regular expression matches as a whole."""
    return AnswerForm("regex", expression, lead)


def schema_form(schema: object, lead: str = "") -> AnswerForm:
    """Make the form of an answer that is JSON by a schema."""
    return AnswerForm("json_schema", json.dumps(schema, ensure_ascii=False), lead)


def grammar_form(grammar: str, lead: str = "") -> AnswerForm:
    """Make the form of an answer by a grammar in Lark, whose first rule is ``start``."""
    return AnswerForm("grammar", grammar, lead)


def marked_source_form(
    source: str,
    names: Sequence[str],
    *,
    unspaced: bool = False,
    lead: str = "",
    tokens: Sequence[str] | None = None,
) -> AnswerForm:
    """Make the form of the source's words in order, with ``[name : words]`` around some of them.

    The white space is what :func:`icl.core.bio.write_marks` writes: the source's own, and in
    Chinese and Japanese one space on either side of a mark.

    Args:
        source: the text; each of its words stands in the answer exactly once.
        names: of the marks.
        unspaced: whether its words are characters.
        lead: white space in front of the answer.
        tokens: its words, where they are others than those between white space.

    >>> print(marked_source_form("at five", ["time"]).text)
    start: a0
    open: "[" name " : "
    name: "time"
    a0: "at" a1 | open i0
    i0: "at" t0
    t0: "]" m1 | " " i1
    a1: " " "five" | " " open i1
    m1: " " ("five" | open i1)
    i1: "five" "]"
    <BLANKLINE>
    """
    words, gaps = _split(source, unspaced, tokens)
    rules = ["start: a0", 'open: "[" name " : "', f"name: {' | '.join(map(_quote, names))}"]
    last = len(words) - 1
    for i, word in enumerate(words):
        said, gap = _quote(word), gaps[i]
        beside = gap or (" " if i and unspaced else "")  # what parts a mark from others
        before, around = _literal(gap), _literal(beside)
        rest = f" a{i + 1}" if i < last else ""
        opened = f" | {around}open i{i}" if names else ""
        rules.append(f"a{i}: {before}{said}{rest}{opened}")
        if not names:
            continue
        if i:
            rules.append(f"m{i}: {around}({said}{rest} | open i{i})")
        if i < last:
            rules.append(f"i{i}: {said} t{i}")
            rules.append(f't{i}: "]" m{i + 1} | {_literal(gaps[i + 1])}i{i + 1}')
        else:
            rules.append(f'i{i}: {said} "]"')
    if not names:
        rules = [rule for rule in rules if not rule.startswith(("open:", "name:"))]
    text = "\n".join(rules) + "\n"
    return AnswerForm("source", text, lead, shortest=" ".join(source.split()))


def json_source_form(
    source: str,
    names: Sequence[str],
    *,
    unspaced: bool = False,
    lead: str = "",
    tokens: Sequence[str] | None = None,
) -> AnswerForm:
    r"""Make the form of an object whose keys are names and whose values are lists of source words.

    Each value is some words of the source that stand side by side there, spaced as there. A name
    may come more than once, as a grammar cannot count in any order.

    >>> print(json_source_form("at five", ["time", "date"]).text)
    start: "{" (pair (", " pair)*)? "}"
    pair: name ": [" value (", " value)* "]"
    name: "\"time\"" | "\"date\""
    value: "\"" (v0 | v1)
    v0: "at" ("\"" | " " v1)
    v1: "five" "\""
    <BLANKLINE>
    """
    words, gaps = _split(source, unspaced, tokens)
    if not names or not words:
        return AnswerForm("source", 'start: "{}"\n', lead, shortest="{}")
    rules = [
        _PAIRS,
        'pair: name ": [" value (", " value)* "]"',
        f"name: {' | '.join(_quote(_json(name)) for name in names)}",
        f"value: {_quote(chr(34))} ({' | '.join(f'v{i}' for i in range(len(words)))})",
    ]
    for i, word in enumerate(words):
        said, end = _quote(_json(word)[1:-1]), _quote('"')
        if i + 1 < len(words):
            gap = _literal(_json(gaps[i + 1])[1:-1])
            rules.append(f"v{i}: {said} ({end} | {gap}v{i + 1})")
        else:
            rules.append(f"v{i}: {said} {end}")
    return AnswerForm("source", "\n".join(rules) + "\n", lead, shortest="{}")


def add_intent(form: AnswerForm, intents: Sequence[str], divider: str = "") -> AnswerForm:
    """Return a form of ``source`` whose answers also name one of the intents, at their beginning.

    Args:
        form: from :func:`marked_source_form` or :func:`json_source_form`.
        intents: their names.
        divider: what stands between intent and marked text; of an object, whose first key
            is ``intent``, empty.

    >>> print(add_intent(marked_source_form("at", []), ["alarm", "news"], " | ").text)
    start: intent " | " a0
    intent: "alarm" | "news"
    a0: "at"
    <BLANKLINE>
    """
    first, _, rest = form.text.partition("\n")
    shown = sorted(intents)
    if divider:
        first = f"start: intent {_quote(divider)} {first.removeprefix('start: ')}"
        shortest = f"{min(shown, key=len)}{divider}{form.shortest}"
    else:
        shown = [_json(intent) for intent in shown]
        shortest = '{"intent": ' + min(shown, key=len) + "}"
        pairs = '(", " pair)* ' if first == _PAIRS else ""
        first = f'start: {_quote(shortest.partition(" ")[0] + " ")} intent {pairs}"}}"'
    named = f"intent: {' | '.join(map(_quote, shown))}"
    return replace(form, text=f"{first}\n{named}\n{rest}", shortest=shortest)


def write_gbnf(form: AnswerForm) -> str | None:
    """Return a form as llama.cpp reads grammars; None of a form that icl did not write itself.

    >>> print(write_gbnf(choice_form([" yes", " no"])))
    root ::= " " ("yes" | "no")
    <BLANKLINE>
    """
    if form.kind not in ("choice", "source"):
        return None
    rules = []
    for line in form.text.splitlines():
        name, _, body = line.partition(": ")
        if name == "start":
            rules.append(f"root ::= {_literal(form.lead)}({body})")
        else:
            rules.append(f"{name} ::= {body}")
    return "\n".join(rules) + "\n"


def _quote(text: str) -> str:
    """Write a text as a literal of Lark and GBNF."""
    return json.dumps(text, ensure_ascii=False)


def _literal(text: str) -> str:
    """Write a text as a literal with a space behind it; nothing for the empty text."""
    return f"{_quote(text)} " if text else ""


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _common_lead(choices: Sequence[str]) -> str:
    """Return the white space that all choices begin with."""
    leads = {text[: len(text) - len(text.lstrip())] for text in choices}
    return leads.pop() if len(leads) == 1 else ""


def _spaced(schema: object) -> object:
    """Ask for the white space that ``{{ fields | json }}`` writes, unless the schema says which."""
    if not isinstance(schema, dict) or "x-guidance" in schema:
        return schema
    spaces = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
    return {**schema, "x-guidance": spaces}


def _split(
    source: str, unspaced: bool, tokens: Sequence[str] | None
) -> tuple[Sequence[str], list[str]]:
    """Return the words of a text, and the white space in front of each; none before the first."""
    words = split_tokens(source, unspaced) if tokens is None else tokens
    places = locate_tokens(source, words)
    ends = [0, *(end for _, end in places)]
    gaps = [source[end:start] for (start, _), end in zip(places, ends, strict=False)]
    return words, ["", *gaps[1:]]
