"""One example's request: what is sent for it, and what is scored behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from icl.core.types import JSON, Choice, Example, Prompt, Role, Shot, digest

__all__ = ["Request", "hash_channel", "hash_request"]


@dataclass(frozen=True)
class Request:
    """One example's prompt as it is sent, and the shots in it."""

    example: Example
    prompt: Prompt
    shots: Sequence[Shot]
    hash: str
    tokens: int
    sent: str
    """The text that the engine is sent."""
    choices: Sequence[Choice] = ()
    """What may be answered: the condition's choices, or the row's own."""
    role: Role = "test"
    """What it is for."""
    prompts: Sequence[Prompt] = ()
    """Of the noisy channel: a prompt for every choice; ``prompt`` is the first of them."""
    scored: str = ""
    """Of the noisy channel: the input, which is scored behind each of them."""

    @property
    def items(self) -> list[tuple[Prompt, str]]:
        """What an engine is to score: prompt and continuation of every choice."""
        if self.prompts:
            return [(prompt, self.scored) for prompt in self.prompts]
        return [(self.prompt, choice.text + choice.end) for choice in self.choices]


def hash_request(
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


def hash_channel(sent: Sequence[str], scored: str) -> str:
    """SHA-256 of what the noisy channel asks: every text sent, and the input scored behind it."""
    return digest({"prompts": list(sent), "scored": scored})
