"""Exact match: the percentage of predictions that are one of their targets, letter by letter."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from icl.core.stats import Stats, proportion
from icl.core.types import Example, Prediction
from icl.metrics import pair_up

__all__ = ["ExactMatch"]


@dataclass(frozen=True, slots=True)
class ExactMatch:
    """Share of predictions equal to a target, in percent, with Wilson's interval.

    White space is folded and Unicode put into NFC before the comparison. A prediction that could
    not be parsed is wrong and stays in n. Extracted items are equal if all fields and values are.
    """

    ignore_case: bool = False

    name = "exact_match"
    label = "EM"

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Compute rows [hit, 1].  # (n, 2)

        Raises:
            MetricError: the sequences do not run parallel, or an example has no target.
        """
        pairs = pair_up(predictions, examples, self.label)
        hits = [
            prediction.value is not None
            and self._fold(prediction.value) in set(map(self._fold, example.targets))
            for prediction, example in pairs
        ]
        case = "ignored" if self.ignore_case else "kept"
        return proportion(hits, f"exact_match|space:folded|unicode:NFC|case:{case}")

    def _fold(self, text: str) -> str:
        folded = unicodedata.normalize("NFC", " ".join(text.split()))
        return folded.casefold() if self.ignore_case else folded
