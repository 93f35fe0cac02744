"""Paired tests against SciPy, sacreBLEU, published tables, and what must hold of any of them."""

from __future__ import annotations

import math
import random
import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import PairedTest
from scipy.optimize import minimize_scalar
from scipy.stats import binom, binomtest

from icl.core.errors import MetricError
from icl.core.intervals import tango
from icl.core.stats import Stats, aggregate, mean, proportion, score
from icl.core.types import Example, Prediction
from icl.metrics.macro_f1 import MacroF1
from icl.scoring import significance
from icl.scoring.significance import (
    align_stats,
    approximate_randomization,
    holm,
    mcnemar,
    measure_difference,
    measure_row_difference,
    power,
)


def counted(both: int, only_a: int, only_b: int, neither: int) -> tuple[Stats, Stats]:
    """Two proportions with this table of pairs."""
    a = [True] * (both + only_a) + [False] * (only_b + neither)
    b = [True] * both + [False] * only_a + [True] * only_b + [False] * neither
    return proportion(a, "accuracy"), proportion(b, "accuracy")


PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40)
SHARES = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=25)


def hits(pairs: list[tuple[bool, bool]]) -> tuple[Stats, Stats]:
    return proportion([a for a, _ in pairs], "x"), proportion([b for _, b in pairs], "x")


def shares(pairs: list[tuple[int, int]]) -> tuple[Stats, Stats]:
    return mean([a / 8 for a, _ in pairs], "x"), mean([b / 8 for _, b in pairs], "x")


@pytest.mark.parametrize(
    ("only_a", "only_b"), [(0, 0), (1, 0), (1, 7), (3, 3), (4, 5), (20, 40), (300, 340), (700, 900)]
)
def test_mcnemar_is_the_binomial_test_of_scipy_with_half_of_what_was_seen(
    only_a: int, only_b: int
) -> None:
    made = mcnemar(*counted(5, only_a, only_b, 7))
    pairs = only_a + only_b
    wanted = 1.0
    if only_a != only_b:
        wanted = binomtest(only_a, pairs).pvalue - binom.pmf(only_a, pairs, 0.5)
    assert made.p == pytest.approx(wanted, rel=1e-9)
    n = 12 + only_a + only_b
    assert made.value == pytest.approx(100 * (only_b - only_a) / n)
    assert (made.test, made.n) == ("mcnemar:midp|ci:tango", n)


def test_p_equals_a_published_value_and_the_interval_is_near_one() -> None:
    """Cavo et al. 2012, in chapter 8 of Fagerland, Lydersen and Laake 2017.

    (Statistical Analysis of Contingency Tables: mid-p 0.0347; Newcombe's interval of the same
    table is -11.86 to -0.46.) The exact p, 0.052, contradicts both intervals.
    """
    made = mcnemar(*counted(both=59, only_a=16, only_b=6, neither=80))
    assert made.p == pytest.approx(0.0347, abs=5e-5)
    assert (made.low, made.high) == pytest.approx((-11.86, -0.46), abs=0.6)


@given(
    st.integers(1, 60).flatmap(
        lambda n: st.tuples(st.integers(0, n), st.integers(0, n), st.just(n))
    )
)
@settings(deadline=None)
def test_tangos_interval_solves_its_definition(drawn: tuple[int, int, int]) -> None:
    """Each end is as far from what was seen as the critical value, by the most likely shares."""
    gained, lost, n = drawn
    lost = min(lost, n - gained)
    for end in tango(gained, lost, n, 1.96):
        if abs(end) > 1 - 1e-9 or abs(end) < 1e-9:
            continue

        def unlikely(share: float, end: float = end) -> float:
            three = (share + end, share, 1 - 2 * share - end)
            if min(three) <= 0:
                return math.inf
            seen = (gained, lost, n - gained - lost)
            return -sum(k * math.log(p) for k, p in zip(seen, three, strict=True) if k)

        least, most = max(0.0, -end), (1 - end) / 2
        found = minimize_scalar(unlikely, bounds=(least, most), method="bounded",
                                options={"xatol": 1e-12}).x  # fmt: skip
        spread = math.sqrt(n * (2 * found + end * (1 - end)))
        assert abs(gained - lost - n * end) / spread == pytest.approx(1.96, abs=0.01)


@given(PAIRS)
@settings(deadline=None)
def test_p_and_interval_of_hits_never_contradict_each_other(
    pairs: list[tuple[bool, bool]],
) -> None:
    made = mcnemar(*hits(pairs))
    assert (made.p < 0.05) == (made.low > 0 or made.high < 0)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=10, max_size=25))
