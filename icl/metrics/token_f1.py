"""Token F1 of short free answers, as in SQuAD (Rajpurkar et al. 2016, arXiv 1606.05250)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from icl.core.segmentation import split_words
from icl.core.stats import Stats, mean
from icl.core.types import Example, Prediction
from icl.metrics import pair_up

__all__ = ["TokenF1"]


@dataclass(frozen=True, slots=True)
class TokenF1:
    """Mean F1 of the words of prediction and target, 0 to 100, with an interval.

    Of several targets the best counts. Words are in small letters and without punctuation, in any
    script; unlike SQuAD's script it drops no English articles.
    """

    name = "token_f1"
    label = "tok-F1"

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Compute rows [F1, 1].  # (n, 2)

        Raises:
            MetricError: the sequences do not run parallel, or an example has no target.
        """
        values = []
        for prediction, example in pair_up(predictions, examples, self.label):
            said = Counter(split_words(prediction.value or ""))
            values.append(
                max(_f1(said, Counter(split_words(target))) for target in example.targets)
            )
        return mean(values, "token_f1|refs:best|words:unicode")


def _f1(said: Counter[str], wanted: Counter[str]) -> float:
    both = (said & wanted).total()
    total = said.total() + wanted.total()
    return 2 * both / total if total else 1.0
