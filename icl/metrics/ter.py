"""TER by sacreBLEU: edits, including shifts of phrases, that turn a prediction into a target.

Snover et al. 2006, https://aclanthology.org/2006.amta-papers.25.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from icl.core.stats import Stats
from icl.core.types import Example, Prediction
from icl.metrics import collect_segment_stats, pair_up

__all__ = ["TER"]


MIN_ROWS = 20
"""Fewest rows for an interval: edits are unevenly spread, and with fewer it would cover too
little."""


@dataclass(frozen=True, slots=True)
class TER:
    """TER of the corpus in percent of target words, with an interval; lower is better.

    Equal to ``sacrebleu -m ter``; above 100 where more edits are needed than the target has
    words. Every target is a reference; a prediction that could not be parsed is an empty
    hypothesis.
    """

    normalized: bool = False
    """Separate punctuation from words first."""
    no_punct: bool = False
    asian_support: bool = False
    """With ``normalized`` or ``no_punct``: treat Chinese and Japanese characters one by one."""
    case_sensitive: bool = False

    name = "ter"
    label = "TER↓"
    better = "lower"

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Compute the least number of edits and the mean length of the targets.  # (n, 2)

        Raises:
            MetricError: the sequences do not run parallel, or an example has no target.
        """
        from sacrebleu.metrics import TER as Scorer

        scorer = Scorer(
            normalized=self.normalized,
            no_punct=self.no_punct,
            asian_support=self.asian_support,
            case_sensitive=self.case_sensitive,
        )
        pairs = pair_up(predictions, examples, self.label)
        return collect_segment_stats(scorer, pairs, "ratio", MIN_ROWS)