@settings(deadline=None)
def test_p_and_interval_of_means_never_contradict_each_other(
    pairs: list[tuple[int, int]],
) -> None:
    made = measure_difference(*shares(pairs))
    assert (made.p < 0.05) == (made.low > 0 or made.high < 0)
    assert made.high - made.low > 1
    real = measure_difference(*(replace(one, scale="real") for one in shares(pairs)))
    if real.low is not None:
        assert (real.p < 0.05) == (real.low > 0 or real.high < 0)


def test_few_pairs_that_differ_are_no_sure_loss() -> None:
    """-6.7 [-13, -3], p = 0.125 was printed of 4 losses in 60, and -0.3 [-1.0, -0.1], p = 0.249."""
    made = mcnemar(*counted(0, 4, 0, 56))
    assert made.p == pytest.approx(0.0625)
    assert made.low < made.value < 0 < made.high
    rare = measure_difference(
        mean([0.02, 0.1, 0.06] + [0.5] * 57, "x"), mean([0.0] * 3 + [0.5] * 57, "x")
    )
    assert rare.p > 0.05 and rare.low < 0 < rare.high


@given(PAIRS)
def test_mcnemar_is_symmetric_and_does_not_know_the_order(pairs: list[tuple[bool, bool]]) -> None:
    a, b = hits(pairs)
    made, swapped, turned = mcnemar(a, b), mcnemar(b, a), mcnemar(*hits(pairs[::-1]))
    assert made == turned
    assert made.p == swapped.p
    assert 0 < made.p <= 1
    assert -100 <= made.low <= made.value <= made.high <= 100
    assert (swapped.value, swapped.low, swapped.high) == pytest.approx(
        (-made.value, -made.high, -made.low)
    )
    assert mcnemar(a, a).p == 1.0


@given(SHARES)
@settings(max_examples=30, deadline=None)
def test_both_tests_are_symmetric_and_see_no_difference_in_themselves(
    pairs: list[tuple[int, int]],
) -> None:
    a, b = shares(pairs)
    for test in (measure_difference, lambda x, y: approximate_randomization(x, y, 300)):
        made, swapped, same = test(a, b), test(b, a), test(a, a)
        assert 0 < made.p <= 1
        assert made.p == pytest.approx(swapped.p)
        assert made.value == pytest.approx(-swapped.value)
        if made.low is not None:
            assert (made.low, made.high) == pytest.approx((-swapped.high, -swapped.low))
        assert (same.value, same.p) == (0.0, 1.0)


@given(SHARES, st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_randomization_depends_on_the_order_by_chance_alone(
    pairs: list[tuple[int, int]], chance: random.Random
) -> None:
    shuffled = list(pairs)
    chance.shuffle(shuffled)
    p, again = (approximate_randomization(*shares(x), 2000).p for x in (pairs, shuffled))
    assert abs(p - again) <= 6 * math.sqrt(2 * 0.25 / 2000)


@given(PAIRS)
@settings(max_examples=30, deadline=None)
def test_randomization_of_hits_is_the_exact_test(pairs: list[tuple[bool, bool]]) -> None:
    a, b = hits(pairs)
    p = approximate_randomization(a, b, 4000).p
    only_a = sum(one and not two for one, two in pairs)
    differ = sum(one != two for one, two in pairs)
    wanted = binomtest(only_a, differ).pvalue if differ else 1.0
    assert abs(p - wanted) <= 6 * math.sqrt(0.25 / 4000)


def systems(n: int = 60) -> tuple[list[str], list[str], list[str]]:
    """References and two corruptions of them, the second the better one."""
    chance = random.Random(3)
    words = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "seven", "cats"]
    references = [" ".join(chance.choices(words, k=chance.randint(4, 12))) for _ in range(n)]

    def spoilt(share: float) -> list[str]:
        return [
            " ".join(chance.choice(words) if chance.random() < share else w for w in line.split())
            for line in references
        ]

    return references, spoilt(0.44), spoilt(0.30)


def stats_of(scorer: Any, hypotheses: list[str], references: list[str]) -> Stats:
    rows = np.array(scorer._extract_corpus_statistics(hypotheses, [references]), dtype=np.float64)
    return Stats(rows, lambda r: scorer._compute_score_from_stats(r.tolist()).score, "x")


