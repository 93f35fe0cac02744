"""Calibrators from the command line, and on a real engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from icl import run
from icl.core.types import Prompt
from tests.cli.test_cli import call
from tests.scoring.test_calibrated_runs import beside, intents, names


def test_score_adds_a_calibrator_and_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = intents(
        tmp_path,
        [],
        {"metrics": ["accuracy"]},
        models={"t": {"engine": "table", "default": "hash"}},
    )
    monkeypatch.chdir(tmp_path)
    assert call(capsys, monkeypatch, "run", file)[0] == 0
    code, out, err = call(
        capsys,
        monkeypatch,
        "score",
        "small",
        "--calibrator",
        "batch",
        "--calibrator",
        "{calibrator: vote_mix, weight: 0.3}",
    )
    assert code == 0, err
    assert "calibrated after the fact" in out
    _, whole, _ = call(capsys, monkeypatch, "show", "small", "--details")
    assert "vote_mix: weight:0.3|n:50" in whole and "vote_mix: weight:0.3|n:50" not in out
    assert max(map(len, out.splitlines())) <= 80
    code, _, err = call(capsys, monkeypatch, "score", "small", "--calibrator", "contextual")
    assert code == 2 and err.count("\n") == 1
    assert "3 of 3 content_free records are missing" in err
    assert err.rstrip().endswith(f"run {file}"), "the command that computes them"
    code, _, err = call(capsys, monkeypatch, "score", "small", "--calibrator", "contxtual")
    assert code == 2 and "Did you mean 'contextual'" in err
    intents(
        tmp_path,
        ["contextual"],
        {"metrics": ["accuracy"]},
        models={"t": {"engine": "table", "default": "hash"}},
    )
    code, out, err = call(capsys, monkeypatch, "run", file)
    assert code == 0 and "content_free: 3/3 rows" in err and "20 reused" in out


def test_a_probe_is_shown_as_any_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(intents(tmp_path, ["pmi"]), tmp_path / "runs")
    (name,) = done.conditions[0].probes("domain").ids
    code, out, err = call(capsys, monkeypatch, "show", f"small#1/domain/{name}")
    assert code == 0, err
    assert "rendered again: the same as was sent" in out and "\nIntent:\n" in out
    code, _, err = call(capsys, monkeypatch, "show", "small#1/domain/x")
    assert code == 2 and f"domain has no record 'x'. There are: {name}" in err


def test_list_says_what_calibrators_assume(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = call(capsys, monkeypatch, "list", "calibrators")
    assert code == 0
    assert out.count("  assumes: ") == out.count("  hurts: ") >= 8
    assert max(map(len, out.splitlines())) <= 80


def test_probes_of_a_real_engine_are_its_own_numbers(tmp_path: Path, tiny_model: Path) -> None:
    from icl.engines.hf.engine import HFEngine

    models = {"t": {"source": str(tiny_model), "device": "cpu", "window": 256, "width": "fp32"}}
    task = {"rows": {"data": "rows", "split": "test", "n": 3}, "metrics": ["accuracy"]}
    file = intents(
        tmp_path,
        ["contextual", "pmi"],
        task,
        models=models,
        grid={"shots": [{"k": 2, "select": "random", "scope": "run"}]},
    )
    done = run(file, tmp_path / "runs")
    condition = done.conditions[0]
    assert [beside(done, 0, role) for role in ("content_free", "domain")] == [3, 1]
    choices = condition.store.choices()
    query = condition.prompt(next(iter(condition.records.values())))
    engine = HFEngine(source=str(tiny_model), device="cpu", window=256, width="fp32")

    def alone(prompt: Prompt) -> np.ndarray:
        items = [(prompt, choice.text + choice.end) for choice in choices]
        return np.array([score.logprob for _, score in sorted(engine.score(items))])

    free = [
        Prompt(f"Say: {text}\nIntent:", query.instruction, query.shots)
        for text in ("N/A", "", "[MASK]")
    ]
    mass = np.mean([np.exp(alone(prompt)) for prompt in free], axis=0)
    record = next(iter(condition.records.values()))
    wanted = np.array(record.logprobs) - np.log(mass)
    found = condition.calibrated("contextual").scores[0]
    np.testing.assert_allclose(found - found[0], wanted - wanted[0], atol=1e-3)
    bare = np.array(record.logprobs) - alone(Prompt("Intent:"))
    np.testing.assert_allclose(condition.calibrated("pmi").scores[0], bare, atol=1e-3)
    assert names(done)["accuracy+contextual"].n == 3
