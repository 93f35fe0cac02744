"""What checks look at: a condition with its predictions, made once for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from icl.core.label_sets import list_right_labels
from icl.core.score_name import primary
from icl.core.types import Example, Prediction, Record, Score
from icl.records.results import ConditionResult

__all__ = ["Check", "Found", "ConditionAnswers"]


Found = tuple[int, int, str]
"""(count, of, text) of a finding."""


@dataclass(frozen=True)
class ConditionAnswers:
    """A condition with its predictions, made once for all checks."""

    condition: ConditionResult
    records: Sequence[Record]
    examples: Sequence[Example]
    predictions: Sequence[Prediction]

    def labels(self, answer: str | None) -> tuple[str, ...]:
        """The labels of an answer: itself, or those of a set; none of what was not parsed."""
        given = [] if answer is None else [answer]
        return list_right_labels(given, self.condition.set_rule is not None)

    @property
    def n(self) -> int:
        """Rows that were answered."""
        return len(self.records)

    @property
    def primary(self) -> Score | None:
        """The score that stands for the condition; None where none has a value."""
        return primary(self.condition.scores)


Check = Callable[[ConditionAnswers], Iterator[Found]]
