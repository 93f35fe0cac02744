"""The protocol of an engine, and protocols of abilities that only some engines have."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from icl.core.answer_forms import FormKind, FormStep
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
    "ForecastEngine",
    "FormEngine",
    "FormTracer",
    "InspectableEngine",
    "LenientEngine",
    "LoadableEngine",
    "LocalEngine",
    "ProvenEngine",
    "InProcessEngine",
    "RowFailure",
    "TokenMask",
    "TokenWork",
    "RenderingEngine",
]


class Engine(Protocol):
    """Answers prompts. Results come as they finish, with their index."""

    window: int
    """Tokens of prompt and answer together."""

    def identity(self) -> dict[str, JSON]:
        """Return what changes the model's answers; goes into the condition's fingerprint."""
        ...

    def tokens(self, prompt: Prompt) -> list[Token]:
        """Return the tokens sent for a prompt, with special tokens; they cover the text sent."""
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
        """Yield each continuation's log-likelihood; equal prompts share one token prefix."""
        ...


class TokenMask(Protocol):
    """Restricts the answer to one prompt, token by token."""

    def allowed(self, tokens: Sequence[int]) -> Any | None:
        """Return which tokens may follow the answer's ``tokens`` so far; None: any.

        Either truth values over the vocabulary, (vocabulary,), or token ids, (allowed,), as an
        array of numpy or torch; missing entries at the end are not allowed. The result may depend
        only on the tokens: all samples of a prompt use the same mask. Tokens of reasoning are not
        passed, and not restricted once its block is open; a model can open one by itself only if
        the mask allows the tokens that do.
        """
        ...


@runtime_checkable
class Constrains(Protocol):
    """An engine that picks every token itself, so that a :class:`TokenMask` can restrict it."""

    def vocabulary(self) -> int:
        """Return the number of token ids, the greatest length of a mask."""
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


@runtime_checkable
class FormEngine(Protocol):
    """An engine that holds an answer to the form of its prompt, :attr:`icl.Prompt.form`."""

    def list_forms(self) -> Sequence[FormKind]:
        """Return the kinds of forms that it takes.

        Raises:
            EngineError: a server cannot be asked.
        """
        ...


@runtime_checkable
class FormTracer(Protocol):
    """An engine that tells what a form forbade at each token."""

    def trace_form(
        self, prompt: Prompt, sampling: Sampling, top: int = 5
    ) -> tuple[Output, list[FormStep]]:
        """Answer one prompt in its form; return the output, and each token as a step."""
        ...


@dataclass(frozen=True, slots=True)
class RowFailure:
    """The reason why one prompt has no answer, while others have."""

    message: str
    """One line, with the repair if there is one."""


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
        """Return the text sent for a prompt, with the special tokens of turns as text."""
        ...

    def choice(self, choice: Choice) -> Choice:
        """Return the choice as this engine scores it: in a chat with the end of turn."""
        ...


@runtime_checkable
class InProcessEngine(Protocol):
    """An engine that computes in this process, and knows its memory and its work."""

    def rows(self, n_tokens: int) -> int:
        """Return how many texts of ``n_tokens`` tokens can be answered at a time."""
        ...

    def computed(self) -> dict[str, int]:
        """Return tokens computed since loading: ``forwarded``, and ``unique`` where known."""
        ...


