"""Server-sent events of a completion, joined to the answer that it would be without streaming."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from icl.engines.openai.errors import TemporaryError

__all__ = ["joined"]


async def joined(lines: AsyncIterator[str], hear: Callable[[str], None]) -> dict[str, Any]:
    """The whole answer of one choice; ``hear`` is told its text as it comes.

    Raises:
        Temporary: the stream ends before the answer does, or holds what is no event.
    """
    whole: dict[str, Any] = {}
    texts: list[str] = []
    reasons: list[str] = []
    finish = None
    async for line in lines:
        if not line.startswith("data:") or (body := line[5:].strip()) == "[DONE]":
            continue
        event = _event(body)
        known = ("model", "system_fingerprint", "usage")
        whole |= {name: event[name] for name in known if event.get(name)}
        for choice in event.get("choices") or ():
            delta = choice.get("delta") or {}
            piece = choice.get("text") or delta.get("content") or ""
            reasons.append(delta.get("reasoning_content") or "")
            finish = choice.get("finish_reason") or finish
            if piece:
                texts.append(piece)
                hear(piece)
    if finish is None:
        raise TemporaryError("the stream ended before the answer did")
    text = "".join(texts)
    message = {"content": text, "reasoning_content": "".join(reasons)}
    return {**whole, "choices": [{"text": text, "message": message, "finish_reason": finish}]}


def _event(body: str) -> dict[str, Any]:
    try:
        event = json.loads(body)
    except ValueError as error:
        raise TemporaryError("the stream holds what is not JSON") from error
    if not isinstance(event, dict):
        raise TemporaryError("the stream holds what is no event")
    if event.get("error"):
        raise TemporaryError(f"the stream says: {event['error']}")
    return event
