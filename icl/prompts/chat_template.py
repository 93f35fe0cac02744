"""Conversion of a prompt to chat turns, and of turns to text by a model's own chat template.

Templates see the same variables as in transformers' ``apply_chat_template``, except that the date
is fixed. The text can be rendered again from :meth:`ChatFormat.identity`, without the model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import date
from functools import cached_property, lru_cache
from typing import Any, Literal

from jinja2 import Template, TemplateError, meta
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from icl.core.errors import EngineError, ModelError, join_lines
from icl.core.registry import did_you_mean
from icl.core.types import JSON, Prompt
from icl.prompts.control_tokens import Controls, MarkedText
from icl.prompts.family_text import Wording

__all__ = [
    "ChatFormat",
    "ChatOptions",
    "DATE",
    "make_messages",
    "write_continuation",
    "render_sent",
    "spell_turns",
    "trim_opening",
    "drop_inert",
]


DATE = "2025-01-01"
"""The date that templates see unless ``chat_date`` is set; any fixed one would do."""
_GIVEN = ("messages", "tools", "documents", "add_generation_prompt")
"""Variables that every template receives; a model entry cannot change them."""
_ANSWER = "the-answer-of-the-assistant"


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """The options under ``chat:`` in a model entry.

    >>> ChatOptions.of({"use": "always", "shots": "one_turn"}, "a model").shots
    'one_turn'
    """

    use: Literal["auto", "never", "always"] = "never"
    """``auto``: use chat if the model's files declare an end of turn besides their end of text."""
    shots: Literal["turns", "one_turn"] = "turns"
    """``turns``: a user and an assistant turn for each shot; ``one_turn``: all in one user turn."""
    system: Literal["keep", "merge"] = "keep"
    """``merge``: put the system text into the first user turn, for models without a system role."""
    assistant_prefix: str = ""
    """Text that begins every answer, directly after the header of the assistant's turn."""

    @classmethod
    def of(cls, given: object, where: str) -> ChatOptions:
        """Check and convert the value of ``chat:``: a mapping, or one word for ``use``.

        Args:
            given: the value.
            where: the model, for messages.

        Raises:
            ModelError: an unknown key or value.
        """
        entry = {"use": given} if isinstance(given, str) else given
        if not isinstance(entry, Mapping):
            raise ModelError(
                f"{where}: chat: {given!r} is no entry; accepted: chat: always, or "
                "chat: {use: always, shots: turns, system: keep, assistant_prefix: TEXT}"
            )
        known = [spec.name for spec in fields(cls)]
        accepted: dict[str, Sequence[str]] = {
            "use": ("auto", "never", "always"),
            "shots": ("turns", "one_turn"),
            "system": ("keep", "merge"),
        }
        for key, value in entry.items():
            if key not in known:
                raise ModelError(f"{where}: unknown key chat.{key}{did_you_mean(str(key), known)}")
            if not isinstance(value, str) or value not in accepted.get(key, (value,)):
                guess = did_you_mean(str(value), accepted.get(key, ("a text",)))
                raise ModelError(f"{where}: unknown chat.{key} {value!r}{guess}")
        return cls(**entry)


def trim_opening(text: str, prefix: str = "") -> str:
    """Drop a text's leading white space at the start of an assistant's turn.

    After a ``prefix``, which comes before the text, the white space stays.

    >>> trim_opening(" x"), trim_opening(" x", "Answer:")
    ('x', ' x')
    """
    return text if prefix else text.lstrip()


def make_messages(
    prompt: Prompt, options: ChatOptions | None = None, prefix: str = ""
) -> list[dict[str, str]]:
    r"""Convert a prompt to chat turns; ``prefix`` begins the answer of every shot.

    Leading white space of the shots' answers is dropped unless there is a prefix.

    >>> make_messages(Prompt("Q: b\nA:", shots=(("Q: a\nA:", " x"),)))[1]
    {'role': 'assistant', 'content': 'x'}
    """
    options = options or ChatOptions()
    system, opening = prompt.system, prompt.instruction
    if system and options.system == "merge":
        opening = prompt.separator.join(part for part in (system, opening) if part)
        system = ""
    turns = [{"role": "system", "content": system}] if system else []
    if options.shots == "one_turn":
        shots = [source + target for source, target in prompt.shots]
        parts = [part for part in (opening,) if part]
        flat = prompt.separator.join([*parts, *shots, prompt.query])
        return [*turns, {"role": "user", "content": flat}]
    opening += prompt.separator if opening else ""
    for source, target in prompt.shots:
        turns.append({"role": "user", "content": opening + source})
        turns.append({"role": "assistant", "content": prefix + trim_opening(target, prefix)})
        opening = ""
    return [*turns, {"role": "user", "content": opening + prompt.query}]


