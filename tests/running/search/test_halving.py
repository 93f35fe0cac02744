"""Schedules of successive halving: known sizes, and what holds for all of them."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from icl.running.search.halving import LEAST, Rung, find_largest, pick_best, plan_rungs, price_rungs

some = st.integers(2, 200)
etas = st.integers(2, 5)


def test_nine_candidates_as_in_the_hyperband_paper() -> None:
    # Li et al. 2018, table 1 (R = 81, eta = 3): the bracket s = 4 begins with 81 candidates at 1
    # and ends with one at 81; its rungs of 9 at 9 and 3 at 27 are those of 9 candidates on 27 rows.
    assert plan_rungs(9, 27, 3) == [Rung(9, 9), Rung(3, 27)]


def test_two_candidates_need_one_rung() -> None:
    assert plan_rungs(2, 50, 3) == [Rung(2, 50)]


@given(some, st.integers(1, 500), etas)
def test_rungs_shrink_and_their_rows_grow(n: int, rows: int, eta: int) -> None:
    made = plan_rungs(n, rows, eta)
    assert made[0].candidates == n
    assert made[-1].rows == rows
    assert 2 <= made[-1].candidates <= max(eta, 2)
    for one, following in zip(made, made[1:], strict=False):
        assert following.candidates == math.ceil(one.candidates / eta)
        assert min(LEAST, rows) <= one.rows <= following.rows


@given(st.lists(st.floats(1, 100), min_size=2, max_size=60), st.integers(1, 300), etas,
       st.floats(1, 1e6))  # fmt: skip
def test_the_largest_schedule_fits_and_one_row_more_does_not(
    a_row: list[float], rows: int, eta: int, budget: float
) -> None:
    found = find_largest(a_row, rows, eta, budget)
    if found is None:
        assert sum(price_rungs(plan_rungs(len(a_row), min(LEAST, rows), eta), a_row)) > budget
        return
    assert sum(price_rungs(plan_rungs(len(a_row), found, eta), a_row)) <= budget
    if found < rows:
        assert sum(price_rungs(plan_rungs(len(a_row), found + 1, eta), a_row)) > budget


@given(some, st.integers(1, 300), etas, st.randoms())
def test_the_cost_is_an_upper_bound_whichever_candidates_are_kept(
    n: int, rows: int, eta: int, chance: object
) -> None:
    a_row = [1 + (7 * number) % 13 for number in range(n)]
    schedule = plan_rungs(n, rows, eta)
    alive, asked, spent = list(range(n)), 0, 0.0
    for rung, most in zip(schedule, price_rungs(schedule, a_row), strict=True):
        alive = chance.sample(alive, rung.candidates)  # type: ignore[attr-defined]
        this = sum(a_row[number] for number in alive) * (rung.rows - asked)
        assert this <= most + 1e-9
        spent, asked = spent + this, rung.rows
    assert spent <= sum(price_rungs(schedule, a_row)) + 1e-6


def test_best_breaks_ties_by_number_and_puts_the_undefined_last() -> None:
    values = {3: 1.0, 1: 1.0, 0: None, 2: 5.0}
    assert pick_best(values, 4) == [2, 1, 3, 0]
    assert pick_best(values, 4, sign=-1) == [1, 3, 2, 0]
