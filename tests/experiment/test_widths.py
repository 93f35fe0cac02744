"""The axis ``width`` from the experiment file to the table."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from icl.core.errors import ConfigError
from icl.experiment.file import parse_experiment
from icl.experiment.grid import list_points
from icl.experiment.notes import note_compared_widths
from icl.records.results import load_run
from icl.reports.tables import render, render_record
from icl.running.run import run
from tests.engines.random_llama import random_llama
from tests.table_experiment import write


def parsed(folder: Path, **changes: Any) -> Any:
    raw = json.loads(write(folder, **changes).read_text())
    return parse_experiment(json.dumps(raw), "x.yaml", folder, "x")


def test_width_reaches_the_models_that_take_one(tmp_path: Path) -> None:
    both = {"g": {"source": "x", "width": "fp32"}, "t": {"engine": "table"}}
    found = list_points(parsed(tmp_path, models=both, grid={"width": ["bf16", "nf4"]}))
    ours = [p for p in found if p.model_name == "g"]
    assert [p.model["width"] for p in ours] == [p.axes["width"] for p in ours]
    assert {p.axes["width"] for p in ours} == {"bf16", "nf4"}
    others = [p for p in found if p.model_name == "t"]
    assert len(others) == 2 and all("width" not in {**p.axes, **p.model} for p in others)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": {"width": ["bf16"]}}, "no engine of the models t takes a width; delete"),
        ({"models": {"g": {"source": "x"}}, "grid": {"width": ["nf8"]}},
         r"grid.width: unknown width 'nf8'. Did you mean 'nf4'\?"),
        ({"models": {"g": {"source": "x", "max_memory": {"0": 1}, "revision": [None]}},
          "grid": {"widht": ["nf4"]}}, "unknown grid axis 'widht'. Did you mean 'width'"),
    ],
)  # fmt: skip
def test_mistakes_are_named(tmp_path: Path, changes: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parsed(tmp_path, **changes)


def test_numbers_as_keys_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    text = (
        "models: {g: {source: x, max_memory: {0: 1GB}}}\n"
        "tasks: [{task: intent, prompt: intent.j2, rows: {data: rows}}]"
    )
    with pytest.raises(ConfigError, match=r"models.g.max_memory.*valid string \(given: 0\)"):
        parse_experiment(text, "x.yaml", tmp_path, "x")


@pytest.mark.parametrize(
    ("sizes", "layers", "note"),
    [
        ({}, 14, ""),
        (
            {"intermediate_size": 96},
            12,
            "; 2 Linear kept in fp32: their 96 inputs are no multiple ",
        ),
    ],
)
def test_the_proof_stands_beside_the_records(
    tmp_path: Path, sizes: dict[str, int], layers: int, note: str
) -> None:
    intent = json.loads(write(tmp_path).read_text())["tasks"][0]
    intent["rows"]["n"] = 2
    file = write(
        tmp_path,
        models={"g": {"source": str(random_llama(tmp_path, **sizes)), "device": "cpu"}},
        tasks=[intent],
        grid={"width": ["fp32", "nf4"]},
    )
    done = run(file, tmp_path / "runs")
    proofs = [json.loads((c.store.folder / "model.json").read_text()) for c in done.conditions]
    assert [proof["width"] for proof in proofs] == ["fp32", "nf4"]
    text = " ".join(render(done).split())
    assert f"g: loaded as nf4, source fp32: {layers} Linear4bit in nf4, " in text
    assert note in text
    assert "g: loaded as fp32, source fp32: 15 Linear in float32, 4.00 bytes a weight" in text
    [_, last] = load_run(tmp_path / "runs" / "small").conditions
    assert "model      loaded as nf4, source fp32" in render_record(
        last, next(iter(last.records.values()))
    )


def test_widths_of_a_quantized_source_are_warned_of() -> None:
    def condition(precision: str, width: str) -> Any:
        identity = {"weights": "w", "precision": precision, "width": width}
        return SimpleNamespace(
            engine=SimpleNamespace(identity=lambda: identity),
            point=SimpleNamespace(model_name="g"),
        )

    [note] = note_compared_widths([condition("Q4_K_M", width) for width in ("bf16", "nf4", "nf4")])
    assert note.startswith("g: its source is Q4_K_M already, so bf16, nf4 compare a second")
    assert not list(note_compared_widths([condition("bf16", width) for width in ("bf16", "nf4")]))
    assert not list(note_compared_widths([condition("Q4_K_M", "nf4")] * 2))
