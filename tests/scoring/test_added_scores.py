"""Scores added to a run: they are listed, taken away again, and told apart from its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from icl.cli.verbs import call_verb
from icl.core.errors import ConfigError
from icl.records.results import Run, load_run
from icl.scoring.added_scores import list_added_scores, remove_scores
from icl.scoring.scores import score_run
from tests.madeup import Made, Row, made

LAST_WORD = '{parser: regex, pattern: "(\\\\w+)\\\\W*$", name: last_word}'
SENTENCES = [
    Row("Cairo", "The capital of Egypt is Cairo."),
    Row("honey", "Bees make honey."),
    Row("Lima", "Lima"),
    Row("green", "Yellow"),
] * 3


def written(folder: Path) -> Run:
    return made(folder, Made(SENTENCES, labels=(), metrics=["exact_match"]))


def ranked(folder: Path, **more: Any) -> Run:
    rows = [Row("ab"[i % 2], "ab"[i % 3 % 2]) for i in range(12)]
    return made(folder, Made(rows, labels=("a", "b"), pool_labels={"a": 1, "b": 2}, **more))


def values(run: Run) -> dict[str, float | None]:
    return {one.name: one.value for one in run.conditions[0].scores}


def test_a_parser_changes_the_score_and_can_be_taken_away(tmp_path: Path) -> None:
    own = values(written(tmp_path))
    assert list_added_scores(load_run(tmp_path / "made")) == []
    score_run(load_run(tmp_path / "made"), parser=LAST_WORD)
    run = load_run(tmp_path / "made")
    assert values(run)["exact_match"] == 25.0 and values(run)["exact_match@last_word"] == 75.0
    added = list_added_scores(run)
    assert {one.name for one in added} == values(run).keys() - own.keys()
    assert {one.group for one in added} == {"@last_word"}
    assert added[0].conditions == 1 and "last_word" in added[0].settings
    remove_scores(run, ["@last_word"])
    assert values(load_run(tmp_path / "made")) == own


def test_one_score_alone_can_be_taken_away(tmp_path: Path) -> None:
    written(tmp_path)
    run = score_run(load_run(tmp_path / "made"), ["token_f1"], parser=LAST_WORD)
    before = values(run)
    after = values(remove_scores(run, ["token_f1@last_word"]))
    assert before.keys() - after.keys() == {"token_f1@last_word"}


def test_an_added_metric_takes_its_baselines_along(tmp_path: Path) -> None:
    ranked(tmp_path)
    run = score_run(load_run(tmp_path / "made"), ["macro_f1"])
    names = {one.name for one in list_added_scores(run)}
    assert names == {"macro_f1", "majority/macro_f1"}
    assert values(remove_scores(run, ["macro_f1"])).keys() == values(run).keys() - names


def test_another_setting_of_the_experiment_s_own_metric_is_an_addition(tmp_path: Path) -> None:
    written(tmp_path)
    score_run(load_run(tmp_path / "made"), ["{metric: exact_match, ignore_case: true}"])
    run = load_run(tmp_path / "made")
    added = list_added_scores(run)
    assert [one.name for one in added] == ["exact_match", "copy/exact_match"]
    assert {one.settings.rpartition("|")[2] for one in added} == {"case:ignored"}
    remove_scores(run, ["exact_match"])
    [left] = [s for s in load_run(tmp_path / "made").scores if s.name == "exact_match"]
    assert left.settings.endswith("case:kept")


def test_a_calibrator_leaves_nothing_behind(tmp_path: Path) -> None:
    own = values(ranked(tmp_path))
    score_run(load_run(tmp_path / "made"), calibrators=["batch", "per_char"])
    run = load_run(tmp_path / "made")
    groups = {one.group for one in list_added_scores(run)}
    assert groups == {"+batch", "+per_char", "+none"}
    left = remove_scores(run, ["+batch"])
    assert [one.name for one in left.conditions[0].calibrations] == ["per_char"]
    assert "ece+none" in values(left) and "accuracy+batch" not in values(left)
    remove_scores(left, ["+per_char"])
    again = load_run(tmp_path / "made")
    assert values(again) == own and again.conditions[0].calibrations == ()


def test_what_cannot_be_taken_away_is_told_and_nothing_is(tmp_path: Path) -> None:
    run = written(tmp_path)
    with pytest.raises(ConfigError, match="no score was added to made"):
        remove_scores(run, ["@text"])
    score_run(run, parser=LAST_WORD)
    run = load_run(tmp_path / "made")
    before = values(run)
    with pytest.raises(ConfigError, match=r"exact_match: it is a score of the experiment itself"):
        remove_scores(run, ["@last_word", "exact_match"])
    with pytest.raises(ConfigError, match="not among the added scores. Did you mean '@last_word'"):
        remove_scores(run, ["@lastword"])
    assert values(load_run(tmp_path / "made")) == before


def test_the_verb_lists_and_removes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path / "runs")
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["icl", "score", "made", *words])
        code = call_verb()
        return code, *capsys.readouterr()

    code, out, err = call()
    assert (code, err) == (0, "")
    code, out, err = call("--parser", LAST_WORD)
    assert code == 0 and err.startswith("added: exact_match@last_word, ")
    code, out, err = call()  # also when nothing is added by this call
    assert err.endswith("\n  remove: icl score made --remove @last_word\n")
    code, out, err = call("--remove", "@last_word", "--parser", "text")
    assert code == 2 and "--remove makes no scores; leave out --metric, --parser" in err
    code, out, err = call("--remove", "@last_word")
    assert (code, out) == (0, "")
    assert re.fullmatch(r"[1-9] scores removed from made; the records stay\n", err)
    assert "last_word" not in (tmp_path / "runs" / "made" / "scores.json").read_text()
