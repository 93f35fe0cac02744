"""How much memory does scoring take, against the plain way, above the loaded model?"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, Literal

import torch

from benchmarks.prompts import choices
from benchmarks.ranking import CASES
from benchmarks.results import Options, Result, command, unique_tokens
from benchmarks.tools import folder_of
from icl.core.errors import IclError
from icl.engines.hf.engine import HFEngine

__all__ = ["check", "run"]

Way = Literal["tree", "plain"]


def run(options: Options) -> list[Result]:
    """Peak memory of 8 queries with 60 labels each, every way in a process of its own.

    ``ours_s`` and ``theirs_s`` are megabytes here, so that ratio is plain over tree.
    """
    n = 2 if options.quick else 8
    results = []
    with folder_of(options.model) as source:
        for name in CASES:
            tree, plain = (_measured(source, name, n, way) for way in ("tree", "plain"))
            apart = [abs(a - b) for a, b in zip(tree["sums"], plain["sums"], strict=True)]
            results.append(
                Result(
                    name=f"peak MB, {name}",
                    queries=1,
                    requests=n,
                    ours_s=tree["peak_mb"],
                    theirs_queries=1,
                    theirs_s=plain["peak_mb"],
                    ours_cpu_s=0.0,
                    theirs_cpu_s=0.0,
                    theirs_batch_size=1,
                    max_abs_diff=max(apart),
                    argmax_equal=0,
                    argmax_of=0,
                    forwarded_tokens=tree["forwarded"],
                    unique_tokens=tree["unique"],
                    dtype=tree["dtype"],
                    device=tree["device"],
                    other="plain way",
                )
            )
    return results


def _measured(source: str, case: str, n: int, way: str) -> dict[str, Any]:
    """Measure one case in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found: dict[str, Any] = pool.apply(_peak, (source, case, n, way))
    return found


def _peak(source: str, case: str, n: int, way: Way) -> dict[str, Any]:
    engine = HFEngine(source).load()
    items = [(prompt, choice) for prompt in CASES[case](n) for choice in choices()]
    if way == "plain":
        items = items[:: len(choices()) // 2 + 1]  # each is forwarded alone: a few show the peak
    score = engine.score if way == "tree" else engine.score_plain
    ids = engine.codec.encode([prompt.text + choice for prompt, choice in items])
    engine.lm.work.forwarded_tokens = 0
    with _Peak(engine.torch_device) as peak:
        scores = dict(score(items))
    kept = range(len(items)) if way == "plain" else range(0, len(items), len(choices()) // 2 + 1)
    return {
        "peak_mb": peak.megabytes,
        "sums": [scores[i].logprob for i in kept],
        "forwarded": engine.lm.work.forwarded_tokens,
        "unique": unique_tokens(ids),
        "dtype": engine.formats.compute,
        "device": str(engine.torch_device),
    }


class _Peak:
    """The most memory in use within the block above what was in use before, in megabytes."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.megabytes = device, 0.0

    def __enter__(self) -> _Peak:
        import psutil

        self._process, self._done = psutil.Process(), threading.Event()
        _give_back()
        self._before = self._now()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()
        if self.device.type == "cuda":
            self.megabytes = (torch.cuda.max_memory_allocated(self.device) - self._before) / 1e6

    def _now(self) -> int:
        if self.device.type == "cuda":
            return int(torch.cuda.memory_allocated(self.device))
        return int(self._process.memory_info().rss)

    def _watch(self) -> None:
        while not self._done.is_set():
            self.megabytes = max(self.megabytes, (self._now() - self._before) / 1e6)
            time.sleep(0.002)


def _give_back() -> None:
    """Give freed memory back, so that what is allocated next shows, and not what loading left."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
        if trim is not None:
            trim(0)


def check(results: Sequence[Result]) -> None:
    """Refuse results in which the tree takes more memory than the plain way.

    Raises:
        IclError: names the result and its figures.
    """
    for result in results:
        if result.ours_s > result.theirs_s:
            raise IclError(
                f"{result.name}: {result.ours_s:.0f} MB against {result.theirs_s:.0f} MB of the "
                "plain way; lower PACK_TOKENS or the chunks of the projection"
            )


if __name__ == "__main__":
    command(run, check)
