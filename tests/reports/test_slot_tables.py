"""Slots one by one in the terminal."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from icl import load_run, run
from icl.experiment.file import load_experiment
from icl.reports.slot_tables import describe_slot_confusion, list_slot_confusions
from icl.reports.tables import render
from icl.scoring.slot_scores import SlotConfusion
from tests.scoring.test_slot_scores import make

FOUND = SlotConfusion(
    ("time", "room"),
    Counter({("time", "time"): 3, ("time", "room"): 2, (None, "room"): 1, ("room", None): 4}),
    Counter(right=2, boundary=1, name=2, missing=4, extra=1),
)


def test_the_most_frequent_errors_come_first() -> None:
    assert list_slot_confusions(FOUND, 2) == [("room", None, 4), ("time", "room", 2)]


def test_every_span_is_told_once() -> None:
    first, second = describe_slot_confusion(FOUND)
    assert first.startswith("of 9 spans 2 are right, 1 have other words, 2 another name, 4 are")
    assert "1 are answered where there is none, 0 are not in the text" in first
    assert second == "mixed up: time as room 2"


def test_details_list_the_slots_of_the_best_condition(tmp_path: Path) -> None:
    run(load_experiment(make(tmp_path, ["slots/marked"])), tmp_path / "runs")
    found = load_run(tmp_path / "runs" / "e")
    shown = render(found)
    assert max(map(len, shown.splitlines())) <= 80
    table = shown.partition("slots one by one")[2]
    rows = {line.split()[0]: line.split()[1:5] for line in table.splitlines() if line[:1].isalpha()}
    assert rows["room"][:2] == ["2", "0"] and rows["time"][0] == "1"
    assert "of 3 spans 1 are right" in table and "mixed up: room as time 1" in table
    assert "slots one by one" not in render(found, details=False)
