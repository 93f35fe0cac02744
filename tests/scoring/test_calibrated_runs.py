"""Calibrators through the whole line: probes asked once and kept, scores beside the plain ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from icl import Run, load_experiment, load_run, run, score_run
from icl.calibrators import Answers, CalibratedScores, Calibrator, Probe
from icl.core.errors import CalibrationError, ConfigError
from icl.core.registry import register
from icl.reports.tables import render, render_record
from icl.running.estimate import estimate
from tests.running.test_kinds import COPA, ROWS, small
from tests.running.test_run import COUNTING, CountingEngine, files
from tests.table_experiment import write

ALL = [
    "none",
    "batch",
    "per_token",
    "per_char",
    "contextual",
    "pmi",
    {"calibrator": "vote_mix", "n": 10},
]


@pytest.fixture(autouse=True)
def _reset() -> None:
    CountingEngine.asked = CountingEngine.calls = CountingEngine.closed = 0


def intents(folder: Path, calibrate: list[Any], task: Any = None, **changes: Any) -> Path:
    """The intent task of the small experiment alone, with calibrators."""
    tasks = json.loads(write(folder).read_text())["tasks"][:1]
    tasks[0] |= {"calibrate": calibrate, **(task or {})}
    return write(folder, **{"models": COUNTING, "tasks": tasks, **changes})


def names(done: Run, condition: int = 0) -> dict[str, Any]:
    return {score.name: score for score in done.conditions[condition].scores}


def beside(done: Run, condition: int, role: str) -> int:
    return len(done.conditions[condition].probes(role).records)


def test_scores_stand_side_by_side_each_with_its_interval(tmp_path: Path) -> None:
    done = run(intents(tmp_path, ALL), tmp_path / "runs")
    found = names(done, 1)
    for name in ("none", "batch", "per_token", "per_char", "contextual", "pmi", "vote_mix"):
        for metric in ("accuracy", "macro_f1", "ece"):
            score = found[f"{metric}+{name}"]
            assert score.kind == "model" and score.n == 10
            assert f"|calibrator:{name}" in score.signature
            if metric == "macro_f1":  # 10 rows hold no 5 of each label
                assert (score.low, score.high) == (None, None)
                assert "|ci:none (needs" in score.signature
            else:
                assert score.low <= score.value <= score.high
        debiased, chance = (found[f"ece:{what}+{name}"] for what in ("debiased", "chance"))
        assert debiased.low <= debiased.value <= debiased.high
        assert 0 < chance.value < 100 and chance.low is None
    assert found["accuracy+none"].value == found["accuracy"].value
    assert "calibrator" not in found["accuracy"].signature
    assert "|fitted:weight=" in found["accuracy+vote_mix"].signature
    frame = done.frame()
    assert set(frame[frame["score"] == "accuracy+batch"]["n"]) == {10}


def test_each_distinct_prompt_is_asked_once(tmp_path: Path) -> None:
    shots = [0, {"k": 2, "select": "random", "scope": "run"}, {"k": 2, "select": "random"}]
    done = run(intents(tmp_path, ALL, grid={"shots": shots}), tmp_path / "runs")
    asked = [
        [beside(done, i, role) for role in ("content_free", "domain", "pool")] for i in range(3)
    ]
    # Three inputs; ten rows with two shots each of their own need them with their shots.
    assert asked[:2] == [[3, 1, 0], [3, 1, 10]]
    assert 3 < asked[2][0] <= 30 and asked[2][1:] == [1, 10]
    assert done.computed == 30 + sum(map(sum, asked)) == CountingEngine.asked
    again = run(tmp_path / "small.yaml", tmp_path / "runs")
    assert (again.computed, again.reused) == (0, done.computed)


def test_calibrators_stay_out_of_the_fingerprint_and_only_their_probes_are_added(
    tmp_path: Path,
) -> None:
    plain = run(intents(tmp_path, []), tmp_path / "runs")
    more = run(intents(tmp_path, ["contextual", "batch"]), tmp_path / "runs")
    assert [c.entry.fingerprint for c in more.conditions] == [
        c.entry.fingerprint for c in plain.conditions
    ]
    assert more.reused == 20
    assert more.computed == sum(beside(more, i, "content_free") for i in range(2))
    file = intents(tmp_path, [{"calibrator": "contextual", "inputs": ["N/A", "?"]}])
    assert run(file, tmp_path / "runs").computed < more.computed, "N/A was there"


def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    wanted, task = ["contextual", "pmi", "vote_mix"], {"metrics": ["accuracy"]}
    run(intents(tmp_path, wanted, task), tmp_path / "whole")
    total = CountingEngine.asked
    assert total == 20 + 3 + 1 + 9 + 1 + 18
    assert len(files(tmp_path / "whole")) == 5 * 7 - 2 - 2, "no shots at 0, none of the domain"
    for at in (11, 23, 38, 46):  # among probes of either condition, rows, and the pool
        CountingEngine.asked = 0
        broken = {"t": {"engine": "counting", "default": "hash", "die_after": at}}
        with pytest.raises(KeyboardInterrupt):
            run(intents(tmp_path, wanted, task, models=broken), tmp_path / "cut")
        score_run(load_run("small", tmp_path / "cut"))  # what is there can be scored
        there = [p.read_bytes().count(b"\n") for p in (tmp_path / "cut").rglob("records.jsonl")]
        assert 0 < sum(there) < total
        CountingEngine.asked = 0
        again = run(intents(tmp_path, wanted, task), tmp_path / "cut")
        assert again.computed == CountingEngine.asked == total - sum(there)
        assert files(tmp_path / "cut") == files(tmp_path / "whole")
        shutil.rmtree(tmp_path / "cut")


def test_every_probe_renders_again_to_what_was_sent(tmp_path: Path) -> None:
    run(intents(tmp_path, ALL), tmp_path / "runs")
    for name in ("intent.j2", "rows.jsonl"):
        (tmp_path / name).unlink()
    condition = load_run("small", tmp_path / "runs").conditions[1]
    seen = {}
    for role in ("content_free", "domain", "pool"):
        found = condition.probes(role)
        for record in found.records.values():
            assert record.role == role
            assert "rendered again: the same as was sent" in render_record(found, record)
        seen[role] = found.prompt(record).text
    assert seen["domain"] == "Intent:"
    tests = {condition.prompt(record).text for record in condition.records.values()}
    free = {
        condition.probes("content_free").prompt(r).text
        for r in condition.probes("content_free").records.values()
    }
    heads = {text.rpartition("Say:")[0] for text in free}
    assert heads == {text.rpartition("Say:")[0] for text in tests}, "with the shots of the queries"
    tails = {text.rpartition("Say:")[2] for text in free}
    assert tails == {" N/A\nIntent:", " \nIntent:", " [MASK]\nIntent:"}


def test_a_pool_row_is_never_its_own_shot(tmp_path: Path) -> None:
    done = run(intents(tmp_path, [{"calibrator": "vote_mix", "n": 18}]), tmp_path / "runs")
    found = done.conditions[1].probes("pool")
    assert len(found.records) == 18
    for record in found.records.values():
        assert record.id not in [name for name, _, _ in record.shots]
        assert len(record.shots) == 2
    assert "pool=18" in names(done, 1)["accuracy+vote_mix"].signature


def test_a_calibrator_is_added_later_from_records_alone(tmp_path: Path) -> None:
    run(intents(tmp_path, []), tmp_path / "runs")
    for name in ("small.yaml", "intent.j2", "rows.jsonl"):
        (tmp_path / name).unlink()
    loaded = load_run("small", tmp_path / "runs")
    more = score_run(loaded, calibrators=["batch", "{calibrator: vote_mix, weight: 0.25}"])
    assert {"accuracy", "accuracy+batch", "ece+none"} <= set(names(more))
    again = load_run("small", tmp_path / "runs").conditions[1]
    assert "vote_mix|weight:0.25" in str(again.calibrator("vote_mix").settings())
    picked = [made.value for made in again.predictions(calibrator="vote_mix")]
    assert picked != [made.value for made in again.predictions()]
    assert len(picked) == 10
    kept = score_run(load_run("small", tmp_path / "runs"), calibrators=["per_token"])
    assert {"accuracy+batch", "accuracy+per_token"} <= set(names(kept)), "added, not replaced"


def test_missing_records_are_told_with_what_computes_them(tmp_path: Path) -> None:
    file = intents(tmp_path, [])
    run(file, tmp_path / "runs")
    loaded = load_run("small", tmp_path / "runs")
    message = r"contextual: 3 of 3 content_free records are missing; write `calibrate: \[contextual"
    with pytest.raises(CalibrationError, match=message):
        score_run(loaded, calibrators=["contextual"])
    with pytest.raises(CalibrationError, match="vote_mix: no prompt has shots with labels"):
        score_run(loaded, calibrators=["vote_mix"])
    with pytest.raises(CalibrationError, match="1 of 1 domain records are missing"):
        loaded.conditions[0].predictions(calibrator="pmi")
    with pytest.raises(CalibrationError, match="18 of 18 pool records.*or give a weight, as in"):
        loaded.conditions[1].predictions(calibrator="vote_mix")
    with pytest.raises(ConfigError, match="unknown calibrator 'bach'. Did you mean 'batch'"):
        score_run(loaded, calibrators=["bach"])
    with pytest.raises(ConfigError, match="calibrator '{a: ' is no YAML; write it as in {calibra"):
        score_run(loaded, calibrators=["{a: "])
    done = run(intents(tmp_path, ["contextual"]), tmp_path / "runs")
    assert names(done)["accuracy+contextual"].value is not None
    text = render(score_run(load_run("small", tmp_path / "runs")))
    assert "are missing" not in text, "what was missing once is not told for ever"


def test_the_table_fits_80_columns_and_says_what_is_assumed(tmp_path: Path) -> None:
    done = run(intents(tmp_path, ALL), tmp_path / "runs")
    text = render(done)
    assert max(map(len, text.splitlines())) <= 80
    assert "nan" not in text.casefold().replace("unanswered", "")
    head, _, table = text.partition("calibrated after the fact")
    assert "+batch" not in head and "ECE" not in head
    rows = [line.split() for line in table.splitlines()]
    assert [row[0] for row in rows if row and row[0] in ("batch", "pmi", "per_char")][:3] == [
        "batch",
        "per_char",
        "pmi",
    ]
    for part in (
        "ECE",
        "changed",
        "assumes: ",
        "hurts: ",
        "WARNING: 10 rows for 3 labels",
        "chosen on data: weight=",
        "no shots: not applied: no prompt has shots",
    ):
        assert part in " ".join(table.split()), part
    assert text == render(load_run("small", tmp_path / "runs")), "read again from the folder"
    plain = render(run(intents(tmp_path, [], name="plain"), tmp_path / "runs"))
    assert "calibrated" not in plain


def test_one_row_one_pool_row_and_constant_scores(tmp_path: Path) -> None:
    same = {label: -1.0 for label in (" set alarm", " play music", " weather")}
    queries = [
        f"Say: utterance {n} about {what} ✓\nIntent:"
        for n in range(30)
        for what in ("set", "music", "query")
    ]
    table = {"t": {"engine": "table", "answers": dict.fromkeys(queries, same)}}
    one = {"rows": {"data": "rows", "split": "test", "n": 1}, "pool": {"split": "train", "n": 1}}
    calibrate = ["none", "batch", "per_char", "vote_mix"]
    shots = [{"k": 2, "select": "bm25"}]  # more than there are in the pool
    done = run(
        intents(tmp_path, calibrate, one, models=table, grid={"shots": shots}), tmp_path / "runs"
    )
    text = " ".join(render(done).split())
    assert "nan" not in text.casefold()
    assert "batch: space:log" in text
    assert "not applied: the label 'alarm_set' is a choice in one row only" in text
    tied = {one.name: one.tied for one in done.conditions[0].calibrations if not one.refused}
    assert tied == {"none": 1, "per_char": 0, "vote_mix": 1}, (
        "the pool's row has no other row for a shot"
    )
    assert "1 of 1 rows tie; the first choice is taken" in text
    assert "WARNING: the weight was chosen on 1 pool rows alone" in text
    # Three equal shares: sure by a third, and the bins hold one row.
    assert names(done)["ece+none"].n == 1


def test_rows_with_choices_of_their_own(tmp_path: Path) -> None:
    calibrate = ["contextual", {"calibrator": "pmi", "premise": "so"}, "batch", "vote_mix"]
    file = small(tmp_path, COPA, ROWS, "choose", calibrate=calibrate)
    done = run(file, tmp_path / "runs")
    assert {"accuracy+contextual", "accuracy+pmi", "accuracy+batch"} <= set(names(done))
    condition = done.conditions[0]
    assert beside(done, 0, "content_free") == 18, "the choices are the row's"
    assert beside(done, 0, "domain") == 6
    probes = condition.probes("domain")
    record = next(iter(probes.records.values()))
    assert record.choices and "the same as was sent" in render_record(probes, record)
    (refused,) = [one.refused for one in condition.calibrations if one.name == "vote_mix"]
    assert refused == "the choices differ from row to row, so shots cannot vote"
    assert "bias of their places" in " ".join(render(done).split())


def test_a_field_that_chooses_words_is_named(tmp_path: Path) -> None:
    template = COPA.replace("{{ premise }} so", "{{ premise }} {{ words[way] }}")
    template = template.replace("label_field", "fallback: en\nlabel_field")
    rows = [row | {"way": "cause"} for row in ROWS]
    with pytest.raises(CalibrationError, match=r"without the row's content.*fields: \[premise\]"):
        run(small(tmp_path, template, rows, "choose", calibrate=["contextual"]), tmp_path / "r")
    with pytest.raises(CalibrationError, match=r"pmi: .*fields: \[premise\]"):
        run(small(tmp_path, template, rows, "choose", calibrate=["pmi"]), tmp_path / "r")
    assert not (tmp_path / "r").exists(), "told before anything runs"
    named = [{"calibrator": name, "fields": ["premise"]} for name in ("contextual", "pmi")]
    done = run(small(tmp_path, template, rows, "choose", calibrate=named), tmp_path / "r")
    found = done.conditions[0].probes("domain")
    assert {found.prompt(record).text for record in found.records.values()} == {"because"}


@pytest.mark.parametrize(
    ("calibrate", "task", "message"),
    [
        (["contextual"], {"prompt": "bare.j2"}, "contextual: bare.j2 reads no text field"),
        (["pmi"], {"prompt": "tail.j2"}, "pmi: the query of tail.j2 ends with the row's own text"),
        ([{"calibrator": "contextual", "fields": ["ut"]}], {}, "'ut' is no field that .*'utt'"),
        (["vote_mix"], {"pool": None}, "vote_mix: .*has no pool; add `pool:`, or give the weight"),
        (["batch"], {"method": "generate"}, "generates its answers here, so there are no choices"),
        (["batch", "batch"], {}, "'batch' appears twice"),
        (["bach"], {}, "unknown calibrator 'bach'. Did you mean 'batch'"),
    ],
)
def test_bad_input_is_told_before_anything_runs(
    tmp_path: Path, calibrate: list[Any], task: dict[str, Any], message: str
) -> None:
    head = "---\ntask: classify\nlabels: {alarm_set: a, play_music: b, weather_query: c}\n---\n"
    (tmp_path / "bare.j2").write_text(head + "Say it.||| {{ label }}")
    (tmp_path / "tail.j2").write_text(head + "Say: {{ utt }}||| {{ label }}")
    (tmp_path / "s.jsonl").write_text('{"fields": {"utt": "hm"}, "target": "play_music"}\n')
    file = intents(tmp_path, calibrate, task, grid={"shots": [{"file": "s.jsonl"}]})
    with pytest.raises((ConfigError, CalibrationError), match=message):
        run(file, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_nothing_is_calibrated_where_choices_are_written(tmp_path: Path) -> None:
    run(write(tmp_path), tmp_path / "runs")
    done = score_run(load_run("small", tmp_path / "runs"), calibrators=["batch"])
    ranked = [c for c in done.conditions if c.calibrations]
    assert [c.axes["task"] for c in ranked] == ["intent", "intent"]
    written = next(c for c in done.conditions if not c.calibrations)
    with pytest.raises(CalibrationError, match="there are no log-probabilities to calibrate"):
        written.calibrated("batch")
    tasks = json.loads(write(tmp_path).read_text())["tasks"][1:]
    run(write(tmp_path, name="text", tasks=tasks), tmp_path / "runs")
    with pytest.raises(CalibrationError, match="batch: no condition of this run ranks choices"):
        score_run(load_run("text", tmp_path / "runs"), calibrators=["batch"])


def test_the_estimate_counts_probes(tmp_path: Path) -> None:
    experiment = load_experiment(intents(tmp_path, ["contextual", "pmi"]))
    (zero, two) = estimate(experiment, tmp_path / "runs")
    assert zero.rows == 10 + 3 + 1
    done = run(experiment, tmp_path / "runs")
    assert zero.rows + two.rows == done.computed
    assert [one.rows for one in estimate(experiment, tmp_path / "runs")] == [0, 0]


def test_a_calibrator_of_ones_own(tmp_path: Path, own_registry: None) -> None:
    @register("calibrator", "odd")
    class Odd(Calibrator):
        name = "odd"
        broken = False

        def probes(self, example: Any, template: Any) -> list[Probe]:
            return [Probe("other" if self.broken else "domain", {"text": "Well:"})]

        def calibrate(self, given: Answers) -> CalibratedScores:
            return CalibratedScores(
                [row - p[0] * np.nan for row, p in zip(given.logprobs, given.probes, strict=True)]
            )

    done = run(intents(tmp_path, ["odd"]), tmp_path / "runs")
    assert done.conditions[0].calibrations[0].refused == "odd gave no number for example 'r9'"
    assert "assumes: not stated" in render(done)
    Odd.broken = True
    with pytest.raises(CalibrationError, match="odd: a probe has the role 'other'"):
        run(intents(tmp_path, ["odd"]), tmp_path / "runs")
