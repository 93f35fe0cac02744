"""A record of a run opens in the playground with the same prompt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from icl.core.errors import DataError
from icl.experiment.file import load_experiment
from icl.running.run import run
from icl.workbench.browse_runs import RunBrowser
from icl.workbench.record_to_screen import screen_of_record
from icl.workbench.workbench import Workbench
from tests.table_experiment import write


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("handover")
    run(str(write(folder)), folder / "runs")
    return folder


@pytest.fixture
def work(folder: Path, tmp_path: Path) -> Iterator[Workbench]:
    given = load_experiment(folder / "small.yaml")
    made = Workbench(given.raw["models"], folder, tmp_path, given)
    made.sandbox.start()
    yield made
    made.sandbox.close()


def test_row_template_and_shots_give_the_same_prompt(work: Workbench, folder: Path) -> None:
    browser = RunBrowser([folder / "runs"])
    for condition in ("1", "2", "3", "4"):
        opened = browser.open("small", condition)
        key = list(opened.answers)[4]
        screen, said = screen_of_record(work, opened, key)
        assert said.endswith("the prompt is the same, byte for byte")
        assert work.rows(screen)[screen.row - 1].id == key
        shots = [name for name, _, _ in opened.answers[key].record.shots]
        assert (screen.k, list(screen.hand.pinned)) == (len(shots), shots)
        assert work.bind(screen).example.id == key


def test_a_template_that_was_edited_since_is_that_of_the_run(folder: Path, work: Workbench) -> None:
    opened = RunBrowser([folder / "runs"]).open("small", "3")
    file = folder / "intent.j2"
    before = file.read_text()
    try:
        file.write_text(before.replace("Name the intent.", "Changed."))
        screen, said = screen_of_record(work, opened, "r3")
    finally:
        file.write_text(before)
    assert screen.text == before
    assert "is the same" in said


def test_without_its_data_the_row_is_typed(folder: Path, tmp_path: Path) -> None:
    work = Workbench({"t": {"engine": "table", "default": "hash"}}, tmp_path, tmp_path / "private")
    work.sandbox.start()
    try:
        browser = RunBrowser([folder / "runs"])
        screen, said = screen_of_record(work, browser.open("small", "1"), "r3")
        assert (screen.own, screen.answer) == ({"utt": "utterance 3 about set ✓"}, "alarm_set")
        assert "is the same" in said
        screen, said = screen_of_record(work, browser.open("small", "3"), "r3")
        assert not screen.hand
        assert (
            said.startswith("opened, but its prompt cannot be rendered here: ") and "labels" in said
        )
        work.sources = {}
        with pytest.raises(DataError, match="no data to classify; start it with the experiment"):
            screen_of_record(work, browser.open("small", "1"), "r3")
    finally:
        work.sandbox.close()