@dataclass(frozen=True, slots=True)
class TokenWork:
    """Tokens that go through a model and their seconds, by purpose.

    >>> TokenWork(prefill_tokens=90, prefill_s=1.5) - TokenWork(prefill_tokens=30, prefill_s=0.5)
    TokenWork(prefill_tokens=60, decode_tokens=0, prefill_s=1.0, decode_s=0.0)
    """

    prefill_tokens: float = 0
    """Tokens of given texts: of prompts, and of choices that are ranked."""
    decode_tokens: float = 0
    """Tokens that are generated one after the other."""
    prefill_s: float = 0.0
    """Seconds for the tokens of given texts; 0 where it is only counted."""
    decode_s: float = 0.0
    """Seconds for the tokens that are generated."""

    def __add__(self, other: TokenWork) -> TokenWork:
        return TokenWork(
            self.prefill_tokens + other.prefill_tokens,
            self.decode_tokens + other.decode_tokens,
            self.prefill_s + other.prefill_s,
            self.decode_s + other.decode_s,
        )

    def __mul__(self, times: float) -> TokenWork:
        return TokenWork(
            self.prefill_tokens * times,
            self.decode_tokens * times,
            self.prefill_s * times,
            self.decode_s * times,
        )

    def __sub__(self, other: TokenWork) -> TokenWork:
        return self + other * -1


@runtime_checkable
class ForecastEngine(Protocol):
    """An engine that counts what batches would cost it before it computes, and times its work."""

    def is_loaded(self) -> bool:
        """Return whether the weights are in memory, so that trying a prompt is quick."""
        ...

    def forecast_score(self, batches: Sequence[Sequence[tuple[Prompt, str]]]) -> TokenWork:
        """Count the tokens that :meth:`Engine.score` would forward for batches in this order."""
        ...

    def forecast_generate(
        self, batches: Sequence[Sequence[Prompt]], sampling: Sampling
    ) -> TokenWork:
        """Count the tokens that :meth:`Engine.generate` would forward if no answer ended early."""
        ...

    def work_so_far(self) -> TokenWork:
        """Return the tokens forwarded for answers in the engine's life, and their seconds."""
        ...

    def speed_identity(self) -> dict[str, JSON]:
        """Return what changes the speed: the weights, their width, device and processor."""
        ...


@runtime_checkable
class EmbeddingEngine(Protocol):
    """An engine that returns vectors of texts, so that texts can be compared."""

    def embed(self, texts: Sequence[str], layer: int | None = None) -> Any:
        """Return vectors of texts, a numpy array of float32: (texts, features)."""
        ...

    def embedding(self, layer: int | None = None) -> dict[str, JSON]:
        """Return what changes a vector, with the layer; goes into fingerprints."""
        ...


@runtime_checkable
class InspectableEngine(Protocol):
    """An engine that returns its log-probabilities for every token of a text."""

    def inspect(self, prompt: Prompt, answer: str = "", top: int = 8) -> list[TokenScore]:
        """Return the tokens of prompt and answer, each with ``top`` alternatives."""
        ...


@runtime_checkable
class LoadableEngine(Protocol):
    """An engine that can load its weights before the first prompt."""

    def load(self) -> object:
        """Load the weights now, unless they are loaded. The result is not used.

        Raises:
            IclError: they are missing or damaged, or do not fit the memory.
        """
        ...


@runtime_checkable
class ClosableEngine(Protocol):
    """An engine that can free its memory."""

    def close(self) -> None:
        """Free the weights' memory; the next prompt loads them again."""
        ...


@runtime_checkable
class ProvenEngine(Protocol):
    """An engine that reports what it holds in memory after loading."""

    def provenance(self) -> dict[str, JSON]:
        """Return what is in memory, such as the width of the weights; empty before loading.

        A run writes it to ``model.json`` in the folder of its records.
        """
        ...


@runtime_checkable
class LocalEngine(Protocol):
    """An engine that knows whether it can count tokens without the network."""

    def at_hand(self) -> bool:
        """Return whether :meth:`Engine.tokens` needs neither a download nor a conversion."""
        ...


@runtime_checkable
class BudgetEngine(Protocol):
    """An engine whose prompt and answer need not share one window, as in an encoder-decoder."""

    def room(self, answer_tokens: int) -> int:
        """Return how many tokens a prompt may have if the answer has ``answer_tokens``."""
        ...


@runtime_checkable
class CountingEngine(Protocol):
    """An engine that reports how it counts tokens, because counts can be estimates."""

    def counting(self) -> str:
        """Return ``tokenizer`` or ``server`` where counts are exact, else ``estimate``."""
        ...
