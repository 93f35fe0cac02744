"""What a task is: which way it is answered, how it is parsed, scored and compared."""

from __future__ import annotations

from dataclasses import dataclass

from icl.core.errors import ConfigError
from icl.core.kinds import Kind
from icl.core.types import Baseline, Method
from icl.tasks.enrich import Enricher

__all__ = ["Enricher", "Task"]


@dataclass(frozen=True, slots=True)
class Task:
    """A task as data; a new one is one file with one instance and an entry point.

    >>> Task.of(Kind("tags", metrics=("item_f1",))).metrics
    ('item_f1',)
    """

    name: str
    kind: Kind
    """What the template must look like, and what a right answer is; the template must be of this
    kind. That of a generic task is its attribute, as in ``CLASSIFY.kind``."""
    methods: tuple[Method, ...]
    """``rank`` (score every choice), ``generate`` and ``channel`` (score the input behind every
    label), the default first."""
    parser: str
    """Registered name of the parser of generated text."""
    metrics: tuple[str, ...]
    """Registered names, the primary one first."""
    baselines: tuple[Baseline, ...]
    """``chance``, ``majority``, ``vote``, ``copy``, ``lead3``: shown beside every score."""
    enricher: Enricher | None = None
    """Adds fields to every row between data and template; None for rows as the data has them."""

    def __post_init__(self) -> None:
        if not isinstance(self.kind, Kind):
            raise ConfigError(
                f"the task {self.name!r} has the kind {self.kind!r}, which is no Kind; take that "
                "of a task that is there, as in icl.CLASSIFY.kind, or make one with icl.Kind"
            )

    @classmethod
    def of(cls, kind: Kind) -> Task:
        """Return the task that is named as its kind and takes all defaults from it."""
        return cls(kind.name, kind, kind.methods, kind.parser, kind.metrics, kind.baselines)
