"""A stop frees the engine, wherever the generation is."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import pytest

from icl.core.types import Output, Prompt, Sampling
from icl.engines.hf.engine import HFEngine
from icl.workbench.answer import stream

LONG = Sampling(max_tokens=3000)


def stopped(engine: HFEngine, pieces: int) -> tuple[Output, int]:
    """What came of a generation that was stopped at a piece, and how many came later."""
    stop = threading.Event()
    heard: list[str] = []

    def hear(_: int, piece: str) -> None:
        heard.append(piece)
        if len(heard) == pieces:
            stop.set()

    ((_, output),) = engine.generate([Prompt("wake me up at nine")], LONG, hear, stop)
    return output, len(heard) - pieces


def test_not_a_token_more_is_computed_than_the_one_under_way(wide_model: Path) -> None:
    engine = HFEngine(str(wide_model), width="fp32").load()
    for pieces in (1, 2, 7, 40):
        output, late = stopped(engine, pieces)
        assert output.finish == "cancelled" and late <= 1
        assert output.output_tokens < 200  # of 3,000; some make a character only together
    ((_, done),) = engine.generate([Prompt("wake")], Sampling(max_tokens=3))
    assert done.finish in ("length", "end")


@pytest.mark.slow
def test_fifty_of_fifty_stops_free_the_engine_within_a_second(wide_model: Path) -> None:
    engine = HFEngine(str(wide_model), width="fp32").load()
    draw = random.Random(0)
    took = []
    for _ in range(50):
        stop, at = threading.Event(), {}

        def halt(stop: threading.Event = stop, at: dict[str, float] = at) -> None:
            at["stopped"] = time.perf_counter()
            stop.set()

        timer = threading.Timer(draw.uniform(0.0, 0.5), halt)
        timer.start()
        *_, last = stream(engine, Prompt("wake me up at nine"), LONG, stop)
        took.append(time.perf_counter() - at["stopped"])
        assert last.output is not None and last.output.finish == "cancelled"
        timer.join()
    assert max(took) < 1, sorted(took)[-5:]