@dataclass(frozen=True)
class ChatFormat:
    """A model's chat template, with all options and variables that it is rendered with."""

    source: str
    """The model's name, for messages."""
    template: str = field(repr=False)
    """Jinja text."""
    special: Mapping[str, str]
    """Special tokens by name: ``bos_token``, ``eos_token`` and others."""
    options: ChatOptions = ChatOptions(use="always")
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Variables for the template from the model entry: ``enable_thinking: false``."""
    day: str = DATE
    """ISO date that the template's ``strftime_now`` formats."""
    front: str = ""
    """The BOS token, if the model wants one and the template does not write it."""
    names: tuple[str, ...] = ()
    """Texts of the control tokens; where a row spells one, the template does not see it."""

    def check(self) -> ChatFormat:
        """Check the template, its variables and the date before anything is sent.

        Raises:
            ModelError: the template is malformed or does not read a variable of ``chat_kwargs``, or
                the date is invalid.
        """
        try:
            date.fromisoformat(self.day)
        except ValueError as error:
            raise ModelError(
                f"{self.source}: chat_date {self.day!r} is no date; accepted: YYYY-MM-DD"
            ) from error
        try:
            read = meta.find_undeclared_variables(_environment().parse(self.template))
        except TemplateError as error:
            raise ModelError(
                f"the chat template of {self.source} is malformed ({join_lines(error)}); set "
                "chat: never"
            ) from error
        known = read - {*_GIVEN, *self.special, *_environment().globals}
        for name in self.kwargs:
            if name not in known:
                raise ModelError(
                    f"chat_kwargs: the chat template of {self.source} reads no {name!r}"
                    f"{did_you_mean(name, known) if known else '; leave it out'}"
                )
        return self

    def render(self, turns: Sequence[Mapping[str, str]], asks: bool) -> str:
        """Render turns as text; ``asks`` adds the header of the answer's turn.

        Raises:
            EngineError: the template refuses these turns.
        """
        day = date.fromisoformat(self.day)
        try:
            return _compiled(self.template).render(
                **{**self.special, **self.kwargs},
                messages=[dict(turn) for turn in turns],
                tools=None,
                documents=None,
                add_generation_prompt=asks,
                strftime_now=day.strftime,
            )
        except (TemplateError, TypeError, ValueError) as error:
            raise EngineError(self._refusal(turns, error)) from error

    def _refusal(self, turns: Sequence[Mapping[str, str]], error: Exception) -> str:
        """Describe why turns cannot be rendered, with a repair found by trying it."""
        why = f"the chat template of {self.source} refuses these turns ({join_lines(error)})"
        if turns[0]["role"] == "system":
            try:
                self.render(turns[1:], asks=True)
            except EngineError:
                return why
            return f"{why}: it takes no system turn here; set system: merge under chat:"
        return f"{why}; set shots: one_turn under chat:" if len(turns) > 1 else why

    @cached_property
    def controls(self) -> Controls:
        """The control tokens, for finding and hiding them in text."""
        return Controls(self.names)

    @property
    def shot_prefix(self) -> str:
        """The text that begins the answer of every shot.

        That is the prefix of the answer, unless it spells a control token, which no shot may hold.
        """
        prefix = self.options.assistant_prefix
        return "" if self.controls.pattern.search(prefix) else prefix

    def make_turns(self, prompt: Prompt) -> list[dict[str, str]]:
        """Return the turns as the template receives them."""
        return make_messages(prompt, self.options, self.shot_prefix)

    def marked(self, prompt: Prompt) -> MarkedText:
        """Render a prompt as it is sent, and mark the spelled control tokens that are plain text.

        Raises:
            EngineError: the template refuses the prompt's turns.
        """
        prefix = self.options.assistant_prefix
        turns = self.make_turns(prompt)
        hidden = [{**turn, "content": self.controls.hide(turn["content"])} for turn in turns]
        rendered = self.controls.shown(self.render(hidden, asks=True))
        return MarkedText(self.front) + rendered + MarkedText(prefix)

    @cached_property
    def after_answer(self) -> str:
        """The text that the template writes after an answer, up to the end.

        Raises:
            ModelError: the template does not write the assistant's turns.
        """
        turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _ANSWER}]
        _, found, after = self.render(turns, asks=False).partition(_ANSWER)
        if not found:
            raise ModelError(
                f"the chat template of {self.source} does not write the assistant's answer; set "
                "chat: never"
            )
        return after

    @cached_property
    def before_answer(self) -> str:
        """The text between a user's turn and the answer: the header of the assistant's turn."""
        turn = {"role": "user", "content": _ANSWER}
        asked = self.render([turn], asks=True).rpartition(_ANSWER)[2]
        return asked + self.options.assistant_prefix

    def identity(self) -> dict[str, JSON]:
        """Return everything that changes the text, the template included; :meth:`of` reads it."""
        prefix = self.options.assistant_prefix
        made: dict[str, JSON] = {
            "template": self.template,
            "special": dict(self.special),
            "kwargs": dict(self.kwargs),
            "front": self.front,
            **{name: value for name, value in asdict(self.options).items() if name != "use"},
            # A template can only react to the control tokens that it spells itself.
            "controls": [name for name in self.names if name in self.template + prefix],
        }
        # A template that never asks for the day is not changed by it.
        return made | ({"day": self.day} if "strftime_now" in self.template else {})

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> ChatFormat:
        """Rebuild a chat format from its :meth:`identity`."""
        names = ("shots", "system", "assistant_prefix")
        chosen = {name: kept[name] for name in names if name in kept}
        return cls(
            "this model",
            kept["template"],
            kept["special"],
            ChatOptions(use="always", **chosen),
            kept["kwargs"],
            kept.get("day", DATE),
            kept["front"],
            tuple(kept["controls"]),
        )


