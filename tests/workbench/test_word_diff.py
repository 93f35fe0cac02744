"""Word diffs: known ones, and that both texts come back whatever they are."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from icl.workbench.word_diff import LEFT, RIGHT, word_diff


def test_words_are_told_apart_within_a_changed_line() -> None:
    left = "Name the intent.\n\nUtterance: wake me\nIntent:"
    right = "Name the intents.\n\nUtterance: wake me\nLabel:"
    assert word_diff(left, right) == [
        ("Name the ", None),
        ("intent", LEFT),
        ("intents", RIGHT),
        (".\n\nUtterance: wake me\n", None),
        ("Intent", LEFT),
        ("Label", RIGHT),
        (":", None),
    ]


def test_edges() -> None:
    assert word_diff("", "") == []
    assert word_diff("same\n", "same\n") == [("same\n", None)]
    assert word_diff("", "new") == [("new", RIGHT)]
    assert word_diff("old", "") == [("old", LEFT)]
    assert word_diff("a  b", "a b") == [("a", None), ("  ", LEFT), (" ", RIGHT), ("b", None)]


@given(st.text("ab \n.", max_size=60), st.text("ab \n.", max_size=60))
def test_both_texts_come_back(left: str, right: str) -> None:
    made = word_diff(left, right)
    assert "".join(text for text, kind in made if kind != RIGHT) == left
    assert "".join(text for text, kind in made if kind != LEFT) == right
    assert all(text for text, _ in made)
    assert all(one[1] != two[1] for one, two in zip(made, made[1:], strict=False))


def test_long_texts_that_differ_everywhere_are_not_searched() -> None:
    left, right = "a " * 50_000, "b " * 50_000
    began = time.process_time()
    assert word_diff(left, right)[:2] == [(left[:-1], LEFT), (right[:-1], RIGHT)]
    assert time.process_time() - began < 30  # the search would take hours
