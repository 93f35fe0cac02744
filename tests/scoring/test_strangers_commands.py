"""A run folder that somebody sent names programs as metrics: none of them starts unasked."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from icl.core.errors import CommandError, ConfigError
from icl.core.files import replace_file
from icl.core.registry import register
from icl.core.stats import Stats, mean
from icl.core.types import Example, Prediction
from icl.experiment.file import load_experiment
from icl.experiment.lint import lint
from icl.records.results import Run, load_run
from icl.reports.comparison import render_comparison
from icl.reports.page.page import report_page
from icl.running.run import run
from icl.scoring.checks import checks
from icl.scoring.compare import compare_by, compare_runs
from icl.scoring.ensembles import compare_ensemble, ensemble
from icl.scoring.scores import note_commands_left_out, score_run
from icl.scoring.sensitivity import spreads
from icl.workbench.browse_runs import RunBrowser
from icl.workbench.experiment_draft import check, open_run, run_draft
from icl.workbench.jobs import JobProgress
from icl.workbench.workbench import Workbench
from tests.cli.test_cli import call
from tests.table_experiment import write


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sent")
    file = write(folder)
    kept = json.loads(file.read_text())
    run(write(folder, tasks=kept["tasks"][:1]), folder / "runs")
    return folder


@pytest.fixture
def folder(sent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(sent, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def command(folder: Path) -> str:
    """A program that leaves the file ``started``, and is a proper metric."""
    program = folder / "evil.py"
    program.write_text(
        "import pathlib, sys\n"
        f"pathlib.Path({str(folder / 'started')!r}).write_text('')\n"
        "for _ in open(sys.argv[1]): print(1)\n"
    )
    return f"{sys.executable} {program} {{hypothesis}}"


def started(folder: Path) -> bool:
    return (folder / "started").exists()


def poison(folder: Path, *metrics: Any, last: bool = False) -> Path:
    """The manifest with these metrics of every condition, or of the last one alone."""
    file = folder / "runs" / "small" / "manifest.json"
    manifest = json.loads(file.read_text())
    for entry in manifest["conditions"][-1:] if last else manifest["conditions"]:
        entry["metrics"] = list(metrics)
    file.write_text(json.dumps(manifest))
    return file


def posing(folder: Path) -> dict[str, str]:
    return {"command": command(folder), "name": "macro_f1"}


WAYS = {
    "score": ["score", "small", "--metric", "macro_f1"],
    "compare by": ["compare", "small", "--by", "shots", "--metric", "macro_f1"],
    "compare two": ["compare", "small#1", "small#2", "--metric", "macro_f1"],
    "ensemble": ["compare", "small", "--ensemble", "shots", "--metric", "macro_f1"],
    "allowed": ["score", "small", "--metric", "macro_f1", "--allow-commands"],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("spelt", ["command", "metric: command"])
def test_a_registered_name_is_the_registered_metric(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    spelt: str,
) -> None:
    entry = posing(folder) | ({"metric": "command"} if spelt != "command" else {})
    poison(folder, "accuracy", entry)
    code, _, told = call(capsys, monkeypatch, *WAYS[way])
    assert (code, started(folder)) == (0, False), told
    if way == "score":
        scores = [s for s in load_run("small").scores if s.name == "macro_f1"]
        assert scores and all(s.signature.startswith("macro_f1|") for s in scores)


@pytest.mark.parametrize("way", ["score", "compare by", "compare two", "ensemble"])
def test_a_command_of_a_manifest_is_shown_and_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    poison(folder, "accuracy", {"command": command(folder) + " '\x1b[2J\u202e'", "name": "comet"})
    words = ["comet" if word == "macro_f1" else word for word in WAYS[way]]
    code, _, told = call(capsys, monkeypatch, *words)
    assert (code, started(folder)) == (2, False)
    assert "the metric 'comet' is a program that the run's manifest names, and not you: " in told
    assert f"{folder / 'evil.py'} {{hypothesis}} '\\x1b[2J\\u202e'" in told
    assert "give --allow-commands to start it" in told and len(told.splitlines()) == 1
    assert call(capsys, monkeypatch, *words, "--allow-commands")[0] == 0
    assert started(folder)


def test_scoring_without_a_name_shows_what_it_leaves_out(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = command(folder)
    poison(folder, "accuracy", {"command": line, "name": "comet"})
    code, _, told = call(capsys, monkeypatch, "score", "small")
    assert (code, started(folder)) == (0, False)
    assert told.startswith(
        f"left out: the metric 'comet' is a program that the run's manifest names: {line!r}; "
        "--allow-commands starts it\n"
    )
    assert call(capsys, monkeypatch, "score", "small", "--allow-commands")[0] == 0
    assert started(folder)
    (folder / "started").unlink()
    # Its scores are read without it.
    code, table, _ = call(capsys, monkeypatch, "report", "small", "--format", "md")
    assert code == 0 and "comet" in table and not started(folder)


def test_what_the_user_writes_himself_is_started(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = f"{{command: '{command(folder)}', name: own}}"
    assert call(capsys, monkeypatch, "score", "small", "--metric", own)[0] == 0
    assert started(folder)
    assert "own" in {s.name for s in load_run("small").scores}


def test_an_allowed_command_still_takes_no_registered_name(folder: Path) -> None:
    poison(folder, "accuracy", posing(folder))
    with pytest.raises(ConfigError, match=r"is called 'macro_f1', as a registered metric is; give"):
        score_run(load_run("small", allow_commands=True))
    assert not started(folder)


API: dict[str, Callable[[Run, str], object]] = {
    "score_run": lambda run, name: score_run(run, [name]),
    "score_run all": lambda run, name: score_run(run),
    "compare_by": lambda run, name: compare_by(run, "shots", metrics=[name]),
    "compare_runs": lambda run, name: compare_runs(run, run, [name]),
    "compare_ensemble": lambda run, name: compare_ensemble(run, ["shots"], [name]),
    "ensemble": lambda run, name: ensemble(run.conditions, name),
    "spreads": lambda run, name: spreads(run, ["shots"], name),
}


@pytest.mark.parametrize("way", API)
def test_nor_does_the_python_interface(folder: Path, way: str) -> None:
    poison(folder, "accuracy", posing(folder))
    API[way](load_run("small"), "macro_f1")
    assert not started(folder)
    poison(folder, "accuracy", {"command": command(folder), "name": "comet"})
    if way == "score_run all":
        score_run(load_run("small"))
    else:
        with pytest.raises(CommandError, match=r"load_run\(…, allow_commands=True\)"):
            API[way](load_run("small"), "comet")
    assert not started(folder)
    API[way](load_run("small", allow_commands=True), "comet")
    assert started(folder)


def scored(folder: Path, name: str) -> None:
    """Scores of that name, the last condition's the best: whose metric a pivot tests with."""
    file = folder / "runs" / "small" / "scores.json"
    rows = json.loads(file.read_text())
    kept = [row for row in rows if row["score"]["name"] == "accuracy"]
    for place, row in enumerate(kept):
        row["score"] |= {"name": name, "value": 10.0 + place}
    file.write_text(json.dumps(kept))


