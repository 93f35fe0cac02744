"""Edit distance: how many characters must be changed to turn a prediction into its target.

Levenshtein 1966; SIGMORPHON's shared tasks give it beside the accuracy (Cotterell et al. 2016,
https://aclanthology.org/W16-2002).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from icl.core.stats import Rows, Stats
from icl.core.types import Example, Prediction
from icl.metrics import pair_up

__all__ = ["EditDistance", "count_edits"]


@dataclass(frozen=True, slots=True)
class EditDistance:
    """Mean number of characters to insert, delete or replace, with an interval; lower is better.

    Both texts are put into NFC, and white space is folded. Of several targets the nearest counts;
    a prediction that could not be parsed is an empty text.
    """

    name = "edit_distance"
    label = "edits↓"
    better = "lower"

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Count the edits of each prediction.  # (n, 2)

        Raises:
            MetricError: the sequences do not run parallel, or an example has no target.
        """
        rows = [
            [min(count_edits(prediction.value or "", target) for target in example.targets), 1]
            for prediction, example in pair_up(predictions, examples, self.label)
        ]
        made = np.array(rows, dtype=np.float64).reshape(len(rows), 2)
        signature = "edit_distance|unit:character|space:folded|unicode:NFC|refs:closest"
        return Stats(made, _mean, signature, scale="ratio")


def _mean(row: Rows) -> float | None:
    edits, n = row.tolist()
    return edits / n if n else None


def count_edits(first: str, second: str) -> int:
    """Count the characters to insert, delete or replace between two texts (Levenshtein 1966).

    >>> count_edits("sing", "sang"), count_edits("", "sang")
    (1, 4)
    """
    one, other = (unicodedata.normalize("NFC", " ".join(text.split())) for text in (first, second))
    before = list(range(len(other) + 1))
    for row, char in enumerate(one, start=1):
        now = [row]
        for column, wanted in enumerate(other, start=1):
            replaced = before[column - 1] + (char != wanted)
            now.append(min(before[column] + 1, now[-1] + 1, replaced))
        before = now
    return before[-1]
