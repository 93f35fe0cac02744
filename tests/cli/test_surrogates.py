"""Half of a character in a row: it is asked, kept, shown, and made a shot of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from icl import run
from icl.records.feedback import Feedback, append, read
from tests.cli.test_cli import call
from tests.table_experiment import write


def test_show_prints_a_row_with_half_a_character(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, grid={"shots": [0]})
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    text = "".join(json.dumps(one | {"utt": one["utt"] + "\ud800"}) + "\n" for one in rows)
    (tmp_path / "rows.jsonl").write_text(text)
    done = run(file, tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    name = next(iter(done.conditions[0].records))
    for arguments in (["show", f"small#1/{name}"], ["show-prompt", "small.yaml"]):
        code, out, err = call(capsys, monkeypatch, *arguments)
        assert (code, "\\ud800" in out) == (0, True), err
    code, out, _ = call(capsys, monkeypatch, "show", f"small#1/{name}")
    assert "the same as was sent" in out


def test_feedback_reads_what_it_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = Feedback("good", "a", {"utt": "x\ud800"}, ["t"], "p\ud800", "t", "t", shots=["s"])
    append(tmp_path / "feedback.jsonl", good)
    assert read(tmp_path / "feedback.jsonl") == [good]
    monkeypatch.chdir(tmp_path)
    code, out, err = call(capsys, monkeypatch, "feedback", "feedback.jsonl", "-o", "shots.jsonl")
    assert (code, out.startswith("1 verdicts: 1 good")) == (0, True), err
