"""The block of reasoning before a reasoning model's answer, separated from it and limited."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from icl.core.errors import EngineError, ModelError
from icl.core.registry import did_you_mean
from icl.core.types import Finish, Prompt, Sampling
from icl.engines.text_stream import TextStream
from icl.engines.tokenizer import Codec

__all__ = [
    "Delimiters",
    "PAIRS",
    "ReasoningReader",
    "ThinkingStream",
    "check_thinking",
    "find_delimiters",
    "make_reader",
]


PAIRS = (
    ("<think>", "</think>"),  # DeepSeek-R1, Qwen3, SmolLM3, GLM-4.5
    ("[THINK]", "[/THINK]"),  # Magistral
    ("<|START_THINKING|>", "<|END_THINKING|>"),  # Command A Reasoning
    ("<seed:think>", "</seed:think>"),  # Seed-OSS
)
"""The texts that models write around their reasoning; searched in chat template and tokenizer."""
_TAIL = 8


@dataclass(frozen=True, slots=True)
class Delimiters:
    """The texts around a block of reasoning."""

    open: str
    close: str

    def inside(self, text: str) -> bool:
        """Return whether the text opens a block and does not close it."""
        return text.rfind(self.open) > text.rfind(self.close)


def find_delimiters(given: object, written: str, where: str) -> Delimiters | None:
    """Return the delimiters of a model's entry, or with ``auto`` those found in its files.

    ``written`` is the chat template and the tokenizer's added tokens; empty for flat prompts.

    Raises:
        ModelError: an entry that is neither a known word nor two texts.
    """
    if isinstance(given, str):
        if given not in ("auto", "never"):
            raise ModelError(
                f"{where}: unknown reasoning {given!r}{did_you_mean(given, ('auto', 'never'))}; "
                'or the two texts around it, as in ["<think>", "</think>"]'
            )
        there = (
            pair for pair in PAIRS if given == "auto" and all(part in written for part in pair)
        )
        return next((Delimiters(*pair) for pair in there), None)
    pair = list(given) if isinstance(given, list | tuple) else []
    if len(pair) != 2 or not all(isinstance(part, str) and part.strip() for part in pair):
        raise ModelError(
            f"{where}: reasoning: {given!r} is none of: auto, never, two texts as in "
            '["<think>", "</think>"]'
        )
    if pair[0] == pair[1]:
        raise ModelError(f"{where}: reasoning: both texts are {pair[0]!r}; they must differ")
    return Delimiters(*pair)


@dataclass(frozen=True)
class ReasoningReader:
    """The rules by which the reasoning of one request is read and limited."""

    delimiters: Delimiters
    decode: Callable[[Sequence[int]], str]
    """Token ids -> text, special tokens spelled out."""
    begun: bool | None
    """Whether the prompt itself opens the block; None if unknown: then a text that closes a block
    without opening one was in it from the start."""
    budget: int | None
    """Tokens of reasoning after which the block is closed; None: no limit."""
    closing: tuple[int, ...]
    """The tokens that close the block."""


def check_thinking(sampling: Sampling, delimiters: Delimiters | None, source: str) -> None:
    """Check that a budget of reasoning is possible.

    Raises:
        EngineError: no reasoning is read from this model, or nothing is left for the answer.
    """
    budget = sampling.thinking_tokens
    if budget is None:
        return
    if delimiters is None:
        raise EngineError(
            f"sampling thinking_tokens is {budget}, but no reasoning is read from {source}: its "
            'chat template spells none; set reasoning: ["<think>", "</think>"] for the model, or '
            "leave thinking_tokens out"
        )
    if not 0 <= budget < sampling.max_tokens:
        raise EngineError(
            f"sampling thinking_tokens is {budget}; accepted: 0 to less than max_tokens "
            f"({sampling.max_tokens}), which bounds reasoning and answer together"
        )


class ThinkingStream:
    """A :class:`TextStream` whose text is only the answer.

    The output is reasoning if it begins with the opening text, if the prompt ends inside a block,
    or, where it is not known whether it does, up to a closing text that nothing opened. Stop
    strings do not act in it. White space between block and answer is dropped.
    """

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        ids: Sequence[int],
        stops: Sequence[str],
        thinking: ReasoningReader,
    ) -> None:
        self._decode, self._stops, self._thinking = decode, stops, thinking
        self._ids = list(ids[-_TAIL:])
        self._block = TextStream(thinking.decode, self._ids, [thinking.delimiters.close])
        self._inside, self._spent = bool(thinking.begun), 0
        self._answer: TextStream | None = None
        self._forced: list[int] = []
        self._waiting: list[int] = []
        """Tokens that may or may not turn out to open a block."""
        self.reasoning: str | None = None
        """The text of the block; None while there is none."""

    @property
    def text(self) -> str:
        """The answer so far."""
        return self._answer.text if self._answer else ""

    @property
    def stopped(self) -> bool:
        """Return whether a stop string was found in the answer."""
        return self._answer is not None and self._answer.stopped

    @property
    def inside(self) -> bool:
        """Return whether a block of reasoning is open, so that the next token belongs to it."""
        return self._inside

    def choose(self, token: int) -> int:
        """Return the model's token, or one that closes a block whose budget is used up."""
        budget = self._thinking.budget
        if self._inside and budget is not None and self._spent == budget and not self._forced:
            self._forced = list(self._thinking.closing)
        self._spent += self._inside
        return self._forced.pop(0) if self._forced else token

    def finish(self, reason: Finish) -> Finish:
        """Return how the output ended: ``reasoning`` if inside the block."""
        if self._inside and reason != "cancelled":
            return "reasoning"
        return self._answer.finish(reason) if self._answer else reason

    def push(self, token: int) -> str:
        """Add a token; return the text of the answer that is now certain."""
        if self._answer is not None:
            return self._answer.push(token)
        self._waiting.append(token)
        self._ids.append(token)
        self._block.push(token)
        seen, opening = self._block.seen.lstrip(), self._thinking.delimiters.open
        if not self._inside:
            unknown = self._thinking.begun is None
            self._inside = seen.startswith(opening) or (unknown and self._block.stopped)
            if not self._inside:
                return "" if unknown or opening.startswith(seen) else self._plain()
        self.reasoning = self._read()
        if not self._block.stopped:
            return ""
        self._inside = False
        rest = self._block.rest
        self._answer = TextStream(self._decode, self._ids[-_TAIL:], self._stops, begun=rest)
        return self._answer.text

    def close(self) -> str:
        """Return the rest of the answer."""
        if self._answer is None and not self._inside:
            return self._plain() + self.close()
        if self._answer is not None:
            return self._answer.close()
        self._block.close()
        self.reasoning = self._read()
        return ""

    def _read(self) -> str:
        """Return the block's text without the opening and the white space around it."""
        text = self._block.text.lstrip()
        return text.removeprefix(self._thinking.delimiters.open).strip()

    def _plain(self) -> str:
        """Start the answer with the waiting tokens, since there is no block."""
        before = self._ids[: len(self._ids) - len(self._waiting)]
        self._answer = TextStream(self._decode, before, self._stops)
        return "".join(self._answer.push(token) for token in self._waiting)


class _Form(Protocol):
    """The part of a form of prompts that matters to reasoning."""

    @property
    def codec(self) -> Codec: ...

    @property
    def delimiters(self) -> Delimiters | None: ...

    def end(self, prompt: Prompt) -> str: ...


def make_reader(form: _Form, sampling: Sampling, prompt: Prompt) -> ReasoningReader | None:
    """Make the reader for the answer to a prompt; None for models without reasoning."""
    delimiters, tokenizer = form.delimiters, form.codec.tokenizer
    if delimiters is None:
        return None

    def spelled(ids: Sequence[int]) -> str:
        return str(
            tokenizer.decode(
                list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        )

    closing = tokenizer(f"\n{delimiters.close}\n\n", add_special_tokens=False)["input_ids"]
    return ReasoningReader(
        delimiters,
        spelled,
        delimiters.inside(form.end(prompt)),
        sampling.thinking_tokens,
        tuple(closing),
    )
