"""Subset accuracy: the percentage of answers that hold the right labels and no other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from icl.core.stats import Stats, mean, proportion
from icl.core.types import Example, Prediction
from icl.metrics import check_chance_labels, pair_up, read_label_set

__all__ = ["SubsetAccuracy"]


@dataclass(frozen=True, slots=True)
class SubsetAccuracy:
    """Exact-set match, in percent, with Wilson's interval.

    One label too many or too few is wrong. A prediction that could not be parsed is wrong and
    stays in n.
    """

    name = "subset_accuracy"
    label = "subset acc"

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Compute rows [hit, 1]: whether the set equals a target.  # (n, 2)

        Raises:
            MetricError: the sequences do not run parallel, an example has no target, or an answer
                is no set of labels.
        """
        hits = []
        for prediction, example in pair_up(predictions, examples, self.label):
            said = read_label_set(prediction.value, example.id, self.name)
            wanted = [read_label_set(one, example.id, self.name) for one in example.targets]
            hits.append(said is not None and said in wanted)
        return proportion(hits, self.name)

    def chance(self, examples: Sequence[Example], labels: Sequence[Sequence[str]]) -> Stats:
        """Compute rows [right sets / 2 ** labels, 1]: all sets are equally likely.  # (n, 2)

        Raises:
            MetricError: an example has no labels to draw from.
        """
        shown = check_chance_labels(labels)
        shares = [
            len({*example.targets}) / 2 ** len(own)
            for example, own in zip(examples, labels, strict=True)
        ]
        return mean(shares, f"chance|sets:even|labels:{shown}")
