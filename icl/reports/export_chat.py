"""Code for an exported file that makes the turns of a chat, and their text by a chat template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from icl.core.types import JSON, Prompt
from icl.prompts.chat_template import ChatFormat, ChatOptions, make_messages

__all__ = ["Conversion", "write_messages_function", "write_render_function"]


@dataclass(frozen=True)
class Conversion:
    """The conversion of a prompt before it was sent: turns, a chat template, a prefix."""

    format: ChatFormat | None = None
    """The model's chat template; None for plain text, and for a server that has its own."""
    server: bool = False
    """Whether the turns themselves were sent, to a server."""
    extra: Mapping[str, JSON] = field(default_factory=dict)
    """More of the request's body; null leaves a field out."""
    prefix: str = ""
    """Text before every prompt of plain text."""
    newline: str | None = None
    """Text that replaces each line break of plain text."""

    @classmethod
    def of(cls, engine: Mapping[str, Any]) -> Conversion:
        """Read the conversion from an engine's identity."""
        if engine.get("api") == "chat":
            return cls(server=True, extra=dict(engine.get("extra") or {}))
        chat = engine.get("chat")
        if isinstance(chat, Mapping) and "template" in chat:
            return cls(ChatFormat.of(chat))
        return cls(prefix=engine.get("prefix") or "", newline=engine.get("newline"))

    @property
    def is_chat(self) -> bool:
        """Return whether the prompt was sent as turns."""
        return self.server or self.format is not None

    def make_turns(self, prompt: Prompt) -> list[dict[str, str]]:
        """Return the turns as the server or the chat template received them."""
        return self.format.make_turns(prompt) if self.format else make_messages(prompt)

    def list_settings(self) -> dict[str, Any]:
        """Return the constants that the written functions read."""
        if self.server:
            return {"EXTRA": dict(self.extra)} if self.extra else {}
        if self.format is None:
            return {"PREFIX": self.prefix, "NEWLINE": self.newline} if self._worded else {}
        return {
            "CHAT_TEMPLATE": self.format.template,
            "CHAT_VARIABLES": {**self.format.special, **self.format.kwargs},
            "DAY": self.format.day,
            "FRONT": self.format.front,
            "ANSWER_PREFIX": self.format.options.assistant_prefix,
            "CONTROLS": sorted(self.format.names, key=len, reverse=True),
        }

    @property
    def _worded(self) -> bool:
        return bool(self.prefix) or self.newline is not None

    @property
    def imports(self) -> list[str]:
        """Return the lines that import what the written functions need."""
        if self.format is None:
            return []
        return ["import datetime", "import json", "import re", "import jinja2.ext"]


def write_messages_function(made: Conversion) -> str:
    """Write ``messages(row)``, with the options of the model's entry built in."""
    options = made.format.options if made.format else ChatOptions()
    prefix = made.format.shot_prefix if made.format else ""
    lines = ["def messages(row):", "    system, opening = _system(row), _instruction(row)"]
    if options.system == "merge":
        lines += [
            "    opening = SEPARATOR.join(part for part in (system, opening) if part)",
            '    system = ""',
        ]
    lines += ['    turns = [{"role": "system", "content": system}] if system else []']
    if options.shots == "one_turn":
        lines += [
            "    parts = [opening] if opening else []",
            "    parts += [given + answer for given, answer in SHOTS]",
            "    text = SEPARATOR.join([*parts, _query(row)])",
            '    return [*turns, {"role": "user", "content": text}]',
        ]
        return "\n".join(lines) + "\n"
    answer = f"{prefix!r} + answer" if prefix else "answer.lstrip()"
    lines += [
        '    opening += SEPARATOR if opening else ""',
        "    for given, answer in SHOTS:",
        '        turns.append({"role": "user", "content": opening + given})',
        f'        turns.append({{"role": "assistant", "content": {answer}}})',
        '        opening = ""',
        '    turns.append({"role": "user", "content": opening + _query(row)})',
        "    return turns",
    ]
    return "\n".join(lines) + "\n"


def write_render_function(made: Conversion) -> str:
    """Write ``render(row)``, the text that is sent; empty for a server that was sent turns."""
    if made.server:
        return ""
    if made.format is not None:
        return CHAT
    text = PLAIN
    if made._worded:
        text = text.replace("    return ", "    text = ")
        text += "    text = text if NEWLINE is None else text.replace('\\n', NEWLINE)\n"
        text += "    return PREFIX + text\n"
    return text


PLAIN = """
def render(row):
    parts = [part for part in (_system(row), _instruction(row)) if part]
    return SEPARATOR.join([*parts, *(given + answer for given, answer in SHOTS), _query(row)])
"""

CHAT = r"""
class _Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _refuse(message):
    raise ValueError(f"the chat template refuses these turns: {message}")


def _to_json(value, ensure_ascii=False, **options):
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


_CHAT = jinja2.sandbox.ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
)
_CHAT.filters["tojson"] = _to_json
_CHAT.globals["raise_exception"] = _refuse


def _hide(text):
    # A row that spells a control token must not end its turn: the template sees a number instead.
    spelled = "|".join(map(re.escape, CONTROLS)) or "(?!)"
    return re.sub(
        spelled, lambda found: f"\U000f2000{CONTROLS.index(found[0])}\U000f2001", text
    )


def render(row):
    turns = [{**turn, "content": _hide(turn["content"])} for turn in messages(row)]
    text = _CHAT.from_string(CHAT_TEMPLATE).render(
        **CHAT_VARIABLES, messages=turns, tools=None, documents=None, add_generation_prompt=True,
        strftime_now=datetime.date.fromisoformat(DAY).strftime,
    )
    text = re.sub("\U000f2000(\\d+)\U000f2001", lambda found: CONTROLS[int(found[1])], text)
    return FRONT + text + ANSWER_PREFIX
"""
