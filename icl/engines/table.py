"""An engine that answers from a table: fast and deterministic, for tests and demonstrations."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from icl.core.errors import ChoiceError, EngineError, WindowError
from icl.core.types import (
    JSON,
    Choice,
    ChoiceScore,
    Finish,
    OnToken,
    Output,
    Prompt,
    Sampling,
    Token,
    digest,
)
from icl.engines.requests import check_sampling

__all__ = ["TableEngine", "UncountedEngine"]


_TOKEN = re.compile(r"\s*\S+|\s+$")
"""A word with the white space in front of it."""


@dataclass
class TableEngine:
    """Answers from ``answers``, found by the prompt's text or else by its query.

    A string is what the prompt generates; a mapping gives the log-probability of each choice.

    >>> engine = TableEngine({"2+2=": " 4", "Q: sky?": {" blue": -0.1, " red": -2.5}})
    >>> [out.text for _, out in engine.generate([Prompt("2+2=")], Sampling())]
    [' 4']
    >>> [s.logprob for _, s in engine.score([(Prompt("Q: sky?"), c) for c in (" blue", " red")])]
    [-0.1, -2.5]
    """

    answers: Mapping[str, str | Mapping[str, float]] = field(default_factory=dict)
    """Prompt or query -> the generated text, or choices with their log-probabilities."""
    window: int = 2048
    default: Literal["hash"] | None = None
    """``hash``: prompts and choices that are not in the table get an answer computed from their
    hash."""

    def at_hand(self) -> bool:
        """Return True: counting tokens needs no download."""
        return True

    def identity(self) -> dict[str, JSON]:
        """Return kind, hash of the table, and what replaces missing answers."""
        table = {
            text: answer if isinstance(answer, str) else dict(answer)
            for text, answer in self.answers.items()
        }
        return {
            "kind": "table",
            "answers": digest(table),
            "default": self.default,
            "window": self.window,
        }

    def sent(self, prompt: Prompt) -> str:
        """Return the prompt's flat text."""
        return prompt.text

    def choice(self, choice: Choice) -> Choice:
        """Return the choice unchanged."""
        return choice

    def tokens(self, prompt: Prompt) -> list[Token]:
        """Return one token per word, its id from the word's hash."""
        return list(_split(prompt.text))

    def generate(
        self,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        on_token: OnToken | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[tuple[int, Output]]:
        """Yield the table's text, cut at the first stop string and at ``max_tokens`` words.

        Raises:
            EngineError: no text for a prompt, or sampling settings without meaning.
            WindowError: prompt and ``max_tokens`` are longer than the window.
        """
        check_sampling(sampling)
        for index, prompt in enumerate(prompts):
            n_prompt = self.check_window(prompt, sampling.max_tokens)
            answer = self._text(prompt)
            for sample in range(sampling.n):
                if stop is not None and stop.is_set():
                    yield index, Output("", "cancelled", n_prompt, 0, sample)
                    continue
                text, finish = _cut(answer, sampling.max_tokens, (*sampling.stop, *prompt.stop))
                words = _TOKEN.findall(text)
                if on_token is not None and sample == 0:
                    for word in words:
                        on_token(index, word)
                yield index, Output(text, finish, n_prompt, len(words), sample)

    def score(self, items: Sequence[tuple[Prompt, str]]) -> Iterator[tuple[int, ChoiceScore]]:
        """Yield the table's log-probabilities.

        Raises:
            ChoiceError: an empty choice.
            EngineError: no number for a choice.
            WindowError: prompt and choice are longer than the window.
        """
        for index, (prompt, choice) in enumerate(items):
            if not choice:
                raise ChoiceError("an empty choice ('') has no tokens to score; leave it out")
            n_tokens = len(_TOKEN.findall(choice))
            n_prompt = self.check_window(prompt, n_tokens)
            yield (
                index,
                ChoiceScore(
                    logprob=self.find_logprob(prompt, choice, n_tokens),
                    tokens=n_tokens,
                    chars=len(choice),
                    bytes=len(choice.encode("utf-8", "surrogatepass")),
                    prompt_tokens=n_prompt,
                ),
            )

    def check_window(self, prompt: Prompt, n_more: int) -> int:
        """Return the prompt's tokens, if ``n_more`` fit behind them.

        Raises:
            WindowError: prompt and answer are longer than the window.
        """
        n_prompt = len(self.tokens(prompt))
        if n_prompt + n_more > self.window:
            raise WindowError(
                f"prompt of {n_prompt} tokens and answer of {n_more} are longer than the window "
                f"of {self.window}; use fewer or shorter shots, or a larger window"
            )
        return n_prompt

    def _answer(self, prompt: Prompt) -> str | Mapping[str, float] | None:
        found = self.answers.get(prompt.text)
        return self.answers.get(prompt.query) if found is None else found

    def _text(self, prompt: Prompt) -> str:
        answer = self._answer(prompt)
        if isinstance(answer, str):
            return answer
        if answer is None and self.default == "hash":
            return f" {hashlib.sha256(prompt.text.encode('utf-8', 'surrogatepass')).hexdigest()}"
        raise EngineError(
            f"the table has no text for the query {prompt.query!r}; add it to answers, "
            "or set default: hash"
        )

    def find_logprob(self, prompt: Prompt, choice: str, n_tokens: int) -> float:
        """Return the log-probability of a choice of ``n_tokens``, from the table or a hash.

        Raises:
            EngineError: there is neither.
        """
        answer = self._answer(prompt)
        if isinstance(answer, Mapping) and choice in answer:
            return answer[choice]
        if self.default == "hash":
            return -n_tokens * (0.1 + 5 * _unit(f"{prompt.text}\x00{choice}"))
        raise EngineError(
            f"the table has no log-probability for choice {choice!r} after the query "
            f"{prompt.query!r}; add it to answers, or set default: hash"
        )


class UncountedEngine(TableEngine):
    """A model with an unavailable tokenizer: every prompt fits, none is counted."""

    def tokens(self, prompt: Prompt) -> list[Token]:
        """Return an empty list."""
        return []


@lru_cache(maxsize=4)
def _split(text: str) -> tuple[Token, ...]:
    """Split a text into its words; cached, since every choice of a prompt needs the same text."""
    return tuple(
        Token(_find_id(found.group()), found.group(), *found.span())
        for found in _TOKEN.finditer(text)
    )


@lru_cache(maxsize=1 << 14)
def _find_id(word: str) -> int:
    """Return the token id of a word."""
    return int(_unit(word) * 2**31)


def _unit(text: str) -> float:
    """Return a number in [0, 1) that depends only on the text."""
    return int(hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12], 16) / 16**12


def _cut(text: str, max_tokens: int, stops: Sequence[str]) -> tuple[str, Finish]:
    """Return the text up to the first stop string or ``max_tokens`` words, and how it ended."""
    words = _TOKEN.findall(text)
    short = "".join(words[:max_tokens])
    found = [at for stop in stops if stop and (at := short.find(stop)) >= 0]
    if found:
        return short[: min(found)], "stop"
    return short, "length" if len(words) > max_tokens else "end"