def drop_inert(engine: Mapping[str, JSON], shots: bool, system: bool) -> dict[str, JSON]:
    """Return an engine's identity without chat options that have no effect in a condition.

    Without shots there is only one turn, and without a system section there is nothing to merge.
    """
    chat = engine.get("chat")
    if not isinstance(chat, Mapping):
        return dict(engine)
    inert = {name for name, used in (("shots", shots), ("system", system)) if not used}
    return {**engine, "chat": {name: chat[name] for name in chat if name not in inert}}


def spell_turns(turns: Sequence[Mapping[str, str]]) -> str:
    r"""Write turns as one text, for a server whose own form of them is unknown.

    >>> spell_turns([{"role": "user", "content": "Hi"}])
    '<user>\nHi'
    """
    return "\n".join(f"<{turn['role']}>\n{turn['content']}" for turn in turns)


def render_sent(prompt: Prompt, engine: Mapping[str, Any]) -> str:
    """Render again the text that an engine of this identity received for a prompt."""
    if engine.get("api") == "chat":  # a server, which writes turns in a form of its own
        return spell_turns(make_messages(prompt))
    chat = engine.get("chat")
    if not isinstance(chat, Mapping) or "template" not in chat:
        return Wording(engine.get("prefix") or "", engine.get("newline")).prompt(prompt.text)
    return ChatFormat.of(chat).marked(prompt).text


def write_continuation(text: str, engine: Mapping[str, Any]) -> str:
    """Return a scored continuation in the form in which an engine with this identity sent it."""
    chat = engine.get("chat")
    if not isinstance(chat, Mapping):
        return text
    return trim_opening(text, str(chat.get("assistant_prefix") or ""))


class _Generation(Extension):
    """The block ``{% generation %}``, which marks an answer for training; it writes its content."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    """Create the Jinja environment that chat templates expect: trimmed blocks, unescaped JSON."""
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    made.filters["tojson"] = _json
    made.globals["raise_exception"] = _raise
    made.globals["strftime_now"] = date.fromisoformat(DATE).strftime
    del made.globals["lipsum"]  # random
    return made


@lru_cache(maxsize=64)
def _compiled(template: str) -> Template:
    return _environment().from_string(template)


def _json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


def _raise(message: str) -> None:
    raise TemplateError(message)
