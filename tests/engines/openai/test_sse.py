"""An event stream means the same however its bytes are cut into pieces."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from icl.engines.openai.errors import TemporaryError
from icl.engines.openai.sse import joined, looks_streamed


def read(data: bytes, size: int, charset: str | None = None) -> tuple[dict[str, Any], str]:
    """The answer and what was heard of it, from pieces of so many bytes."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), size):
            yield data[start : start + size]

    heard: list[str] = []
    return asyncio.run(joined(pieces(), heard.append, charset)), "".join(heard)


def line(**told: Any) -> str:
    return "data: " + json.dumps({"choices": [told]}, ensure_ascii=False)


WANTED = "Zoë\u2028\u0085 🙂\nB"
STREAM = [
    "\ufeff: comment",
    "event: message",
    line(delta={"content": "Zoë\u2028"}),
    "",
    'data: {"choices": [{"delta":',
    'data: {"content": "\u0085 "}}]}',
    "",
    'data: {"choices": [{"delta": {"content": "\\ud83d"}}]}',
    "",
    'data: {"choices": [{"delta": {"content": "\\ude42\\nB"}, "finish_reason": "stop"}]}',
]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
def test_pieces_of_any_size_and_ends_of_any_kind(end: str, size: int) -> None:
    data = end.join(STREAM).encode("utf-8", "surrogatepass")
    answer, heard = read(data, size)
    (choice,) = answer["choices"]
    assert choice["message"]["content"] == heard == WANTED
    assert choice["finish_reason"] == "stop"


@pytest.mark.parametrize("size", [1, 5, 10_000])
def test_bytes_that_are_no_utf8_are_read_as_the_header_says(size: int) -> None:
    data = f"{line(delta={'content': 'Zoë'})}\n\ndata: [DONE]\n\n".encode("iso-8859-1")
    assert read(data, size, "iso-8859-1")[1] == "Zoë"
    assert read(data, size, None)[1] == "Zo\ufffd"


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        ("data: {\n\n", "the stream contains data that is not JSON"),
        ("data: [1]\n\n", "the stream contains data that is no event"),
        (line(delta={"content": "a"}), "the stream ended before the answer did"),
        ('data: {"error": {"message": "it broke"}}', "the stream says: it broke"),
        (line(error={"message": "it broke"}), "the stream says: it broke"),
        (line(delta={"content": 7}), "an answer is no text"),
        ("", "the stream ended before the answer did"),
    ],
)
def test_what_is_no_answer(stream: str, message: str) -> None:
    with pytest.raises(TemporaryError, match=message):
        read(stream.encode(), 4)


def test_a_stream_that_claims_to_be_something_else() -> None:
    assert looks_streamed(b"\n data: {}")
    assert looks_streamed(b": hello\n\ndata: {}")
    assert not looks_streamed(b'{"data": 1}')
