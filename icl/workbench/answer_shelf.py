"""The answers that a page has got, each stored under the request that it answers.

An answer is shown as the screen's own only while the screen asks exactly what was answered.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from icl.core.types import digest
from icl.experiment.condition import Condition, Request
from icl.workbench.answer import ModelAnswer
from icl.workbench.calibrated_answer import CalibratedAnswer

__all__ = ["AnswerKey", "AnswerShelf", "KeptAnswer", "PageAnswers", "answer_key"]


MOST_KEPT = 30
"""Most answers of a page; the oldest is forgotten first."""


@dataclass(frozen=True, slots=True)
class AnswerKey:
    """The question of an answer: a model as it is set, a request, and the row with its answers."""

    model: str
    request: str
    row: str


def answer_key(condition: Condition, request: Request) -> AnswerKey:
    """Return the key of a request's answer.

    Two rows may have one prompt, but not one right answer: so the row is a part of the key.
    """
    row = request.example
    own = digest([row.id, row.content, list(row.targets)])
    return AnswerKey(condition.point.engine_key, request.hash, own)


@dataclass
class KeptAnswer:
    """An answer, or as much of it as there is."""

    key: AnswerKey
    place: str
    """The row as the page names it: ``row 12``."""
    text: str = ""
    """The text generated so far; empty for a ranking."""
    answer: ModelAnswer | None = None
    """The finished answer; None while it is being generated."""
    stopped: bool = False
    """Whether it was stopped, so that only a part of it is here: that has no score."""
    calibrated: dict[str, CalibratedAnswer | str] = field(default_factory=dict)
    """Chosen calibrator -> the corrected answer, or why there is none."""

    @property
    def whole(self) -> ModelAnswer | None:
        """The answer if it is finished and was not stopped."""
        return None if self.stopped else self.answer


class PageAnswers:
    """The answers of one page, and which of them its screen asks for."""

    def __init__(self) -> None:
        self.asked: AnswerKey | None = None
        """The key of what the screen asks now; None if it asks nothing, being malformed."""
        self._kept: OrderedDict[AnswerKey, KeptAnswer] = OrderedDict()
        self._running: KeptAnswer | None = None
        self._begun: AnswerKey | None = None
        self._latest: KeptAnswer | None = None

    def begin(self, made: KeptAnswer) -> None:
        """Show an answer that is being computed, for what the screen asks at this moment."""
        self._running, self._begun = made, self.asked

    def end(self) -> None:
        """Store the answer that was being computed, if there is anything of it."""
        made, self._running = self._running, None
        if made is None or (made.answer is None and not made.text):
            return
        self._latest = self._kept[made.key] = made
        self._kept.move_to_end(made.key)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)

    @property
    def shown(self) -> KeptAnswer | None:
        """The answer to show: the running one, the screen's own, else the last one."""
        if self._running is not None:
            return self._running
        own = None if self.asked is None else self._kept.get(self.asked)
        return own or self._latest

    @property
    def belongs(self) -> bool:
        """Return whether the answer shown is one to what the screen asks."""
        shown = self.shown
        if shown is None:
            return True
        if shown is self._running:
            return self.asked in (self._begun, shown.key)
        return shown.key == self.asked

    @property
    def usable(self) -> KeptAnswer | None:
        """The screen's own answer if it is whole: one that a verdict can be given on."""
        shown = self.shown
        good = shown is not None and shown is not self._running and self.belongs
        return shown if good and shown is not None and shown.whole is not None else None


class AnswerShelf:
    """The answers of all pages."""

    def __init__(self) -> None:
        self._pages: dict[str, PageAnswers] = {}

    def of(self, page: str) -> PageAnswers:
        """Return the answers of a page, by the hash of its session."""
        return self._pages.setdefault(page, PageAnswers())

    def leave(self, page: str) -> None:
        """Forget the answers of a page that was closed."""
        self._pages.pop(page, None)
