"""The form as YAML, what a page may run of it, and running, stopping and going on."""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from icl.cli import main
from icl.core.errors import ConfigError, IclError, StoppedError, StoreError, TemplateError
from icl.experiment.file import load_experiment
from icl.reports.comparison import render_comparison
from icl.running.run import run
from icl.workbench.experiment_draft import (
    Draft,
    check,
    comparable_settings,
    draft_yaml,
    estimate_draft,
    fault,
    file_draft,
    open_run,
    run_draft,
    save_draft,
)
from icl.workbench.jobs import JobProgress
from icl.workbench.workbench import Workbench
from tests.table_experiment import write

DRAFT = Draft(
    "tried",
    "samples/intent",
    ["intent/plain", "intent/short"],
    ["t"],
    locales=["en-US"],
    ks=(0, 2),
    selectors=("random", "bm25"),
    seeds=(0, 1),
    n=6,
)
OWN = "---\ntask: classify\nlabels: massive/intents\n---\n[[example]]\n{{ utt }}:||| {{ label }}\n"


def progress() -> JobProgress:
    return JobProgress(threading.Event())


def test_the_form_is_the_file(work: Workbench) -> None:
    text = draft_yaml(work, DRAFT)
    whole = yaml.safe_load(text)
    assert whole["tasks"][0]["prompt"] == ["intent/plain", "intent/short"]
    assert whole["tasks"][0]["rows"] == {
        "data": "samples/intent",
        "split": "test",
        "locale": "en-US",
        "n": 6,
        "seed": 0,
    }
    assert whole["grid"] == {
        "shots": [
            0,
            {"k": 2, "select": "random", "seeds": [0, 1]},
            {"k": 2, "select": "bm25"},
        ]
    }
    assert str(check(work, text)) == "fine; 8 conditions of 2 prompts, 4 kinds of shots"


def test_every_sample_makes_a_file_that_can_be_run(work: Workbench) -> None:
    for name, source in work.sources.items():
        folder = name.removeprefix("samples/")
        template = {
            "extract": "extract/json",
            "choose": "choose/instructed",
            "generate": "generate/question",
            "slots": "slots/marked",
            "inflection": "inflection/arrow",
        }.get(folder, f"{folder}/plain")
        draft = Draft(
            "one",
            name,
            [template],
            ["t"],
            locales=source.locales[:1],
            sources=source.sources[:1],
            targets=source.targets[1:2],
            n=2,
        )
        done = run_draft(work, draft_yaml(work, draft), progress())
        assert done.computed == 2 or done.reused


def test_choosing_nothing_is_said(work: Workbench) -> None:
    with pytest.raises(ConfigError, match="^templates: choose at least one$"):
        draft_yaml(work, replace(DRAFT, templates=[]))
    with pytest.raises(ConfigError, match="^unknown data 'x'; choose one of the list$"):
        draft_yaml(work, replace(DRAFT, data="x"))


def told(work: Workbench, text: str) -> str:
    with pytest.raises(IclError) as caught:
        check(work, text)
    return fault(text, caught.value)


def test_mistakes_are_told_with_their_line(work: Workbench) -> None:
    text = draft_yaml(work, DRAFT)
    assert told(work, "a: [").startswith("line 1: not YAML")
    wrong = text.replace("n: 6", "n: 0")
    line = 1 + wrong[: wrong.index("n: 0")].count("\n")
    assert told(work, wrong).startswith(f"line {line - 1}: ") or told(work, wrong).startswith(
        f"line {line}: "
    )
    assert "greater than or equal to 1" in told(work, wrong)


def test_what_a_page_must_not_start_is_refused(work: Workbench) -> None:
    text = draft_yaml(work, DRAFT)
    model = "t: {engine: table, default: hash}"
    assert model in text
    server = text.replace(model, "t: {engine: openai, url: 'http://192.0.2.1', model: m}")
    assert "the engine 'openai' may contact another machine, which this page" in told(work, server)
    program = text.replace(
        "prompt: [", "metrics: [{command: 'rm {hypothesis}', name: x}]\n  prompt: ["
    )
    assert "the metric 'rm {hypothesis}' is an external program" in told(work, program)
    axis = "[[{command: 'rm {hypothesis}', name: x}]]"
    grid = text.replace("grid:", f"grid:\n  tasks.intent.metrics: {axis}")
    assert "the metric 'rm {hypothesis}' is an external program" in told(work, grid)
    (work.base / "mod.py").write_text("raise SystemExit('loaded')\n")
    assert "plug-in 'mod' is Python code" in told(work, text + "plugins: [mod]\n")
    aimed = text.replace("grid:", "grid:\n  models.t.window: [5]")
    assert "the engine 'table' may contact" in told(work, aimed)


def test_what_the_app_was_started_with_may_run(tmp_path: Path) -> None:
    given = load_experiment(write(tmp_path))
    made = Workbench(given.raw["models"], tmp_path, tmp_path / "private", given)
    try:
        assert len(check(made, given.text).points) == 4
        assert run_draft(made, given.text, progress()).computed == 40
    finally:
        made.sandbox.close()


