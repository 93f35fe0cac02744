"""One question at a time to the model, for all pages; the others wait in the order they came."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

__all__ = ["Turn", "Turns"]


@dataclass(eq=False)
class Turn:
    """A question that waits or is asked."""

    what: str
    """What is asked, as others are told: ``an experiment``."""
    page: str
    """Hash of its session."""
    began: float | None = None
    """When its turn came, in seconds of a clock; None while it waits."""


class Turns:
    """The line before the model; the first one in it asks.

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
        """A place at the end of the line; :meth:`leave` must follow, however the work ends."""
        turn = Turn(what, page)
        with self._moved:
            self._line.append(turn)
        return turn

    def come(self, turn: Turn, within_s: float = 0.0) -> bool:
        """Whether its turn is there, at the latest after so many seconds."""
        with self._moved:
            if not self._moved.wait_for(lambda: self._line[0] is turn, within_s):
                return False
            if turn.began is None:
                turn.began = time.monotonic()
            return True

    def leave(self, turn: Turn) -> None:
        """It was asked, or no longer wants to be; the next one's turn comes."""
        with self._moved:
            self._line.remove(turn)
            self._moved.notify_all()

    def told(self, turn: Turn) -> str:
        """What a waiting page says: its place, and what it waits for."""
        with self._moved:
            place, first = self._line.index(turn), self._line[0]
            here = "this" if first.page == turn.page else "another"
            seconds = 0.0 if first.began is None else time.monotonic() - first.began
        return (
            f"waiting, number {place} in the queue: {first.what} of {here} page is going on, "
            f"{seconds:.0f} s so far"
        )
