"""Wins, ties and losses from the rows of a comparison."""

from __future__ import annotations

from dataclasses import replace

import pytest

from icl.core.errors import MetricError
from icl.core.types import Example, Prediction
from icl.metrics import make_metric
from icl.scoring.compare import Comparison, compare_sides
from icl.scoring.pairs import Side
from icl.scoring.win_rate import Wins, count_wins

A = ["1", "1", "1", "0", "0", "0", "0"]
B = ["1", "0", "1", "1", "1", "0", "1"]


def compared(metric: str = "accuracy") -> Comparison:
    examples = {str(n): Example(str(n), {"q": str(n)}, ("1",)) for n in range(len(A))}
    sides = [
        Side(name, examples, {str(n): Prediction(str(n), value) for n, value in enumerate(given)})
        for name, given in (("a", A), ("b", B))
    ]
    name, made = make_metric(metric)
    return compare_sides(sides[0], sides[1], name, made, {})


def test_rows_are_counted() -> None:
    assert count_wins(compared()) == Wins(3, 3, 1)


def test_less_is_better_where_the_metric_says_so() -> None:
    assert count_wins(replace(compared(), better="lower")) == Wins(1, 3, 3)


def test_a_metric_without_a_better_side_has_no_winner() -> None:
    with pytest.raises(MetricError, match="^acc: neither more nor less of it is better$"):
        count_wins(replace(compared(), better="none"))
    with pytest.raises(MetricError, match="^no common$"):
        count_wins(replace(compared(), sides=None, problem="no common"))


def test_rows_without_a_value_of_their_own_count_too() -> None:
    """Nothing is to be found in the first three: silence beats a false alarm, and ties silence."""
    wanted = ["[]", "[]", "[]", '["x"]']
    given = (["[]", '["y"]', "[]", '["x"]'], ['["y"]', "[]", "[]", '["x"]'])
    examples = {str(n): Example(str(n), {"q": n}, (text,)) for n, text in enumerate(wanted)}
    a, b = (
        Side(name, examples, {str(n): Prediction(str(n), text) for n, text in enumerate(said)})
        for name, said in zip("ab", given, strict=True)
    )
    assert count_wins(compare_sides(a, b, *make_metric("item_f1"), {})) == Wins(1, 2, 1)


def test_in_words() -> None:
    # 15 of 20: Wilson's interval is (0.5313, 0.8881) by Newcombe's (1998) formula.
    assert str(Wins(15, 40, 5)).endswith("75.0 % of 20 decided [53.1, 88.8]")
    assert str(Wins(0, 3, 0)) == "0 wins, 3 ties, 0 losses"
    assert str(Wins(1, 1, 1)).startswith("1 win, 1 tie, 1 loss; ")
    assert Wins(0, 3, 0).interval == (0.0, 1.0)
