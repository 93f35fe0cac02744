"""What an engine must be able to do, and what it may be able to do beside it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from icl.core.types import (
    JSON,
    Choice,
    ChoiceScore,
    OnToken,
    Output,
    Prompt,
    Sampling,
    Token,
    TokenScore,
)

__all__ = [
    "BudgetEngine",
    "ClosableEngine",
    "Constrains",
    "CountingEngine",
    "EmbeddingEngine",
    "Engine",
    "InspectableEngine",
    "LenientEngine",
    "LoadableEngine",
    "LocalEngine",
    "ProvenEngine",
    "InProcessEngine",
    "RowFailure",
    "TokenMask",
    "RenderingEngine",
]


class Engine(Protocol):
    """What answers prompts. Results come as they finish, with their index."""

    window: int
    """Tokens of prompt and answer together."""

    def identity(self) -> dict[str, JSON]:
        """What of the model changes an answer; goes into the condition's fingerprint."""
        ...

    def tokens(self, prompt: Prompt) -> list[Token]:
        """The tokens sent for a prompt, special tokens included; they cover the text sent."""
        ...

    def generate(
        self,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        on_token: OnToken | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[tuple[int, Output]]:
        """Generate for every prompt; ``on_token(index, text)`` streams, ``stop`` cancels."""
        ...

    def score(self, items: Sequence[tuple[Prompt, str]]) -> Iterator[tuple[int, ChoiceScore]]:
        """Log-likelihood of each continuation; those of equal prompts share one token prefix."""
        ...


class TokenMask(Protocol):
    """What holds the answer to one prompt to a form, a token at a time."""

    def allowed(self, tokens: Sequence[int]) -> Any | None:
        """Return which tokens may follow those of the answer so far; None for any.

        Either truth values over the vocabulary, (vocabulary,), or token ids, (allowed,), as an
        array of numpy or torch; entries that are missing at the end are not allowed. Whatever is
        returned must depend on the tokens alone: all samples of a prompt ask the same mask.
        Reasoning is not among the tokens, and not held to anything once its block is open; a
        model opens one by itself only where the mask allows the tokens that do.
        """
        ...


@runtime_checkable
class Constrains(Protocol):
    """An engine that picks every token itself, so that a :class:`TokenMask` can hold an answer."""

    def vocabulary(self) -> int:
        """Return the number of token ids, which is the longest a mask can be."""
        ...

    def generate(
        self,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        on_token: OnToken | None = None,
        stop: threading.Event | None = None,
        masks: Sequence[TokenMask | None] | None = None,
    ) -> Iterator[tuple[int, Output]]:
        """Generate as :meth:`Engine.generate` does; ``masks`` has one entry for each prompt.

        Raises:
            EngineError: a mask that allows nothing, or not one entry for each prompt.
        """
        ...


@dataclass(frozen=True, slots=True)
class RowFailure:
    """Why one prompt has no answer, while others have."""

    message: str
    """One line with the repair, where there is one."""


@runtime_checkable
class LenientEngine(Protocol):
    """An engine that can leave out a prompt that it has no answer to, and go on with the others.

    Whatever concerns all prompts, such as a server that is down, is still an error.
    """

    max_failures: int | None
    """Prompts of a condition that may be left out; None: 5 % of them, at least 3."""

    def generate_rows(
        self, prompts: Sequence[Prompt], sampling: Sampling
    ) -> Iterator[tuple[int, Output | RowFailure]]:
        """Generate as :meth:`Engine.generate` does; a prompt without an answer has one failure."""
        ...

    def score_rows(
        self, items: Sequence[tuple[Prompt, str]]
    ) -> Iterator[tuple[int, ChoiceScore | RowFailure]]:
        """Score as :meth:`Engine.score` does; each choice that has no score has a failure."""
        ...


@runtime_checkable
class RenderingEngine(Protocol):
    """An engine that sends another text than :attr:`Prompt.text`: turns of a chat, a prefix."""

    def sent(self, prompt: Prompt) -> str:
        """The text sent for a prompt, special tokens of turns spelled out."""
        ...

    def choice(self, choice: Choice) -> Choice:
        """The choice as this engine scores it: in a chat it is ended by the end of turn."""
        ...


@runtime_checkable
class InProcessEngine(Protocol):
    """An engine that computes in this process, and knows the memory and the work of it."""

    def rows(self, n_tokens: int) -> int:
        """Texts of so many tokens that can be answered at a time."""
        ...

    def computed(self) -> dict[str, int]:
        """Tokens computed since it was loaded: ``forwarded``, and ``unique`` where known."""
        ...


@runtime_checkable
class EmbeddingEngine(Protocol):
    """An engine whose hidden states can be read, so that texts can be compared by them."""

    def embed(self, texts: Sequence[str], layer: int | None = None) -> Any:
        """Vectors of texts, a numpy array of float32: (texts, features)."""
        ...

    def embedding(self, layer: int | None = None) -> dict[str, JSON]:
        """What changes a vector, the layer among it; goes into fingerprints."""
        ...


@runtime_checkable
class InspectableEngine(Protocol):
    """An engine that tells what it expected at every token of a text."""

    def inspect(self, prompt: Prompt, answer: str = "", top: int = 8) -> list[TokenScore]:
        """The tokens of a prompt with an answer behind it; ``top`` alternatives for each."""
        ...


@runtime_checkable
class LoadableEngine(Protocol):
    """An engine that can read its weights before the first prompt, not only with it."""

    def load(self) -> object:
        """Read the weights now; do nothing where they are in memory. The result is not used.

        Raises:
            IclError: they are missing or damaged, or do not fit the memory.
        """
        ...


@runtime_checkable
class ClosableEngine(Protocol):
    """An engine that can give its memory back."""

    def close(self) -> None:
        """Give the weights' memory back; the next prompt reads them again."""
        ...


@runtime_checkable
class ProvenEngine(Protocol):
    """An engine that tells what it found in memory after loading."""

    def provenance(self) -> dict[str, JSON]:
        """Return what was found in memory, such as the width of the weights; empty before loading.

        A run writes it to ``model.json`` beside the records.
        """
        ...


@runtime_checkable
class LocalEngine(Protocol):
    """An engine that tells whether it can count tokens without the network."""

    def at_hand(self) -> bool:
        """Return whether :meth:`Engine.tokens` needs neither a download nor a conversion."""
        ...


@runtime_checkable
class BudgetEngine(Protocol):
    """An engine whose prompt and answer need not share one window, as in an encoder-decoder."""

    def room(self, answer_tokens: int) -> int:
        """Return how many tokens a prompt may have beside an answer of ``answer_tokens``."""
        ...


@runtime_checkable
class CountingEngine(Protocol):
    """An engine that tells how it counts tokens, because they can be estimates."""

    def counting(self) -> str:
        """Return ``tokenizer`` or ``server`` where counts are exact, else ``estimate``."""
        ...
