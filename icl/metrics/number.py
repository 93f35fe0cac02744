"""Number: the percentage of predictions whose number is that of one of their targets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from icl.core.errors import MetricError
from icl.core.read_numbers import find_numbers
from icl.core.stats import Stats, proportion
from icl.core.types import Example, Prediction
from icl.metrics import pair_up

__all__ = ["NumberMatch"]


@dataclass(frozen=True, slots=True)
class NumberMatch:
    """Share of predictions whose last number is the last one of a target, in percent (Wilson).

    ``1,200``, ``1200.0`` and ``$1200`` are one number. A prediction without a number, or one that
    could not be parsed, is wrong and stays in n.
    """

    tolerance: float = 0.0
    """Largest accepted difference, as a share of the target's number: 0.01 is 1 %."""
    decimal: Literal[".", ","] = "."
    """Sign before the fraction; the other sign separates thousands."""

    name = "number"
    label = "number"

    def __post_init__(self) -> None:
        known = isinstance(self.tolerance, int | float) and not isinstance(self.tolerance, bool)
        if not known or not math.isfinite(self.tolerance) or self.tolerance < 0:
            raise MetricError(
                f"number: tolerance is {self.tolerance!r}; give a share from 0, such as 0.01"
            )
        if self.decimal not in (".", ","):
            raise MetricError(f'number: decimal is {self.decimal!r}; accepted: "." and ","')

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Compute rows [hit, 1]: whether the number equals a target's.  # (n, 2)

        Raises:
            MetricError: the sequences do not run parallel, or an example has no target, or a
                target without a number.
        """
        hits = []
        for prediction, example in pair_up(predictions, examples, self.label):
            said = self._number(prediction.value or "")
            wanted = [self._wanted(target, example) for target in example.targets]
            hits.append(said is not None and any(self._equal(said, one) for one in wanted))
        return proportion(hits, f"number|last|tolerance:{self.tolerance:g}|decimal:{self.decimal}")

    def _wanted(self, target: str, example: Example) -> Decimal:
        found = self._number(target)
        if found is None:
            raise MetricError(
                f"number: the target {target[:40]!r} of example {example.id!r} holds no number; "
                "score such rows by exact_match, or name the field with the number as `answer:` "
                "of the data"
            )
        return found

    def _number(self, text: str) -> Decimal | None:
        found = find_numbers(text, self.decimal)
        return found[-1] if found else None

    def _equal(self, said: Decimal, wanted: Decimal) -> bool:
        return abs(said - wanted) <= abs(wanted) * Decimal(repr(self.tolerance))
