"""The task type: how a task is answered, parsed, scored and compared with baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from icl.core.errors import ConfigError
from icl.core.kinds import Kind
from icl.core.types import Baseline, Example, Method, Prediction
from icl.tasks.enrich import Enricher

__all__ = ["Enricher", "OwnAnswers", "Task"]


OwnAnswers: TypeAlias = Mapping[str, Sequence[Sequence[Prediction]]]
"""Baseline -> for each row its answers, several where they tie."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task as data; a new one is one file with one instance, and an entry point.

    >>> Task.of(Kind("tags", metrics=("item_f1",))).metrics
    ('item_f1',)
    """

    name: str
    kind: Kind
    """Kind of the answers; the template must be of the same kind. A generic task's kind is its
    attribute, as in ``CLASSIFY.kind``."""
    methods: tuple[Method, ...]
    """``rank`` (score every choice), ``generate`` and ``channel`` (score the input after every
    label); the default first."""
    parser: str
    """Registered name of the parser of generated text."""
    metrics: tuple[str, ...]
    """Registered names of metrics, the primary one first."""
    baselines: tuple[Baseline, ...]
    """``chance``, ``majority``, ``vote``, ``copy``, ``lead3``, ``no_slots``, ``nearest``: shown
    next to every score."""
    enricher: Enricher | None = None
    """Adds fields to every row before the template reads it; None adds nothing."""
    answer_alone: Callable[[Sequence[Example], Sequence[Sequence[Example]]], OwnAnswers] | None = (
        None
    )
    """Answers rows without a model, given the shots of each; for baselines of which icl knows no
    more than the name. None leaves them to icl."""

    def __post_init__(self) -> None:
        if not isinstance(self.kind, Kind):
            raise ConfigError(
                f"the task {self.name!r} has the kind {self.kind!r}, which is no Kind; take that "
                "of a task that is there, as in icl.CLASSIFY.kind, or make one with icl.Kind"
            )

    @classmethod
    def of(cls, kind: Kind) -> Task:
        """Return the task that has its kind's name and takes all defaults from it."""
        return cls(kind.name, kind, kind.methods, kind.parser, kind.metrics, kind.baselines)