@pytest.mark.parametrize("scorer", [BLEU(force=True), CHRF(word_order=2)], ids=["bleu", "chrf"])
def test_randomization_draws_and_counts_as_sacrebleu_does(
    scorer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SACREBLEU_SEED", "12345")
    references, one, two = systems()
    a, b = stats_of(scorer, one, references), stats_of(scorer, two, references)
    theirs = PairedTest([("a", one), ("b", two)], {"x": scorer}, [references], "ar", 2000)()[1]
    found = next(results for name, results in theirs.items() if name != "System")
    made = approximate_randomization(a, b, 2000, seed=12345)
    assert made.value == pytest.approx(found[1].score - found[0].score)
    assert made.p == pytest.approx(found[1].p_value, abs=1e-12)
    assert 0.001 < made.p < 0.6  # the comparison says something
    again = PairedTest([("a", one), ("b", one)], {"x": scorer}, [references], "ar", 100)()[1]
    alike = next(results for name, results in again.items() if name != "System")
    assert (alike[1].p_value, approximate_randomization(a, a, 100).p) == (1 / 101, 1.0)
    # The jackknife's test, which the tables print, is of the same mind.
    assert measure_difference(a, b).p == pytest.approx(made.p, abs=0.03)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        # The first is the worked example of Wikipedia's article "Holm–Bonferroni method"; the
        # others follow from the definition: (m - rank + 1) p, not below the one before, at most 1.
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.02, 0.02, 0.02], [0.06, 0.06, 0.06]),
        ([0.001, 0.5, 0.9], [0.003, 1.0, 1.0]),
        ([0.04], [0.04]),
        ([], []),
    ],
)
def test_holm_equals_known_tables(given: list[float], wanted: list[float]) -> None:
    assert holm(given) == pytest.approx(wanted)


@given(st.lists(st.floats(0, 1), max_size=12), st.randoms(use_true_random=False))
def test_holm_only_raises_keeps_the_ranks_and_knows_no_order(
    ps: list[float], chance: random.Random
) -> None:
    made = holm(ps)
    assert all(p <= high <= 1 for p, high in zip(ps, made, strict=True))
    assert all(
        x <= y
        for p, x in zip(ps, made, strict=True)
        for q, y in zip(ps, made, strict=True)
        if p < q
    )
    order = list(range(len(ps)))
    chance.shuffle(order)
    assert holm([ps[i] for i in order]) == pytest.approx([made[i] for i in order])


def test_holm_refuses_what_is_no_p() -> None:
    with pytest.raises(MetricError, match=r"^1\.5 is no p value: give numbers from 0 to 1"):
        holm([0.1, 1.5])


def chance_to_see(n: int, only_a: float, only_b: float) -> float:
    """Exact probability that the asymptotic McNemar test of n pairs is below 5 %."""
    found = 0.0
    pairs = np.arange(n + 1)
    for m, p in zip(pairs, binom.pmf(pairs, n, only_a + only_b), strict=True):
        if p > 1e-12 and m:
            k = np.arange(m + 1)
            seen = np.abs(2 * k - m) > 1.959964 * math.sqrt(m)
            found += p * binom.pmf(k[seen], m, only_b / (only_a + only_b)).sum()
    return float(found)


@pytest.mark.parametrize("points", [5.0, 10.0])
def test_as_many_rows_as_told_see_the_difference_in_four_of_five_cases(points: float) -> None:
    a, b = counted(400, 120, 180, 300)  # 30 % of the pairs are discordant
    found = power(a, b, points)
    assert found is not None
    low, high = found
    assert low < high < 1.3 * low
    seen = [chance_to_see(n, 0.15 - points / 200, 0.15 + points / 200) for n in found]
    assert seen[0] - 0.02 < 0.8 < seen[1] + 0.02
    assert seen[1] - seen[0] < 0.2


def test_power_of_other_metrics_follows_from_the_variance() -> None:
    chance = np.random.default_rng(1)
    one, two = chance.uniform(0, 1, 400), chance.uniform(0, 1, 400)
    low, high = power(mean(list(one), "x"), mean(list(two), "x"), 5) or (0, 0)
    sd = 100 * (two - one).std()
    wanted = (1.959964 + 0.841621) ** 2 * (sd / 5) ** 2
    assert 0.75 * wanted < low < wanted < high < 1.3 * wanted


