"""Searches: the planted candidate is found, rows stay apart, budgets hold, mistakes are told."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

import icl
from icl import cli
from icl.core.errors import BusyError, ConfigError, DataError, IclError, StoreError
from icl.core.types import Score
from icl.experiment.file import load_experiment
from icl.running.search.outcome import measure_optimism, render
from icl.running.search.search import plan
from icl.running.search.state import State
from tests.planted import planted, worth

search = icl.search


def ids(file: Path) -> list[str]:
    return [json.loads(line)["id"] for line in file.read_text().splitlines()]


def asked(out: Path) -> dict[str, list[str]]:
    """Ids of the records of every condition folder."""
    return {
        path.parent.name: [json.loads(line)["id"] for line in path.read_text().splitlines()]
        for path in out.rglob("records.jsonl")
    }


def test_the_planted_set_and_prompt_are_found_and_written(tmp_path: Path) -> None:
    found = search(planted(tmp_path), tmp_path / "runs")
    sets = {file: worth(ids(file)) for file in (tmp_path / "runs").rglob("shot_sets/*.jsonl")}
    assert len(sets) == 5
    most = max(sets, key=lambda file: sets[file])
    assert found.winner.name == f"intent.j2 · set {most.stem.rpartition('-')[2]}"
    assert found.shots == tmp_path / "shots" / "best.jsonl"
    assert found.shots.read_text() == most.read_text()
    assert [(rung.candidates, rung.rows) for rung in found.rungs] == [(10, 4), (4, 4), (2, 9)]
    assert found.dev.n == 9
    assert found.test is not None
    assert found.test.scores[0].winner.n == 10
    assert [one.winner.name for one in found.test.scores] == [
        "gold_logprob",
        "accuracy",
        "macro_f1",
    ]


def test_development_rows_are_neither_shots_nor_tested(tmp_path: Path) -> None:
    out = tmp_path / "runs"
    found = search(planted(tmp_path), out)
    dev = {example.id for example in found.winner.dev.examples}
    test = {example.id for example in found.winner.test.examples}
    assert len(dev) == 9
    assert not dev & test
    for file in out.rglob("shot_sets/*.jsonl"):
        assert not (dev | test) & {*ids(file)}
    opened = [rows for rows in asked(out).values() if test & {*rows}]
    assert len(opened) == 2  # the winner and the file's first condition, no other candidate


def test_the_winners_experiment_runs_as_it_is_and_computes_nothing(tmp_path: Path) -> None:
    found = search(planted(tmp_path), tmp_path / "runs")
    again = icl.run(found.best, tmp_path / "runs")
    assert (again.computed, again.reused) == (0, 10)
    assert again.name == "small-best"
    assert found.test is not None
    value = next(score.value for score in again.scores if score.name == "accuracy")
    assert value == found.test.scores[1].winner.value


def test_the_winners_experiment_is_one_condition_though_the_file_has_more(tmp_path: Path) -> None:
    file = planted(tmp_path)
    raw = json.loads(file.read_text())
    raw["tasks"][0]["layouts"] = ["f0", "f1"]
    raw["tasks"][0]["pool"]["locale"] = ["same"]
    file.write_text(json.dumps(raw))
    found = search(file, tmp_path / "runs")
    again = icl.run(found.best, tmp_path / "runs")
    assert (len(again.conditions), again.computed) == (1, 0)


def test_the_same_seed_gives_the_same_and_computes_nothing_again(tmp_path: Path) -> None:
    file, out = planted(tmp_path), tmp_path / "runs"
    first = search(file, out)
    before = asked(out)
    second = search(file, out)
    assert asked(out) == before
    assert second.trials == first.trials
    assert second.winner.name == first.winner.name
    other = search(planted(tmp_path, "other.yaml", seed=1, name="other", write=None), out)
    sets = [
        {f.name: f.read_text() for f in (out / name / "shot_sets").iterdir()}
        for name in ("small", "other")
    ]
    assert all(sets[0][name] != sets[1][name] for name in sets[0])
    assert other.shots == (out / "other" / "shots.jsonl").resolve()


def test_trials_are_recorded_a_line_each(tmp_path: Path) -> None:
    found = search(planted(tmp_path), tmp_path / "runs")
    lines = (tmp_path / "runs" / "small" / "search.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [{k: v for k, v in row.items() if k != "settings"} for row in rows] == [
        asdict(trial) for trial in found.trials
    ]
    assert len(rows) == 10 + 4 + 2
    assert rows[0]["settings"]["prompt"] == "intent.j2"
    assert all(row["tokens"] > 0 for row in rows if row["rung"] != 2)


def test_another_winner_is_not_tested_on_the_same_rows_unless_asked_to(tmp_path: Path) -> None:
    out = tmp_path / "runs"
    first = search(planted(tmp_path), out)
    changed = planted(tmp_path, over={"shot_set": 5, "prompt": ["guess.j2"]})
    second = search(changed, out)
    assert second.winner.name != first.winner.name
    assert second.test is None
    text = " ".join(render(second).split())
    assert "test: not repeated: its rows were used to test 1 other winner before" in text
    third = search(changed, out, again=True)
    assert third.test is not None
    assert third.opened == 2
    text = " ".join(render(third).split())
    assert "care: these test rows were used to test 2 winners" in text
    back = search(planted(tmp_path), out)  # its own winner was asked them before
    assert back.test is not None


@pytest.mark.parametrize("tokens", [1500, 2500, 4000, 10_000])
def test_a_budget_of_tokens_is_never_exceeded(tmp_path: Path, tokens: int) -> None:
    found = search(planted(tmp_path, budget={"tokens": tokens}), tmp_path / "runs")
    spent = sum(trial.tokens for trial in found.trials)
    assert 0 < spent <= tokens
    folders = {trial.condition for trial in found.trials}
    counted = 0
    for path in (tmp_path / "runs").rglob("timings.jsonl"):
        if path.parent.name.rpartition("-")[2] in folders:
            counted += sum(json.loads(line)["tokens"] for line in path.read_text().splitlines())
    assert counted == spent


def long_after(folder: Path, n: int, shared: int) -> None:
    """Make all development rows after the first ``n`` longer by so many words."""
    dev = search_rows(folder)
    path = folder / "rows.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        if row["id"] in dev[n:]:
            row["utt"] += " so" * shared
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def search_rows(folder: Path) -> list[str]:
    """Ids of the development rows in the order asked."""
    made = plan(folder / "small.yaml", folder / "unused")
    return [example.id for example in made.field.candidates[0].dev.examples]


def test_a_budget_that_ends_in_a_rung_takes_the_best_before_it(tmp_path: Path) -> None:
    file = planted(tmp_path, budget={"tokens": 4500})
    long_after(tmp_path, 8, 2000)  # the estimate is made from the first 8
    found = search(file, tmp_path / "runs")
    assert found.stopped == (
        "the budget of 4,500 tokens ended on rung 3: 1 of 2 candidates answered 9 rows; "
        "the best of rung 2 is taken"
    )
    assert found.dev.n == 4
    assert sum(trial.tokens for trial in found.trials) <= 4500
    assert "early: the budget of 4,500 tokens ended" in " ".join(render(found).split())


def test_a_budget_of_minutes_measures_the_pace_first(tmp_path: Path) -> None:
    found = search(planted(tmp_path, budget={"minutes": 5}), tmp_path / "runs")
    assert [trial.rung for trial in found.trials[:3]] == [0, 0, 1]
    assert found.rungs[-1].rows == 9
    kept = json.loads((tmp_path / "runs" / "small" / "search.json").read_text())
    assert kept["pace"] > 0


def test_the_optimism_of_a_choice_by_chance_is_told(tmp_path: Path) -> None:
    file = planted(tmp_path, models={"t": {"engine": "table", "default": "hash"}})
    found = search(file, tmp_path / "runs")
    assert found.test is not None
    made = found.test.optimism
    assert made is not None
    assert made.value == pytest.approx(
        (found.dev.value or 0) - (found.test.scores[0].winner.value or 0)
    )
    assert (made.low, made.high) == (None, None), "9 development rows have no interval"
    dev = Score("x", 60.0, 50.0, 80.0, 40, "x")
    test = Score("x", 50.0, 40.0, 70.0, 40, "x")
    both = measure_optimism(dev, test, 1)
    assert both is not None and both.value == 10
    # MOVER: 10 - sqrt(10^2 + 20^2), and 10 + sqrt(20^2 + 10^2).
    assert (both.low, both.high) == pytest.approx((10 - 500**0.5, 10 + 500**0.5))


def test_a_metric_as_objective_and_written_answers(tmp_path: Path) -> None:
    file = planted(tmp_path)
    raw = json.loads(file.read_text())
    raw["tasks"] = [
        {
            "task": "translation",
            "prompt": "copy.j2",
            "rows": {"data": "pairs", "pair": {"from": "en", "to": "de"}, "lines": [1, 5]},
            "pool": {"lines": [11, 20]},
            "sampling": {"max_tokens": 8},
        }
    ]
    raw["models"] = {"t": {"engine": "table", "default": "hash"}}
    raw["search"] = {"over": {"k": [0, 1, 2]}, "dev": {"lines": [6, 10]}, "objective": "ter"}
    file.write_text(json.dumps(raw))
    found = search(file, tmp_path / "runs")
    values = {trial.name: trial.value for trial in found.trials}
    assert found.dev.value == min(value for value in values.values() if value is not None)
    raw["search"]["objective"] = "gold_logprob"
    file.write_text(json.dumps(raw))
    with pytest.raises(ConfigError, match="gold_logprob needs ranked choices.*such as chrf"):
        search(file, tmp_path / "runs")


def test_retrieval_is_a_candidate_without_a_shot_file(tmp_path: Path) -> None:
    over = {"select": ["random", {"select": "bm25", "ngrams": "char"}], "shot_set": 2, "k": [0, 2]}
    file = planted(tmp_path, over=over)
    made = plan(file, tmp_path / "runs")
    names = [candidate.name for candidate in made.field.candidates]
    assert names == ["0", "2 random · set 1", "2 random · set 2", "2 bm25 char"]
    assert not (tmp_path / "runs").exists()
    bm25 = planted(tmp_path, over={"select": ["bm25"], "k": [1, 2]})
    found = search(bm25, tmp_path / "runs")
    assert found.shots is None
    again = icl.run(found.best, tmp_path / "runs")
    assert again.computed == 0  # its pool is without the development rows too
    raw = yaml.safe_load(found.best.read_text())
    assert raw["tasks"][0]["pool"] == {"split": "train", "without": {"split": "train", "n": 9}}


def test_orders_and_the_files_own_shot_file(tmp_path: Path) -> None:
    over = {"shot_set": 2, "order": ["selected", "reversed"]}
    found = search(planted(tmp_path, over=over), tmp_path / "runs")
    assert len({trial.name for trial in found.trials}) == 4
    (tmp_path / "own.jsonl").write_text('{"id": "r28"}\n')
    file = planted(
        tmp_path,
        name="own",
        write=None,
        grid={"shots": [{"file": "own.jsonl"}]},
        over={"prompt": ["guess.j2", "intent.j2"]},
        dev={"split": "train", "n": 4},
    )
    dev = {example.id for example in plan(file).field.candidates[0].dev.examples}
    assert "r28" not in dev
    own = search(file, tmp_path / "runs")
    assert own.winner.name == "intent.j2"
    assert own.test is not None and own.test.same
    assert "the winner is the file's first condition itself" in " ".join(render(own).split())
    assert "own.jsonl" in own.best.read_text()


BAD: dict[str, tuple[dict[str, Any], type[IclError], str]] = {
    "no dev": ({"dev": None}, ConfigError, "no development rows; add `dev: {split: dev, n: 100}`"),
    "dev is the test": (
        {"dev": {"split": "test"}}, DataError,
        "all 12 rows of `dev` are also test rows; name another split",
    ),
    "dev is the pool": ({"dev": {"split": "train"}}, DataError, "excluded by `without`"),
    "unknown objective": ({"objective": "acuracy"}, ConfigError, "Did you mean 'accuracy'"),
    "no direction": ({"objective": "length_ratio"}, ConfigError, "best neither high nor low"),
    "over nothing": ({"over": {}}, ConfigError, "`over` is empty; name at least one of shot_set"),
    "unknown key": ({"over": {"shots": 3}}, ConfigError, "unknown key 'search.over.shots'"),
    "one candidate": (
        {"over": {"prompt": ["intent.j2"]}}, ConfigError, "one candidate only .*name more values",
    ),
    "unknown selector": ({"over": {"select": ["rand"]}}, ConfigError, "unknown selector 'rand'"),
    "unknown order": ({"over": {"order": ["up"]}}, ConfigError, "unknown order 'up'. Did you mean"),
    "no template": ({"over": {"prompt": ["no.j2", "intent.j2"]}}, IclError, "no.j2"),
    "small budget": (
        {"budget": {"tokens": 50}}, ConfigError,
        "a budget of 50 tokens is too small: 10 candidates on 4 rows .*need about [0-9,]+ tokens",
    ),
    "two budgets": (
        {"budget": {"tokens": 50, "minutes": 1}}, ConfigError, "give either minutes or tokens",
    ),
    "no budget": ({"budget": {}}, ConfigError, "give either minutes or tokens"),
    "large k": ({"over": {"shot_set": 2, "k": [99]}}, DataError, "99 shots of a pool of 9 rows"),
    "eta": ({"eta": 1}, ConfigError, "search.eta"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_mistakes_are_told_in_one_line(tmp_path: Path, name: str) -> None:
    changes, kind, message = BAD[name]
    with pytest.raises(kind, match=message):
        search(planted(tmp_path, **changes), tmp_path / "runs")


def test_a_file_without_a_search_and_one_without_shots(tmp_path: Path) -> None:
    file = planted(tmp_path)
    raw = json.loads(file.read_text())
    search_block = raw.pop("search")
    file.write_text(json.dumps(raw))
    with pytest.raises(ConfigError, match="nothing to search; add `search: {over:"):
        search(file)
    raw |= {"grid": {"shots": [0]}, "search": search_block}
    file.write_text(json.dumps(raw))
    with pytest.raises(ConfigError, match=r"over how many shots\?.*add `k: \[4, 8\]`"):
        search(file)


def test_a_hand_written_shot_file_is_never_replaced(tmp_path: Path) -> None:
    file = planted(tmp_path)
    (tmp_path / "shots").mkdir()
    (tmp_path / "shots" / "best.jsonl").write_text('{"id": "r20"}\n')
    with pytest.raises(ConfigError, match="exists already and was not written by this search"):
        search(file, tmp_path / "runs")
    assert (tmp_path / "shots" / "best.jsonl").read_text() == '{"id": "r20"}\n'
    with pytest.raises(ConfigError, match="is a folder"):
        search(planted(tmp_path, write="shots"), tmp_path / "runs")


def test_a_run_ignores_the_search_block(tmp_path: Path) -> None:
    assert icl.run(planted(tmp_path), tmp_path / "runs").computed == 10


def test_base_moves_the_paths_of_a_file(tmp_path: Path) -> None:
    file = planted(tmp_path)
    moved = tmp_path / "deep" / "moved.yaml"
    moved.parent.mkdir()
    moved.write_text(json.dumps({**json.loads(file.read_text()), "base": ".."}))
    assert load_experiment(moved).base.resolve() == tmp_path.resolve()
    assert icl.run(moved, tmp_path / "runs").computed == 10


def command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["icl", "run", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    out, err = capsys.readouterr()
    return int(stopped.value.code or 0), out, err


def test_the_command_prints_rungs_test_and_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, out = planted(tmp_path, budget={"tokens": 10_000}), tmp_path / "runs"
    code, printed, _ = command(capsys, monkeypatch, file, "--out", out, "--dry-run")
    assert code == 0
    assert "10 candidates:\n  intent.j2 · set 1\n" in printed
    assert re.search(r"1\s+10\s+4\s+40\s+[\d,]+\s+0 s\n\s+2\s+4\s+4\s+0\s+0\s+0 s", printed)
    assert "the budget is 10,000 tokens\nnothing was run or saved\n" in printed
    assert not out.exists()
    code, printed, told = command(capsys, monkeypatch, file, "--out", out)
    assert code == 0
    assert "note: 9 pool rows are development rows and are not used as shots" in told
    assert "rung 3 of 3: 2 candidates on 9 rows" in told
    assert printed.startswith(
        "gold_logprob on development rows, 10 candidates; all choices alike would have\n-1.10\n"
    )
    assert printed.count("▸") == 1
    assert max(map(len, printed.splitlines()[:-3])) <= 80
    assert f"  icl run {out}/small/best.yaml\n" in printed
    assert re.search(r"difference +p \(Holm\)\n", printed), "several scores are tested at once"
    code, printed, told = command(capsys, monkeypatch, planted(tmp_path, over={}), "--out", out)
    assert (code, printed) == (2, "")
    assert told.splitlines()[-1].startswith(
        "icl: small: search: `over` is empty; name at least one"
    )


def test_two_searches_do_not_write_to_one_folder(tmp_path: Path) -> None:
    file = planted(tmp_path)
    state = State(tmp_path / "runs" / "small", "other")
    with state.writing(), pytest.raises(BusyError, match="another process searches in"):
        search(file, tmp_path / "runs")


def test_a_spoilt_state_is_told(tmp_path: Path) -> None:
    file, out = planted(tmp_path), tmp_path / "runs"
    search(file, out)
    (out / "small" / "search.json").write_text("{}")
    with pytest.raises(StoreError, match="search.json: key is missing; delete it and search again"):
        search(file, out)


def test_rows_without_keep_out_of_an_ordinary_pool(tmp_path: Path) -> None:
    file = planted(tmp_path)
    raw = json.loads(file.read_text())
    raw["tasks"][0]["pool"]["without"] = {"split": "train", "n": 9}
    raw["grid"]["shots"] = [{"k": 2, "select": "bm25"}]
    file.write_text(json.dumps(raw))
    done = icl.run(file, tmp_path / "runs")
    assert done.conditions[0].entry.pool.n == 9
    held = {example.id for example in plan(file).field.candidates[0].dev.examples}
    shown = {name for record in done.conditions[0].records.values() for name, *_ in record.shots}
    assert shown
    assert not shown & held
