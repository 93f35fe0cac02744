"""Wilson's interval against published values; the bootstrap against theory and its edges."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import icl.core.stats
from icl.core.errors import MetricError
from icl.core.stats import Stats, interval, proportion, score, wilson


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


def test_no_samples_are_refused():
    with pytest.raises(MetricError, match="^samples is 0: give at least 1, commonly 1000"):
        interval(mean_stats([1.0, 2.0]), samples=0)


def test_bootstrap_of_a_mean_is_near_the_normal_interval():
    values = np.random.default_rng(7).normal(50, 10, size=400)
    low, high = interval(mean_stats(values), samples=4000)
    error = values.std() / math.sqrt(400)
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


def test_bootstrap_narrows_with_the_level():
    stats = mean_stats(np.arange(50.0))
    low, high = interval(stats, level=0.95)
    inner_low, inner_high = interval(stats, level=0.5)
    assert low < inner_low < inner_high < high


def test_bootstrap_is_the_same_again_and_differs_with_the_seed():
    stats = mean_stats(np.arange(30.0))
    assert interval(stats, seed=3) == interval(stats, seed=3)
    assert interval(stats, seed=3) != interval(stats, seed=4)


def test_bootstrap_does_not_depend_on_the_chunks(monkeypatch):
    stats = mean_stats(np.arange(30.0))
    whole = interval(stats)
    for cells in (1, 77, 30 * 999):
        monkeypatch.setattr(icl.core.stats, "CHUNK_CELLS", cells)
        assert interval(stats) == whole


def test_bootstrap_memory_is_bounded_for_many_wide_rows():
    # 150 labels, 5,000 rows: all counts at once would take 40 MB twice.
    rows = np.ones((5000, 450))
    stats = Stats(rows, lambda row: float(row[0]), "wide")
    tracemalloc.start()
    interval(stats)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6


@pytest.mark.parametrize("values", [[3.0], [3.0] * 20])
def test_rows_all_alike_have_an_interval_without_width(values):
    assert interval(mean_stats(values)) == (3.0, 3.0)


def test_undefined_resamples_are_left_out():
    rows = np.array([[1.0], [0.0]])
    some = Stats(rows, lambda row: float(row[0]) if row[0] else None, "x")
    assert interval(some) == (1.0, 2.0)
    never = Stats(rows, lambda row: None, "x")
    assert interval(never) == (None, None)
    assert score("x", never).value is None


def test_score_of_a_proportion():
    scored = score("accuracy", proportion([True] * 15 + [False] * 133, "match:exact"))
    assert (scored.name, scored.n, scored.kind) == ("accuracy", 148, "model")
    assert scored.value == pytest.approx(100 * 15 / 148)
    assert (round(scored.low, 2), round(scored.high, 2)) == (6.24, 16.05)
    assert scored.signature == "match:exact|ci:wilson"


def test_score_of_other_metrics_names_its_bootstrap():
    scored = score("mean", mean_stats(np.arange(10.0)), kind="baseline")
    assert scored.value == 4.5
    assert scored.low < 4.5 < scored.high
    assert (scored.low, scored.high) == interval(mean_stats(np.arange(10.0)))
    assert scored.signature == "mean|ci:bootstrap1000-seed0"
    assert scored.kind == "baseline"


@pytest.mark.parametrize("stats", [proportion([], "x"), mean_stats([])])
def test_score_of_no_rows_is_none(stats):
    scored = score("x", stats)
    assert (scored.value, scored.low, scored.high, scored.n) == (None, None, None, 0)
    assert scored.signature == f"{stats.signature}|ci:none"
    assert interval(stats) == (None, None)


@pytest.mark.parametrize(("hit", "value"), [(True, 100.0), (False, 0.0)])
def test_one_observation_has_a_wide_interval(hit, value):
    scored = score("x", proportion([hit], "x"))
    assert scored.value == value
    # n = 1: 1 / (1 + z^2) = 0.2065 is the far end.
    assert scored.high - scored.low == pytest.approx(79.35, abs=0.01)
