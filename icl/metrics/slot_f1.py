"""Metrics of slots: F1 of spans, exact match of whole rows, and the intent's accuracy.

Source: MASSIVE (FitzGerald et al. 2023, arXiv 2204.08582), whose micro-F1 is seqeval's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from icl.core.bio import find_chunks, fit_tags
from icl.core.errors import MetricError
from icl.core.slot_answers import SlotAnswer, read_slot_answer
from icl.core.stats import Rows, Stats, proportion
from icl.core.types import Example, Prediction
from icl.metrics import pair_up

__all__ = ["IntentAccuracy", "SlotF1", "SlotMatch", "count_spans"]


Key = tuple[str, int, int]
"""Name, first and last token; -1 for a value that is not in the text."""


def count_spans(answer: SlotAnswer, length: int | None = None) -> Counter[Key]:
    """Count the spans of an answer by name and place; invented values have no place.

    Args:
        answer: an answer or gold.
        length: tokens of the row, to which tags are padded or cut.
    """
    tags = answer.tags if length is None else fit_tags(answer.tags, length)
    return Counter([*find_chunks(tags), *((name, -1, -1) for name in answer.invented)])


@dataclass(frozen=True, slots=True)
class SlotF1:
    """F1 of the spans of all rows together (micro), 0 to 100, with an interval.

    A span is right if its name, its first and its last token are, as in seqeval's default mode. A
    value that does not stand in the text is one span too many. A prediction that could not be
    parsed has none. None where neither predictions nor targets have any.
    """

    name = "slot_f1"
    label = "slot-F1"

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Count the spans in both, in the prediction and in the target.  # (n, 3)

        Raises:
            MetricError: the sequences do not run parallel, an example has no target, or an answer
                is none of slots.
        """
        rows = []
        for prediction, example in pair_up(predictions, examples, self.label):
            ways = []
            for target in example.targets:
                gold = _read(target, example.id, self.name)
                wanted = count_spans(gold)
                said = Counter[Key]()
                if prediction.value is not None:
                    answer = _read(prediction.value, example.id, self.name)
                    said = count_spans(answer, len(gold.tags))
                ways.append(((said & wanted).total(), said.total(), wanted.total()))
            rows.append(max(ways, key=_alike))
        made = np.array(rows, dtype=np.float64).reshape(len(rows), 3)
        return Stats(made, _f1, "slot_f1|micro|chunks:seqeval-default", scale="percent")


@dataclass(frozen=True, slots=True)
class SlotMatch:
    """Percentage of rows whose tags are all right, and whose intent is, where the task has one.

    With Wilson's interval. A prediction that could not be parsed is wrong and stays in n.
    """

    name = "slot_match"
    label = "row EM"

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Compute rows [hit, 1].  # (n, 2)

        Raises:
            MetricError: see :meth:`SlotF1.stats`.
        """
        hits = []
        intents = False
        for prediction, example in pair_up(predictions, examples, self.label):
            golds = [_read(target, example.id, self.name) for target in example.targets]
            intents = intents or any(gold.intent is not None for gold in golds)
            if prediction.value is None:
                hits.append(False)
                continue
            said = _read(prediction.value, example.id, self.name)
            hits.append(any(_equal(said, gold) for gold in golds))
        return proportion(hits, f"slot_match|intent:{'asked' if intents else 'no'}")


@dataclass(frozen=True, slots=True)
class IntentAccuracy:
    """Answers of slots whose intent is right, in percent, with Wilson's interval.

    None where the answers name no intent.
    """

    name = "intent_accuracy"
    label = "intent acc"

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Compute rows [hit, 1], or [0, 0] of a row without an intent.  # (n, 2)

        Raises:
            MetricError: see :meth:`SlotF1.stats`.
        """
        hits, asked = [], []
        for prediction, example in pair_up(predictions, examples, self.label):
            golds = {_read(target, example.id, self.name).intent for target in example.targets}
            said = (
                None
                if prediction.value is None
                else _read(prediction.value, example.id, self.name).intent
            )
            asked.append(golds != {None})
            hits.append(said is not None and said in golds)
        made = proportion(hits, self.name)
        if all(asked):
            return made
        rows = made.rows * np.array(asked, dtype=np.float64)[:, None]
        return Stats(rows, made.value, made.signature, scale="percent")


def _equal(said: SlotAnswer, gold: SlotAnswer) -> bool:
    tags = tuple(fit_tags(said.tags, len(gold.tags)))
    if gold.intent is not None and said.intent != gold.intent:
        return False
    return not said.invented and tags == gold.tags


def _read(answer: str, example: str, metric: str) -> SlotAnswer:
    try:
        return read_slot_answer(answer)
    except ValueError as error:
        raise MetricError(
            f"{metric} compares slots, and an answer of example {example!r} is {answer[:40]!r}; "
            "use the task slots"
        ) from error


def _alike(row: tuple[int, int, int]) -> float:
    """Compute the F1 of one prediction and target; 100 if both have no spans."""
    found = _f1(np.array(row))
    return 100.0 if found is None else found


def _f1(row: Rows) -> float | None:
    both, said, wanted = row.tolist()
    return 200 * both / (said + wanted) if said + wanted else None
