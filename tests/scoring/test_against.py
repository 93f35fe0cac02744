"""Conditions against their baselines: the pairs, the test, the strongest, and what checks say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import icl
from icl.core.errors import ConfigError
from icl.core.stats import wilson
from icl.scoring.against import compare_against, measure_margins
from icl.scoring.checks import checks
from icl.scoring.checks.base import ConditionAnswers
from icl.scoring.checks.scores import baseline
from icl.scoring.significance import measure_row_difference
from tests.madeup import Made, Row, made

LABELS = "abc"
SIXTY = [f"l{number}" for number in range(60)]


def shots(label: str, score: float | None = 1.0) -> dict[str, object]:
    return {"shots": (("p0", label, score),)}


def test_each_row_is_paired_with_the_vote_of_its_own_shots(tmp_path: Path) -> None:
    rows = [
        Row(LABELS[i % 3], LABELS[i % 3] if i % 2 else "a", record=shots(LABELS[(i + i // 3) % 3]))
        for i in range(60)
    ]
    (one,) = compare_against(made(tmp_path, Made(rows)), "vote")
    voted = [1.0 * (row.record["shots"][0][1] == row.gold) for row in rows]
    right = [1.0 * (row.answer == row.gold) for row in rows]
    assert one.difference == measure_row_difference(voted, right)
    assert (one.a, one.n, one.metric) == ("vote", 60, "accuracy")
    assert one.value_a == pytest.approx(100 * np.mean(voted))
    assert one.value_b == pytest.approx(100 * np.mean(right))


def test_no_hit_of_sixty_is_not_worse_than_chance_among_sixty_labels(tmp_path: Path) -> None:
    rows = [Row(label, SIXTY[place - 1]) for place, label in enumerate(SIXTY)]
    run = made(tmp_path, Made(rows, labels=SIXTY))
    (one,) = compare_against(run, "chance")
    assert one.value_a == pytest.approx(100 / 60)
    assert one.value_b == 0
    assert one.difference.p is not None and 0.3 < one.difference.p < 0.4
    told = {found.name: found.text for found in checks(run)}
    assert told["below_baseline"] == "accuracy 0.0 is not shown to be better than chance 1.7"


def test_a_system_as_good_as_the_vote_is_silent_in_two_percent_of_runs(tmp_path: Path) -> None:
    rows = [Row("a", "b", record=shots("a", None)) for _ in range(12)]
    run = made(tmp_path, Made(rows))
    condition = run.conditions[0]
    (vote,) = compare_against(run, "vote")
    seen = ConditionAnswers(
        condition, list(condition.records.values()), condition.examples, condition.predictions()
    )
    draw = np.random.default_rng(7)
    times, n = 1000, 60
    silent = worse = by_interval = 0
    for _ in range(times):
        hard = 0.6 * draw.random(n)  # rows are easy and hard for both alike
        voted, right = ((draw.random(n) < hard) * 1.0 for _ in range(2))
        found = measure_row_difference(voted.tolist(), right.tolist())
        told = list(baseline(replace(seen, margins=[replace(vote, difference=found, p_holm=None)])))
        silent += not told
        worse += bool(told) and "worse than" in told[0][2]
        by_interval += wilson(right.sum(), n)[0] > voted.mean()
    assert silent / times < 0.035
    assert worse / times < 0.035
    assert by_interval / times > 0.07  # what was taken for a test before


def test_the_strongest_baseline_has_the_best_score_and_p_is_corrected_for_the_table(
    tmp_path: Path,
) -> None:
    good = [Row(LABELS[i % 3], LABELS[i % 3], record=shots("a")) for i in range(30)]
    bad = [Row(LABELS[i % 3], "b", record=shots(LABELS[i % 3])) for i in range(30)]
    pool = {"a": 3, "b": 1, "c": 1}
    run = made(
        tmp_path,
        Made(good, {"shots": "1 random"}, pool_labels=pool),
        Made(bad, {"shots": "1 bm25"}, pool_labels=pool),
    )
    found = measure_margins(run.conditions)
    first, second = (found.strongest[c.entry.fingerprint] for c in run.conditions)
    assert (first.a, second.a) == ("vote", "vote")  # the first vote ties with chance, and is taken
    assert first.compared == second.compared == 2
    ps = sorted((one.difference.p or 0, one.p_holm or 0) for one in (first, second))
    assert ps[0][1] == pytest.approx(2 * ps[0][0])
    assert first.shown and second.shown
    assert (second.difference.value or 0) < 0
    every = found.every[run.conditions[0].entry.fingerprint]
    assert [one.a for one in every] == ["chance", "majority", "vote"]
    assert [one.p_holm is None for one in every] == [True, True, False]


def test_less_is_better_turns_the_strongest_around_and_no_direction_has_none(
    tmp_path: Path,
) -> None:
    rows = [Row(f"ein Satz {i}", "ganz anders und lang", meta={"target": "de"}) for i in range(20)]
    run = made(tmp_path / "ter", Made(rows, labels=(), metrics=["ter"]))
    (one,) = compare_against(run, "strongest")
    assert (one.a, one.better) == ("copy", "lower")
    assert one.difference.p is not None and one.difference.p < 0.05
    none = made(tmp_path / "length", Made(rows, labels=(), metrics=["length_ratio"]))
    assert not measure_margins(none.conditions).strongest
    assert "below_baseline" not in {found.name for found in checks(none)}


def test_a_corpus_score_is_compared_by_its_own_statistics(tmp_path: Path) -> None:
    rows = [
        Row(f"der Satz Nummer {i} hier", f"der Satz {i} hier", meta={"target": "de"})
        for i in range(20)
    ]
    run = made(tmp_path, Made(rows, labels=()))
    (one,) = icl.compare_against(run, "copy")
    scores = {score.name: score.value for score in run.conditions[0].scores}
    assert one.value_a == pytest.approx(scores["copy/chrf"])
    assert one.value_b == pytest.approx(scores["chrf"])
    assert one.shown and one.difference.test.startswith("jackknife")


def test_rows_with_other_columns_and_without_an_interval_have_a_difference_without_p(
    tmp_path: Path,
) -> None:
    rows = [Row(LABELS[i % 2], LABELS[i % 3]) for i in range(6)]
    run = made(tmp_path, Made(rows, metrics=["macro_f1"], pool_labels={"a": 2, "b": 1}))
    (one,) = compare_against(run, "majority")
    assert one.difference.value is not None
    assert one.difference.p is None
    assert not one.shown


def test_a_baseline_that_is_unknown_or_not_there_is_told(tmp_path: Path) -> None:
    run = made(tmp_path, Made([Row("a", "a")] * 12))
    with pytest.raises(ConfigError, match="unknown baseline 'votes'.*vote"):
        compare_against(run, "votes")
    with pytest.raises(ConfigError, match="no condition has the baseline 'vote'.*it has: chance"):
        compare_against(run, "vote")
    assert compare_against(run, "chance")[0].a == "chance"


def test_what_cannot_be_compared_is_missing_and_not_refused(tmp_path: Path) -> None:
    run = made(tmp_path, Made([Row("a", "a")] * 12))
    condition = run.conditions[0]
    gone = [replace(score, name="metric_of_a_plug_in") for score in condition.scores[:1]]
    assert not measure_margins([replace(condition, scores=tuple(gone))]).every
    assert not measure_margins([replace(condition, scores=())]).every
