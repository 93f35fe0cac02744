"""The answers behind a condition's score: its worst errors, and its confusion matrix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from icl.core.errors import MetricError
from icl.core.probabilities import label_shares
from icl.core.stats import Stats
from icl.core.types import Example, Prediction, Record
from icl.metrics import make_metric, starts_program
from icl.records.results import ConditionResult

__all__ = ["ScoredAnswer", "Confusion", "score_answers", "count_confusions", "pick_worst"]


WHOLE = 15
"""Most labels of a confusion matrix that is shown completely."""
SHOWN = 12
"""Number of labels shown separately if there are more."""


@dataclass(frozen=True, slots=True)
class ScoredAnswer:
    """One record with its prediction, and its own value of the metric."""

    example: Example
    record: Record
    prediction: Prediction
    value: float | None
    """The condition's first metric for only this row, 0 to 100; None if undefined."""
    confidence: float | None
    """The answer's share of the probability of all choices; None for generated text."""

    @property
    def right(self) -> bool:
        """Return whether the answer is one of the targets, character for character."""
        return self.prediction.value in self.example.targets


def score_answers(condition: ConditionResult) -> list[ScoredAnswer]:
    """Return every record of a condition with its prediction, row score and confidence."""
    predictions = condition.predictions()
    values = _row_values(condition, predictions)
    made = []
    for record, example, prediction, value in zip(
        condition.records.values(), condition.examples, predictions, values, strict=True
    ):
        single = record.logprobs and condition.set_rule is None
        confidence = max(label_shares(record.logprobs)) if single else None
        made.append(ScoredAnswer(example, record, prediction, value, confidence))
    return made


def _row_values(
    condition: ConditionResult, predictions: Sequence[Prediction]
) -> list[float | None]:
    """Compute the first metric that needs no external program, for each single row."""
    undefined: list[float | None] = [None] * len(predictions)
    own = [
        metric
        for _, metric in map(make_metric, condition.entry.metrics)
        if not starts_program(metric)
    ]
    if not own or not predictions:
        return undefined
    try:
        stats: Stats = own[0].stats(predictions, condition.examples)
    except MetricError:  # rows without gold: the score table says so
        return undefined
    return [stats.value(row) for row in stats.rows]


def pick_worst(found: Sequence[ScoredAnswer], most: int) -> tuple[list[ScoredAnswer], int]:
    """Return the ``most`` worst wrong answers, and the number of all wrong ones.

    The lowest row score comes first; of equal ones the most confident.
    """
    wrong = [one for one in found if not one.right and one.value is not None and one.value < 100]
    wrong.sort(key=lambda one: (one.value, -(one.confidence or 0.0), one.example.id))
    return wrong[:most], len(wrong)


@dataclass(frozen=True, slots=True)
class Confusion:
    """A confusion matrix: the counts of each right label (row) and answered label (column)."""

    labels: tuple[str, ...]
    """Labels with their own row and column, sorted by name."""
    counts: tuple[tuple[int, ...], ...]
    """If labels were joined, the next row and column are all other labels; the last column counts
    rows without an answer, if there are any."""
    pairs: tuple[tuple[str, str | None, int, int], ...]
    """(right label, answer, times, rows with that right label) of the most frequent confusions."""
    joined: int = 0
    """Number of labels that are counted together; 0 if every label has its own row."""
    unanswered: bool = False

    @property
    def most(self) -> int:
        """The largest count of labels with their own row, which scales the shades."""
        size = len(self.labels)
        return max((count for row in self.counts[:size] for count in row[:size]), default=0)


def count_confusions(found: Sequence[ScoredAnswer], pairs: int = 10) -> Confusion | None:
    """Count the confusion matrix of label answers; None without right labels.

    The right label is the target that was answered, else the first target. If more than
    ``WHOLE`` labels occur, those with most confusions get their own row, and all others
    are counted together.
    """
    known = [
        (said if said is not None and one.right else one.example.targets[0], said)
        for one in found
        if one.example.targets
        for said in (one.prediction.value,)
    ]
    if not known:
        return None
    wrong = Counter(pair for pair in known if pair[0] != pair[1])
    golds = Counter(gold for gold, _ in known)
    labels = sorted({label for pair in known for label in pair if label is not None})
    apart = labels if len(labels) <= WHOLE else _busiest(labels, wrong, golds)
    joined = len(labels) - len(apart)
    place = {label: number for number, label in enumerate(apart)}
    size = len(apart) + (joined > 0)
    unanswered = any(said is None for _, said in known)
    counts = [[0] * (size + unanswered) for _ in range(size)]
    for gold, said in known:
        column = size if said is None else place.get(said, len(apart))
        counts[place.get(gold, len(apart))][column] += 1
    top = sorted(wrong.items(), key=lambda item: (-item[1], item[0][0], item[0][1] or ""))
    return Confusion(
        tuple(apart),
        tuple(map(tuple, counts)),
        tuple((gold, said, count, golds[gold]) for (gold, said), count in top[:pairs]),
        joined,
        unanswered,
    )


def _busiest(
    labels: Sequence[str], wrong: Counter[tuple[str, str | None]], golds: Counter[str]
) -> list[str]:
    """Select the labels with most confusions, of equal ones those with most rows."""
    part: Counter[str | None] = Counter()
    for (gold, said), count in wrong.items():
        part.update({gold: count, said: count})
    order = sorted(labels, key=lambda label: (-part[label], -golds[label], label))
    return sorted(order[:SHOWN])
