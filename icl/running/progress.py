"""The progress display: a moving line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO, Any

from icl.core.errors import StoppedError
from icl.core.safe_print import echo
from icl.core.safe_text import clean

__all__ = ["Progress", "StopClock", "format_duration"]


EVERY_S = 10.0
"""Seconds between two plain lines."""


class StopClock:
    """The time after which a run is to stop, if it is not done by then."""

    def __init__(self, minutes: float, now: Callable[[], float] = time.monotonic) -> None:
        self.minutes = minutes
        self.now = now
        self.began = now()
        self.batches = 0
        """Batches saved so far: a run that stops before the first would never get on."""

    def check(self) -> None:
        """Stop here if the time is over and something was saved.

        Raises:
            StoppedError: says so, and that the same command goes on.
        """
        if self.batches and self.now() - self.began >= 60 * self.minutes:
            raise StoppedError(
                f"stopped after {self.minutes:g} min, as --stop-after says; the answers are saved"
            )


class Progress:
    """A display of condition, rows, tokens per second and the remaining time of the whole run.

    Used as a context manager. With a limit of time it ends the work between two batches, once at
    least one was saved; see :class:`StopClock`.

    >>> with Progress(sys.stderr) as progress:                          # doctest: +SKIP
    ...     progress.begin("intent 8 bm25", done=0, total=100)
    ...     progress.advance(rows=8, tokens=900, left_s=62.0)
    """

    def __init__(
        self,
        stream: IO[str] | None = None,
        quiet: bool = False,
        clock: StopClock | None = None,
    ) -> None:
        self.stream = stream or sys.stderr
        self.quiet = quiet
        self.clock = clock
        self._noted: set[str] = set()
        self._bar: Any = None
        self._task: Any = None
        self._name, self._done, self._total, self._tokens = "", 0, 0, 0
        self._left_s: float | None = None
        self.run_rows, self.run_done = 0, 0
        """Test rows of the whole run, and how many of them are answered; 0 while unknown."""
        self._began = self._spoke = time.monotonic()

    def __enter__(self) -> Progress:
        if not self.quiet and self.stream.isatty():
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                TextColumn,
            )
            from rich.progress import Progress as Bar

            from icl.core.safe_console import SafeConsole

            self._bar = Bar(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TextColumn("{task.fields[left]}"),
                console=SafeConsole(file=self.stream),
                transient=True,
            )
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, text: str) -> None:
        """Print one line above the progress."""
        if self.quiet:
            return
        if self._bar is not None:
            self._bar.console.print(text)
        else:
            echo(text, file=self.stream)

    def note(self, text: str) -> None:
        """Print a note; repeated ones are printed only once."""
        if text not in self._noted:
            self._noted.add(text)
            self.say(f"note: {text}")

    def plan(self, rows: int) -> None:
        """Set how many test rows the whole run has."""
        self.run_rows, self.run_done = rows, 0

    def count(self, rows: int) -> None:
        """Add test rows of the run that are answered, or were before."""
        self.run_done += rows

    def begin(self, name: str, done: int, total: int) -> None:
        """Start the display of a condition, ``done`` of whose ``total`` examples exist already.

        Raises:
            StoppedError: the time is over, and this condition has rows left.
        """
        if self.clock is not None and done < total:
            self.clock.check()
        name = clean(name)  # the bar lays it out by itself
        self._name, self._done, self._total, self._tokens = name, done, total, 0
        self._began = self._spoke = time.monotonic()
        if self._bar is not None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(name, total=total, completed=done, rate="", left="")

    def advance(self, rows: int, tokens: int, left_s: float | None = None) -> None:
        """Report that ``rows`` more rows are saved.

        Args:
            rows: rows of this condition.
            tokens: tokens of their prompts and answers.
            left_s: remaining seconds of the whole run; None while they are unknown.

        Raises:
            StoppedError: the time is over, and rows are left.
        """
        self._done += rows
        self._tokens += tokens
        self._left_s = left_s
        if self._bar is not None:
            left = self.describe_time_left()
            self._bar.update(self._task, completed=self._done, rate=self.describe_rate(), left=left)
        elif not self.quiet and (
            self._done == self._total or time.monotonic() - self._spoke >= EVERY_S
        ):
            self._spoke = time.monotonic()
            left = self.describe_time_left() or f"{time.monotonic() - self._began:.0f} s so far"
            echo(
                f"{self._name}: {self._done}/{self._total} rows, {self.describe_rate()}, {left}",
                file=self.stream,
            )

        if self.clock is not None:
            self.clock.batches += 1
            if self._done < self._total:
                self.clock.check()

    def describe_rate(self) -> str:
        """Return the tokens per second of this condition, prompts and answers together."""
        seconds = max(time.monotonic() - self._began, 1e-9)
        return f"{self._tokens / seconds:,.0f} tok/s"

    def describe_time_left(self) -> str:
        """Return the remaining time of the whole run, as ``3 min 05 s left``; empty if unknown."""
        return "" if self._left_s is None else f"{format_duration(self._left_s)} left"


def format_duration(seconds: float) -> str:
    """Format seconds as ``3 min 05 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
