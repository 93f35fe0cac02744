"""Every fenced block of the documents is run as it is printed, or says why it is an example."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.tiny import save_tiny
from icl.cli.common import DEMO_MODEL
from icl.core.errors import IclError
from icl.core.registry import isolated
from icl.experiment.entries import ExperimentEntry, TaskEntry
from icl.experiment.file import parse_experiment
from icl.experiment.grid import list_points
from icl.experiment.user_config import CONFIG_KEYS, read_user_config
from icl.prompts.template_file import parse_template
from tests.cli.test_cli import call
from tests.doc_blocks import LANGUAGES, PAGES, Block, read_blocks, unpack_runs, write_file
from tests.doc_outputs import FRESH, MODEL_VERBS, join_output, shorten, split_block, split_command

BLOCKS = [block for page in PAGES for block in read_blocks(page)]
RUN_ELSEWHERE = {
    "data": "tests/data/test_docs.py loads every set, and runs the Python that writes them",
    "extending": "tests/experiment/test_plugins.py runs all files of the page together",
}
"""Pages whose Python another test executes, as printed."""
TOKENS = re.compile(r"\d+ tokens, \d+ fit; hash \w+")
SCHEMA_LINE = "# yaml-language-server: $schema="
TASKS: dict[str, dict[str, Any]] = {
    "intent": {
        "prompt": "intent/plain",
        "rows": {"data": "samples/intent", "locale": "en-US", "split": "test"},
        "pool": {"split": "train"},
    },
    "translation": {
        "prompt": "translation/plain",
        "rows": {"data": "samples/translation", "pair": {"from": "eng_Latn", "to": "deu_Latn"}},
        "pool": {"lines": [121, 180]},
    },
}
"""What a task of this name needs beside what a fragment says."""


def of(language: str) -> Any:
    found = [block for block in BLOCKS if block.language == language and not block.is_example]
    return pytest.mark.parametrize("block", found, ids=lambda block: block.where)


def pages_with(language: str, role: str = "") -> Any:
    wanted = (language, role)
    found = {block.page: None for block in BLOCKS if (block.language, block.role) == wanted}
    return pytest.mark.parametrize("page", found, ids=lambda page: page.stem)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.where)
def test_a_block_says_what_it_is(block: Block) -> None:
    assert block.language in LANGUAGES, f"{block.where}: name the language behind the backticks"
    if block.is_example:
        reason = block.role.partition(":")[2].strip()
        assert len(reason.split()) >= 2, f"{block.where}: say why it is an example"
    elif block.language == "console" and block.role != "run":
        printed = [line for line in block.text.splitlines() if line and line[0] != "$"]
        assert not printed, f"{block.where}: `console run`, or `console example: REASON`"
    elif block.language == "text":
        assert block.file, f"{block.where}: name the file, or write `text example: REASON`"


def complete(fragment: dict[str, Any]) -> dict[str, Any]:
    """An experiment around a fragment of one: a model, a task with rows, and what is shown."""
    whole: dict[str, Any] = {"models": {"big": {"engine": "table", "default": "hash"}}}
    own = {key: value for key, value in fragment.items() if key in ExperimentEntry.model_fields}
    of_task = {key: value for key, value in fragment.items() if key not in own}
    assert of_task.keys() <= TaskEntry.model_fields.keys(), of_task.keys()
    name = "translation" if {"metrics", "parser"} & of_task.keys() else "intent"
    whole["tasks"] = [{"task": name, **TASKS[name], **of_task}]
    whole["grid"] = {"shots": [0, {"k": 2, "select": "random"}]}
    whole |= own
    whole["tasks"] = [{**TASKS.get(task["task"], {}), **task} for task in whole["tasks"]]
    return whole


def check_yaml(text: str, folder: Path) -> None:
    """Check a block of YAML as what it is: an experiment, a part of one, or a user's config."""
    fragment = yaml.safe_load(text)
    if fragment is None:
        assert text.startswith(SCHEMA_LINE)
        return
    if fragment.keys() & set(CONFIG_KEYS) - {"models", "batch_size"}:
        config = folder / "config.yaml"
        config.write_text(text, "utf-8")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ICL_CONFIG", str(config))
            assert read_user_config().path == config
        return
    given = text if {"models", "tasks"} <= fragment.keys() else json.dumps(complete(fragment))
    list_points(parse_experiment(given, "block.yaml", folder, "block"))


