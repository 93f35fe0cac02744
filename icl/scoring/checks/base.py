"""The input of every check: a condition with its predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from icl.core.label_sets import list_right_labels
from icl.core.score_name import primary
from icl.core.types import Example, Prediction, Record, Score
from icl.records.results import ConditionResult
from icl.scoring.compare import Comparison

__all__ = ["Check", "Found", "ConditionAnswers"]


Found = tuple[int, int, str]
"""(count, of, text) of a finding; see :class:`icl.scoring.checks.Finding`."""


@dataclass(frozen=True)
class ConditionAnswers:
    """A condition with its predictions, parsed once for all checks."""

    condition: ConditionResult
    records: Sequence[Record]
    examples: Sequence[Example]
    predictions: Sequence[Prediction]
    margins: Sequence[Comparison] = ()
    """The condition against each of its baselines, row by row."""

    def labels(self, answer: str | None) -> tuple[str, ...]:
        """List the labels of an answer: itself, or those of a set; none if it was not parsed."""
        given = [] if answer is None else [answer]
        return list_right_labels(given, self.condition.set_rule is not None)

    @property
    def n(self) -> int:
        """Number of answered rows."""
        return len(self.records)

    @property
    def primary(self) -> Score | None:
        """The score that represents the condition; None if none has a value."""
        return primary(self.condition.scores)


Check = Callable[[ConditionAnswers], Iterator[Found]]
