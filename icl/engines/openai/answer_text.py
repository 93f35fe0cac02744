"""The text of a server's answer, streamed or whole: reasoning apart, cut at the first stop string.

Some servers send the reasoning in a separate field. Others leave it in the text, with the text that
opens it or, if the prompt opened it, without.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from icl.core.types import Finish
from icl.engines.openai.client import StreamPiece
from icl.engines.openai.errors import TemporaryError, make_error_of
from icl.engines.openai.message import read_content
from icl.engines.reasoning import Delimiters, ReasoningReader, ThinkingStream
from icl.engines.text_stream import TextStream

__all__ = ["AnswerReader", "read_choice"]


FILTERED = ("content_filter", "safety")
"""Names that servers give to an answer that a filter withheld or cut."""


def read_choice(choice: Mapping[str, Any]) -> dict[str, Any]:
    """Extract text, reasoning, finish, stop reason and refusal of an answer, as plain JSON.

    Raises:
        TemporaryError: it is no text, or an error.
    """
    if choice.get("error"):
        raise make_error_of("the answer says", choice["error"])
    if choice.get("finish_reason") == "error":
        raise TemporaryError("the answer ended with an error")
    message = choice.get("message") or {}
    held = choice["text"] if "text" in choice else message.get("content")
    text, thoughts = read_content(held)
    reasoning = message.get("reasoning_content") or message.get("reasoning") or thoughts
    found: dict[str, Any] = {
        "text": text,
        "reasoning": reasoning if isinstance(reasoning, str) else "",
        "finish": choice.get("finish_reason"),
        "stop_reason": choice.get("stop_reason"),
    }
    if message.get("refusal"):
        found["refusal"] = str(message["refusal"])
    return found


class AnswerReader:
    """A reader of one answer, streamed or whole: ``reasoning``, and ``text`` up to a stop string.

    >>> reader = AnswerReader(["."], [Delimiters("<think>", "</think>")])
    >>> reader.push("<think>A. Or B.</think> B. And"); reader.close()
    >>> reader.reasoning, reader.text
    ('A. Or B.', 'B')
    """

    def __init__(
        self,
        stops: Sequence[str],
        blocks: Sequence[Delimiters] = (),
        named: bool = False,
        prompt: str = "",
        tell: Callable[[StreamPiece], None] | None = None,
    ) -> None:
        """Prepare to read one answer; ``blocks`` are the marks that may enclose reasoning.

        ``named``: the model is known to reason, so text is held back until a block ends or the
        text does. ``prompt``: the text sent, which can open a block.
        """
        self._stops, self._blocks, self._named, self._tell = tuple(stops), blocks, named, tell
        self._opened = next((block for block in blocks if block.inside(prompt)), None)
        self._pieces: list[str] = []
        self._given = 0
        """Pieces that the stream has taken."""
        self._stream: TextStream | ThinkingStream | None = None

    @property
    def text(self) -> str:
        """The answer that is certain so far."""
        return self._stream.text if self._stream else ""

    @property
    def reasoning(self) -> str | None:
        """Return the block before the answer; None if there is none."""
        return self._stream.reasoning if self._stream else None

    @property
    def fed(self) -> bool:
        """Return whether any text came."""
        return bool(self._pieces)

    def push(self, piece: str) -> None:
        """Take more text."""
        self._pieces.append(piece)
        if self._stream is None:
            self._stream = self._begin()
        self._feed()

    def close(self) -> None:
        """End the text; count as reasoning a block that it closes and never opened."""
        lone = None if isinstance(self._stream, ThinkingStream) else self._find_lone()
        if lone is not None:  # what was told as the answer was reasoning
            self._stream, self._given, self._tell = self._thinking(lone, None), 0, None
        elif self._stream is None:
            self._stream = self._plain()
        self._feed()
        self._give(self._stream.close() if self._stream else "")

    def finish(self, row: Mapping[str, Any], asked_stops: bool) -> Finish:
        """Return how the answer ended. Few servers distinguish a stop from the text's end."""
        told = str(row["finish"] or "").lower()
        if row.get("refusal") or told == "refusal":
            return "refusal"
        if told in FILTERED:
            return "filter"
        if self.unended or (told == "length" and self._only_reasoned(row)):
            return "reasoning"
        if (self._stream and self._stream.stopped) or isinstance(row["stop_reason"], str):
            return "stop"
        if told == "length":
            return "length"
        return "stop" if asked_stops and told == "stop" else "end"

    def _only_reasoned(self, row: Mapping[str, Any]) -> bool:
        """Return whether an answer was cut before it began, inside of its reasoning."""
        return not row["text"] if row["reasoning"] else self._named and self.reasoning is None

    @property
    def unended(self) -> bool:
        """Return whether a block was opened and never closed."""
        return isinstance(self._stream, ThinkingStream) and self._stream.inside

    def _begin(self) -> TextStream | ThinkingStream | None:
        """Choose the stream that fits the first pieces; None while they may become either kind."""
        if self._opened is not None:
            return self._thinking(self._opened, True)
        if self._named:
            return self._thinking(self._blocks[0], None)
        seen = "".join(self._pieces).lstrip()
        for block in self._blocks:
            if seen.startswith(block.open):
                return self._thinking(block, False)
        if any(block.open.startswith(seen) for block in self._blocks):
            return None
        return self._plain()

    def _find_lone(self) -> Delimiters | None:
        """Find a block that the text closes without opening it, since the chat template did."""
        whole = "".join(self._pieces)
        return next((block for block in self._blocks if block.close in whole), None)

    def _plain(self) -> TextStream:
        return TextStream(self._decode, [], self._stops)

    def _thinking(self, block: Delimiters, begun: bool | None) -> ThinkingStream:
        reader = ReasoningReader(block, self._decode, begun, None, ())
        return ThinkingStream(self._decode, [], self._stops, reader)

    def _decode(self, places: Sequence[int]) -> str:
        return "".join(self._pieces[place] for place in places)

    def _feed(self) -> None:
        if self._stream is None:
            return
        while self._given < len(self._pieces):
            self._given += 1
            self._give(self._stream.push(self._given - 1))

    def _give(self, text: str) -> None:
        if text and self._tell is not None:
            self._tell(StreamPiece(text))
