"""The long work of a page in a thread: its progress, and its end between two batches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TypeVar

from icl.core.errors import StoppedError
from icl.running.progress import Progress, format_duration

__all__ = ["JobProgress", "RunMeter", "run_job"]


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RunMeter:
    """The state of a run: rows answered, time spent, and the time that is left."""

    done: int
    total: int
    spent_s: float
    left_s: float | None
    """None while it is unknown."""

    def __str__(self) -> str:
        if self.done >= self.total:
            return f"all {self.total:,} rows; {format_duration(self.spent_s)} in all"
        parts = [f"{self.done:,} of {self.total:,} rows"]
        if self.left_s is None:
            parts.append(f"{format_duration(self.spent_s)} so far")
        else:
            parts.append(f"{format_duration(self.left_s)} left")
            parts.append(f"{format_duration(self.spent_s + self.left_s)} in all")
        return "; ".join(parts)


class JobProgress(Progress):
    """Progress that another thread reads, and that stops the work after a batch on request."""

    def __init__(self, stop: threading.Event) -> None:
        super().__init__(quiet=True)
        self.stop = stop
        self.notes: list[str] = []
        self.line = "getting ready"
        self._start = time.monotonic()

    def meter(self) -> RunMeter | None:
        """Return how far the run is; None before its rows are known."""
        if not self.run_rows:
            return None
        # The judges of a run ask more than its test rows.
        done = min(self.run_done, self.run_rows)
        return RunMeter(done, self.run_rows, time.monotonic() - self._start, self._left_s)

    def say(self, text: str) -> None:
        """Store a note; end here if the user requested it.

        Raises:
            StoppedError: the user requested it.
        """
        self.notes.append(text)
        self.check()

    def begin(self, name: str, done: int, total: int) -> None:
        """Report that a condition starts; stop here if the user requested it."""
        super().begin(name, done, total)
        self._show()
        self.check()

    def advance(self, rows: int, tokens: int, left_s: float | None = None) -> None:
        """Report that a batch is saved; stop here if the user requested it."""
        super().advance(rows, tokens, left_s)
        self._show()
        self.check()

    def check(self) -> None:
        """Stop here if the user requested it.

        Raises:
            StoppedError: the user requested it.
        """
        if self.stop.is_set():
            raise StoppedError(
                "stopped; finished answers are saved, and running again continues from them"
            )

    def _show(self) -> None:
        rate = f", {self.describe_rate()}" if self._tokens else ""
        left = f", {left}" if (left := self.describe_time_left()) else ""
        self.line = f"{self._name}: {self._done} of {self._total} rows{rate}{left}"


def run_job(
    work: Callable[[JobProgress], T], stop: threading.Event, every_s: float = 0.25
) -> Iterator[tuple[str, T | None]]:
    """Run work in a thread; yield (progress, None) until it ends, then (last progress, result).

    Closing the iterator stops the work and waits until the engine is free.

    Raises:
        StoppedError: ``stop`` was set.
        IclError: any error that the work raised.
    """
    progress = JobProgress(stop)
    began = time.monotonic()
    with ThreadPoolExecutor(1, "job") as pool:
        future = pool.submit(work, progress)
        try:
            while not future.done():
                wait([future], timeout=every_s)
                yield f"{progress.line}, {time.monotonic() - began:.0f} s", None
        except GeneratorExit:
            stop.set()
            raise
        yield progress.line, future.result()
