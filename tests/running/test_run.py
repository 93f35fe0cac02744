"""The straight line on the table engine: reuse, resume, out of memory, scores from records."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from icl import load_experiment, load_run, run, score_run
from icl.core.errors import ConfigError, DataError, OutOfMemory, StoreError, WindowError
from icl.core.registry import register
from icl.core.types import ChoiceScore, OnToken, Output, Prompt, Sampling
from icl.engines.table import TableEngine
from icl.experiment.condition import build
from icl.experiment.grid import list_points
from icl.experiment.loader import Loader
from icl.reports.tables import render, render_record
from icl.running.estimate import estimate
from tests.table_experiment import write


@dataclass
class CountingEngine(TableEngine):
    """The table engine, counting prompts; raises OutOfMemory above ``fits`` prompts a call."""

    fits: int = 10**6
    die_after: int = 10**6

    asked = 0
    calls = 0
    closed = 0

    def _check(self, n: int) -> None:
        type(self).calls += 1
        if n > self.fits:
            raise OutOfMemory("too large")
        type(self).asked += n
        if type(self).asked > self.die_after:
            raise KeyboardInterrupt

    def generate(
        self,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        on_token: OnToken | None = None,
        stop: Any = None,
    ) -> Iterator[tuple[int, Output]]:
        self._check(len(prompts))
        found = list(super().generate(prompts, sampling, on_token, stop))
        yield from reversed(found)

    def score(self, items: Sequence[tuple[Prompt, str]]) -> Iterator[tuple[int, ChoiceScore]]:
        self._check(len({prompt.text for prompt, _ in items}))
        yield from reversed(list(super().score(items)))

    def close(self) -> None:
        type(self).closed += 1


register("engine", "counting")(CountingEngine)
GENERATE = {"tasks.intent.method": ["generate"]}
COUNTING = {"t": {"engine": "counting", "default": "hash"}}


@pytest.fixture(autouse=True)
def _reset() -> None:
    CountingEngine.asked = CountingEngine.calls = CountingEngine.closed = 0


def files(root: Path) -> dict[str, bytes]:
    names = ("records.jsonl", "plan.json", "examples.jsonl", "shots.jsonl", "choices.json")
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.name in names
    }


def test_a_run_scores_every_condition(tmp_path: Path) -> None:
    done = run(write(tmp_path), tmp_path / "runs")
    assert (done.computed, done.reused) == (40, 0)
    frame = done.frame()
    assert set(frame["score"]) >= {
        "accuracy",
        "macro_f1",
        "chance/accuracy",
        "majority/accuracy",
        "vote/accuracy",
        "chrf",
        "bleu",
        "copy/chrf",
        "unparsed",
        "empty",
        "over_length",
    }
    models = frame[frame["kind"] == "model"]
    assert len(models) == 8
    assert (models["n"] == 10).all()
    known = models[models["low"].notna()]
    assert len(known) == 3, "BLEU of 10 rows has no interval"
    assert (known["low"] <= known["value"]).all()
    assert (known["value"] <= known["high"]).all()
    assert models["signature"].str.contains("ci:").all()
    assert json.loads((done.folder / "manifest.json").read_text())["finished"] is True


def test_the_second_run_computes_nothing(tmp_path: Path) -> None:
    file = write(tmp_path, models=COUNTING)
    first = run(file, tmp_path / "runs")
    before, calls = files(tmp_path / "runs"), CountingEngine.calls
    second = run(file, tmp_path / "runs")
    assert (second.computed, second.reused) == (0, 40)
    assert CountingEngine.calls == calls
    assert files(tmp_path / "runs") == before
    assert [s for s in second.scores] == [s for s in first.scores]


def test_raising_n_computes_only_the_new_rows(tmp_path: Path) -> None:
    file = write(tmp_path, models=COUNTING)
    text = file.read_text()
    run(file, tmp_path / "runs")
    file.write_text(text.replace('"n": 10', '"n": 12'))
    more = run(file, tmp_path / "runs")
    assert more.computed == 4
    file.write_text(text.replace('"n": 10', '"n": 3'))
    fewer = run(file, tmp_path / "runs")
    assert fewer.computed == 0
    assert {s.n for s in fewer.scores if s.name == "accuracy"} == {3}


def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    file = write(tmp_path, models=COUNTING)
    run(file, tmp_path / "whole")
    CountingEngine.asked = 0
    broken = {"t": {"engine": "counting", "default": "hash", "die_after": 13}}
    write(tmp_path, models=broken)
    with pytest.raises(KeyboardInterrupt):
        run(file, tmp_path / "cut")
    partial = score_run(load_run("small", tmp_path / "cut"))
    assert 0 < sum(len(c.records) for c in partial.conditions) < 40
    CountingEngine.asked = 0
    write(tmp_path, models=COUNTING)
    again = run(file, tmp_path / "cut")
    assert again.reused > 0
    assert CountingEngine.asked == again.computed == 40 - again.reused
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


def test_out_of_memory_halves_the_batch_and_keeps_the_split(tmp_path: Path) -> None:
    small = {"t": {"engine": "counting", "default": "hash", "fits": 1}}
    file = write(tmp_path, models=small)
    done = run(file, tmp_path / "runs")
    assert done.computed == 40
    assert {len(batch) for c in done.conditions for batch in c.store.batches()} == {1}
    whole = run(write(tmp_path, models=COUNTING), tmp_path / "runs2")
    assert [(s.name, s.value) for s in done.scores] == [(s.name, s.value) for s in whole.scores]
    write(tmp_path, models={"t": {"engine": "counting", "default": "hash", "fits": 0}})
    with pytest.raises(OutOfMemory):
        run(file, tmp_path / "none")


def test_changed_text_is_computed_again_even_if_the_fingerprint_stays(tmp_path: Path) -> None:
    file = write(tmp_path, models=COUNTING)
    run(file, tmp_path / "runs")
    rows = tmp_path / "rows.jsonl"
    rows.write_text(rows.read_text().replace("utterance 0 ", "utterance zero "))
    again = run(file, tmp_path / "runs")
    assert again.computed == 2
    texts = [c.prompt(c.record("r0")).text for c in again.conditions[:1]]
    assert "zero" in texts[0]


@pytest.mark.parametrize(
    "change",
    [
        {"models": {"t": {"engine": "table", "default": "hash", "window": 1000}}},
        {"grid": {"shots": [{"k": 1, "select": "bm25"}]}},
        {"grid": {"shots": [{"k": 2, "select": "bm25", "b": 0.5}]}},
        {"grid": {"shots": [{"k": 2, "select": "bm25", "order": "reversed"}]}},
        {"grid": {"shots": [{"k": 2, "select": "random"}]}},
        {"grid": {"shots": [{"k": 2, "select": "random", "seed": 1}]}},
        {"grid": {"shots": [{"k": 2, "select": "random", "scope": "run"}]}},
        {"grid": {"shots": [{"k": 2, "select": "balanced"}]}},
        {"grid": {"shots": [{"k": 2, "select": "bm25"}], **GENERATE}},
        {"grid": {"shots": [0], "tasks.intent.sampling.max_tokens": [9], **GENERATE}},
        {"grid": {"shots": [0], "tasks.intent.sampling.temperature": [1.0], **GENERATE}},
        {"grid": {"shots": [0], "tasks.intent.choice_end": ["never"],
                  "tasks.intent.prompt": ["ends.j2"]}},
        {"grid": {"shots": [0], "tasks.intent.rows.lines": [[1, 5]]}},
    ],
)  # fmt: skip
def test_whatever_changes_an_answer_changes_the_fingerprint(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    known = {name for name, _ in fingerprints(tmp_path, {})}
    known |= {name for name, _ in fingerprints(tmp_path, {"grid": {"shots": [0], **GENERATE}})}
    new = [name for name, task in fingerprints(tmp_path, change) if task == "intent"]
    assert new
    assert not known & set(new)


def fingerprints(folder: Path, change: dict[str, Any]) -> list[tuple[str, str]]:
    experiment = load_experiment(write(folder, **change))
    loader = Loader(experiment)
    made = [build(point, loader) for point in list_points(experiment)]
    return [(condition.fingerprint, condition.task.name) for condition in made]


def test_the_template_text_and_the_pool_change_the_fingerprint(tmp_path: Path) -> None:
    before = fingerprints(tmp_path, {})
    experiment = load_experiment(tmp_path / "small.yaml")
    template = tmp_path / "intent.j2"
    template.write_text(template.read_text().replace("Name the", "Tell the"))
    after = [build(point, Loader(experiment)).fingerprint for point in list_points(experiment)]
    assert [a == b for a, (b, _) in zip(after, before, strict=True)] == [False, True, False, True]
    write(tmp_path)
    rows = tmp_path / "rows.jsonl"
    rows.write_text(rows.read_text().replace("utterance 20", "utterance twenty"))
    pooled = [build(point, Loader(experiment)).fingerprint for point in list_points(experiment)]
    assert [a == b for a, (b, _) in zip(pooled, before, strict=True)] == [True, True, False, True]


@pytest.mark.parametrize(
    "change",
    [
        {"batch_size": 7},
        {"name": "other"},
        {"about": "text"},
        {"grid": {"shots": [0, {"k": 2, "select": "bm25", "seed": 5}]}},
        {"grid": {"shots": [{"k": 0, "select": "random", "seed": 3},
                            {"k": 2, "select": "bm25"}]}},
    ],
)  # fmt: skip
def test_inert_fields_stay_out_of_the_fingerprint(tmp_path: Path, change: dict[str, Any]) -> None:
    assert sorted(fingerprints(tmp_path, {})) == sorted(fingerprints(tmp_path, change))


def test_equal_conditions_run_once_and_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from icl.running.progress import Progress

    shots = [{"k": 2, "select": "bm25", "seeds": [0, 1, 2]}]
    file = write(tmp_path, models=COUNTING, grid={"shots": shots})
    done = run(file, tmp_path / "runs", Progress(sys.stderr))
    assert len(done.conditions) == 2
    assert done.computed == 20
    assert capsys.readouterr().err.count("is run once") == 2


def test_experiments_share_conditions(tmp_path: Path) -> None:
    run(write(tmp_path, models=COUNTING), tmp_path / "runs")
    other = run(write(tmp_path, models=COUNTING, name="other"), tmp_path / "runs")
    assert (other.name, other.computed, other.reused) == ("other", 0, 40)


def test_every_record_renders_again_to_what_was_sent(tmp_path: Path) -> None:
    done = run(write(tmp_path), tmp_path / "runs")
    for name in ("intent.j2", "rows.jsonl", "x.en"):
        (tmp_path / name).unlink()
    for condition in load_run("small", tmp_path / "runs").conditions:
        for record in condition.records.values():
            assert "rendered again: the same as was sent" in render_record(condition, record)
    assert len(done.conditions) == 4


def test_a_changed_store_is_seen_by_the_card(tmp_path: Path) -> None:
    done = run(write(tmp_path), tmp_path / "runs")
    condition = done.conditions[0]
    record = next(iter(condition.records.values()))
    assert "NOT what was sent" in render_record(condition, replace(record, request="0" * 64))


def test_scores_are_made_without_model_or_data_and_are_added(tmp_path: Path) -> None:
    run(write(tmp_path), tmp_path / "runs")
    for name in ("small.yaml", "intent.j2", "rows.jsonl", "x.en", "x.de"):
        (tmp_path / name).unlink()
    loaded = load_run(tmp_path / "runs" / "small")
    again = score_run(loaded, parser="text")
    names = {score.name for score in again.scores}
    assert {"chrf", "chrf@text", "unparsed@text", "accuracy"} <= names
    more = score_run(load_run(tmp_path / "runs" / "small"), metrics=["accuracy"])
    assert "chrf@text" in {score.name for score in more.scores}
    with pytest.raises(ConfigError, match="unknown parser 'txt'. Did you mean 'text'"):
        score_run(loaded, parser="txt")


def test_a_corrupt_record_in_the_middle_stops_the_run_and_loses_nothing(tmp_path: Path) -> None:
    file = write(tmp_path)
    done = run(file, tmp_path / "runs")
    path = done.conditions[0].store.folder / "records.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], "{broken\n", *lines[2:]]))
    with pytest.raises(StoreError, match=r"records\.jsonl:2: corrupt record"):
        run(file, tmp_path / "runs")
    assert len(path.read_text().splitlines()) == len(lines)


def test_shots_that_do_not_fit_are_dropped_and_counted(tmp_path: Path) -> None:
    models = {"t": {"engine": "table", "default": "hash", "window": 24}}
    done = run(
        write(tmp_path, models=models, grid={"shots": [{"k": 3, "select": "bm25"}]}),
        tmp_path / "runs",
    )
    dropped = [r.dropped for c in done.conditions[:1] for r in c.records.values()]
    assert all(dropped)
    assert "10 of 10 prompts lost 20 shots to fit the window" in render(done)
    small = {"t": {"engine": "table", "default": "hash", "window": 9}}
    with pytest.raises(WindowError, match="even without shots"):
        run(write(tmp_path, models=small), tmp_path / "runs")


def test_the_table_fits_80_columns_and_shows_everything(tmp_path: Path) -> None:
    text = render(run(write(tmp_path), tmp_path / "runs"))
    assert max(map(len, text.splitlines())) <= 80
    for part in (
        "acc",
        "95 % int.",
        "macro-F1",
        "chance",
        "majority",
        "vote",
        "copy",
        "chrF++",
        "BLEU",
        "tokens",
        "interval: wilson",
        "nrefs:1",
        "2 bm25",
    ):
        assert part in text


def test_models_are_closed_when_the_next_one_begins(tmp_path: Path) -> None:
    two = {"a": COUNTING["t"], "b": {**COUNTING["t"], "window": 500}}
    done = run(
        write(tmp_path, models=two, grid={"model": ["a", "b"], "shots": [0]}), tmp_path / "runs"
    )
    assert [c.axes["model"] for c in done.conditions] == ["a", "a", "b", "b"]
    assert CountingEngine.closed > 0


def test_a_grid_axis_reaches_into_tasks(tmp_path: Path) -> None:
    grid = {"shots": [0], "tasks.translation.sampling.max_tokens": [2, 5]}
    done = run(write(tmp_path, grid=grid), tmp_path / "runs")
    assert len(done.conditions) == 3
    lengths = [c.entry.axes.get("tasks.translation.sampling.max_tokens") for c in done.conditions]
    assert lengths == [None, "2", "5"]


def test_the_estimate_counts_rows_and_tokens_and_keeps_nothing(tmp_path: Path) -> None:
    experiment = load_experiment(write(tmp_path))
    first = list(estimate(experiment, tmp_path / "runs"))
    assert [one.rows for one in first] == [10] * 4
    assert all(one.prompt_tokens > 0 and one.answer_tokens > 0 for one in first)
    assert not any(one.measured for one in first)
    assert not (tmp_path / "runs").exists()
    done = run(experiment, tmp_path / "runs")
    for one, condition in zip(first, done.conditions, strict=True):
        sent = sum(record.prompt_tokens for record in condition.records.values())
        assert one.prompt_tokens == sent
    assert [one.rows for one in estimate(experiment, tmp_path / "runs")] == [0] * 4


def test_pool_rows_that_stand_in_the_test_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from icl.running.progress import Progress

    file = write(tmp_path)
    rows = tmp_path / "rows.jsonl"
    twin = {
        "id": "twin",
        "utt": "UTTERANCE 3  about SET ✓",
        "intent": "play_music",
        "split": "train",
    }
    rows.write_text(rows.read_text() + json.dumps(twin) + "\n")
    done = run(file, tmp_path / "runs", Progress(sys.stderr))
    pool = done.conditions[0].entry.pool
    assert (pool.n, pool.left_out) == (18, 1)
    assert "1 pool rows are also test rows" in capsys.readouterr().err


def test_bad_names_and_pools(tmp_path: Path) -> None:
    tasks = json.loads(write(tmp_path).read_text())["tasks"][:1]
    same = [{**tasks[0], "pool": {"split": "test"}}]
    with pytest.raises(DataError, match="the pool of 'intent' is empty"):
        run(write(tmp_path, tasks=same), tmp_path / "runs")
    none = [{key: value for key, value in tasks[0].items() if key != "pool"}]
    with pytest.raises(ConfigError, match="asks for 2 shots but has no pool"):
        run(write(tmp_path, tasks=none), tmp_path / "runs")
    with pytest.raises(ConfigError, match="unknown option 'ngram' of the selector 'bm25'. Did you"):
        run(
            write(tmp_path, grid={"shots": [{"k": 1, "select": "bm25", "ngram": "char"}]}),
            tmp_path / "runs",
        )
    with pytest.raises(ConfigError, match="unknown option 'sorce' of the engine"):
        run(write(tmp_path, models={"t": {"engine": "table", "sorce": "x"}}), tmp_path / "runs")
    with pytest.raises(ConfigError, match="is of kind 'generate', the task 'intent' needs"):
        run(write(tmp_path, tasks=[{**tasks[0], "prompt": "copy.j2"}]), tmp_path / "runs")


def test_a_label_that_is_not_known_is_named(tmp_path: Path) -> None:
    file = write(tmp_path)
    rows = tmp_path / "rows.jsonl"
    rows.write_text(rows.read_text().replace('"intent": "alarm_set"', '"intent": "alarm_sett"'))
    with pytest.raises(DataError, match="label 'alarm_sett'.* Did you mean 'alarm_set'"):
        run(file, tmp_path / "runs")


def test_load_run_says_which_runs_there_are(tmp_path: Path) -> None:
    run(write(tmp_path), tmp_path / "runs")
    with pytest.raises(StoreError, match="no run 'smal' in .*Did you mean 'small'"):
        load_run("smal", tmp_path / "runs")
    loaded = load_run("small", tmp_path / "runs")
    with pytest.raises(StoreError, match="0 conditions are called 'zz'"):
        loaded.condition("zz")
    with pytest.raises(StoreError, match="has no record 'r99'"):
        loaded.conditions[0].record("r99")
    shutil.rmtree(tmp_path / "runs" / "conditions")
    assert render(load_run("small", tmp_path / "runs")).count("0 of 10 rows so far") == 4
