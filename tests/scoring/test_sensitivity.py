"""Spread, rank stability and ensembles against SciPy, hand-made runs and the definitions."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import kendalltau

from icl import run
from icl.core.errors import ConfigError
from icl.core.registry import register
from icl.core.stats import proportion
from icl.records.results import Run
from icl.reports.comparison import make_comparison_tables, make_spread_tables, render_plain
from icl.reports.tables import render
from icl.scoring.ensembles import compare_ensemble, ensemble, ensemble_side
from icl.scoring.sensitivity import (
    groups,
    kendall_tau,
    measure_stability,
    rank_stability,
    spread_by_chance,
    spreads,
)
from icl.scoring.significance import holm
from tests.scoring.test_compare import varied
from tests.table_experiment import TEMPLATE, write

RANKS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=9)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("spread")
    return run(varied(folder), folder / "runs")


@given(RANKS)
def test_tau_equals_scipy(pairs: list[tuple[int, int]]) -> None:
    one, two = [a for a, _ in pairs], [b for _, b in pairs]
    made, wanted = kendall_tau(one, two), kendalltau(one, two).statistic
    assert (made is None) == np.isnan(wanted)
    if made is not None:
        assert made == pytest.approx(wanted)


def test_conditions_are_grouped_by_all_other_settings(small: Run) -> None:
    found = groups(small, ["prompt", "seed"])
    assert [len(group) for group in found] == [2, 2, 6, 3]
    assert [len(group) for group in groups(small, ["seed"])] == [3, 3, 3]
    with pytest.raises(ConfigError, match="^small: no setting 'sed'. Did you mean 'seed'"):
        groups(small, ["sed"])


def test_the_spread_is_that_of_the_scores(small: Run) -> None:
    made = spreads(small, ["seed"])[0]
    group = groups(small, ["seed"])[0]
    scores = [next(s.value for s in member.scores if s.name == "accuracy") for member in group]
    assert list(made.values) == pytest.approx(scores)
    assert made.sd == pytest.approx(statistics.stdev(scores))
    assert (made.worst, made.best) == (min(scores), max(scores))
    assert made.spread == pytest.approx(max(scores) - min(scores))
    assert made.mean.value == pytest.approx(sum(scores) / 3)
    assert made.mean.signature == ("mean:3|accuracy|match:exact|clusters:12|ci:jackknife-wilson")
    assert (made.over, made.names, made.mean.n) == (("seed",), ("0", "1", "2"), 12)
    assert replace(made, better="lower").best == made.worst


def test_p_of_all_spreads_is_corrected_together(small: Run) -> None:
    found = spreads(small)
    assert len(found) > 1
    assert [one.p_holm for one in found] == pytest.approx(holm([one.p for one in found]))
    text = render_plain(make_spread_tables(small))
    assert "Holm" in text and "corrected for all spreads of the run" in " ".join(text.split())


def test_one_of_each_has_no_spread(tmp_path: Path) -> None:
    made = run(write(tmp_path), tmp_path)
    assert spreads(made) == []
    assert list(make_spread_tables(made)) == []


def test_conditions_all_alike_spread_by_chance_alone() -> None:
    chance = np.random.default_rng(4)
    alike = [proportion(list(chance.random(60) < 0.5), "x") for _ in range(6)]
    values = [part.value(part.rows.sum(axis=0)) for part in alike]
    mean, p = spread_by_chance(alike, max(values) - min(values))
    assert p > 0.05
    # The range of 6 normal means is 2.53 standard errors on average (Tippett 1925).
    assert mean == pytest.approx(2.53 * 100 * np.sqrt(0.25 / 60), rel=0.15)
    apart = [*alike[:5], proportion([True] * 60, "x")]
    assert spread_by_chance(apart, 50.0)[1] < 0.01
    assert spread_by_chance([alike[0]] * 3, 0.0) == (0.0, 1.0)


def test_ranks_that_hold_and_ranks_that_do_not() -> None:
    same = [{"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 10.0, "b": 20.0, "c": 30.0}]
    made = measure_stability("prompt", same, "accuracy", "higher")
    assert (made.tau, made.winner, made.wins, made.rankings) == (1.0, "c", 2.0, 2)
    turned = [same[0], {"a": 3.0, "b": 2.0, "c": 1.0}]
    assert measure_stability("prompt", turned, "accuracy", "higher").tau == -1.0
    assert measure_stability("prompt", same, "ter", "lower").winner == "a"
    tied = [{"a": 1.0, "b": 1.0}, {"a": 0.0, "b": 1.0}]
    made = measure_stability("prompt", tied, "accuracy", "higher")
    assert (made.winner, made.wins, made.tau) == ("b", 1.5, None)


def test_the_ranks_of_a_run(small: Run) -> None:
    (made,) = rank_stability(small)
    assert (made.task, made.of, made.rankings) == ("intent", "prompt", 5)
    assert made.winner in ("intent.j2", "short.j2")
    assert 0 <= made.wins <= 5


def test_the_tables_stand_below_those_of_the_run(small: Run) -> None:
    text = render(small)
    assert max(map(len, text.splitlines())) <= 80
    assert "intent · acc over prompt, seed" in text
    assert "prompt ranked at 5 places: Kendall's tau" in text
    assert "translation · chrF++ over seed" in text
    assert "nan" not in text.lower()


def test_an_ensemble_averages_probabilities_not_votes(tmp_path: Path) -> None:
    """Two are a little for music and one is sure of weather; 0.55, 0.55, 0.01 against 0.98."""
    file = varied(tmp_path, 1, grid={"shots": [0]})
    (tmp_path / "third.j2").write_text(TEMPLATE.replace("Name the intent.", "Say it."))
    raw = json.loads(file.read_text())
    raw["tasks"] = raw["tasks"][:1]
    raw["tasks"][0]["prompt"] = ["intent.j2", "short.j2", "third.j2"]
    sure = {" play music": -0.6, " weather": -0.8, " set alarm": -9.0}
    answers = {}
    for line in (tmp_path / "rows.jsonl").read_text().splitlines():
        query = f"Say: {json.loads(line)['utt']}\nIntent:"
        answers |= {f"{start}\n\n{query}": sure for start in ("Name the intent.", "Intent?")}
        answers[f"Say it.\n\n{query}"] = {" play music": -9, " weather": -0.02, " set alarm": -9}
    raw["models"]["t"] = {"engine": "table", "answers": answers}
    file.write_text(json.dumps(raw))
    made = run(file, tmp_path / "runs")
    votes = [condition.predictions()[0].value for condition in made.conditions]
    assert votes == ["play_music", "play_music", "weather_query"]
    (answer,) = ensemble_side(made.conditions).predictions.values()
    assert answer.value == "weather_query"


def test_the_score_of_an_ensemble_follows_from_the_records(small: Run) -> None:
    group = groups(small, ["prompt", "seed"])[2]
    right = 0
    for example in group[0].examples:
        shares = [softmax(member.records[example.id].logprobs) for member in group]
        labels = [choice.label for choice in group[0].choices(group[0].records[example.id])]
        right += labels[int(np.mean(shares, axis=0).argmax())] in example.targets
    made = ensemble(group)
    assert made.value == pytest.approx(100 * right / 12)
    assert (made.name, made.n) == ("accuracy+ensemble", 12)
    assert made.signature == "accuracy|match:exact|ensemble:6|ci:wilson"
    assert made.low < made.value < made.high


def test_written_answers_are_voted_on(small: Run) -> None:
    group = groups(small, ["seed"])[2]
    made = ensemble_side(group)
    for key, prediction in made.predictions.items():
        given = [next(p.value for p in member.predictions() if p.id == key) for member in group]
        assert given.count(prediction.value) == max(given.count(value) for value in given)
    assert ensemble(group, "bleu").name == "bleu+ensemble"


def test_an_ensemble_stands_beside_its_members(small: Run) -> None:
    found = compare_ensemble(small, ["prompt"])
    assert [one.b for one in found[:2]] == ["intent.j2", "short.j2"]
    assert {one.a for one in found} == {"ensemble of 2"}
    assert len(found) == 10 and found[0].compared == 10
    text = render_plain(make_comparison_tables(found, "prompt"))
    assert "intent · t · acc by prompt, against ensemble of 2" in text


def test_a_calibrated_ensemble_averages_the_calibrated_shares(tmp_path: Path) -> None:
    raw = json.loads(varied(tmp_path, grid={"shots": [0]}).read_text())
    raw["tasks"] = raw["tasks"][:1]
    raw["tasks"][0]["calibrate"] = ["batch"]
    (tmp_path / "small.yaml").write_text(json.dumps(raw))
    made = run(tmp_path / "small.yaml", tmp_path / "runs")
    (group,) = groups(made, ["prompt"])
    scores = [member.calibrated("batch").scores for member in group]
    shares = np.mean([[softmax(row) for row in rows] for rows in scores], axis=0)
    labels = [choice.label for choice in group[0].store.choices()]
    wanted = [labels[int(row.argmax())] for row in shares]
    answers = ensemble_side(group, calibrator="batch").predictions
    assert [answers[example.id].value for example in group[0].examples] == wanted
    found = compare_ensemble(made, ["prompt"], ["accuracy+batch"])
    calibrated = [next(s.value for s in c.scores if s.name == "accuracy+batch") for c in group]
    assert [one.value_b for one in found] == calibrated
    right = sum(label in row.targets for label, row in zip(wanted, group[0].examples, strict=True))
    assert found[0].value_a == ensemble(group, "accuracy+batch").value == 100 * right / 12
    plain_ones = [next(s.value for s in c.scores if s.name == "accuracy") for c in group]
    assert calibrated != plain_ones  # else this would show nothing


def test_an_empty_answer_is_an_answer(small: Run, own_registry: None) -> None:
    register("parser", "hush")(lambda output, choices=(): "")
    group = groups(small, ["seed"])[2]
    quiet = [replace(one, entry=replace(one.entry, parser="hush")) for one in group]
    made = ensemble_side(quiet).predictions.values()
    assert {(one.value, one.error) for one in made} == {("", None)}


def test_what_cannot_be_averaged_is_told(small: Run) -> None:
    with pytest.raises(
        ConfigError, match="^an ensemble needs two conditions or more, and this is 1"
    ):
        ensemble(small.conditions[:1])
    with pytest.raises(ConfigError, match="^an ensemble needs common examples, and its conditions"):
        ensemble([small.conditions[0], small.conditions[-1]])
    with pytest.raises(ConfigError, match="no two conditions differ only in model: nothing to"):
        compare_ensemble(small, ["model"])
