"""Item F1 for extraction: precision and recall of (field, value) pairs over all rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from icl.core.errors import MetricError
from icl.core.extraction import count_items
from icl.core.stats import Rows, Stats
from icl.core.types import Example, Prediction
from icl.metrics import pair_up

__all__ = ["ItemF1"]


@dataclass(frozen=True, slots=True)
class ItemF1:
    """F1 of the items of all rows together (micro), 0 to 100, with an interval.

    An item is a value with its field, or an entry of a list. Case and white space are folded,
    order does not count, an item named twice counts twice. A prediction that could not be parsed
    has no items. None where neither predictions nor targets have any.
    """

    name = "item_f1"
    label = "item-F1"

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Count the items in both, in the prediction and in the target.  # (n, 3)

        Of several targets the one with the best F1 counts.

        Raises:
            MetricError: the sequences do not run parallel, an example has no target, or a
                target or prediction is no JSON object or list.
        """
        rows = []
        for prediction, example in pair_up(predictions, examples, self.label):
            said = _items(prediction.value, example.id, "prediction")
            ways = [
                ((said & wanted).total(), said.total(), wanted.total())
                for wanted in (_items(target, example.id, "target") for target in example.targets)
            ]
            rows.append(max(ways, key=_alike))
        made = np.array(rows, dtype=np.float64).reshape(len(rows), 3)
        signature = "item_f1|micro|case:folded|space:folded"
        return Stats(made, _f1, signature, scale="percent")


def _items(answer: str | None, example: str, what: str) -> Counter[tuple[str, str]]:
    if answer is None:
        return Counter()
    try:
        return count_items(answer)
    except (ValueError, TypeError) as error:
        raise MetricError(
            f"item_f1 compares JSON objects or lists, and the {what} of example {example!r} is "
            f"{answer[:40]!r}; use the task extract and its parser `fields`"
        ) from error


def _alike(row: tuple[int, int, int]) -> float:
    """Compute the F1 of one prediction and target; 100 if both have no items."""
    found = _f1(np.array(row))
    return 100.0 if found is None else found


def _f1(row: Rows) -> float | None:
    both, said, wanted = row.tolist()
    return 200 * both / (said + wanted) if said + wanted else None
