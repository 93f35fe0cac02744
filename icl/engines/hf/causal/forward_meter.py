"""Counts of the tokens that a model forwards and of their seconds, prompts and answers apart."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from icl.engines.protocol import TokenWork

__all__ = ["ForwardMeter"]


T = TypeVar("T")


class _Countable(Protocol):
    @property
    def forwarded_tokens(self) -> int: ...


class ForwardMeter:
    """A count of tokens and seconds that goes on when the model is closed.

    ``clock`` returns seconds; another one than the computer's is for tests.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.total = TokenWork()

    @contextmanager
    def measure(self, lm: _Countable, decoding: bool = False) -> Iterator[None]:
        """Count the tokens forwarded inside the block, also if an error ends it."""
        before, began = lm.forwarded_tokens, self.clock()
        try:
            yield
        finally:
            tokens, seconds = lm.forwarded_tokens - before, self.clock() - began
            self.total += (
                TokenWork(decode_tokens=tokens, decode_s=seconds)
                if decoding
                else TokenWork(prefill_tokens=tokens, prefill_s=seconds)
            )

    def watch(self, lm: _Countable, results: Iterator[T]) -> Iterator[T]:
        """Yield results; count the work to make each, but not the caller's work on it."""
        while True:
            with self.measure(lm):
                result = next(results, None)
            if result is None:
                return
            yield result
