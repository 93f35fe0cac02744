"""The held-out split of a table: stratified, stable, and no input on both sides."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from icl.experiment.table_split import MOST_TEST_ROWS, POOL, TEST, split_rows

ROWS = st.lists(
    st.tuples(st.sampled_from("abcdefghABC"), st.sampled_from(["x", "y", "z"])), min_size=2
)


@given(ROWS, st.randoms(use_true_random=False))
def test_an_input_is_on_one_side_in_whatever_order_rows_stand(
    rows: list[tuple[str, str]], shuffled: random.Random
) -> None:
    sides = split_rows([text for text, _ in rows], [label for _, label in rows])
    of = {}
    for (text, _), side in zip(rows, sides, strict=True):
        assert of.setdefault(text.casefold(), side) == side
    order = list(range(len(rows)))
    shuffled.shuffle(order)
    again = split_rows([rows[n][0] for n in order], [rows[n][1] for n in order])
    assert again == [sides[n] for n in order]


def test_each_label_has_its_share_and_a_shot() -> None:
    labels = ["often"] * 60 + ["rare"] * 20 + ["once"]
    sides = split_rows([f"text {n}" for n in range(81)], labels)
    counted = Counter(zip(labels, sides, strict=True))
    assert counted["often", TEST] == 30 - (counted["rare", TEST] > 10) or counted["often", TEST]
    assert abs(counted["often", TEST] - 30) <= 1 and abs(counted["rare", TEST] - 10) <= 1
    assert counted["once", POOL] == 1
    assert abs(sides.count(TEST) - 40) <= 1


def test_no_more_rows_are_asked_than_a_first_run_needs() -> None:
    sides = split_rows([f"text {n}" for n in range(3000)], ["a", "b", "c"] * 1000)
    assert sides.count(TEST) == MOST_TEST_ROWS
    assert split_rows([f"t{n}" for n in range(4)], [None] * 4).count(TEST) == 2


def test_one_input_that_many_rows_repeat_stays_whole() -> None:
    sides = split_rows(["same"] * 50 + [f"t{n}" for n in range(50)], [None] * 100)
    assert len({*sides[:50]}) == 1
    assert {TEST, POOL} <= {*sides}
