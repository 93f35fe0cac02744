"""Speeds of models: learned from work on a fake clock, kept in one bounded file."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from icl.engines.protocol import TokenWork
from icl.running import speeds
from icl.running.speeds import AnswerLength, Speed, SpeedFile

ONE = {"weights": "abc", "width": "fp32", "processor": "x"}


def test_seconds_are_tokens_by_the_rate_of_their_kind() -> None:
    speed = Speed.of(TokenWork(1000, 50, 10.0, 5.0))
    assert speed.seconds(TokenWork(300, 20)) == pytest.approx(3 + 2)
    assert speed.seconds(TokenWork(300)) == pytest.approx(3)
    assert speed.seconds(TokenWork()) == 0
    ranked = Speed.of(TokenWork(1000, 0, 10.0, 0))
    assert ranked.seconds(TokenWork(300)) == pytest.approx(3)
    assert ranked.seconds(TokenWork(300, 1)) is None, "it was never seen to generate"
    assert Speed().seconds(TokenWork(1)) is None


def test_what_is_learned_is_found_by_model_width_and_processor(tmp_path: Path) -> None:
    file = SpeedFile(tmp_path / "cache" / "speeds.json")
    assert file.find(ONE) is None
    file.learn(ONE, TokenWork(100, 10, 1.0, 2.0), {"a": AnswerLength(4, 40)})
    file.learn(ONE, TokenWork(300, 0, 1.0, 0), {"b": AnswerLength(1, 9)})
    found = file.find(ONE)
    assert found is not None
    assert found.seconds(TokenWork(400, 10)) == pytest.approx(2 + 2)
    assert found.mean_length("a", 64) == 10
    assert found.mean_length("a", 5) == 5
    assert found.mean_length("c", 64) is None
    for other in ({"width": "bf16"}, {"processor": "y"}, {"weights": "abd"}):
        assert file.find(ONE | other) is None


def test_old_work_counts_less_than_new(tmp_path: Path) -> None:
    file = SpeedFile(tmp_path / "speeds.json")
    file.learn(ONE, TokenWork(600_000, 0, 600.0, 0))
    for _ in range(4):  # the machine has another user now
        file.learn(ONE, TokenWork(30_000, 0, 300.0, 0))
    found = file.find(ONE)
    assert found is not None
    seconds = found.seconds(TokenWork(100))
    assert seconds is not None and 0.5 < seconds <= 1.0


def test_the_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speeds, "MOST_MODELS", 3)
    monkeypatch.setattr(speeds, "MOST_TASKS", 2)
    file = SpeedFile(tmp_path / "speeds.json")
    for number in (0, 1, 2, 0, 3):
        file.learn({"n": number}, TokenWork(1, 0, 1.0, 0), {f"t{number}": AnswerLength(1, 1)})
    assert [file.find({"n": number}) is not None for number in range(4)] == [
        True,
        False,
        True,
        True,
    ]
    for number in range(5):
        file.learn({"n": 0}, TokenWork(1, 0, 1.0, 0), {f"t{number}": AnswerLength(1, 1)})
    found = file.find({"n": 0})
    assert found is not None and list(found.lengths) == ["t3", "t4"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 5}', '{"a": {"prefill_s": -1}}', "\x00"])
def test_a_damaged_file_is_an_empty_one(
    text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = SpeedFile(tmp_path / "speeds.json")
    file.path.write_text(text)
    with caplog.at_level(logging.WARNING):
        assert file.find(ONE) is None
    assert "learned again" in caplog.text
    file.learn(ONE, TokenWork(100, 0, 1.0, 0))
    assert len(json.loads(file.path.read_text())) == 1


def test_a_folder_that_cannot_be_written_to_ends_no_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file, not a folder")
    file = SpeedFile(tmp_path / "cache" / "speeds.json")
    with caplog.at_level(logging.WARNING):
        file.learn(ONE, TokenWork(100, 0, 1.0, 0))
        assert file.find(ONE) is None
    assert "speeds of models are not remembered" in caplog.text
