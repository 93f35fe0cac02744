"""The hash of a request: what decides whether a record may be used again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from icl.types import JSON, Choice, Prompt, digest

__all__ = ["channel_hash", "request_hash"]


def request_hash(
    prompt: Prompt, choices: Sequence[Choice], sampling: Mapping[str, JSON] | None, sent: str
) -> str:
    """SHA-256 of what is sent; a record is reused only if it is the same."""
    return digest(
        {
            "prompt": sent,
            "choices": [choice.text + choice.end for choice in choices],
            "stop": list(prompt.stop),
            "sampling": sampling,
        }
    )


def channel_hash(sent: Sequence[str], scored: str) -> str:
    """SHA-256 of what the noisy channel asks: every text sent, and the input scored behind it."""
    return digest({"prompts": list(sent), "scored": scored})
