"""A run folder that somebody sent: its templates are that somebody's programs."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from icl.core.errors import TemplateError
from icl.experiment.file import load_experiment
from icl.prompts.child_process import Sandbox, SandboxLimits
from icl.running.run import run
from icl.workbench.browse_runs import OpenCondition, RunBrowser, save_card
from icl.workbench.record_to_screen import screen_of_record
from icl.workbench.run_tables import RecordView, record_view
from icl.workbench.workbench import Workbench
from tests.cli.test_cli import call
from tests.table_experiment import write

LIMIT_S = 0.25
"""Seconds of a processor that a template has here; a quarter of what it has in use."""
SLOW, LARGE = "{{ 9**(9**9) }}", "{{ 'A'*10**10 }}"
TOLD = {
    SLOW: f"the template worked for more than {LIMIT_S} s and was stopped",
    LARGE: "needs more than 256 MB",
    "{{ ''.__class__.__mro__ }}": "refused by the sandbox|is unsafe",
    "{% for x in y %}": "Unexpected end of template",
}
CHAT = {"template": "", "special": {}, "kwargs": {}, "front": "", "controls": []}


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sent")
    run(str(write(folder)), folder / "runs")
    return folder


@pytest.fixture
def folder(sent: Path, tmp_path: Path) -> Path:
    shutil.copytree(sent, tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def work(folder: Path, tmp_path: Path) -> Iterator[Workbench]:
    given = load_experiment(folder / "small.yaml")
    made = Workbench(given.raw["models"], folder, tmp_path / "private", given)
    assert made.sandbox.limits.cpu_s == 1
    made.sandbox = Sandbox(SandboxLimits(cpu_s=LIMIT_S))
    made.sandbox.start()
    yield made
    made.sandbox.close()


def changed(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Every condition folder with ``condition.json`` as a stranger would have it."""
    for file in (folder / "runs" / "conditions").glob("*/condition.json"):
        kept = json.loads(file.read_text())
        change(kept)
        file.write_text(json.dumps(kept))


def opened(work: Workbench, condition: str = "1") -> OpenCondition:
    return RunBrowser([work.base / "runs"], work.sandbox.rendering).open("small", condition)


def seen(work: Workbench) -> RecordView:
    """The record, looked at within the time that a template has and a busy machine."""
    began = time.perf_counter()
    view = record_view(opened(work), "r3")
    assert time.perf_counter() - began < 4
    return view


def instructed(source: str) -> Callable[[dict[str, Any]], None]:
    def change(kept: dict[str, Any]) -> None:
        text = kept["template"]["text"]
        kept["template"]["text"] = text.replace("Name the intent.", source)

    return change


@pytest.mark.parametrize("source", TOLD)
def test_a_line_tells_it_and_the_rest_is_shown(folder: Path, work: Workbench, source: str) -> None:
    before = seen(work)
    changed(folder, instructed(source))
    view = seen(work)
    (line,) = [one for one in view.facts.splitlines() if "rendered again" in one]
    assert any(said in line for said in TOLD[source].split("|")), line
    assert view.prompt == ()
    assert (view.bars, view.output) == (before.bars, before.output)
    assert view.facts.split("prompt ")[0] == before.facts.split("prompt ")[0]
    with pytest.raises(TemplateError):
        save_card(folder, opened(work), "r3")
    with pytest.raises(TemplateError):
        screen_of_record(work, opened(work), "r3")
    assert not (folder / "cards").exists()


@pytest.mark.parametrize("source", TOLD)
def test_so_is_the_template_of_a_chat(folder: Path, work: Workbench, source: str) -> None:
    changed(
        folder, lambda kept: kept["identity"]["engine"].update(chat={**CHAT, "template": source})
    )
    view = seen(work)
    (line,) = [one for one in view.facts.splitlines() if "rendered again" in one]
    assert "chat template" in line
    assert any(said in line for said in TOLD[source].split("|")), line
    assert view.prompt == ()
    assert view.bars


def test_a_sound_folder_renders_as_in_this_process(folder: Path, work: Workbench) -> None:
    chat = {**CHAT, "template": "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"}
    changed(folder, lambda kept: kept["identity"]["engine"].update(chat=chat, newline="<br>"))
    for condition in ("1", "2", "3", "4"):
        there = opened(work, condition).condition
        here = RunBrowser([work.base / "runs"]).open("small", condition).condition
        for record in here.records.values():
            assert there.prompt(record) == here.prompt(record)
            assert there.sent(there.prompt(record)) == here.sent(here.prompt(record))
            assert "<user>" in there.sent(there.prompt(record))


@pytest.mark.parametrize("chat", [{"template": 3}, {"template": "x"}, {**CHAT, "kwargs": 7},
                                  {**CHAT, "controls": [3]}, {**CHAT, "day": "today"}])  # fmt: skip
def test_a_broken_chat_is_told_too(folder: Path, work: Workbench, chat: dict[str, Any]) -> None:
    changed(folder, lambda kept: kept["identity"]["engine"].update(chat=chat))
    (line,) = [one for one in seen(work).facts.splitlines() if "rendered again" in one]
    assert "the stored chat template cannot be rendered: " in line or "refuses" in line


@pytest.mark.parametrize("command", [["show", "small#1/r3"], ["report", "small", "--appendix",
                                     "--format", "md"]])  # fmt: skip
def test_so_does_the_command_line(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
) -> None:
    monkeypatch.chdir(folder)
    assert call(capsys, monkeypatch, *command)[0] == 0
    changed(folder, instructed(SLOW))
    code, _, told = call(capsys, monkeypatch, *command)
    assert code != 0
    assert "the template worked for more than 1 s and was stopped" in told
    assert "Traceback" not in told
