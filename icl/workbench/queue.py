"""The queue for the model: one request at a time for all pages, first come, first served."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

__all__ = ["QueueEntry", "ModelQueue"]


@dataclass(eq=False)
class QueueEntry:
    """A request that is waiting or running."""

    what: str
    """Kind of work, as other pages show it: ``an experiment``."""
    page: str
    """Hash of the page's session."""
    began: float | None = None
    """Monotonic time at which it started to run; None while it waits."""


class ModelQueue:
    """The requests in their order; the first one runs.

    >>> queue = ModelQueue()
    >>> first, second = queue.join("an answer", "page 1"), queue.join("an experiment", "page 2")
    >>> queue.wait_for(first), queue.wait_for(second)
    (True, False)
    >>> queue.leave(first)
    >>> queue.wait_for(second)
    True
    """

    def __init__(self) -> None:
        self._line: list[QueueEntry] = []
        self._moved = threading.Condition()

    def join(self, what: str, page: str) -> QueueEntry:
        """Join the end of the queue; call :meth:`leave` afterwards, however the work ends."""
        turn = QueueEntry(what, page)
        with self._moved:
            self._line.append(turn)
        return turn

    def wait_for(self, turn: QueueEntry, within_s: float = 0.0) -> bool:
        """Wait at most ``within_s`` seconds for the turn; return whether it came."""
        with self._moved:
            if not self._moved.wait_for(lambda: self._line[0] is turn, within_s):
                return False
            if turn.began is None:
                turn.began = time.monotonic()
            return True

    def leave(self, turn: QueueEntry) -> None:
        """Leave the queue, finished or not, so that the next request runs."""
        with self._moved:
            self._line.remove(turn)
            self._moved.notify_all()

    def status_line(self, turn: QueueEntry) -> str:
        """Describe a request's place in the queue, and what is running now."""
        with self._moved:
            place, first = self._line.index(turn), self._line[0]
            here = "this" if first.page == turn.page else "another"
            seconds = 0.0 if first.began is None else time.monotonic() - first.began
        return (
            f"waiting, number {place} in the queue: {first.what} of {here} page is running, "
            f"{seconds:.0f} s so far"
        )
