"""Selectors and orders in a run: axes, fingerprints, vectors by the loader, notes."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from icl import register
from icl.core.errors import ConfigError, DataError, ModelError
from icl.engines.table import TableEngine
from icl.experiment.condition import build
from icl.experiment.file import load_experiment
from icl.experiment.grid import list_points
from icl.experiment.lint import lint
from icl.experiment.loader import Loader
from icl.experiment.notes import note_pool
from icl.reports.tables import render
from icl.running.progress import Progress
from icl.running.run import run
from tests.table_experiment import write


@pytest.fixture
def seeing(own_registry: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """A table engine ``seeing`` that embeds by letters; what it embedded is listed."""
    asked: list[list[str]] = []
    monkeypatch.setenv("ICL_CACHE", str(tmp_path / "cache"))

    @register("engine", "seeing")
    @dataclass
    class Seeing(TableEngine):
        letters: str = "abcdefghijklmnopqrstuvwxyz0123456789"

        def embed(self, texts: Sequence[str], layer: int | None = None) -> Any:
            asked.append(list(texts))
            counts = [[text.count(c) for c in self.letters] for text in texts]
            return np.array(counts, dtype=np.float32)

        def embedding(self, layer: int | None = None) -> dict[str, Any]:
            return {"letters": self.letters, "layer": layer or 0}

    return asked


def conditions(file: Path) -> list[Any]:
    experiment = load_experiment(file)
    loader = Loader(experiment)
    return [build(p, loader) for p in list_points(experiment) if p.task.task == "intent"]


def locales(folder: Path) -> Path:
    """Parallel rows p0 … p9 in two locales, the first three of which are also test rows."""
    for locale, word in (("en-US", "row"), ("de-DE", "zeile")):
        lines = [
            {"id": f"p{n}", "utt": f"{word} {n}", "intent": "play_music", "split": split}
            for n, split in enumerate(["test"] * 3 + ["train"] * 7)
        ]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"{locale}.jsonl").write_text(text)
    return folder


def across(folder: Path, shots: Any = 2, **pool: Any) -> Path:
    file = write(locales(folder))
    task = json.loads(file.read_text())["tasks"][0]
    task |= {"rows": {"data": "own", "split": "test", "locale": "de-DE"}, "pool": pool}
    own = {"format": "jsonl", "path": "{locale}.jsonl", "answer": "intent"}
    other = {"format": "jsonl", "path": "en-US.jsonl", "answer": "intent"}
    return write(folder, tasks=[task], data={"own": own, "other": other}, grid={"shots": [shots]})


# --- order --------------------------------------------------------------------------------------


def test_an_order_study_is_an_axis(tmp_path: Path) -> None:
    shots = [{"k": 3, "select": "random", "scope": "run", "order": "permutations"}]
    file = write(tmp_path, grid={"shots": shots})
    done = run(file, tmp_path / "runs")
    intent = [c for c in done.conditions if c.entry.task == "intent"]
    assert [c.settings["order"] for c in intent] == [f"p{n}" for n in range(6)]
    assert intent[4].axes["shots"] == "3 random run p4"
    orders = [tuple(s for s, _, _ in c.records["r3"].shots) for c in intent]
    assert len(set(orders)) == 6 and len({frozenset(order) for order in orders}) == 1


def test_inert_orders_leave_the_fingerprint(tmp_path: Path) -> None:
    orders = ["selected", "nearest_first", "nearest_last", "reversed", "p0", "p1", "random"]
    grid = {"shots": [{"k": 2, "select": "bm25", "order": orders}]}
    made = conditions(write(tmp_path, grid=grid))
    plain, near, far, back, p0, p1, drawn = (condition.fingerprint for condition in made)
    assert plain == near == p0 and far == back == p1 and drawn not in (plain, back)
    orders.remove("p1")
    one = conditions(write(tmp_path, grid={"shots": [{"k": 1, "select": "bm25", "order": orders}]}))
    assert len({condition.fingerprint for condition in one}) == 1
    seeds = [{"k": 2, "select": "bm25", "order": "random", "seeds": [0, 1]}]
    first, second = conditions(write(tmp_path, grid={"shots": seeds}))
    assert first.fingerprint != second.fingerprint
    assert (first.point.settings["seed"], second.point.axes["shots"]) == ("0", "2 bm25 random s1")


def test_a_random_order_is_one_for_all_queries_only_where_the_shots_are(tmp_path: Path) -> None:
    def places(select: dict[str, Any]) -> set[tuple[int, ...]]:
        both = [{"k": 4, **select}, {"k": 4, **select, "order": "random"}]
        plain, mixed = conditions(write(tmp_path, grid={"shots": both}))
        found = set()
        for example in plain.examples:
            ids = [shot.example.id for shot in plain.request(example).shots]
            found.add(tuple(ids.index(s.example.id) for s in mixed.request(example).shots))
        return found

    assert len(places({"select": "random", "scope": "run"})) == 1
    assert len(places({"select": "bm25"})) > 3


# --- vectors ------------------------------------------------------------------------------------


def test_the_models_own_states_choose_shots(tmp_path: Path, seeing: list[list[str]]) -> None:
    grid = {
        "shots": [{"k": 2, "select": s} for s in ("dense", "bm25")]
        + [{"k": 2, "select": "mmr", "by": "dense", "lambda": 0.3}]
    }
    file = write(tmp_path, models={"t": {"engine": "seeing", "default": "hash"}}, grid=grid)
    done = run(file, tmp_path / "runs")
    assert [c.axes["shots"] for c in done.conditions[::2]] == [
        "2 dense",
        "2 bm25",
        "2 mmr dense 0.3",
    ]
    texts = [text for block in seeing for text in block]
    assert len(texts) == len(set(texts)), "every text is embedded once for all conditions"
    blocks = len(seeing)
    again = run(file, tmp_path / "runs")
    assert (again.computed, len(seeing)) == (0, blocks), "a second run reads vectors from disk"
    kept = done.conditions[0].store.condition().identity.json["shots"]["options"]
    assert kept["vectors"]["letters"].startswith("abc")


def test_another_layer_or_model_is_another_condition(
    tmp_path: Path, seeing: list[list[str]]
) -> None:
    shots = [{"k": 2, "select": "dense"}, {"k": 2, "select": "dense", "layer": 3}]
    models = {"t": {"engine": "seeing"}}
    made = conditions(write(tmp_path, models=models, grid={"shots": shots}))
    assert made[0].fingerprint != made[1].fingerprint and seeing == []
    assert [c.point.settings.get("layer") for c in made] == [None, "3"]


def test_lint_reads_no_weights(tmp_path: Path, seeing: list[list[str]]) -> None:
    models = {"t": {"engine": "seeing"}}
    file = write(tmp_path, models=models, grid={"shots": [{"k": 2, "select": "dense"}]})
    assert [p.text for p in lint(str(file)) if "dense" in p.text] == [] and seeing == []
    file = write(tmp_path, models=models, grid={"shots": [{"k": 2, "select": "dense", "lyer": 1}]})
    assert any("unknown option 'lyer'" in problem.text for problem in lint(str(file)))


def test_a_model_without_states_names_the_way_out(tmp_path: Path) -> None:
    file = write(tmp_path, grid={"shots": [{"k": 2, "select": "dense"}]})
    with pytest.raises(ConfigError) as caught:
        run(file, tmp_path / "runs")
    assert str(caught.value) == (
        "shots: dense: the model 't' gives no hidden states to compare texts by; name a sentence "
        "encoder, as in `encoder: sentence-transformers/all-MiniLM-L6-v2`, or select: bm25"
    )


def test_an_encoder_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path, grid={"shots": [{"k": 2, "select": "dense", "encoder": "./minilm"}]})
    with pytest.raises(ModelError, match="there is no model at .*minilm'"):
        run(file, tmp_path / "runs")
    monkeypatch.setattr("icl.engines.sentence_encoder.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="needs sentence-transformers; run: pip install 'icl-wor"):
        run(file, tmp_path / "runs")


# --- pools --------------------------------------------------------------------------------------


def test_the_locale_of_the_pool_is_an_axis(tmp_path: Path) -> None:
    made = conditions(across(tmp_path, split="train", locale=["same", "en-US"]))
    assert [c.point.pool_locale for c in made] == ["de-DE", "en-US"]
    assert [c.point.axes["pool"] for c in made] == ["same", "en-US"]
    assert "pool" not in made[0].point.axes or made[0].point.settings["pool"] == "same"
    assert [c.pool[0].fields["utt"] for c in made] == ["zeile 3", "row 3"]
    assert made[0].fingerprint != made[1].fingerprint
    file = across(tmp_path, split="train")
    raw = json.loads(file.read_text())
    raw["grid"]["tasks.intent.pool.locale"] = ["de-DE", "en-US"]
    file.write_text(json.dumps(raw))
    assert [c.fingerprint for c in conditions(file)] == [c.fingerprint for c in made]


def test_the_querys_own_translation_is_no_shot_unless_allowed(tmp_path: Path) -> None:
    (plain,) = conditions(across(tmp_path, 10, locale="en-US"))
    assert plain.left_out == 3 and len(plain.pool) == 7
    assert list(note_pool(plain)) == [
        "intent: 3 pool rows are also test rows, by content or, being translations, by id "
        "and are left out",
        "intent: 10 shots were requested, 7 are available",
    ]
    (allowed,) = conditions(across(tmp_path, 10, locale="en-US", parallel="allow"))
    assert (allowed.left_out, len(allowed.pool)) == (0, 10)
    request = allowed.request(allowed.examples[0])
    assert request.example.id in {shot.example.id for shot in request.shots}
    assert list(note_pool(allowed)) == [
        "intent: 3 rows of the en-US pool are translations of test rows, and may be their shots "
        "(pool.parallel is allow)"
    ]
    (same,) = conditions(across(tmp_path, 10, locale="same", parallel="allow"))
    assert same.left_out == 3, "a row is never a shot of itself"


def test_rows_of_another_data_set_are_parallel_only_if_said_so(tmp_path: Path) -> None:
    for parallel, left_out in (("auto", 0), ("leave_out", 3)):
        (made,) = conditions(across(tmp_path, data="other", parallel=parallel))
        assert made.left_out == left_out
    auto, allow = (
        conditions(across(tmp_path, 10, data="other", locale="en-US", parallel=parallel))[0]
        for parallel in ("auto", "allow")
    )
    asked = [len(one.request(one.examples[0]).shots) for one in (auto, allow)]
    assert asked == [9, 10], "the same pool, of which a query may see its own translation or not"
    assert auto.fingerprint != allow.fingerprint


def test_small_pools_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = across(tmp_path, {"k": 99, "select": "bm25"}, split="train")
    done = run(file, tmp_path / "runs", Progress(sys.stderr))
    assert "intent: 99 shots were requested, 7 are available" in capsys.readouterr().err
    shown = " ".join(render(done).split())
    assert "3 of 3 prompts have fewer shots than k: their selector found no more" in shown
    (one,) = conditions(across(tmp_path, {"k": 2, "select": "mmr"}, lines=[9, 9]))
    assert [shot.example.id for shot in one.request(one.examples[0]).shots] == ["p8"]
    with pytest.raises(DataError, match="the pool of 'intent' is empty"):
        conditions(across(tmp_path, split="test"))


def test_dropped_shots_are_counted_by_locale(tmp_path: Path) -> None:
    file = across(tmp_path, {"k": 4, "select": "bm25"}, split="train")
    raw = json.loads(file.read_text())
    raw["tasks"][0]["rows"]["locale"] = ["de-DE", "en-US"]
    raw["models"]["t"]["window"] = 24
    file.write_text(json.dumps(raw))
    shown = " ".join(render(run(file, tmp_path / "runs")).split())
    assert "6 of 6 prompts lost 12 shots to fit the window: de-DE 3, en-US 3" in shown