def test_power_of_what_does_not_differ_or_hardly_varies_is_not_told() -> None:
    a, b = counted(5, 0, 0, 5)
    assert power(a, b) is None
    assert power(mean([0.5] * 9, "x"), mean([0.5] * 9, "x")) is None
    assert power(*counted(0, 1, 0, 0)) is None  # one row
    # "2 points would have been detected in 4 of 5 cases" was said of 0 against 2 hits in 60, where
    # 3.4 points are seen in 11 %.
    assert power(*counted(0, 2, 0, 58)) is None
    assert power(mean([0.0] * 58 + [0.2, 0.4], "x"), mean([0.5, 0.25] * 30, "x")) is None
    assert power(*counted(20, 2, 4, 34)) is not None
    with pytest.raises(MetricError, match="^points is 0: give the difference to detect, such as"):
        power(a, b, 0)


def test_more_needed_for_fewer_points_and_never_less_than_the_points_allow() -> None:
    a, b = counted(94, 1, 0, 5)
    needed = [power(a, b, points) for points in (1, 2, 5, 20)]
    assert needed == sorted(needed, reverse=True)
    least = math.ceil((1.959964 * math.sqrt(0.2) + 0.841621 * 0.4) ** 2 / 0.04)
    assert power(a, b, 20) == (least, least)


def test_few_rows_have_a_p_and_no_interval() -> None:
    one = measure_difference(mean([0.2], "x"), mean([0.9], "x"))
    assert (one.p, one.low, one.high) == (1.0, None, None)
    assert one.value == pytest.approx(70)
    assert one.test == "randomization10000-seed0|ci:none (needs 10 rows)"
    nine = measure_difference(mean([0.2] * 9, "x"), mean([0.9] * 9, "x"))
    assert (nine.low, nine.high) == (None, None) and nine.p < 0.01
    none = measure_difference(mean([], "x"), mean([], "x"))
    assert (none.value, none.low, none.p, none.n) == (None, None, None, 0)
    assert measure_difference(proportion([], "x"), proportion([], "x")).p is None
    pair = mcnemar(*counted(0, 0, 1, 0))
    assert (pair.p, pair.value) == (0.5, 100.0)
    assert pair.low < 0


def test_constant_differences_have_a_width() -> None:
    made = measure_difference(mean([0.2] * 20, "x"), mean([0.4] * 20, "x"))
    assert made.low < made.value < made.high
    real = measure_difference(mean([0.2] * 20, "x", "real"), mean([0.4] * 20, "x", "real"))
    assert (real.low, real.high) == (None, None)
    assert real.test.endswith("|ci:none (all rows alike)") and real.p < 0.001
    alike = measure_difference(mean([0.0] * 60, "x"), mean([0.0] * 60, "x"))
    assert (alike.value, alike.p) == (0, 1) and -8 < alike.low < 0 < alike.high < 8


def test_rows_of_a_baseline_may_be_shares() -> None:
    """0 of 60 is not worse than a chance of 1 in 60; 12 of 60 is better."""
    chance = [1 / 60] * 60
    assert measure_row_difference(chance, [0.0] * 60).p > 0.3
    better = measure_row_difference(chance, [1.0] * 12 + [0.0] * 48)
    assert better.low > 0 and better.p < 0.01
    hits = measure_row_difference([1, 0] * 10, [1, 1] * 10)
    assert hits.test == "mcnemar:midp|ci:tango"


def test_macro_f1_with_too_few_gold_rows_has_a_p_and_no_interval() -> None:
    examples = [Example(str(i), {}, (f"l{i % 6}",)) for i in range(24)]
    a = [Prediction(str(i), f"l{i % 5}") for i in range(24)]
    b = [Prediction(str(i), f"l{i % 6}") for i in range(24)]
    made = measure_difference(*align_stats(MacroF1(), a, b, examples))
    assert (made.low, made.high) == (None, None) and 0 < made.p < 0.05
    assert made.test.endswith("|ci:none (needs about 30 rows, 5 of each label)")


def test_what_is_undefined_is_none() -> None:
    never = Stats(np.ones((14, 2)), lambda row: None, "x")
    for test in (measure_difference, approximate_randomization):
        made = test(never, never)
        assert (made.value, made.low, made.high, made.p) == (None, None, None, None)
    assert power(never, never) is None


def test_rows_that_do_not_run_parallel_are_refused() -> None:
    a, b = mean([0.1, 0.2], "x"), mean([0.1], "x")
    for test in (approximate_randomization, power, measure_difference):
        with pytest.raises(MetricError, match="same rows of both systems, and there are 2 and 1"):
            test(a, b)
    wide = Stats(np.ones((2, 3)), lambda row: 1.0, "x")
    with pytest.raises(MetricError, match="2 and 3 columns, which cannot be exchanged: make both"):
        approximate_randomization(a, wide)
    with pytest.raises(MetricError, match="compares proportions such as accuracy; for this metric"):
        mcnemar(a, a)
    with pytest.raises(MetricError, match="^trials is 0: give at least 1"):
        approximate_randomization(a, a, 0)


