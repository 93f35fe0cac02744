"""Length of predictions relative to their targets, which shows too short or too long answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from icl.core.segmentation import split_words
from icl.core.stats import Rows, Stats
from icl.core.types import Example, Prediction
from icl.metrics import pair_up

__all__ = ["LengthRatio"]


@dataclass(frozen=True, slots=True)
class LengthRatio:
    """Words of all predictions in percent of those of their targets, with an interval.

    Of several targets the one nearest in length counts, of two as near the shorter (the rule of
    BLEU's brevity penalty). 100 is the length of the targets; scripts without spaces count
    characters.
    """

    name = "length_ratio"
    label = "len %"
    better = "none"

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Count the words of prediction and target.  # (n, 2)

        Raises:
            MetricError: the sequences do not run parallel, or an example has no target.
        """
        rows = []
        for prediction, example in pair_up(predictions, examples, self.label):
            said = len(split_words(prediction.value or ""))
            lengths = [len(split_words(target)) for target in example.targets]
            rows.append([said, min(lengths, key=lambda n: (abs(n - said), n))])
        made = np.array(rows, dtype=np.float64).reshape(len(rows), 2)
        return Stats(made, _ratio, "length_ratio|refs:closest|words:unicode", scale="ratio")


def _ratio(row: Rows) -> float | None:
    said, wanted = row.tolist()
    return 100 * said / wanted if wanted else None
