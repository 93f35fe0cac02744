"""The tokens of a prompt: by a tokenizer named in the entry, by the server, or estimated."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from icl.core.errors import ModelError
from icl.core.types import Prompt, Token
from icl.engines.openai.client import Link, ServerRequest
from icl.engines.openai.errors import RefusalError, RetryError
from icl.prompts.chat_template import make_messages, spell_turns

__all__ = ["TokenCounter", "ESTIMATED", "describe_count"]


ESTIMATED = -1
"""The id of an estimated token."""
_GUESS = re.compile(r"[\x00-\x7f]{1,4}|[^\x00-\x7f]")
"""Four ASCII characters or one other character: the estimate is rather too high than too low."""
_CACHE = 4096


class TokenCounter:
    """Counts the tokens of one model; ``how`` is ``tokenizer``, ``server`` or ``estimate``."""

    def __init__(self, link: Link, model: str, chat: bool, tokenizer: str | None) -> None:
        self._link, self._model, self._chat = link, model, chat
        self._known: dict[str, list[Token]] = {}
        self._codec = _codec(tokenizer) if tokenizer else None
        self._dialect = ""
        self.how = "tokenizer" if self._codec else self._ask_server()

    def tokens(self, prompt: Prompt) -> list[Token]:
        """Return the tokens sent; ids are :data:`ESTIMATED` if they are estimated."""
        key = repr(make_messages(prompt)) if self._chat else prompt.text
        if key not in self._known:
            if len(self._known) >= _CACHE:
                self._known.clear()
            self._known[key] = self._tokens(prompt)
        return list(self._known[key])

    def sent(self, prompt: Prompt) -> str:
        """Return the text that the model receives, as far as the format of turns is known."""
        if not self._chat:
            return prompt.text
        turns = make_messages(prompt)
        if self._codec is not None:
            return str(
                self._codec.tokenizer.apply_chat_template(
                    turns, add_generation_prompt=True, tokenize=False
                )
            )
        if self._dialect == "llama.cpp" and self.how != "estimate":
            root = self._link.url.removesuffix("/v1")
            asked = ServerRequest(
                root + "/apply-template",
                {"messages": turns},
                lambda data: data["prompt"],
                kept=False,
                probe=True,
            )
            return str(self._link.one(asked))
        return spell_turns(turns)

    def _tokens(self, prompt: Prompt) -> list[Token]:
        text = self.sent(prompt)
        if self.how == "estimate":
            return [
                Token(ESTIMATED, found.group(), *found.span()) for found in _GUESS.finditer(text)
            ]
        if self._codec is None:
            return self._from_server(prompt, text)
        if self._chat:
            return _spans(self._codec.tokenizer, text)
        return list(self._codec.tokens(text))

    def _ask_server(self) -> str:
        """Find which of the two token-counting requests the server answers; return ``how``."""
        for dialect in ("vllm", "llama.cpp"):
            self._dialect = dialect
            try:
                if self._from_server(Prompt("a b"), "a b"):
                    return "server"
            except (RefusalError, RetryError):
                continue
        return "estimate"

    def _from_server(self, prompt: Prompt, text: str) -> list[Token]:
        root = self._link.url.removesuffix("/v1")
        if self._dialect == "vllm":
            body: dict[str, Any] = {"model": self._model, "return_token_strs": True}
            body |= {"messages": make_messages(prompt)} if self._chat else {"prompt": text}
        else:
            body = {"content": text, "add_special": True, "with_pieces": True}
        read = ServerRequest(root + "/tokenize", body, lambda data: data, kept=False, probe=True)
        return _aligned(text, self._link.one(read))


def describe_count(how: str) -> str:
    """Describe for people how tokens are counted."""
    return {
        "tokenizer": "counted by the tokenizer named in the model's entry",
        "server": "counted by the server",
        "estimate": "estimated, since the server counts none: name a `tokenizer:` for exact ones",
    }[how]


def _codec(tokenizer: str) -> Any:
    from transformers import AutoTokenizer

    from icl.engines.tokenizer import Codec

    try:
        return Codec(AutoTokenizer.from_pretrained(tokenizer, trust_remote_code=False), "auto")
    except (OSError, ValueError) as error:
        raise ModelError(
            f"tokenizer {tokenizer!r} cannot be read ({str(error).splitlines()[0]}); give a hub id "
            "or a folder with tokenizer.json, or leave it out to have tokens estimated"
        ) from error


def _spans(tokenizer: Any, text: str) -> list[Token]:
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    pairs = zip(found["input_ids"], found["offset_mapping"], strict=True)
    return [Token(i, text[start:end], start, end) for i, (start, end) in pairs]


def _aligned(text: str, data: Any) -> list[Token]:
    """Return ids with the characters that each covers, if the server lists readable pieces."""
    listed: Sequence[Any] = data.get("tokens") or () if isinstance(data, dict) else ()
    pieces = data.get("token_strs") or [] if isinstance(data, dict) else []
    if listed and isinstance(listed[0], dict):
        pieces = [entry.get("piece") for entry in listed]
        listed = [entry["id"] for entry in listed]
    tokens, at = [], 0
    for place, token in enumerate(listed):
        piece = pieces[place] if place < len(pieces) and isinstance(pieces[place], str) else ""
        shown = piece.replace("Ġ", " ").replace("▁", " ").replace("Ċ", "\n")
        start = text.find(shown, at, at + len(shown) + 4) if shown else -1
        if start < 0:  # a special token, or a part of a character
            tokens.append(Token(int(token), "", at, at))
            continue
        at = start + len(shown)
        tokens.append(Token(int(token), shown, start, at))
    return tokens
