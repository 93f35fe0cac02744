"""The request of one example: the prompts that are sent, and the texts that are scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from icl.core.types import JSON, Choice, Example, Prompt, Role, Shot, digest

__all__ = ["Request", "hash_channel", "hash_questions", "hash_request"]


@dataclass(frozen=True)
class Request:
    """One example's prompt as it is sent, with its shots, choices and hash."""

    example: Example
    prompt: Prompt
    shots: Sequence[Shot]
    hash: str
    tokens: int
    sent: str
    """The text that the engine sends."""
    choices: Sequence[Choice] = ()
    """Possible answers: the condition's choices, or the row's own."""
    role: Role = "test"
    """Whether it is for a test row or a probe."""
    prompts: Sequence[Prompt] = ()
    """For the channel method: a prompt for every choice; ``prompt`` is the first of them. Where
    each slot is asked about by itself: a prompt for every slot, whose names the choices are."""
    scored: str = ""
    """For the channel method: the input, which is scored after each prompt."""

    @property
    def to_generate(self) -> Sequence[Prompt]:
        """Return the prompts that are continued: one, or one for each slot."""
        return self.prompts or (self.prompt,)

    @property
    def items(self) -> list[tuple[Prompt, str]]:
        """(prompt, continuation) of every choice, for the engine to score."""
        if self.prompts:
            return [(prompt, self.scored) for prompt in self.prompts]
        return [(self.prompt, choice.text + choice.end) for choice in self.choices]


def hash_request(
    prompt: Prompt, choices: Sequence[Choice], sampling: Mapping[str, JSON] | None, sent: str
) -> str:
    """Hash a request (SHA-256); a record is reused only if its hash is the same."""
    return digest(
        {
            "prompt": sent,
            "choices": [choice.text + choice.end for choice in choices],
            "stop": list(prompt.stop),
            "sampling": sampling,
            **({} if prompt.form is None else {"form": prompt.form.identity()}),
        }
    )


def hash_questions(
    prompts: Sequence[Prompt], sampling: Mapping[str, JSON] | None, sent: Sequence[str]
) -> str:
    """Hash a request of several questions about one row (SHA-256): every text sent."""
    stop = [list(prompt.stop) for prompt in prompts[:1]]
    return digest({"prompts": list(sent), "stop": stop, "sampling": sampling})


def hash_channel(sent: Sequence[str], scored: str) -> str:
    """Hash a request of the channel method (SHA-256): every text sent, and the scored input."""
    return digest({"prompts": list(sent), "scored": scored})
