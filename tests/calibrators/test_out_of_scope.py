"""Rows out of scope: the threshold, how it is chosen, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from icl.calibrators import Answers, make_calibrator
from icl.core.errors import CalibrationError, ConfigError

LABELS = ("a", "b", "oos")


def answers(rows: Sequence[Sequence[float]], **more: Any) -> Answers:
    n = len(rows)
    made = Answers(
        logprobs=[np.log(row) for row in rows],
        labels=[LABELS] * n,
        texts=[LABELS] * n,
        tokens=[(1, 1, 1)] * n,
        votes=[("a",)] * n,
    )
    return replace(made, **more)


def winners(given: Answers, **options: Any) -> list[str]:
    made = make_calibrator({"calibrator": "out_of_scope", **options})[1].calibrate(given)
    return [LABELS[int(row.argmax())] for row in made.scores]


ROWS = [[0.8, 0.1, 0.1], [0.3, 0.3, 0.4], [0.05, 0.04, 0.91]]


def test_a_row_below_the_threshold_is_out_of_scope_and_no_other_is() -> None:
    # Shares of the best label in scope: 8/9, 1/2 and 5/9; the label oos itself plays no part.
    assert winners(answers(ROWS), threshold=float(np.log(0.52))) == ["a", "oos", "a"]
    assert winners(answers(ROWS), threshold=0.0) == ["oos", "oos", "oos"]
    assert winners(answers(ROWS), threshold=-9.0) == ["a", "a", "a"]


def test_by_sum_takes_the_labels_own_probability() -> None:
    assert winners(answers(ROWS), by="sum", threshold=float(np.log(0.2))) == ["a", "a", "oos"]


def test_a_pool_in_scope_gives_the_share_to_reject() -> None:
    pool = answers([[p, 1 - p, 0.01] for p in (0.6, 0.7, 0.8, 0.9, 0.99)], gold=[("a",)] * 5)
    made = make_calibrator({"calibrator": "out_of_scope", "reject": 0.25})[1]
    done = made.calibrate(answers(ROWS, pool=pool))
    # A quarter of five values lies below the second of them, ln 0.7.
    assert done.fitted == f"threshold={np.log(0.7):.4g},pool=5,reject=0.25"
    assert done.warnings == (
        "the threshold was chosen on 5 pool rows alone; 20 and more are better",
    )
    assert done.confidence is not None and done.outside == "oos"
    np.testing.assert_allclose(done.confidence, np.log([8 / 9, 1 / 2, 5 / 9]))


def test_a_pool_with_rows_out_of_scope_parts_them_best() -> None:
    shares, gold = (0.55, 0.6, 0.7, 0.9, 0.95), ("oos", "oos", "a", "oos", "a")
    pool = answers([[p, 1 - p, 0.5] for p in shares], gold=[(one,) for one in gold])
    done = make_calibrator("out_of_scope")[1].calibrate(answers(ROWS, pool=pool))
    # Two of three below it and none of two: midway between ln 0.6 and ln 0.7.
    middle = (np.log(0.6) + np.log(0.7)) / 2
    assert done.fitted == f"threshold={middle:.4g},pool=5,outside=3"


def test_what_is_missing_is_said_with_its_repair() -> None:
    with pytest.raises(CalibrationError, match="'none' is not among the choices a, b, oos; name"):
        winners(answers(ROWS), label="none", threshold=-1.0)
    with pytest.raises(CalibrationError, match="no pool row was answered.*threshold: -1.5}"):
        winners(answers(ROWS))


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("label", "", "label is ''; give the label, as in oos"),
        ("by", "mean", "by is 'mean'; give share or sum"),
        ("threshold", 0.5, "threshold is 0.5; give a log-probability, 0 or below, as in -1.5"),
        ("threshold", True, "threshold is True; give a log-probability"),
        ("reject", 1, "reject is 1; give a share from 0 to below 1, as in 0.1"),
        ("n", 0, "n is 0; give the number of pool rows, as in 100"),
    ],
)
def test_wrong_options(option: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_calibrator({"calibrator": "out_of_scope", option: value})
