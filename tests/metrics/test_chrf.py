import pytest

from icl.core.errors import MetricError
from icl.core.stats import score
from icl.core.types import Example, Prediction
from icl.metrics.chrf import ChrF


def test_value_by_hand():
    # chrF of orders 1 and 2, no words, beta 1: hypothesis "ab", reference "abc".
    # Order 1: precision 2/2, recall 2/3; order 2: 1/1 and 1/2. Means 1 and 7/12.
    stats = ChrF(char_order=2, word_order=0, beta=1).stats(
        [Prediction("0", "ab")], [Example("0", {}, ("abc",))]
    )
    assert stats.rows.tolist() == [[2, 3, 2, 1, 2, 1]]
    assert score("chrf", stats).value == pytest.approx(100 * 2 * (7 / 12) / (1 + 7 / 12))


@pytest.mark.parametrize(("order", "label"), [(0, "chrF"), (1, "chrF+"), (2, "chrF++")])
def test_label(order, label):
    assert ChrF(word_order=order).label == label


def test_chrf_plus_plus_is_the_default():
    assert (ChrF().name, ChrF().label) == ("chrf", "chrF++")


@pytest.mark.parametrize("options", [{"char_order": 0}, {"word_order": -1}, {"beta": 0}])
def test_refuses_options_out_of_range(options):
    with pytest.raises(MetricError, match=r"^chrF got char_order \d, .*: give char_order >= 1"):
        ChrF(**options)


def test_refuses_rows_without_targets():
    with pytest.raises(MetricError, match=r"^chrF\+\+ needs a target, and example 'x' has none"):
        ChrF().stats([Prediction("x", "a")], [Example("x", {})])


@pytest.mark.parametrize(
    ("options", "label"),
    [
        ({}, "chrF++"),
        ({"word_order": 0}, "chrF"),
        ({"word_order": 1}, "chrF+"),
        ({"word_order": 0, "beta": 1}, "chrF1"),
        ({"beta": 3}, "chrF3++"),
        ({"char_order": 4, "lowercase": True}, "chrF++"),
    ],
)
def test_a_score_is_called_by_its_settings(options, label):
    metric = ChrF(**options)
    signature = metric.stats([Prediction("0", "ab")], [Example("0", {}, ("abc",))]).signature
    assert metric.label == ChrF.label_of(signature) == label


def test_every_option_is_in_the_signature():
    said = {
        ChrF(**options).stats([Prediction("0", "ab")], [Example("0", {}, ("abc",))]).signature
        for options in (
            {}, {"char_order": 5}, {"word_order": 1}, {"beta": 1}, {"beta": 3}, {"lowercase": True}
        )
    }  # fmt: skip
    assert len(said) == 6
