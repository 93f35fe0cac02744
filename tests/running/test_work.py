from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from icl import run
from icl.engines.hf.weights import find
from icl.records.results import load_run
from icl.running.progress import Progress
from icl.scoring.scores import score_run
from tests.engines.hf.weights.test_gguf import write_gguf
from tests.table_experiment import write


def test_records_of_rounded_weights_are_told_and_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_gguf(tmp_path / "m.gguf")
    model = {"source": "./m.gguf", "device": "cpu", "width": "fp32"}
    file = write(tmp_path, models={"t": model})
    whole = json.loads(file.read_text())
    whole["tasks"] = whole["tasks"][:1]
    whole["tasks"][0]["rows"]["n"] = 2
    whole["grid"] = {"shots": [{"k": 0}]}
    file.write_text(json.dumps(whole))
    with monkeypatch.context() as before:  # as versions that rounded named their conditions
        before.setattr(find, "read_dequantized", lambda folder: None)
        old = run(file, tmp_path / "runs")
    [entry] = old.manifest.conditions
    told = io.StringIO()
    new = run(file, tmp_path / "runs", Progress(told))
    assert [one.fingerprint for one in new.manifest.conditions] != [entry.fingerprint]
    assert (old.computed, new.computed, new.reused) == (2, 2, 0)
    line = " ".join(told.getvalue().split())
    assert f"t: the records in {old.conditions[0].store.folder} were made by a version" in line
    assert "rounded GGUF weights to bfloat16; they stay, and every row is answered again" in line
    old_records = old.conditions[0].store.records()
    assert len(old_records) == 2  # they stay, and can still be read and scored
    assert score_run(old).conditions[0].scores
    assert load_run("small", tmp_path / "runs").conditions[0].entry.fingerprint != entry.fingerprint
    told = io.StringIO()
    assert run(file, tmp_path / "runs", Progress(told)).reused == 2