def test_together_gives_both_the_same_columns() -> None:
    examples = [Example(str(i), {}, (label,)) for i, label in enumerate("abca")]
    a = [Prediction(str(i), value) for i, value in enumerate("abbb")]
    b = [Prediction(str(i), value) for i, value in enumerate("zbca")]
    one, two = align_stats(MacroF1(), a, b, examples)
    assert one.rows.shape == two.rows.shape == (4, 12)
    for stats, predictions in ((one, a), (two, b)):
        alone = MacroF1().stats(predictions, examples)
        assert stats.value(stats.rows.sum(0)) == alone.value(alone.rows.sum(0))
    assert 0 < approximate_randomization(one, two, 200).p <= 1


def test_rows_of_one_example_are_drawn_together() -> None:
    """Ten copies of ten rows say as much as ten rows; taken as 100 they would say too much."""
    chance = random.Random(2)
    one = [chance.randint(0, 8) / 8 for _ in range(10)]
    two = [chance.randint(0, 8) / 8 for _ in range(10)]
    keys = [str(i) for i in range(10)]
    a = aggregate([(mean(one, "x"), keys)] * 10)
    b = aggregate([(mean(two, "x"), keys)] * 10)
    alone = measure_difference(mean(one, "x"), mean(two, "x"))
    copied = measure_difference(mean(one * 10, "x"), mean(two * 10, "x"))
    clustered = measure_difference(a, b)
    assert (clustered.value, clustered.p) == pytest.approx((alone.value, alone.p))
    assert (clustered.low, clustered.high) == pytest.approx((alone.low, alone.high))
    assert clustered.n == 10
    assert copied.high - copied.low < 0.5 * (clustered.high - clustered.low)


def test_rows_taken_for_independent_show_what_is_not_there() -> None:
    """40 examples in 6 locales, both systems as good: clusters keep to 5 % false alarms."""
    alone = clustered = 0
    for seed in range(120):
        chance = np.random.default_rng(seed)
        a, b = (
            (chance.random(40) < 0.5)[None, :] ^ (chance.random((6, 40)) < 0.1) for _ in range(2)
        )  # hits, shared by the locales but for one in ten  # (locales, n)
        alone += mcnemar(*(proportion(x.ravel().tolist(), "x") for x in (a, b))).p < 0.05
        keys = [str(i) for i in range(40)]
        one, two = (aggregate([(proportion(r.tolist(), "x"), keys) for r in x]) for x in (a, b))
        clustered += measure_difference(one, two).p < 0.05
    assert alone > 0.2 * 120
    assert clustered < 0.12 * 120


def test_aggregate_is_the_mean_of_scores_and_of_one_part_the_score() -> None:
    german, swahili = mean([1.0, 0.5, 0.0], "f1"), mean([0.25], "f1")
    both = aggregate([(german, ["a", "b", "c"]), (swahili, ["b"])])
    made = score("f1", both)
    assert made.value == pytest.approx((50 + 25) / 2)
    assert made.n == 3
    assert made.signature == "mean:2|f1|clusters:3|ci:none (needs 10 rows)"
    pooled = score("f1", aggregate([(german, ["a", "a", "c"])]))
    assert (pooled.value, pooled.n) == (pytest.approx(50), 2)


def test_aggregate_refuses_no_parts_and_missing_keys() -> None:
    with pytest.raises(MetricError, match="^a mean over no conditions is not defined"):
        aggregate([])
    with pytest.raises(MetricError, match="^1 keys for 2 rows: give one for each row"):
        aggregate([(mean([0.1, 0.2], "x"), ["a"])])


def test_randomization_does_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = shares([(i % 9, (i * 5) % 9) for i in range(37)])
    whole = approximate_randomization(a, b, 1000)
    for cells in (1, 37 * 64, 37 * 999):
        monkeypatch.setattr(significance, "CHUNK_CELLS", cells)
        assert approximate_randomization(a, b, 1000) == whole


def test_memory_stays_bounded_on_10_000_rows() -> None:
    chance = np.random.default_rng(0)
    a, b = (mean(list(chance.uniform(0, 1, 10_000)), "x") for _ in range(2))
    tracemalloc.start()
    approximate_randomization(a, b, 1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6  # all exchanges at once: 90 MB
