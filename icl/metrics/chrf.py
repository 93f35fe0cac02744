"""chrF and chrF++ by sacreBLEU: F-score of character and word n-grams.

Popović 2015, https://aclanthology.org/W15-3049, and 2017, https://aclanthology.org/W17-4770.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from icl.core.errors import MetricError
from icl.core.stats import Stats
from icl.core.types import Example, Prediction
from icl.metrics import collect_segment_stats, pair_up

__all__ = ["ChrF"]


@dataclass(frozen=True, slots=True)
class ChrF:
    """chrF++ of the corpus, 0 to 100, with a bootstrap interval; needs no tokenizer.

    Equal to ``sacrebleu -m chrf --chrf-word-order 2``. Every target is a reference; a
    prediction that could not be parsed is an empty hypothesis.

    Raises:
        MetricError: an option is out of range.
    """

    char_order: int = 6
    """Longest character n-gram."""
    word_order: int = 2
    """Longest word n-gram: 2 is chrF++, 1 chrF+, 0 chrF."""
    beta: int = 2
    """Weight of recall against precision."""
    lowercase: bool = False

    name = "chrf"

    def __post_init__(self) -> None:
        if self.char_order < 1 or self.word_order < 0 or self.beta < 1:
            raise MetricError(
                f"chrF got char_order {self.char_order}, word_order {self.word_order}, beta "
                f"{self.beta}: give char_order >= 1, word_order >= 0, beta >= 1 (chrF++: 6, 2, 2)"
            )

    @property
    def label(self) -> str:
        """``chrF`` with a plus for each word order, as sacreBLEU writes it."""
        return "chrF" + "+" * self.word_order

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Counts in hypothesis, reference and both, of each order.  # (n, 3 * orders)

        Raises:
            MetricError: the sequences do not run parallel, or an example has no target.
        """
        from sacrebleu.metrics import CHRF

        pairs = pair_up(predictions, examples, self.label)
        scorer = CHRF(
            char_order=self.char_order,
            word_order=self.word_order,
            beta=self.beta,
            lowercase=self.lowercase,
        )
        return collect_segment_stats(scorer, pairs)