def pivoted(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    command = ["report", "small", "--rows", "prompt", "--cols", "shots"]
    code, text, told = call(capsys, monkeypatch, *command)
    assert code == 0, told
    return text


def test_a_report_starts_none(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    harmless = {"metric": "macro_f1", "name": "comet"}
    poison(folder, harmless)
    poison(folder, {"command": command(folder), "name": "comet"}, last=True)
    scored(folder, "comet")
    text = " ".join(pivoted(capsys, monkeypatch).split())
    assert "11.0" in text, "what was computed is read"
    assert "no tests: the metric 'comet' is a program that the run's manifest names" in text
    assert not started(folder)


def test_the_name_of_a_score_is_no_command(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{{command: '{command(folder)}'}}"
    poison(folder, {"metric": "macro_f1", "name": name})
    poison(folder, "accuracy", last=True)
    scored(folder, name)
    assert "no tests: unknown metric" in " ".join(pivoted(capsys, monkeypatch).split())
    assert not started(folder)


@pytest.fixture
def work(folder: Path, tmp_path: Path) -> Iterator[Workbench]:
    given = load_experiment(folder / "small.yaml")
    made = Workbench(given.raw["models"], folder, tmp_path / "desk", given)
    made.sandbox.start()
    yield made
    made.sandbox.close()


def test_nor_does_the_page(folder: Path, work: Workbench) -> None:
    poison(folder, posing(folder), "accuracy")
    browser = RunBrowser([folder / "runs"], work.sandbox.rendering)
    for found in (browser.run("small"), open_run(work, "small")):
        assert spreads(found, ["shots"]) and render_comparison(found, "shots") and checks(found)
        assert "macro_f1" in report_page(found)
        with pytest.raises(CommandError):
            poison(folder, {"command": command(folder), "name": "comet"})
            score_run(open_run(work, "small"), ["comet"])
    assert not started(folder)


def tampered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else writes the manifest anew as soon as a run has written it."""

    def write_both(path: Path, text: str, within: Path | None = None) -> None:
        replace_file(path, text, within)
        if path.name == "manifest.json":
            poison(folder, "accuracy", {"command": command(folder), "name": "comet"})

    monkeypatch.setattr("icl.records.manifest.replace_file", write_both)


def test_a_run_starts_what_its_file_names_and_not_the_manifest(
    folder: Path, work: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(folder, "accuracy", {"command": command(folder), "name": "comet"})
    run("small.yaml")
    assert not started(folder)
    tampered(folder, monkeypatch)
    run("small.yaml")
    assert not started(folder)
    run_draft(work, (folder / "small.yaml").read_text(), JobProgress(threading.Event()))
    assert not started(folder)


def test_a_run_starts_what_its_file_names(folder: Path) -> None:
    tasks = json.loads((folder / "small.yaml").read_text())["tasks"]
    tasks[0]["metrics"] = ["accuracy", {"command": command(folder), "name": "comet"}]
    done = run(write(folder, tasks=tasks))
    assert started(folder)
    assert "comet" in {score.name for score in done.scores}


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ({"command": "x {hypothesis}", "name": "macro_f1"}, "macro_f1"),
        ({"command": "python chrf.py {hypothesis}"}, "chrf"),
        ({"metric": "command", "command": "x {hypothesis}", "name": "judge"}, "judge"),
    ],
)
def test_a_command_called_as_a_registered_metric_is_refused(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    metric: dict[str, str],
    name: str,
) -> None:
    tasks = json.loads((folder / "small.yaml").read_text())["tasks"]
    tasks[0]["metrics"] = ["accuracy", metric]
    file = str(write(folder, tasks=tasks))
    line = f"the command {metric['command']!r} is called {name!r}, as a registered metric is; give "
    (problem,) = lint(file)
    assert line in str(problem) and f"name: my_{name}" in str(problem)
    code, _, told = call(capsys, monkeypatch, "run", file)
    assert code == 2 and line in told and len(told.splitlines()) == 1


def test_a_draft_starts_no_program_of_another_folder(folder: Path, tmp_path: Path) -> None:
    tasks = json.loads((folder / "small.yaml").read_text())["tasks"]
    tasks[0]["metrics"] = ["accuracy", {"command": "python comet.py {hypothesis}"}]
    given = load_experiment(write(folder, tasks=tasks))
    work = Workbench(given.raw["models"], folder, tmp_path / "desk", given)
    try:
        assert check(work, given.text)
        (folder / "below").mkdir()
        elsewhere = {**json.loads(given.text), "base": "below"}
        with pytest.raises(ConfigError, match="'python comet.py {hypothesis}' is an external prog"):
            check(work, json.dumps(elsewhere))
    finally:
        work.sandbox.close()


@dataclass(frozen=True)
class Outside:
    """A plug-in metric that starts a program of its own."""

    command: str = ""
    touches: ClassVar[Path]

    name = "outside"
    label = "outside"
    needs = "program"

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Nothing but a trace that it ran."""
        (self.touches / "started").write_text(self.command)
        return mean([0.5] * len(predictions), "outside")


@pytest.fixture
def outside(folder: Path, monkeypatch: pytest.MonkeyPatch, own_registry: None) -> dict[str, str]:
    """An entry of the plug-in metric with a program that somebody else chose."""
    register("metric", "outside")(Outside)
    monkeypatch.setattr(Outside, "touches", folder, raising=False)
    return {"metric": "outside", "command": "evil"}


@pytest.mark.parametrize("way", API)
@pytest.mark.parametrize("title", ["outside", "comet"])
def test_a_plug_in_that_needs_a_program_is_no_less_refused(
    folder: Path, outside: dict[str, str], title: str, way: str
) -> None:
    poison(folder, "accuracy", outside | {"name": title})
    if way == "score_run all":
        found = score_run(load_run("small"))
        assert title not in {one.name for one in found.scores}
        assert f"{title!r} is a program" in note_commands_left_out(found)[0]
    else:
        line = f"the metric {title!r} is a program that the run's manifest names, .* 'evil'; read"
        with pytest.raises(CommandError, match=line):
            API[way](load_run("small"), title)
    assert not started(folder)
    API[way](load_run("small", allow_commands=True), title)
    assert (folder / "started").read_text() == "evil", "the options of the experiment are kept"


def test_the_name_of_a_score_starts_no_plug_in_either(
    folder: Path,
    outside: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scored(folder, "outside")  # and the manifest does not name it
    text = " ".join(pivoted(capsys, monkeypatch).split())
    assert "no tests: the metric 'outside' starts an outside program" in text
    with pytest.raises(CommandError, match=r"'outside' starts .*; read it, then give --allow-co"):
        score_run(load_run("small"), ["outside"])
    assert not started(folder)
    score_run(load_run("small"), [outside])
    assert started(folder), "an entry that the user writes is started"


@pytest.mark.parametrize("title", ["macro_f1", "judge"])
def test_a_plug_in_with_a_program_poses_as_no_other_metric(
    folder: Path, outside: dict[str, str], title: str
) -> None:
    poison(folder, "accuracy", outside | {"name": title})
    with pytest.raises(ConfigError, match=f"is called '{title}', as a registered metric is; give"):
        score_run(load_run("small", allow_commands=True))
    assert not started(folder)


def test_a_draft_starts_no_plug_in_with_a_program(
    folder: Path, outside: dict[str, str], work: Workbench
) -> None:
    tasks = json.loads((folder / "small.yaml").read_text())["tasks"]
    tasks[0]["metrics"] = ["accuracy", outside]
    text = write(folder, tasks=tasks).read_text()
    with pytest.raises(ConfigError, match="'evil' is an external program, which this page does"):
        check(work, text)
    assert not started(folder)
