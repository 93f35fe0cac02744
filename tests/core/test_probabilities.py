"""The one softmax: equal for likelihoods shifted alike, and safe for very small ones."""

from __future__ import annotations

import math

import numpy as np
import pytest

from icl.core.probabilities import label_shares, log_sum_exp, normalise

LOGPROBS = [math.log(0.1), math.log(0.3), math.log(0.2)]


@pytest.mark.parametrize("shift", [0.0, -2000.0])
def test_shares_do_not_depend_on_the_mass_of_all_choices(shift: float) -> None:
    moved = [value + shift for value in LOGPROBS]
    assert label_shares(moved) == pytest.approx([1 / 6, 1 / 2, 1 / 3])
    assert np.exp(normalise(np.array(moved))) == pytest.approx([1 / 6, 1 / 2, 1 / 3])
    assert log_sum_exp(moved) == pytest.approx(math.log(0.6) + shift)


def test_one_choice_has_the_whole_share() -> None:
    assert label_shares([-7.0]) == [1.0]
    assert normalise(np.array([-7.0])).tolist() == [0.0]


def test_an_impossible_choice_has_no_share() -> None:
    assert label_shares([-1.0, -math.inf]) == [1.0, 0.0]
    assert normalise(np.array([-1.0, -math.inf])).tolist() == [0.0, -math.inf]
