"""chrF and chrF++ by sacreBLEU: F-score of character and word n-grams.

Popović 2015, https://aclanthology.org/W15-3049, and 2017, https://aclanthology.org/W17-4770.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from icl.core.errors import MetricError
from icl.core.stats import Stats
from icl.core.types import Example, Prediction
from icl.metrics import collect_segment_stats, pair_up

__all__ = ["ChrF"]

WORD_ORDER, BETA = 2, 2
"""Options of chrF++, which names leave out."""


@dataclass(frozen=True, slots=True)
class ChrF:
    """chrF++ of the corpus, 0 to 100, with an interval; needs no tokenizer.

    Equal to ``sacrebleu -m chrf --chrf-word-order 2``. Every target is a reference; a
    prediction that could not be parsed is an empty hypothesis.

    Raises:
        MetricError: an option is out of range.
    """

    char_order: int = 6
    """Longest character n-gram."""
    word_order: int = WORD_ORDER
    """Longest word n-gram: 2 is chrF++, 1 chrF+, 0 chrF."""
    beta: int = BETA
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
        """Return ``chrF``, a plus for each word order, and the weight of recall unless it is 2."""
        return _name_chrf(self.word_order, self.beta)

    @staticmethod
    def label_of(settings: str) -> str:
        """Return the label of a score by its settings.

        >>> ChrF.label_of("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0")
        'chrF'
        """
        known = dict(part.partition(":")[::2] for part in settings.split("|"))
        order, beta = known.get("nw", ""), known.get("beta", "")
        return _name_chrf(
            int(order) if order.isdecimal() else WORD_ORDER,
            int(beta) if beta.isdecimal() else BETA,
        )

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Count the n-grams of hypothesis, reference and both, for each order.  # (n, 3 * orders)

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
        made = collect_segment_stats(scorer, pairs)
        if self.beta == BETA:
            return made
        return replace(made, signature=f"{made.signature}|beta:{self.beta}")  # sacreBLEU has none


def _name_chrf(word_order: int, beta: int) -> str:
    return "chrF" + ("" if beta == BETA else str(beta)) + "+" * word_order
