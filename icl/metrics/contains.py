"""Contains: the percentage of predictions that contain one of their targets."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import regex

from icl.core.stats import Stats, proportion
from icl.core.types import Example, Prediction
from icl.metrics import pair_up

__all__ = ["Contains"]


@dataclass(frozen=True, slots=True)
class Contains:
    """Share of predictions that contain a target, in percent, with Wilson's interval.

    White space is folded and Unicode put into NFC before the comparison. An empty target is held
    by an empty prediction alone. A prediction that could not be parsed is wrong and stays in n.
    """

    ignore_case: bool = False
    whole_words: bool = False
    """Whether a target must not begin or end inside a word, as ``no`` does in ``know``."""

    name = "contains"
    label = "contains"

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Compute rows [hit, 1]: whether the prediction contains a target.  # (n, 2)

        Raises:
            MetricError: the sequences do not run parallel, or an example has no target.
        """
        hits = [
            prediction.value is not None
            and any(
                self._holds(self._fold(prediction.value), self._fold(target))
                for target in example.targets
            )
            for prediction, example in pair_up(predictions, examples, self.label)
        ]
        case = "ignored" if self.ignore_case else "kept"
        words = "whole" if self.whole_words else "any"
        return proportion(hits, f"contains|space:folded|unicode:NFC|case:{case}|words:{words}")

    def _holds(self, said: str, target: str) -> bool:
        if not target:
            return not said
        if not self.whole_words:
            return target in said
        begins = r"(?<!\w)" if regex.match(r"\w", target) else ""
        ends = r"(?!\w)" if regex.search(r"\w\Z", target) else ""
        return regex.search(begins + regex.escape(target) + ends, said) is not None

    def _fold(self, text: str) -> str:
        folded = unicodedata.normalize("NFC", " ".join(text.split()))
        return folded.casefold() if self.ignore_case else folded