@of("yaml")
def test_yaml_is_accepted(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    for other in read_blocks(block.page):
        if other.file:
            write_file(other, tmp_path)
    with isolated():
        before = set(sys.modules)
        check_yaml(block.text, tmp_path)
        for name in set(sys.modules) - before:
            if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(
                sys.modules[name].__file__
            ):
                del sys.modules[name]


@pytest.mark.parametrize(
    "text",
    [
        "grid: {shot: [0]}",
        "data: [inflection, mails]",
        "rows: {data: none}",
        "metrics: [chrff]",
        "search: {dev: {n: 1}, budjet: {minutes: 1}}",
        "# yaml-language-server: $shema=x",
    ],
)
def test_yaml_that_is_wrong_is_found_out(text: str, tmp_path: Path) -> None:
    with pytest.raises((IclError, AssertionError)):
        check_yaml(text, tmp_path)


@of("jinja")
def test_templates_are_accepted(block: Block, tmp_path: Path) -> None:
    parse_template(block.text.removesuffix("\n"), "block.j2", tmp_path / "block.j2")


@of("json")
def test_json_is_json(block: Block) -> None:
    assert json.loads(block.text)


@of("toml")
def test_toml_is_toml(block: Block) -> None:
    assert tomllib.loads(block.text)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs that the pages speak of, read from their records."""
    folder = tmp_path_factory.mktemp("runs")
    unpack_runs(folder)
    return folder / "runs"


@pytest.fixture
def folder(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A reader's folder: the runs, 80 columns, and no colours."""
    shutil.copytree(runs, tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    with isolated():
        yield tmp_path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of random weights that takes prompts of 4,096 tokens."""
    return save_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def stand_in(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Open the tiny model wherever the demo model is named; the sources that were named."""
    from icl.engines.hf import engine

    asked: list[str] = []

    def resolve(source: str, revision: str | None = None) -> Any:
        asked.append(source)
        return find(str(tiny) if source == DEMO_MODEL else source, revision)

    find = engine.resolve
    monkeypatch.setattr(engine, "resolve", resolve)
    return asked


@pages_with("python")
def test_python_runs_as_printed(page: Path, folder: Path) -> None:
    """One page after the other, each block with the names of those before it."""
    if page.stem in RUN_ELSEWHERE:
        return
    names: dict[str, Any] = {}
    for block in read_blocks(page):
        if block.file is not None:
            write_file(block, folder)
        elif block.language == "python" and not block.is_example:
            exec(compile(block.text, block.where, "exec"), names)  # noqa: S102 - our own page


@pages_with("console", "run")
def test_commands_print_what_is_shown(
    page: Path,
    folder: Path,
    stand_in: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In order, from the records of the demo model.

    What asks the model is not asked again: the table of `icl run` is that of `icl show`. Tokens are
    not counted again either.
    """
    for block in read_blocks(page):
        if block.file is not None:
            write_file(block, folder)
        if (block.language, block.role) != ("console", "run"):
            continue
        for command, shown in split_block(block.text):
            printed = _ask(command, shown, folder, capsys, monkeypatch)
            made = [TOKENS.sub("", line) for line in shorten(printed, shown)]
            wanted = [TOKENS.sub("", line) for line in shown]
            assert made == wanted, f"{block.where}: python -m tests.doc_outputs"


def _ask(
    command: str,
    shown: list[str],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> list[str]:
    program, *words = split_command(command)
    if program == "python":
        done = subprocess.run(
            [sys.executable, *words], cwd=folder, capture_output=True, text=True, check=True
        )
        return join_output(program, done.stdout, done.stderr)
    if words[0] not in MODEL_VERBS:
        code, out, err = call(capsys, monkeypatch, *words)
        assert code == 0, err
        return join_output(words[0], out, err)
    assert words[0] == "run", f"{command}: only `icl run` can be printed from records"
    name = yaml.safe_load((folder / words[1]).read_text("utf-8"))["name"]
    code, out, err = call(capsys, monkeypatch, "show", name)
    assert code == 0, err
    return [*join_output("show", out, ""), *shown[-2:]]


def test_the_tutorial_runs_from_an_empty_folder(
    tmp_path: Path,
    stand_in: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each command as printed, where a tiny model of random weights answers for the demo model."""
    monkeypatch.chdir(tmp_path)
    (page,) = (page for page in PAGES if page.stem == FRESH)
    for block in read_blocks(page):
        if block.file is not None:
            write_file(block, tmp_path)
        elif block.language == "console":
            for command, _ in split_block(block.text):
                program, *words = split_command(command)
                if program == "python":
                    done = [sys.executable, *words]
                    subprocess.run(done, cwd=tmp_path, check=True, capture_output=True)
                else:
                    code, _, err = call(capsys, monkeypatch, *words)
                    assert code == 0, f"{command}: {err}"
    assert set(stand_in) == {DEMO_MODEL}
    assert (tmp_path / "runs" / "draws" / "report.html").is_file()
