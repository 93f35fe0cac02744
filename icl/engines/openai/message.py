"""The forms of one value in servers' answers: text or list of parts, number or digits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from icl.engines.openai.errors import TemporaryError

__all__ = ["TextJoiner", "read_content", "read_count", "read_usage"]


REASONING = ("thinking", "reasoning", "reasoning_text")
"""Kinds of parts that are reasoning and no answer."""


def read_content(content: Any) -> tuple[str, str]:
    """Read text and reasoning of a message's content: null, a text, or a list of parts.

    >>> read_content([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "A"}])
    ('A', 'hm')

    Raises:
        TemporaryError: it is something else.
    """
    if content is None:
        return "", ""
    if isinstance(content, str):
        return content, ""
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, list):
        raise TemporaryError("an answer is no text")
    texts: list[str] = []
    thoughts: list[str] = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif not isinstance(part, Mapping):
            raise TemporaryError("an answer has a part that is no text")
        elif part.get("type") in REASONING:
            held = next((part[name] for name in (*REASONING, "text") if part.get(name)), None)
            thoughts.append("".join(read_content(held)))
        elif part.get("type", "text") in ("text", "output_text"):
            texts.append(read_content(part.get("text"))[0])
    return "".join(texts), "".join(thoughts)


class TextJoiner:
    """A joiner of the pieces of a text; an emoji split into two halves becomes one character again.

    >>> joiner = TextJoiner()
    >>> [joiner.push(piece) for piece in ("a", chr(0xD83D), chr(0xDE00))], joiner.text
    (['a', '', '😀'], 'a😀')
    """

    def __init__(self) -> None:
        self.text = ""
        self._half = ""

    def push(self, piece: str) -> str:
        """Take a piece; return the text that is now certain."""
        piece, self._half = self._half + piece, ""
        if piece and "\ud800" <= piece[-1] <= "\udbff":
            piece, self._half = piece[:-1], piece[-1]
        return self._give(piece)

    def close(self) -> str:
        """Return the rest; half a character without its other half becomes U+FFFD."""
        piece, self._half = self._half, ""
        return self._give(piece)

    def _give(self, piece: str) -> str:
        piece = piece.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        self.text += piece
        return piece


def read_count(value: Any) -> int | None:
    """Read a number of tokens, written as a number or as a text; None if it is neither.

    >>> read_count(7), read_count("7"), read_count(7.0), read_count(None), read_count("many")
    (7, 7, 7, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return int(number) if math.isfinite(number) and number >= 0 else None


def read_usage(data: Any) -> tuple[int | None, int | None]:
    """Return the tokens of prompt and answer that a server counted; None if it did not."""
    usage = data.get("usage") if isinstance(data, Mapping) else None
    if not isinstance(usage, Mapping):
        return None, None
    return read_count(usage.get("prompt_tokens")), read_count(usage.get("completion_tokens"))
