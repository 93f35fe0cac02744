"""Macro-averaged F1: the mean over labels of the harmonic mean of precision and recall."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from icl.core.stats import Rows, Stats
from icl.core.types import Example, Prediction
from icl.metrics import pair_up

__all__ = ["MacroF1"]


GOLD_ROWS = 5
"""Fewest gold rows of each label; with fewer, the sample's F1 of a label is too uncertain."""


@dataclass(frozen=True, slots=True)
class MacroF1:
    """Mean F1 of the labels, in percent, with an interval where each has 5 gold rows or more.

    The labels are those that occur among targets or predictions of the rows scored, as in
    ``f1_score(average="macro", zero_division=0)`` of scikit-learn.
    (Of the two formulas under this name it is the mean of F1s, not the F1 of the means: Opitz
    and Burst 2019, https://arxiv.org/abs/1911.03347.) The gold label is the target that was
    predicted, else the first target. A prediction that could not be parsed is a miss of the
    gold label and is not a label itself.
    """

    name = "macro_f1"
    label = "macro-F1"

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Count true positives, false positives and false negatives for each label.

        The three blocks are concatenated, labels sorted.  # (n, 3 * labels)

        Raises:
            MetricError: the sequences do not run parallel, or an example has no target.
        """
        pairs = pair_up(predictions, examples, self.label)
        answers = [(_gold(prediction, example), prediction.value) for prediction, example in pairs]
        occurring = {label for answer in answers for label in answer if label is not None}
        column = {label: index for index, label in enumerate(sorted(occurring))}
        rows = np.zeros((len(answers), 3, len(column)))
        for row, (gold, guess) in zip(rows, answers, strict=True):
            if guess == gold:
                row[0, column[gold]] = 1
                continue
            row[2, column[gold]] = 1
            if guess is not None:
                row[1, column[guess]] = 1
        return Stats(
            rows.reshape(len(rows), 3 * len(column)),
            _mean_f1,
            "macro_f1|labels:occurring",
            scale="percent",
            lack=_lack_gold,
        )


def _gold(prediction: Prediction, example: Example) -> str:
    if prediction.value is not None and prediction.value in example.targets:
        return prediction.value
    return example.targets[0]


def _lack_gold(rows: Rows) -> str:
    """Return how many rows would give each label its gold rows; empty if it has them."""
    hits, _, misses = rows.sum(axis=0).reshape(3, -1)
    gold = hits + misses
    if not gold.size or gold.min() >= GOLD_ROWS:
        return ""
    if not gold.min():
        return f"needs {GOLD_ROWS} gold rows of each label"
    wanted = math.ceil(len(rows) * GOLD_ROWS / float(gold.min()))
    return f"needs about {wanted} rows, {GOLD_ROWS} of each label"


def _mean_f1(row: Rows) -> float | None:
    hits, false_alarms, misses = row.reshape(3, -1)
    seen = 2 * hits + false_alarms + misses
    occurs = seen > 0
    if not occurs.any():
        return None
    return float(100 * np.mean(2 * hits[occurs] / seen[occurs]))
