"""The server-sent events of a completion, joined to the answer of an unstreamed request.

The form of the stream: WHATWG HTML, section "Server-sent events". Its lines end at CR and LF alone
and its text is UTF-8, whatever the header says; other line ends are parts of texts.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from icl.engines.openai.errors import TemporaryError, make_error_of
from icl.engines.openai.message import TextJoiner, read_content

__all__ = ["joined", "looks_streamed"]


_LINE_END = re.compile(r"\r\n|\n|\r")
_NOTHING = ("", "null")
"""Data of events without content."""


def looks_streamed(body: bytes) -> bool:
    """Return whether a body of another declared type is an event stream."""
    return body.lstrip(b"\xef\xbb\xbf \r\n").startswith((b"data:", b"event:", b":"))


async def joined(
    chunks: AsyncIterator[bytes], hear: Callable[[str], None], charset: str | None = None
) -> dict[str, Any]:
    """Join a stream into the whole answer of one choice; pass its text to ``hear`` as it comes.

    ``charset`` is what the header names; it is used for bytes alone that are no UTF-8.

    Raises:
        TemporaryError: the stream ends before the answer does, or holds what is no event.
    """
    answer, reader = _JoinedAnswer(hear), _EventReader(charset)
    async for chunk in chunks:
        for data in reader.push(chunk):
            answer.add(data)
    for data in reader.close():
        answer.add(data)
    return answer.whole()


class _EventReader:
    """A reader from bytes, as they come, to the data of each event."""

    def __init__(self, charset: str | None) -> None:
        self._decoder: codecs.IncrementalDecoder = codecs.getincrementaldecoder("utf-8")("strict")
        self._other = charset or "utf-8"
        self._rest = ""
        self._lines: list[str] = []
        """Data lines of an event that is not whole JSON yet."""

    def push(self, chunk: bytes) -> Iterator[str]:
        """Decode a chunk; yield the data of each event that it completes."""
        self._rest += self._text(chunk, False)
        half = "\r" if self._rest.endswith("\r") else ""  # it may be the half of a line end
        *lines, rest = _LINE_END.split(self._rest.removesuffix(half))
        self._rest = rest + half
        for line in lines:
            yield from self._line(line)

    def close(self) -> Iterator[str]:
        """Yield the data of a last event without its blank line, which some servers leave out."""
        self._rest += self._text(b"", True)
        for line in (*_LINE_END.split(self._rest), ""):
            yield from self._line(line)

    def _text(self, chunk: bytes, last: bool) -> str:
        try:
            return self._decoder.decode(chunk, last)
        except UnicodeDecodeError as error:
            try:
                self._decoder = codecs.getincrementaldecoder(self._other)("replace")
            except LookupError:
                self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
            return self._decoder.decode(bytes(error.object), last)

    def _line(self, line: str) -> Iterator[str]:
        """Take a line; most servers write an event's JSON in one, and few in several."""
        name, _, value = line.removeprefix("\ufeff").partition(":")
        if name == "data":
            self._lines.append(value.removeprefix(" "))
            whole = "\n".join(self._lines)
            if whole.strip() != "[DONE]" and not _is_json(whole):
                return
        elif line or not self._lines:
            return
        data, self._lines = "\n".join(self._lines).strip(), []
        if data not in _NOTHING:
            yield data


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


class _JoinedAnswer:
    """The answer that the events of a stream add up to."""

    def __init__(self, hear: Callable[[str], None]) -> None:
        self._hear = hear
        self._known: dict[str, Any] = {}
        self._joined = {"content": TextJoiner(), "reasoning": TextJoiner(), "refusal": TextJoiner()}
        self._ends: dict[str, Any] = {}
        self._done = False

    def add(self, data: str) -> None:
        """Take the data of one event.

        Raises:
            TemporaryError: it is no JSON, no object, or an error.
        """
        if data == "[DONE]":
            self._done = True
            return
        try:
            event = json.loads(data)
        except ValueError as error:
            raise TemporaryError("the stream contains data that is not JSON") from error
        if not isinstance(event, dict):
            raise TemporaryError("the stream contains data that is no event")
        if event.get("error"):
            raise make_error_of("the stream says", event["error"])
        known = ("model", "system_fingerprint", "usage")
        self._known |= {name: event[name] for name in known if event.get(name)}
        for choice in event.get("choices") or ():
            self._choice(choice)

    def _choice(self, choice: dict[str, Any]) -> None:
        if choice.get("error"):
            raise make_error_of("the stream says", choice["error"])
        delta = choice.get("delta") or {}
        text, reasoning = read_content(choice.get("text") or delta.get("content"))
        # Servers that change from one name to the other send both, with the same text.
        reasoning += delta.get("reasoning_content") or delta.get("reasoning") or ""
        ends = ("finish_reason", "stop_reason")
        self._ends |= {name: choice[name] for name in ends if choice.get(name) is not None}
        self._joined["reasoning"].push(reasoning)
        self._joined["refusal"].push(delta.get("refusal") or "")
        if piece := self._joined["content"].push(text):
            self._hear(piece)

    def whole(self) -> dict[str, Any]:
        """Return the joined answer in the form of a response that was not streamed.

        Raises:
            TemporaryError: the stream ended before it.
        """
        if "finish_reason" not in self._ends and not self._done:
            raise TemporaryError("the stream ended before the answer did")
        if piece := self._joined["content"].close():
            self._hear(piece)
        for joiner in self._joined.values():
            joiner.close()
        told = {name: joiner.text for name, joiner in self._joined.items()}
        message = {
            "content": told["content"],
            "reasoning_content": told["reasoning"],
            "refusal": told["refusal"] or None,
        }
        choice = {"text": told["content"], "message": message, "finish_reason": None, **self._ends}
        return {**self._known, "choices": [choice]}
