"""What is told while a model loads, and that counting tokens does not wait for it."""

from __future__ import annotations

import re
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from icl.core.errors import ModelError
from icl.core.types import Prompt
from icl.engines.hf.engine import HFEngine
from icl.engines.hf.weights.progress import count_weights, listen, tell
from icl.workbench.model_status import facts, load_weights


def test_each_step_is_told_and_every_tensor_counted(tiny_model: Path) -> None:
    said: list[str] = []
    with listen(said.append):
        HFEngine(str(tiny_model), device="cpu").load()
    counts = [
        found.groups()
        for step in said
        if (
            found := re.fullmatch(
                r"reading its weights, (\d+) kB on disk: (\d+) of (\d+) "
                "tensors",
                step,
            )
        )
    ]
    total = 2 * 9 + 3  # of a layer four of attention, three of the MLP, two norms; three around
    assert [(int(n), int(of)) for _, n, of in counts] == [(n, total) for n in range(1, total + 1)]
    size = (tiny_model / "model.safetensors").stat().st_size
    assert 0.9 * size / 1000 < int(counts[0][0]) <= size / 1000 + 1
    steps = [step for step in said if "tensors" not in step]
    assert steps == [
        "finding its files",
        "reading its tokenizer",
        "proving its width",
        "checking on a small copy how it can be run",
    ]


def test_bars_of_other_threads_and_the_hook_before_stay(tiny_model: Path) -> None:
    from transformers.utils.logging import set_tqdm_hook, tqdm

    def own(factory, given, named):  # type: ignore[no-untyped-def]
        return ["own", *given[0]]

    before = set_tqdm_hook(own)
    said: list[str] = []
    try:
        with listen(said.append), count_weights("here"):
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(lambda: list(tqdm([1]))).result() == ["own", 1]
            assert not said
            assert list(tqdm([1, 2])) == ["own", 1, 2]
        assert said[-1] == "here: 3 of 2 tensors"  # what another hook adds is counted, too
        with count_weights("nobody listens"):
            assert list(tqdm([1])) == ["own", 1]
        assert set_tqdm_hook(own) is own
    finally:
        set_tqdm_hook(before)
    tell("nobody listens")
    assert not [step for step in said if "nobody" in step]


def test_tokens_are_counted_while_the_weights_are_read(tiny_model: Path) -> None:
    engine = HFEngine(str(tiny_model), device="cpu").open()
    counted: list[int] = []

    def hear(step: str) -> None:
        if "of 21 tensors" in step and not counted:
            with ThreadPoolExecutor(1) as pool:  # another session's preview, in its own thread
                counted.append(len(pool.submit(engine.tokens, Prompt("ab")).result(timeout=60)))

    with listen(hear):
        engine.load()
    assert counted == [3]


def test_the_desk_shows_the_steps_and_unloading_frees_the_weights(tiny_model: Path) -> None:
    engine = HFEngine(str(tiny_model), device="cpu")
    lines = list(load_weights(engine, every_s=0.001))
    assert all(re.fullmatch(r".+, \d+ s", line) for line in lines)
    assert any("of 21 tensors, " in line for line in lines)
    assert "fp32" in facts(engine)
    model = weakref.ref(engine.lm.model)
    assert not [t for t in threading.enumerate() if t.name.startswith("load")]
    engine.close()
    assert model() is None


def test_a_window_that_is_refused_is_refused_again(tiny_model: Path) -> None:
    engine = HFEngine(str(tiny_model), device="cpu", window=9999)
    for _ in range(2):
        with pytest.raises(ModelError, match="window 9999 is not possible"):
            engine.open()
