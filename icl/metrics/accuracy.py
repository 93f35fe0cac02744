"""Accuracy: the percentage of examples whose prediction is one of their targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from icl.core.errors import MetricError
from icl.core.stats import Stats, mean, proportion
from icl.core.types import Example, Prediction
from icl.metrics import pair_up

__all__ = ["Accuracy"]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Right predictions of all examples, in percent, with Wilson's interval.

    A prediction is right if it equals any target, character for character. One that could not
    be parsed is wrong and stays in n.
    """

    name = "accuracy"
    label = "acc"

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Rows [hit, 1].  # (n, 2)

        Raises:
            MetricError: the sequences do not run parallel, or an example has no target.
        """
        pairs = pair_up(predictions, examples, self.label)
        hits = [prediction.value in example.targets for prediction, example in pairs]
        return proportion(hits, "accuracy|match:exact")

    def chance(self, examples: Sequence[Example], labels: Sequence[Sequence[str]]) -> Stats:
        """Rows [right answers / answers there are, 1]: an even draw on average.  # (n, 2)

        Any target that is among the labels of its example is a right answer.

        Raises:
            MetricError: an example has no labels to draw from.
        """
        sizes = [len({*own}) for own in labels]
        if not sizes or min(sizes) < 1:
            raise MetricError("chance needs at least one label to draw: give the task labels")
        least, most = min(sizes), max(sizes)
        shown = f"{least}-{most}" if most > least else f"{least}"
        right = [
            len({*example.targets} & {*own}) for example, own in zip(examples, labels, strict=True)
        ]
        shares = [hits / size for hits, size in zip(right, sizes, strict=True)]
        return mean(shares, f"chance|labels:{shown}")
