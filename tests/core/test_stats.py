"""Wilson's interval against published values; the jackknife's against theory and its edges."""

import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from icl.core.errors import MetricError
from icl.core.stats import Stats, aggregate, interval, mean, proportion, score, wilson


def mean_stats(values):
    rows = np.column_stack([values, np.ones(len(values))])
    return Stats(rows, lambda row: float(row[0] / row[1]), "mean")


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17:857-872, table I, method 3.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_equals_newcombe_1998(hits, n, low, high):
    assert [round(end, 4) for end in wilson(hits, n)] == [low, high]


def test_wilson_of_other_levels():
    # Solves |p - h/n| = z sqrt(p (1 - p) / n) for both ends, the definition of Wilson 1927.
    low, high = wilson(15, 148, level=0.99)
    for end in (low, high):
        assert abs(end - 15 / 148) == pytest.approx(2.575829 * math.sqrt(end * (1 - end) / 148))


def test_wilson_ends_are_exact_and_nothing_is_known_of_nothing():
    assert wilson(0, 24)[0] == 0.0
    assert wilson(24, 24)[1] == 1.0
    assert wilson(24, 24)[0] == pytest.approx(1 - wilson(0, 24)[1])
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_and_stays_inside(pair):
    hits, n = pair
    low, high = wilson(hits, n)
    assert 0 <= low <= hits / n <= high <= 1
    assert low < high


@pytest.mark.parametrize(("hits", "n"), [(-1, 5), (6, 5), (0, -1)])
def test_wilson_refuses_what_is_no_proportion(hits, n):
    with pytest.raises(MetricError, match=f"^{hits} hits of {n} are no proportion: give 0 <= hits"):
        wilson(hits, n)


@pytest.mark.parametrize("level", [0, 1, 95])
def test_level_is_a_share(level):
    with pytest.raises(MetricError, match=f"^level is {level}: give a share between 0 and 1"):
        wilson(1, 2, level)
    with pytest.raises(MetricError, match=f"^level is {level}: give a share between 0 and 1"):
        interval(mean_stats([1.0, 2.0]), level)


def test_interval_of_a_mean_is_students() -> None:
    values = np.random.default_rng(7).normal(50, 10, size=400)
    low, high, made = interval(mean_stats(values))
    wanted = scipy.stats.ttest_1samp(values, 50).confidence_interval()
    assert (low, high) == pytest.approx((wanted.low, wanted.high), rel=1e-3)
    assert made == "jackknife-t"


def test_interval_narrows_with_the_level() -> None:
    stats = mean_stats(np.arange(50.0))
    low, high, _ = interval(stats, level=0.95)
    inner_low, inner_high, _ = interval(stats, level=0.5)
    assert low < inner_low < inner_high < high


def test_hits_as_fractions_have_nearly_wilsons_interval() -> None:
    hits = [1.0] * 15 + [0.0] * 133
    low, high, made = interval(mean(hits, "x"))
    wanted = wilson(15, 148)
    assert (low, high) == pytest.approx((100 * wanted[0], 100 * wanted[1]), abs=1)
    assert made == "jackknife-wilson"


def test_a_score_of_0_or_100_on_every_row_has_a_bound_as_a_proportion_has() -> None:
    keys = [str(row) for row in range(60)]
    seeds = aggregate([(proportion([False] * 60, "x"), keys) for _ in range(3)])
    made = score("accuracy", seeds)
    assert (made.value, made.low, made.n) == (0.0, 0.0, 60)
    assert made.high == pytest.approx(100 * wilson(0, 60)[1], abs=0.5)
    full = score("f1", mean([1.0] * 20, "x"))
    assert full.high == 100 and 75 < full.low < 90


