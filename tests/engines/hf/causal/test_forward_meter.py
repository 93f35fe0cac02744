"""Tokens and seconds of prompts and answers, on a fake clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from icl.engines.hf.causal.forward_meter import ForwardMeter
from icl.engines.protocol import TokenWork


@dataclass
class Forwarder:
    """Forwards tokens on request, a second for ten of them."""

    forwarded_tokens: int = 0
    now: float = 0.0

    def forward(self, n: int) -> int:
        self.forwarded_tokens += n
        self.now += n / 10
        return n

    def results(self) -> Iterator[int]:
        yield self.forward(30)
        yield self.forward(10)


def test_prompts_and_answers_are_counted_apart() -> None:
    lm = Forwarder()
    meter = ForwardMeter(lambda: lm.now)
    with meter.measure(lm):
        lm.forward(100)
    lm.forward(7)  # outside
    with meter.measure(lm, decoding=True):
        lm.forward(5)
    assert meter.total == TokenWork(100, 5, 10.0, pytest.approx(0.5))


def test_what_is_done_with_results_is_not_counted() -> None:
    lm = Forwarder()
    meter = ForwardMeter(lambda: lm.now)
    for _ in meter.watch(lm, lm.results()):
        lm.now += 60
    assert meter.total.prefill_tokens == 40
    assert meter.total.prefill_s == pytest.approx(4)


def test_work_that_an_error_ends_is_counted() -> None:
    lm = Forwarder()
    meter = ForwardMeter(lambda: lm.now)
    with pytest.raises(MemoryError), meter.measure(lm):
        lm.forward(20)
        raise MemoryError
    assert meter.total == TokenWork(prefill_tokens=20, prefill_s=2.0)