def test_running_is_what_icl_run_does_and_goes_on(work: Workbench, tmp_path: Path) -> None:
    text = draft_yaml(work, DRAFT)
    stopping = progress()
    began = JobProgress.begin

    def halting(name: str, done: int, total: int) -> None:
        began(stopping, name, done, total)
        stopping.stop.set()

    stopping.begin = halting  # type: ignore[method-assign]
    with pytest.raises(StoppedError):
        run_draft(work, text, stopping)
    first = run_draft(work, text, progress())
    assert first.computed + first.reused == 8 * 6 and first.reused == 6
    again = run_draft(work, text, progress())
    assert (again.computed, again.reused) == (0, 48)
    (work.base / "same.yaml").write_text(text)
    plain = run(work.base / "same.yaml", tmp_path / "plain")
    assert [score.value for score in plain.scores] == [score.value for score in again.scores]
    assert [c.entry.fingerprint for c in plain.conditions] == [
        c.entry.fingerprint for c in again.conditions
    ]


def test_own_templates_render_in_the_sandbox(work: Workbench) -> None:
    (work.base / "prompts").mkdir()
    (work.base / "prompts" / "mine.j2").write_text(OWN)
    text = draft_yaml(work, replace(DRAFT, templates=["prompts/mine.j2"], ks=(0,)))
    assert run_draft(work, text, progress()).computed == 6
    (work.base / "prompts" / "mine.j2").write_text(OWN.replace("{{ utt }}", "{{ 9**(9**9) }}"))
    with pytest.raises(TemplateError, match="worked for more than 1 s and was stopped"):
        run_draft(work, text, progress())
    outside = draft_yaml(work, replace(DRAFT, templates=["../x.j2"], ks=(0,)))
    with pytest.raises(TemplateError, match=r"unknown template '\.\./x\.j2'"):
        run_draft(work, outside, progress())


def test_an_estimate_keeps_nothing(work: Workbench) -> None:
    lines, told = estimate_draft(work, draft_yaml(work, DRAFT), progress())
    assert len(lines) == 8 and lines[0][1] == "6" and int(lines[0][2].replace(",", "")) > 50
    assert told.startswith("about ") and told.endswith("nothing was run or saved")
    assert not list((work.base).glob("runs/**/records.jsonl"))


def test_saving_writes_over_nothing(work: Workbench) -> None:
    text = draft_yaml(work, DRAFT)
    assert save_draft(work, text).read_text() == text
    assert save_draft(work, text).name == "tried.yaml"
    with pytest.raises(StoreError, match=r"^tried\.yaml exists already with other content"):
        save_draft(work, text + "# more\n")


def test_a_run_is_compared_in_the_words_of_the_command(
    work: Workbench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_draft(work, draft_yaml(work, replace(DRAFT, compare="k")), progress())
    made = open_run(work, "tried")
    assert list(comparable_settings(made)) == ["prompt", "shots", "k", "select", "seed"]
    assert comparable_settings(made)["prompt"] == ["intent/plain", "intent/short"]
    monkeypatch.chdir(work.base)
    monkeypatch.setenv("COLUMNS", "80")
    for by, baseline in (("prompt", "intent/short"), ("prompt", None), ("k", None)):
        given = ["--by", by, *(["--baseline", baseline] if baseline else [])]
        monkeypatch.setattr(sys, "argv", ["icl", "compare", "tried", *given])
        with pytest.raises(SystemExit):
            main()
        said = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
        assert render_comparison(made, by, baseline).splitlines() == said and len(said) > 5
    assert render_comparison(made) == render_comparison(made, "k")  # what the form asks for
    assert render_comparison(made, "width").startswith("nothing to compare: tried: ")
    with pytest.raises(StoreError, match="^no run 'tred' in .*Did you mean 'tried'"):
        open_run(work, "tred")


def test_the_form_of_a_file_is_its_grid(tmp_path: Path) -> None:
    entry = json.loads(write(tmp_path).read_text())
    shots = [0, {"k": 2, "select": "bm25"}, {"k": 4, "select": "random", "seeds": [3, 5]}]
    file = tmp_path / "own.yaml"
    file.write_text(json.dumps({**entry, "name": "own", "grid": {"shots": shots}}))
    given = load_experiment(file)
    found = file_draft(given, "rows")
    assert (found.name, found.data, found.ks) == ("own", "rows", [0, 2, 4])
    assert (found.selectors, found.seeds) == (["bm25", "random"], [3, 5])
    assert found.models == list(given.raw["models"])
    work = Workbench(given.raw["models"], tmp_path, tmp_path / "private", given)
    try:
        first = work.first_screen()
        assert (first.k, first.select) == (0, "random")
        file.write_text(json.dumps({**entry, "grid": {"shots": shots[1:2]}}))
        other = Workbench(given.raw["models"], tmp_path, tmp_path / "p", load_experiment(file))
        assert (other.first_screen().k, other.first_screen().select) == (2, "bm25")
        assert other.home != work.home  # each has its own drafts in a browser
    finally:
        work.sandbox.close()
