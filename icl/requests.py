"""One example's request: what is sent for it, and what is scored behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from icl.types import Choice, Example, Prompt, Shot

__all__ = ["Request"]


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
    role: str = "test"
    """What it is for: see :data:`icl.probes.ROLES`."""
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
