"""Runs are found by their manifest, and conditions below the folder of all runs."""

from __future__ import annotations

from pathlib import Path

from icl.records.paths import find_runs, holds_run
from icl.records.store import ConditionStore


def test_a_folder_with_a_manifest_is_a_run(tmp_path: Path) -> None:
    for name in ("b", "a", "empty", "conditions"):
        (tmp_path / name).mkdir()
    for name in ("b", "a"):
        (tmp_path / name / "manifest.json").write_text("{}")
    assert find_runs(tmp_path) == [tmp_path / "a", tmp_path / "b"]
    assert holds_run(tmp_path / "a") and not holds_run(tmp_path / "empty")
    assert find_runs(tmp_path / "absent") == []


def test_a_condition_lies_below_the_folder_of_all_runs(tmp_path: Path) -> None:
    store = ConditionStore.of(tmp_path, "intent-3f2a")
    assert store.folder == tmp_path / "conditions" / "intent-3f2a"
    assert store.within == store.beside("pool").within == tmp_path
