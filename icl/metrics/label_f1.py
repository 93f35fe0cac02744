"""F1 of labels in sets: over all rows together (micro), or the mean over labels (macro)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from icl.core.stats import Rows, Stats
from icl.core.types import Example, Prediction
from icl.metrics import check_chance_labels, pair_up, read_label_set

__all__ = ["LabelMacroF1", "LabelMicroF1"]


Sets = tuple[frozenset[str], frozenset[str]]
"""(labels of the answer, labels of the target) of a row."""


@dataclass(frozen=True, slots=True)
class LabelMicroF1:
    """F1 of the labels of all rows together, 0 to 100, with a bootstrap interval.

    As ``f1_score(average="micro")`` of scikit-learn on the rows' indicators. A prediction that
    could not be parsed has no labels. Of several right sets the one that shares most counts. None
    where neither predictions nor targets have any label.
    """

    name = "label_micro_f1"
    label = "micro-F1"

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Count each row's labels in both sets, in the answer, and in the target.  # (n, 3)

        Raises:
            MetricError: the sequences do not run parallel, an example has no target, or an answer
                is no set of labels.
        """
        rows = [
            (len(said & wanted), len(said), len(wanted))
            for said, wanted in _sets(predictions, examples, self.name)
        ]
        made = np.array(rows, dtype=np.float64).reshape(len(rows), 3)
        return Stats(made, _micro, self.name)

    def chance(self, examples: Sequence[Example], labels: Sequence[Sequence[str]]) -> Stats:
        """Compute the expected counts of each example where all sets are equally likely.

        Each label is in half of the sets. The rows have shape (n, 3).

        Raises:
            MetricError: an example has no labels to draw from, or its answer is no set of labels.
        """
        shown = check_chance_labels(labels)
        rows = [
            (len(wanted & {*own}) / 2, len(own) / 2, len(wanted))
            for wanted, own in zip(_wanted(examples, self.name), labels, strict=True)
        ]
        made = np.array(rows, dtype=np.float64).reshape(len(rows), 3)
        return Stats(made, _micro, f"chance|sets:even|labels:{shown}")


@dataclass(frozen=True, slots=True)
class LabelMacroF1:
    """The mean of the labels' F1s, 0 to 100, with a bootstrap interval.

    The labels are those that occur among predictions or targets, as in
    ``f1_score(average="macro", zero_division=0)`` of scikit-learn on the indicators of those. A
    prediction that could not be parsed has no labels. None where there are none at all.
    """

    name = "label_macro_f1"
    label = "macro-F1"

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Count labels in both sets, answer and target, in a block each.  # (n, 3 * labels)

        Raises:
            MetricError: the sequences do not run parallel, an example has no target, or an answer
                is no set of labels.
        """
        sets = list(_sets(predictions, examples, self.name))
        names = sorted({label for pair in sets for one in pair for label in one})
        place = {label: column for column, label in enumerate(names)}
        rows = np.zeros((len(sets), 3, len(names)))
        for row, (said, wanted) in zip(rows, sets, strict=True):
            for block, found in enumerate((said & wanted, said, wanted)):
                row[block, [place[label] for label in found]] = 1
        flat = rows.reshape(len(rows), 3 * len(names))
        return Stats(flat, _macro, f"{self.name}|labels:occurring")

    def chance(self, examples: Sequence[Example], labels: Sequence[Sequence[str]]) -> Stats:
        """Compute the expected counts of each label where all sets are equally likely.

        The rows have shape (n, 3 * labels).

        Raises:
            MetricError: an example has no labels to draw from, or its answer is no set of labels.
        """
        shown = check_chance_labels(labels)
        wanted = list(_wanted(examples, self.name))
        names = sorted({label for own in labels for label in own})
        drawn = np.array([[label in own for label in names] for own in map(set, labels)]) / 2
        gold = np.array([[label in own for label in names] for own in wanted], dtype=np.float64)
        return Stats(
            np.hstack([drawn * gold, drawn, gold]), _macro, f"chance|sets:even|labels:{shown}"
        )


def _wanted(examples: Sequence[Example], metric: str) -> Iterator[frozenset[str]]:
    """Yield the first right set of each example; the empty set for one without a target."""
    for example in examples:
        first = example.targets[0] if example.targets else None
        yield read_label_set(first, example.id, metric) or frozenset()


def _sets(
    predictions: Sequence[Prediction], examples: Sequence[Example], metric: str
) -> Iterator[Sets]:
    for prediction, example in pair_up(predictions, examples, metric):
        said = read_label_set(prediction.value, example.id, metric) or frozenset()
        ways = [read_label_set(one, example.id, metric) or frozenset() for one in example.targets]
        yield said, max(ways, key=partial(_alike, said))


def _alike(said: frozenset[str], wanted: frozenset[str]) -> float:
    return 2 * len(said & wanted) / (len(said) + len(wanted)) if said or wanted else 1.0


def _micro(row: Rows) -> float | None:
    both, said, wanted = row.tolist()
    return 200 * both / (said + wanted) if said + wanted else None


def _macro(row: Rows) -> float | None:
    both, said, wanted = row.reshape(3, -1)
    occurs = said + wanted > 0
    if not occurs.any():
        return None
    return float(100 * np.mean(2 * both[occurs] / (said + wanted)[occurs]))
