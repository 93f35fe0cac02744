"""One model of one server: its connection and the capabilities found by requests."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from icl.core.errors import WindowError
from icl.core.types import Prompt, Token
from icl.engines.openai.capabilities import (
    TEXTS,
    ServerCapabilities,
    apply_extra,
    find_window,
    probe,
)
from icl.engines.openai.client import Link
from icl.engines.openai.forms import FormWay, find_form_way
from icl.engines.openai.token_counts import TokenCounter
from icl.engines.reasoning import Delimiters
from icl.prompts.chat_template import make_messages, trim_opening

__all__ = ["Backend"]


FORM_TOKENS = 24
"""Most tokens of an answer by which is found out whether a server keeps forms."""


@dataclass
class Backend:
    """One model of one server; its capabilities are requested once, when first needed."""

    link: Link
    """The connection to the server."""
    model: str
    """The model's name on the server."""
    api: str = "auto"
    """``completions``, ``chat``, or ``auto``: what the server offers."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """More of every request's body; it overrides other values, and null removes a key."""
    tokenizer: str | None = None
    """Folder or hub id of a tokenizer that counts tokens."""
    asked_window: int | None = None
    """The window given in the model's entry; None: the one that the server reports."""
    blocks: tuple[Delimiters, ...] = ()
    """Pairs of texts that may enclose reasoning; empty: nothing is read as reasoning."""
    blocks_named: bool = False
    """Whether the entry names the block, so that every answer is expected to have one."""
    bounded: int = 0
    """Choices that were not among the likeliest first tokens, so that their score is a bound."""
    unsent: set[str] = field(default_factory=set, init=False, repr=False)
    """Parameters that the server handles badly and icl can omit, such as ``stop``."""
    asked_forms: FormWay | Literal["auto", "never"] = "auto"
    """Field of the request that carries a form; ``auto``: found by the first request with one."""
    _way: FormWay | Literal["unknown"] | None = field(default="unknown", init=False, repr=False)
    _facts: ServerCapabilities | None = field(default=None, init=False, repr=False)
    _counted: TokenCounter | None = field(default=None, init=False, repr=False)
    _found_window: int | None = field(default=None, init=False, repr=False)
    _lock: Any = field(default_factory=threading.RLock, init=False, repr=False)

    @property
    def facts(self) -> ServerCapabilities:
        """Capabilities of the server, requested once.

        Raises:
            EngineError: it cannot be reached, refuses the key, or does not serve the model.
        """
        with self._lock:
            if self._facts is None:
                self._facts = probe(self.link, self.model, self.api, self.extra)
            return self._facts

    @property
    def form_way(self) -> FormWay | None:
        """Return the field of a request that carries a form; None if the server applies no form.

        Raises:
            EngineError: it cannot be reached, refuses the key, or does not serve the model.
        """
        if self.asked_forms == "never":
            return None
        if self.asked_forms != "auto":
            return self.asked_forms
        with self._lock:
            if self._way == "unknown":
                path, body = self.request(Prompt(TEXTS[0]), FORM_TOKENS)
                self._way = find_form_way(self.link, path, body, self.extra)
            return self._way

    @property
    def chat(self) -> bool:
        """Return whether requests send turns instead of the prompt's text."""
        return self.facts.api == "chat"

    @property
    def counted(self) -> TokenCounter:
        """The token counter; ``counted.how`` says whether its counts are exact."""
        with self._lock:
            if self._counted is None:
                self._counted = TokenCounter(self.link, self.model, self.chat, self.tokenizer)
            return self._counted

    @property
    def window(self) -> int:
        """Tokens of prompt and answer together: as given, or else as the server reports.

        Raises:
            ModelError: none is given, and the server does not say.
        """
        if self.asked_window:
            return self.asked_window
        with self._lock:
            if self._found_window is None:
                self._found_window = find_window(self.link, self.model)
            return self._found_window

    def tokens(self, prompt: Prompt) -> list[Token]:
        """Return the tokens sent for a prompt; where only estimated, their ids are -1."""
        return self.counted.tokens(prompt)

    def shown(self, choices: Sequence[str]) -> list[str]:
        """Return the choices as the model writes them: in a chat without white space in front."""
        return [trim_opening(choice) for choice in choices] if self.chat else list(choices)

    def request(self, prompt: Prompt, max_tokens: int) -> tuple[str, dict[str, Any]]:
        """Make path and body of a greedy request for at most ``max_tokens`` tokens."""
        chat = self.chat
        path = "/chat/completions" if chat else "/completions"
        sent: dict[str, Any] = (
            {"messages": make_messages(prompt)} if chat else {"prompt": prompt.text}
        )
        return path, {"model": self.model, **sent, self.facts.limit: max_tokens, "temperature": 0}

    def body(self, made: Mapping[str, Any]) -> dict[str, Any]:
        """Make the body to send from one that lacks only the entry's ``extra``."""
        sent = {name: value for name, value in made.items() if name not in self.unsent}
        return apply_extra(sent, self.extra)

    def check_room(self, prompt: Prompt, count: int, more: int) -> None:
        """Check that a prompt of ``count`` tokens leaves room for ``more`` tokens.

        Raises:
            WindowError: together they are longer than the window.
        """
        if count + more > self.window:
            name = f" {prompt.query_id!r}" if prompt.query_id else ""
            raise WindowError(
                f"prompt{name} has {count} tokens, which with {more} more for the answer is over "
                f"the window of {self.window}; use fewer or shorter shots, or fewer max_tokens"
            )
