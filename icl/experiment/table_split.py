"""A held-out split of a table: test rows, and pool rows that may be shots."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

__all__ = ["MOST_TEST_ROWS", "POOL", "TEST", "split_rows"]


TEST, POOL = "test", "train"
MOST_TEST_ROWS = 100
"""Most test rows: enough for an interval of ten points to either side, few enough to try out."""


def split_rows(inputs: Sequence[str], labels: Sequence[str | None]) -> list[str]:
    """Return :data:`TEST` or :data:`POOL` for each row: half, but at most 100, are test rows.

    The side of a row follows from its own text and the number of rows of its label, so the same
    table is always split alike, whatever the order of its rows. Rows with the same input, except
    for case and white space, are on one side. Each label with two different inputs has its share
    on both; one with a single input is only used for shots.

    Args:
        inputs: the text of each row that the model reads.
        labels: the label of each row; rows without one (None) count as one label.

    >>> split_rows(["a", "A ", "b", "c"], [None] * 4).count(TEST)
    2
    """
    keys = [" ".join(text.casefold().split()) for text in inputs]
    groups: dict[str, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        groups[key].append(place)
    strata: dict[str, list[str]] = defaultdict(list)
    for key, places in groups.items():
        strata[min(labels[place] or "" for place in places)].append(key)
    wanted = min(len(inputs) // 2, MOST_TEST_ROWS)
    share, owed = wanted / len(inputs), 0.0
    sides = [POOL] * len(inputs)
    for _, members in sorted(strata.items()):
        owed += share * sum(len(groups[key]) for key in members)
        ordered = sorted(members, key=_place)
        for key in ordered[:-1]:  # one input of each label stays for the shots
            places = groups[key]
            if len(places) / 2 > owed:
                continue
            owed -= len(places)
            for place in places:
                sides[place] = TEST
    return sides


def _place(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