@pytest.mark.parametrize(
    ("stats", "made"),
    [
        (mean([0.5], "x"), "none (needs 10 rows)"),
        (mean([0.5] * 9, "x"), "none (needs 10 rows)"),
        (mean([0.5] * 20, "x"), "none (all rows alike)"),
        (mean_stats([3.0] * 20), "none (all rows alike)"),
        (replace(mean_stats(np.arange(19.0)), min_rows=20), "none (needs 20 rows)"),
        (
            replace(mean_stats(np.arange(19.0)), lack=lambda rows: "needs luck"),
            "none (needs luck)",
        ),
    ],
)
def test_no_interval_is_made_that_would_not_hold(stats: Stats, made: str) -> None:
    assert interval(stats) == (None, None, made)
    assert score("x", stats).signature == f"{stats.signature}|ci:{made}"
    assert score("x", stats).interval == made


def test_what_a_part_lacks_its_mean_lacks() -> None:
    some = replace(mean([0.1 * n for n in range(10)], "x"), lack=lambda rows: "needs luck")
    keys = [str(n) for n in range(10)]
    both = aggregate([(mean([0.5] * 10, "x"), keys), (some, keys)])
    assert interval(both).made == "none (needs luck)"


def test_a_ratio_has_an_interval_above_zero() -> None:
    edits = np.array([[0.0, 8.0]] * 17 + [[9.0, 4.0]] * 3)
    stats = Stats(edits, lambda row: float(100 * row[0] / row[1]), "x", scale="ratio")
    low, high, made = interval(stats)
    value = 100 * 27 / 148
    assert 0 < low < value < high
    assert high - value > value - low
    assert made == "jackknife-log-t"


def test_work_is_bounded_for_many_wide_rows() -> None:
    # 150 labels, 5,000 rows: leaving out each alone would be 5,000 sums.
    asked = []

    def value(row: np.ndarray) -> float:
        asked.append(1)
        return float(row[0] / row[1])

    rows = np.ones((5000, 450))
    rows[::2, 0] = 0
    tracemalloc.start()
    low, high, _ = interval(Stats(rows, value, "wide"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6
    assert len(asked) <= 1003
    assert high - low == pytest.approx(2 * 1.96 * 0.5 / math.sqrt(5000), rel=0.1)


def test_what_is_undefined_without_a_row_has_no_interval() -> None:
    rows = np.array([[1.0]] + [[0.0]] * 19)
    some = Stats(rows, lambda row: float(row[0]) if row[0] else None, "x")
    assert interval(some) == (None, None, "none (undefined without one of the rows)")
    never = Stats(rows, lambda row: None, "x")
    assert interval(never) == (None, None, "none")
    assert score("x", never).value is None


def test_score_of_a_proportion():
    scored = score("accuracy", proportion([True] * 15 + [False] * 133, "match:exact"))
    assert (scored.name, scored.n, scored.kind) == ("accuracy", 148, "model")
    assert scored.value == pytest.approx(100 * 15 / 148)
    assert (round(scored.low, 2), round(scored.high, 2)) == (6.24, 16.05)
    assert scored.signature == "match:exact|ci:wilson"


def test_score_of_other_metrics_names_how_its_interval_was_made():
    scored = score("mean", mean_stats(np.arange(10.0)), kind="baseline")
    assert scored.value == 4.5
    assert scored.low < 4.5 < scored.high
    assert (scored.low, scored.high) == interval(mean_stats(np.arange(10.0)))[:2]
    assert scored.signature == "mean|ci:jackknife-t"
    assert scored.kind == "baseline"


@pytest.mark.parametrize("stats", [proportion([], "x"), mean_stats([])])
def test_score_of_no_rows_is_none(stats):
    scored = score("x", stats)
    assert (scored.value, scored.low, scored.high, scored.n) == (None, None, None, 0)
    assert scored.signature == f"{stats.signature}|ci:none"
    assert interval(stats) == (None, None, "none")


@pytest.mark.parametrize(("hit", "value"), [(True, 100.0), (False, 0.0)])
def test_one_observation_has_a_wide_interval(hit, value):
    scored = score("x", proportion([hit], "x"))
    assert scored.value == value
    # n = 1: 1 / (1 + z^2) = 0.2065 is the far end.
    assert scored.high - scored.low == pytest.approx(79.35, abs=0.01)
