"""An engine during whose work somebody does something to the files of its run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from icl.core.registry import register
from icl.core.types import ChoiceScore, Prompt
from icl.engines.table import TableEngine

MODELS = {"t": {"engine": "meddled", "default": "hash"}}


@register("engine", "meddled")
@dataclass
class Meddled(TableEngine):
    """Calls ``deed`` before it answers its batch of number ``at``, from 1."""

    deed: ClassVar[Callable[[], object] | None] = None
    at: ClassVar[int] = 0
    calls: ClassVar[int] = 0

    @classmethod
    def before(cls, at: int, deed: Callable[[], object]) -> None:
        """Set what happens before which batch; it happens once."""
        cls.calls, cls.at, cls.deed = 0, at, deed

    def score(self, items: Sequence[tuple[Prompt, str]]) -> Iterator[tuple[int, ChoiceScore]]:
        Meddled.calls += 1
        if Meddled.calls == Meddled.at and Meddled.deed is not None:
            Meddled.deed()
        yield from super().score(items)
