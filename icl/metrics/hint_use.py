"""Dictionary hints: the words that a dictionary knows, and the translations that answers use.

A translation is used if its words stand in the answer one behind the other; a word that is
inflected there does not count, so the share that the right answers use is told beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from icl.core.errors import MetricError
from icl.core.segmentation import split_words
from icl.core.stats import Rows, Stats
from icl.core.types import Example, Prediction
from icl.metrics import pair_up

__all__ = ["HintCoverage", "HintFit", "HintUse"]


LOOKUP = "hint_lookup"
"""The field with the number of words, the known ones, and the (word, translations) pairs."""


@dataclass(frozen=True, slots=True)
class HintCoverage:
    """Words of the rows that the dictionary knows, in percent of those looked up, with an interval.

    It says nothing of the answers: a dictionary that knows few words can help little.
    """

    name = "hint_coverage"
    label = "known %"
    better = "none"

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Count known words and words.  # (n, 2)

        Raises:
            MetricError: the sequences do not run parallel, or a row has no hints.
        """
        pair_up(predictions, examples, self.name)
        found = [_lookup(example, self.name) for example in examples]
        return _share([(one["known"], one["words"]) for one in found], self.name)


@dataclass(frozen=True, slots=True)
class HintUse:
    """Hints of which the answer holds a translation, in percent of all hints, with an interval.

    An answer that could not be parsed uses none. With ``control: hidden`` it says how many a model
    would find without being told.
    """

    name = "hint_use"
    label = "hints used %"

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Count used hints and hints.  # (n, 2)

        Raises:
            MetricError: the sequences do not run parallel, or a row has no hints.
        """
        rows = [
            _count(_lookup(example, self.name), [prediction.value or ""])
            for prediction, example in pair_up(predictions, examples, self.name)
        ]
        return _share(rows, f"{self.name}|match:whole words|case:ignored")


@dataclass(frozen=True, slots=True)
class HintFit:
    """Hints of which a right answer holds a translation, in percent, with an interval.

    It says how well the dictionary fits the data, whatever a model answers.
    """

    name = "hint_fit"
    label = "hints right %"
    better = "none"

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Count hints that a target uses, and hints.  # (n, 2)

        Raises:
            MetricError: the sequences do not run parallel, or a row has no hints or no target.
        """
        pair_up(predictions, examples, self.name)
        rows = [_count(_lookup(example, self.name), example.targets) for example in examples]
        return _share(rows, f"{self.name}|match:whole words|case:ignored")


def _lookup(example: Example, metric: str) -> dict[str, Any]:
    found = example.fields.get(LOOKUP)
    if not isinstance(found, dict):
        raise MetricError(
            f"{metric} counts the dictionary's hints, and example {example.id!r} has none; add "
            "`hints: {lexicon: NAME}` to the task and run it, or leave the metric out"
        )
    return found


def _count(lookup: dict[str, Any], answers: Sequence[str]) -> tuple[int, int]:
    said = [f" {' '.join(split_words(answer))} " for answer in answers]
    used = 0
    for _, senses in lookup["pairs"]:
        wanted = [f" {' '.join(split_words(sense))} " for sense in senses]
        used += any(one in answer for one in wanted for answer in said)
    return used, len(lookup["pairs"])


def _share(rows: Sequence[tuple[int, int]], signature: str) -> Stats:
    made = np.array(rows, dtype=np.float64).reshape(len(rows), 2)
    return Stats(made, _percent, signature, scale="percent")


def _percent(row: Rows) -> float | None:
    part, whole = row.tolist()
    return 100 * part / whole if whole else None
