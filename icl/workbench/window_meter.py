"""Token counts of instruction, shots and query in the model's window, and room for the answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from icl.core.types import Prompt, Token
from icl.experiment.condition import Condition, Request
from icl.reports.card import split_prompt

__all__ = ["WindowMeter", "measure", "part_counts"]


@dataclass(frozen=True)
class WindowMeter:
    """The token counts of one request."""

    parts: dict[str, int]
    """Tokens of ``special``, ``instruction``, ``shots``, ``query``."""
    tokens: int
    room: int
    """Most tokens of the prompt; the rest of the window is for the answer."""
    window: int
    dropped: tuple[str, ...] = ()
    """Ids of the shots left out to fit."""

    @property
    def left(self) -> int:
        """Tokens that could still be added."""
        return self.room - self.tokens

    def shares(self) -> dict[str, int]:
        """Return the parts that have tokens, with the room for the answer."""
        answer = max(0, self.window - self.room)
        return {part: n for part, n in {**self.parts, "answer": answer}.items() if n}

    def text(self) -> str:
        """Describe the counts in a line or two."""
        parts = ", ".join(f"{part} {n}" for part, n in self.parts.items() if n)
        gone = f"\ndropped to fit: {', '.join(self.dropped)}" if self.dropped else ""
        return f"{self.tokens:,} = {parts}; room for {self.left:,} more of {self.window:,}{gone}"


def measure(condition: Condition, request: Request) -> WindowMeter:
    """Count the tokens of a request with its engine."""
    counts = part_counts(request.prompt, condition.engine.tokens(request.prompt), request.sent)
    room = condition.room
    return WindowMeter(
        counts, request.tokens, room, condition.engine.window, request.prompt.dropped
    )


def part_counts(prompt: Prompt, tokens: Iterable[Token], sent: str | None = None) -> dict[str, int]:
    """Count tokens by part of the prompt; a separator counts to the part before it.

    A token that spans a border counts where it begins. ``special`` are tokens that the tokenizer
    adds, such as a begin of text, and text that a chat template writes around the parts.

    Args:
        prompt: the rendered prompt.
        tokens: the tokens sent.
        sent: the text of the tokens, if it is not the flat prompt.
    """
    text = prompt.text if sent is None else sent
    borders: list[tuple[int, str]] = []  # (end, part), in the order of the text
    end, part = 0, "instruction"
    for piece, kind in split_prompt(prompt):
        part = {None: part, "shot input": "shots", "shot target": "shots"}.get(kind, str(kind))
        words = piece if text.startswith(piece, end) else piece.strip()
        at = text.find(words, end) if words else -1
        if at < 0:  # a separator that the chat template writes otherwise
            continue
        if at > end:
            borders.append((at, "special"))
        end = at + len(words)
        borders.append((end, part))
    borders.append((len(text) + 1, "special" if borders and end < len(text) else part))
    counts = dict.fromkeys(("special", "instruction", "shots", "query"), 0)
    place = 0
    for token in tokens:
        while place < len(borders) - 1 and token.start >= borders[place][0]:
            place += 1
        counts["special" if not token.text else borders[place][1]] += 1
    return counts
