"""Metrics of sets of labels; scikit-learn's functions gave the same values on indicators."""

from itertools import combinations

import pytest

from icl.core.errors import MetricError
from icl.core.label_sets import write_labels
from icl.core.stats import score
from icl.core.types import Example, Prediction
from icl.metrics.jaccard import Jaccard
from icl.metrics.label_f1 import LabelMacroF1, LabelMicroF1
from icl.metrics.subset_accuracy import SubsetAccuracy
from icl.tasks.baselines import baselines, find_best_sets
from icl.tasks.generic import LABELS

METRICS = [SubsetAccuracy(), Jaccard(), LabelMicroF1(), LabelMacroF1()]


def rows(*pairs):
    """(prediction, example) of each pair of sets, written as letters; None is unparsed."""
    return [
        (
            Prediction(str(i), None if said is None else write_labels(said)),
            Example(str(i), {}, (write_labels(wanted),)),
        )
        for i, (said, wanted) in enumerate(pairs)
    ]


def values(*pairs):
    predictions, examples = zip(*rows(*pairs), strict=True)
    return [score(m.name, m.stats(predictions, examples)).value for m in METRICS]


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("ab", "ba")], (100, 100, 100, 100)),
        ([("ab", "a")], (0, 50, 200 / 3, 50)),  # F1 of a is 1, of b 0
        ([("c", "ab")], (0, 0, 0, 0)),
        ([("", "")], (100, 100, None, None)),
        ([("", "a")], (0, 0, 0, 0)),
        ([(None, "a"), ("a", "a")], (50, 50, 200 / 3, 200 / 3)),
        (
            # Shared 4, said 5, wanted 6; a: 2 of 2 and 2; b: 1 of 2 and 2; c: 1 of 1 and 2.
            [("ab", "ab"), ("ac", "abc"), ("b", "c")],
            (100 / 3, 500 / 9, 800 / 11, 100 * (1 + 1 / 2 + 2 / 3) / 3),
        ),
    ],
)
def test_values(pairs, expected):
    for value, wanted in zip(values(*pairs), expected, strict=True):
        assert value == (None if wanted is None else pytest.approx(wanted))


@pytest.mark.parametrize("metric", METRICS, ids=lambda one: one.name)
def test_what_is_no_set_is_refused_with_the_repair(metric):
    with pytest.raises(MetricError, match=r"compares sets of labels, .* 'joy'; use a task of kind"):
        metric.stats([Prediction("0", "joy")], [Example("0", {}, ("[]",))])


@pytest.mark.parametrize("wanted", ["", "a", "bc", "abcd"])
@pytest.mark.parametrize("metric", METRICS[:2], ids=lambda one: one.name)
def test_chance_is_the_mean_over_all_sets(metric, wanted):
    labels = "abcd"
    drawn = [one for size in range(5) for one in combinations(labels, size)]
    assert len(drawn) == 16
    each = rows(*((one, wanted) for one in drawn))
    stats = metric.stats(*zip(*each, strict=True))
    expected = stats.value(stats.rows.sum(axis=0))
    example = Example("0", {}, (write_labels(wanted),))
    made = metric.chance([example], [list(labels)])
    assert made.value(made.rows.sum(axis=0)) == pytest.approx(expected)
    assert made.signature == "chance|sets:even|labels:4"


def test_chance_of_f1_is_that_of_the_expected_counts():
    examples = [Example("0", {}, (write_labels("a"),)), Example("1", {}, (write_labels("ab"),))]
    labels = [list("abc")] * 2
    micro, macro = (m.chance(examples, labels) for m in METRICS[2:])
    # 3 wanted, 3 said on average, half of those wanted in both.
    assert micro.value(micro.rows.sum(axis=0)) == pytest.approx(100 * 2 * 1.5 / (3 + 3))
    # a: 1 of 1 said and 2 wanted; b: 0.5 of 1 and 1; c: 0.
    expected = 100 * (2 * 1 / 3 + 2 * 0.5 / 2 + 0) / 3
    assert macro.value(macro.rows.sum(axis=0)) == pytest.approx(expected)


def test_majority_is_the_set_that_each_metric_likes_best_in_the_pool():
    pool = {write_labels("a"): 3, write_labels("ab"): 2, write_labels("abc"): 2}
    best = {metric.name: find_best_sets(metric, pool) for metric in METRICS}
    assert best["subset_accuracy"] == [write_labels("a")]
    # a: (3 + 2/2 + 2/3) / 7; ab: (3/2 + 2 + 2 * 2/3) / 7, the most; abc: (3/3 + 2 * 2/3 + 2) / 7.
    assert best["jaccard"] == [write_labels("ab")]
    assert best["label_micro_f1"] == [write_labels("ab")]  # 22/27 against 14/20 and 26/34
    assert find_best_sets(SubsetAccuracy(), {"[]": 2, write_labels("b"): 2}) == ['["b"]', "[]"]


def test_baselines_of_sets():
    predictions, examples = zip(*rows(("a", "a"), ("a", "b"), ("a", "ab")), strict=True)
    pool = {write_labels("a"): 2, write_labels("b"): 2, write_labels("ab"): 1}
    made = baselines(LABELS, METRICS, examples, predictions, pool, [["a", "b"]] * 3)
    found = {one.name: one for one in made}
    assert len(found) == 8
    assert found["chance/subset_accuracy"].value == 25
    tied = found["majority/subset_accuracy"]
    assert (tied.value, tied.tied) == (pytest.approx(100 / 3), 2)
    # Always ab: Jaccard (1/2 + 1/2 + 1) / 3; it is best alone in the pool.
    one = found["majority/jaccard"]
    assert (one.value, one.tied) == (pytest.approx(200 / 3), 0)
