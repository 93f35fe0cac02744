"""Metrics of rows out of scope: how many are found, how many of the found are, and the rest.

Larson et al. 2019, https://aclanthology.org/D19-1131.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from icl.core.stats import MIN_ROWS, Rows, Stats
from icl.core.types import Example, Prediction
from icl.metrics import pair_up

__all__ = ["InScopeAccuracy", "ScopePrecision", "ScopeRecall"]


@dataclass(frozen=True, slots=True)
class ScopeRecall:
    """Percentage of the rows out of scope that are answered with ``outside``, with an interval."""

    outside: str = "oos"
    """Label of rows that belong to no other label."""

    name = "oos_recall"
    label = "OOS-R"

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Compute rows [found, out of scope].  # (n, 2)

        Raises:
            MetricError: the sequences do not run parallel, or an example has no target.
        """

        def count(prediction: Prediction, example: Example) -> tuple[bool, bool]:
            counted = self.outside in example.targets
            return counted and prediction.value == self.outside, counted

        pairs = pair_up(predictions, examples, self.label)
        return _share(pairs, count, f"oos_recall|outside:{self.outside}")


@dataclass(frozen=True, slots=True)
class ScopePrecision:
    """Percentage of answers ``outside`` that are right, with an interval; undefined without any."""

    outside: str = "oos"
    """Label of rows that belong to no other label."""

    name = "oos_precision"
    label = "OOS-P"

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Compute rows [right, answered with ``outside``].  # (n, 2)

        Raises:
            MetricError: the sequences do not run parallel, or an example has no target.
        """

        def count(prediction: Prediction, example: Example) -> tuple[bool, bool]:
            counted = prediction.value == self.outside
            return counted and self.outside in example.targets, counted

        pairs = pair_up(predictions, examples, self.label)
        return _share(pairs, count, f"oos_precision|outside:{self.outside}")


@dataclass(frozen=True, slots=True)
class InScopeAccuracy:
    """Percentage of the rows in scope that are answered rightly, with an interval."""

    outside: str = "oos"
    """Label of rows that belong to no other label."""

    name = "in_scope_accuracy"
    label = "in-scope acc"

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Compute rows [right, in scope].  # (n, 2)

        Raises:
            MetricError: the sequences do not run parallel, or an example has no target.
        """

        def count(prediction: Prediction, example: Example) -> tuple[bool, bool]:
            counted = self.outside not in example.targets
            return counted and prediction.value in example.targets, counted

        pairs = pair_up(predictions, examples, self.label)
        return _share(pairs, count, f"in_scope_accuracy|match:exact|outside:{self.outside}")


Count = Callable[[Prediction, Example], tuple[bool, bool]]


def _share(pairs: Sequence[tuple[Prediction, Example]], count: Count, signature: str) -> Stats:
    """Make statistics of the share of hits among the rows that are counted."""
    rows = np.array([count(*pair) for pair in pairs], dtype=np.float64).reshape(len(pairs), 2)
    return Stats(rows, _percent, signature, scale="percent", lack=_tell_few)


def _percent(row: Rows) -> float | None:
    hits, counted = row.tolist()
    return 100 * hits / counted if counted else None


def _tell_few(rows: Rows) -> str:
    counted = int(rows[:, 1].sum()) if len(rows) else 0
    return f"needs {MIN_ROWS} rows that count, has {counted}" if counted < MIN_ROWS else ""
