"""Accuracy: the percentage of examples whose prediction is one of their targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from icl.core.stats import Stats, mean, proportion
from icl.core.types import Example, Prediction
from icl.metrics import check_chance_labels, pair_up

__all__ = ["Accuracy"]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Percentage of right predictions, with Wilson's interval.

    A prediction is right if it equals any target, character for character. One that could not
    be parsed is wrong and stays in n.
    """

    name = "accuracy"
    label = "acc"

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Compute rows [hit, 1].  # (n, 2)

        Raises:
            MetricError: the sequences do not run parallel, or an example has no target.
        """
        pairs = pair_up(predictions, examples, self.label)
        hits = [prediction.value in example.targets for prediction, example in pairs]
        return proportion(hits, "accuracy|match:exact")

    def chance(self, examples: Sequence[Example], labels: Sequence[Sequence[str]]) -> Stats:
        """Compute rows [right answers / possible answers, 1] of an even draw.  # (n, 2)

        Any target that is among the labels of its example is a right answer.

        Raises:
            MetricError: an example has no labels to draw from.
        """
        shown = check_chance_labels(labels)
        right = [
            len({*example.targets} & {*own}) for example, own in zip(examples, labels, strict=True)
        ]
        shares = [hits / len({*own}) for hits, own in zip(right, labels, strict=True)]
        return mean(shares, f"chance|labels:{shown}")
