"""Jaccard index: labels in both the answer and the right set, of all that are in either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb

from icl.core.stats import Stats, mean
from icl.core.types import Example, Prediction
from icl.metrics import check_chance_labels, pair_up, read_label_set

__all__ = ["Jaccard"]


@dataclass(frozen=True, slots=True)
class Jaccard:
    """The mean over rows of shared labels / labels in either set, 0 to 100 (Jaccard 1912).

    Two empty sets are equal: 100. A prediction that could not be parsed has 0. Of several right
    sets the nearest one counts. ``jaccard_score(average="samples")`` of scikit-learn is the same
    but for two empty sets, to which it gives 0.
    """

    name = "jaccard"
    label = "Jaccard"

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Compute rows [index, 1], with the index of the most similar target.  # (n, 2)

        Raises:
            MetricError: the sequences do not run parallel, an example has no target, or an answer
                is no set of labels.
        """
        values = []
        for prediction, example in pair_up(predictions, examples, self.label):
            said = read_label_set(prediction.value, example.id, self.name)
            wanted = [read_label_set(one, example.id, self.name) for one in example.targets]
            values.append(
                0.0 if said is None else max(_index(said, one) for one in wanted if one is not None)
            )
        return mean(values, self.name)

    def chance(self, examples: Sequence[Example], labels: Sequence[Sequence[str]]) -> Stats:
        """Compute rows [expected index, 1] where all sets are equally likely.  # (n, 2)

        Raises:
            MetricError: an example has no labels to draw from, or its answer is no set of labels.
        """
        shown = check_chance_labels(labels)
        values = []
        for example, own in zip(examples, labels, strict=True):
            wanted = [read_label_set(one, example.id, self.name) for one in example.targets[:1]]
            right = sum(len(one & {*own}) for one in wanted if one is not None)
            values.append(expect_index(right, len(own)))
        return mean(values, f"chance|sets:even|labels:{shown}")


@lru_cache(maxsize=1024)
def expect_index(right: int, labels: int) -> float:
    """Compute the mean Jaccard index over all sets of labels, each equally likely.

    There are ``labels`` labels, of which ``right`` are right.

    >>> expect_index(1, 2)  # {} 0, {right} 1, {wrong} 0, both 1/2
    0.375
    """
    wrong = labels - right
    if not right:
        return 1 / 2.0**labels  # the empty set alone is right
    total = sum(
        comb(right, hits) * comb(wrong, misses) * hits / (right + misses)
        for hits in range(right + 1)
        for misses in range(wrong + 1)
    )
    return total / 2.0**labels


def _index(said: frozenset[str], wanted: frozenset[str]) -> float:
    return len(said & wanted) / len(said | wanted) if said | wanted else 1.0
