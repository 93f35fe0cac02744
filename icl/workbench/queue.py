"""The queue before the model: one request at a time for all pages, first come, first served."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

__all__ = ["Turn", "Turns"]


@dataclass(eq=False)
class Turn:
    """A request that waits or is running."""

    what: str
    """The kind of work, as other pages see it: ``an experiment``."""
    page: str
    """Hash of its session."""
    began: float | None = None
    """Monotonic time at which it began to run; None while it waits."""


class Turns:
    """The requests in their order; the first one runs.

    >>> turns = Turns()
    >>> first, second = turns.join("an answer", "page 1"), turns.join("an experiment", "page 2")
    >>> turns.come(first), turns.come(second)
    (True, False)
    >>> turns.leave(first)
    >>> turns.come(second)
    True
    """

    def __init__(self) -> None:
        self._line: list[Turn] = []
        self._moved = threading.Condition()

    def join(self, what: str, page: str) -> Turn:
        """Join the end of the queue; :meth:`leave` must follow, however the work ends."""
        turn = Turn(what, page)
        with self._moved:
            self._line.append(turn)
        return turn

    def come(self, turn: Turn, within_s: float = 0.0) -> bool:
        """Wait at most so many seconds for the turn; return whether it came."""
        with self._moved:
            if not self._moved.wait_for(lambda: self._line[0] is turn, within_s):
                return False
            if turn.began is None:
                turn.began = time.monotonic()
            return True

    def leave(self, turn: Turn) -> None:
        """Leave the queue, done or not, so that the next one runs."""
        with self._moved:
            self._line.remove(turn)
            self._moved.notify_all()

    def told(self, turn: Turn) -> str:
        """Say which place in the queue a page has, and what runs now."""
        with self._moved:
            place, first = self._line.index(turn), self._line[0]
            here = "this" if first.page == turn.page else "another"
            seconds = 0.0 if first.began is None else time.monotonic() - first.began
        return (
            f"waiting, number {place} in the queue: {first.what} of {here} page is going on, "
            f"{seconds:.0f} s so far"
        )
