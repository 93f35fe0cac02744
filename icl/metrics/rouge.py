"""ROUGE by the library rouge_score, with words of every script.

Lin 2004, https://aclanthology.org/W04-1013. The library's own tokenizer keeps the letters a to z
alone, so that a Hindi summary scores 0 and a German one loses its umlauts; the one given to it
here finds the same tokens in ASCII text and words or characters everywhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from icl.core.errors import MetricError
from icl.core.segmentation import split_sentences, split_words
from icl.core.stats import Stats, mean
from icl.core.types import Example, Prediction
from icl.metrics import pair_up

__all__ = ["Rouge1", "Rouge2", "RougeL", "RougeLsum"]


STEMMED_CHARS = 3
"""Longest words that are not stemmed, as in ROUGE-1.5.5."""


@dataclass(frozen=True, slots=True)
class _Words:
    """A tokenizer with the interface that rouge_score expects."""

    stem: bool

    def tokenize(self, text: str) -> list[str]:
        found = split_words(text)
        if not self.stem:
            return found
        from nltk.stem.porter import PorterStemmer

        porter = PorterStemmer()
        return [
            porter.stem(word) if len(word) > STEMMED_CHARS and word.isascii() else word
            for word in found
        ]


@dataclass(frozen=True, slots=True)
class _Rouge:
    """Mean F1 of the examples, 0 to 100, with an interval; of several targets the best.

    A prediction that could not be parsed counts 0.
    """

    stem: bool = False
    """Reduce English words to their stems (Porter), as many published numbers do."""

    name: ClassVar[str]
    label: ClassVar[str]

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Compute rows [F1, 1].  # (n, 2)

        Raises:
            MetricError: the sequences do not run parallel, or an example has no target.
        """
        from rouge_score.rouge_scorer import RougeScorer

        scorer = RougeScorer([self.name], tokenizer=_Words(self.stem))
        values = []
        for prediction, example in pair_up(predictions, examples, self.label):
            if not any(map(split_words, example.targets)):
                raise MetricError(
                    f"{self.label}: no target of example {example.id!r} holds a word; give it a "
                    "reference, or leave it out"
                )
            found = scorer.score_multi(
                [_lines(target) for target in example.targets], _lines(prediction.value or "")
            )
            values.append(found[self.name].fmeasure)
        from importlib.metadata import version

        settings = f"refs:best|words:unicode|sentences:rules|stem:{'yes' if self.stem else 'no'}"
        return mean(values, f"{self.name}|F1|{settings}|rouge_score:{version('rouge_score')}")


def _lines(text: str) -> str:
    """Write one sentence per line, which is where ROUGE-Lsum splits a summary."""
    return "\n".join(split_sentences(text))


class Rouge1(_Rouge):
    """ROUGE-1: words in common."""

    name = "rouge1"
    label = "R-1"


class Rouge2(_Rouge):
    """ROUGE-2: pairs of words in common."""

    name = "rouge2"
    label = "R-2"


class RougeL(_Rouge):
    """ROUGE-L: the longest common subsequence of words."""

    name = "rougeL"
    label = "R-L"


class RougeLsum(_Rouge):
    """ROUGE-Lsum: the union of longest common subsequences, sentence by sentence."""

    name = "rougeLsum"
    label = "R-Lsum"
