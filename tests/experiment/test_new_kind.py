"""A kind of task that a plug-in brings, in one file, through everything that reads kinds."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from icl.core.errors import ConfigError, TemplateError
from icl.core.kinds import Kind, kind_of, kinds
from icl.core.registry import isolated
from icl.experiment.file import load_experiment
from icl.experiment.json_schema import make_template_schema
from icl.experiment.lint import lint
from icl.experiment.samples import make_sample_task
from icl.records.results import load_run
from icl.running.run import run
from icl.tasks import Task
from icl.tasks.generic import CLASSIFY
from icl.workbench.browse_runs import RunBrowser
from icl.workbench.record_to_screen import screen_of_record
from icl.workbench.run_tables import mix_ups
from icl.workbench.workbench import Workbench
from tests.witness import command

MODULE = '''"""Several tags as an answer, whatever their order."""
from icl import register
from icl.core.errors import ParseError
from icl.core.kinds import Kind
from icl.core.stats import proportion
from icl.tasks import Task


@register("parser", "tag_list")
def tag_list(output, choices=()):
    """The tags between commas, in the order of the alphabet."""
    tags = sorted(tag.strip() for tag in output.split(",") if tag.strip())
    if not tags:
        raise ParseError("empty")
    return ", ".join(tags)


@register("metric", "same_tags")
class SameTags:
    name = label = "same_tags"

    def stats(self, predictions, examples):
        pairs = zip(predictions, examples, strict=True)
        return proportion([p.value == tag_list(e.targets[0]) for p, e in pairs], "same_tags")


register("task", "tags")(Task.of(Kind("tags", parser="tag_list", metrics=("same_tags",))))
'''
TEMPLATE = """---
task: tags
stop: ["\\n"]
---
[[instruction]]
Name all tags of each text.
[[example]]
Text: {{ text }}
Tags:||| {{ target }}
"""
TAGS = ["red, round", "blue, square", "round, red", "square"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_registry: None) -> Iterator[Path]:
    """An experiment of the kind, with an engine that writes the tags of row 2 for all rows."""
    (tmp_path / "tag_kind.py").write_text(MODULE)
    (tmp_path / "tags.j2").write_text(TEMPLATE)
    rows = [
        {"id": f"r{i}", "text": f"thing {i}", "tags": TAGS[i % 4], "split": split}
        for i, split in enumerate(["test"] * 8 + ["train"] * 8)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    written = {f"Text: thing {i}\nTags:": " round, red\n" for i in range(8)}
    experiment: dict[str, Any] = {
        "name": "tagged",
        "plugins": ["tag_kind"],
        "models": {"t": {"engine": "table", "answers": written}},
        "data": {"rows": {"format": "jsonl", "path": "rows.jsonl", "answer": "tags"}},
        "tasks": [
            {
                "task": "tags",
                "prompt": "tags.j2",
                "rows": {"data": "rows", "split": "test"},
                "pool": {"split": "train"},
            }
        ],
        "grid": {"shots": [0, {"k": 2, "select": "random"}]},
    }
    (tmp_path / "tagged.yaml").write_text(json.dumps(experiment))
    with contextlib.chdir(tmp_path):
        yield tmp_path
    sys.modules.pop("tag_kind", None)


def test_it_runs_and_is_linted_and_shown(folder: Path) -> None:
    assert lint("tagged.yaml") == []
    done = run("tagged.yaml", folder / "runs")
    for condition in done.conditions:
        (score,) = [score for score in condition.scores if score.kind == "model"]
        # " round, red" is what rows 0 and 2 of each four have, in either order.
        assert (score.name, score.value, score.n) == ("same_tags", 50.0, 8)
        assert condition.predictions()[0].value == "red, round"
    assert "Name all tags of each text.\n\nText: thing" in command("show-prompt tagged.yaml")
    shown = command("show tagged#2/r1")
    assert "Name all tags" in shown and "round, red" in shown
    page = Path(command("report tagged").strip()).read_text("utf-8")
    assert "same_tags" in page and "Most frequent confusions" not in page
    assert "tags; generate; same_tags" in command("list tasks")


def test_the_workbench_shows_a_row_and_opens_a_record(folder: Path, tmp_path: Path) -> None:
    run("tagged.yaml", folder / "runs")
    given = load_experiment("tagged.yaml")
    work = Workbench(given.raw["models"], folder, tmp_path / "private", given)
    try:
        first = work.first_screen()
        assert (first.name, first.data) == ("tags.j2", "tags: rows")
        prompt = work.bind(replace(first, row=2, k=0)).condition
        assert prompt.request(prompt.examples[0]).prompt.text == (
            "Name all tags of each text.\n\nText: thing 1\nTags:"
        )
        typed = replace(first, own={"text": "a ball"}, answer="round", k=1)
        assert work.bind(typed).example.targets == ("round",)
        opened = RunBrowser([folder / "runs"], work.sandbox.rendering).open("tagged", "2")
        assert mix_ups(opened) is None, "tags are no labels that could be mixed up"
        screen, said = screen_of_record(work, opened, "r3")
        assert said.endswith("the prompt is the same, byte for byte") and screen.row == 4
    finally:
        work.sandbox.close()


def test_a_run_is_read_again_with_its_plugin(folder: Path) -> None:
    run("tagged.yaml", folder / "runs")
    sys.modules.pop("tag_kind")
    with isolated(empty=True):
        assert load_run("tagged", folder / "runs").conditions[0].task.kind.name == "tags"


def test_an_unknown_kind_is_told_with_those_there_are(folder: Path) -> None:
    told = "task: 'tag'. Did you mean 'tags'? There are: choose, classify, extract, generate, "
    told += "inflection, labels, slots, tags"
    experiment = load_experiment("tagged.yaml")
    (folder / "tags.j2").write_text(TEMPLATE.replace("task: tags", "task: tag"))
    assert [problem.text for problem in lint("tagged.yaml")] == [told]
    work = Workbench(experiment.raw["models"], folder, folder / "private", experiment)
    try:
        with pytest.raises(TemplateError, match=told.replace("?", r"\?")):
            work.sandbox.bind((folder / "tags.j2").read_text(), "tags.j2", "en")
    finally:
        work.sandbox.close()
    with pytest.raises(ConfigError, match="unknown kind of task 'tag'. Did you mean 'tags'"):
        kind_of("tag")


def test_editors_are_offered_the_kinds_there_are(folder: Path) -> None:
    load_experiment("tagged.yaml")
    shipped = ["choose", "classify", "extract", "generate", "inflection", "labels", "slots"]
    assert list(kinds()) == [*shipped, "tags"]
    offered = make_template_schema()["properties"]["task"]["anyOf"]
    assert offered == [{"enum": list(kinds())}, {"type": "string"}]


def test_a_template_of_a_kind_without_samples_says_what_to_give(folder: Path) -> None:
    with pytest.raises(ConfigError, match="a template of kind 'tags' could be tried; write an exp"):
        make_sample_task("tags.j2", Kind("tags"))
    tried = make_sample_task("tags.j2", Kind("tags", samples="generate"))
    assert (tried["task"], tried["rows"]["data"]) == ("tags", "samples/generate")


def test_a_kind_by_its_name_alone_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"'mood' has the kind 'classify'.*CLASSIFY.kind, or make"
    ):
        Task("mood", "classify", ("rank",), "label", (), ())  # type: ignore[arg-type]
    assert kind_of("classify") is CLASSIFY.kind
