"""``docs/``, README and CONTRIBUTING name what there is, and leave nothing out."""

from __future__ import annotations

import re
import shlex
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import icl
from tests.doc_outputs import CUT, shorten, split_block

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
CONTRACTS = {made["name"]: made for made in PROJECT["tool"]["importlinter"]["contracts"]}
GROUPS = {f"icl.{kind}" for kind in ("task", "metric", "parser", "format", "selector")}
"""Groups of entry points that documents name; they look like modules and are none."""
FOLDERS = r"(?:icl|tests|docs|experiments|benchmarks|samples|schemas)"
each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)


def resolved(dotted: str) -> Any:
    """A module, or an attribute of one, by its dotted name."""
    found: Any = icl
    name = "icl"
    for word in dotted.split(".")[1:]:
        name = f"{name}.{word}"
        try:
            found = getattr(found, word)
        except AttributeError:
            found = import_module(name)
    return found


@each_document
def test_every_dotted_name_imports(path: Path) -> None:
    for name in set(re.findall(r"(?<![\w./\"])icl(?:\.[A-Za-z_]\w*)+", path.read_text("utf-8"))):
        if name not in GROUPS:
            assert resolved(name) is not None, name


def test_a_name_that_is_not_there_is_found_out() -> None:
    with pytest.raises(ModuleNotFoundError):
        resolved("icl.types.Example")


@each_document
def test_every_path_is_there(path: Path) -> None:
    text = path.read_text("utf-8")
    named = re.findall(rf"(?<![\w./*~-]){FOLDERS}(?:/[\w.-]+)*/?", text)
    for name in {one.rstrip(".") for one in named if "/" in one.rstrip("/")}:
        assert (ROOT / name).exists(), f"{path.name} names {name}"
    for link in re.findall(r"\]\(([^)#:]+)(?:#[\w-]*)?\)", text):
        assert (path.parent / link).exists(), f"{path.name} links to {link}"


def test_the_index_lists_every_page_once() -> None:
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    assert re.findall(r"^## (\w+)$", index, re.M) == ["First", "Daily", "Deep"]
    listed = re.findall(r"\]\(([\w/.-]+\.md)\)", index)
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert sorted(listed) == sorted(pages)
    assert "(docs/README.md)" in (ROOT / "README.md").read_text("utf-8")


def modules() -> set[str]:
    """``room/module`` of every module in a room but those that stand for a folder."""
    found = (path.relative_to(ROOT / "icl") for path in (ROOT / "icl").rglob("*.py"))
    return {path.with_suffix("").as_posix() for path in found if _in_room(path)}


def _in_room(path: Path) -> bool:
    return path.name != "__init__.py" and path != Path("__main__.py")


def test_the_architecture_lists_every_module_once() -> None:
    chapter = ARCHITECTURE.partition("## What is where")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(.+)/` \| (.+) \|$", chapter, re.M)
    listed = [f"{folder}/{name}" for folder, cell in rows for name in re.findall(r"`(.+?)`", cell)]
    assert sorted(listed) == sorted(modules())


def test_the_rooms_are_those_of_the_contract() -> None:
    layers = CONTRACTS["imports point downward"]["layers"]
    floors = {
        room.strip().removeprefix("icl."): floor
        for floor, names in enumerate(reversed(layers))
        for room in names.split("|")
    }
    rows = re.findall(r"^\| (\d) \| `(\w+)/` \|", ARCHITECTURE, re.M)
    assert {room: int(floor) for floor, room in rows} == floors
    assert len(rows) == len(floors)
    assert {name.partition("/")[0] for name in modules()} == set(floors)


def test_the_contract_of_the_workbench_names_all_of_its_modules() -> None:
    listed = CONTRACTS["the workbench knows nothing of its page"]["source_modules"]
    there = {path.stem for path in (ROOT / "icl" / "workbench").glob("[!_]*")} - {"web"}
    assert sorted(listed) == [f"icl.workbench.{name}" for name in sorted(there)]


def command_lines(path: Path) -> list[str]:
    """Every command line of this project that a page shows, without its comment."""
    blocks = re.findall(
        r"^```(?:console|text example)[^\n]*\n(.*?)^```", path.read_text("utf-8"), re.M | re.S
    )
    lines = [line[2:] for block in blocks for line in block.splitlines() if line[:2] == "$ "]
    spans = re.findall(r"`(icl [a-z][^`\n]*)`", path.read_text("utf-8"))
    return [line for line in (*lines, *spans) if re.match(r"icl [a-z]", line)]


@each_document
def test_every_command_line_is_one_that_the_program_takes(path: Path) -> None:
    import typer

    from icl.cli import app

    group = typer.main.get_command(app)
    for line in command_lines(path):
        words = shlex.split(re.split(r"\s#\s|\s[>|]", line)[0].replace("…", ""), comments=False)[1:]
        with group.make_context("icl", [words[0], "--help"], resilient_parsing=True) as context:
            name, verb, _ = group.resolve_command(context, words)
            assert verb is not None and name is not None, line
            known = {option for made in verb.params for option in made.opts}
            given = {word.partition("=")[0] for word in words[1:] if word.startswith("-")}
            assert given <= {*known, "--help"}, f"{path.name}: {line}"


def test_every_key_of_an_experiment_is_on_a_page() -> None:
    from icl.core.registry import isolated
    from icl.experiment.json_schema import make_experiment_schema

    def keys(node: Any) -> set[str]:
        if isinstance(node, list):
            return set[str]().union(*map(keys, node))
        if not isinstance(node, dict):
            return set()
        return {*node.get("properties", {})}.union(*map(keys, node.values()))

    with isolated(empty=True):  # without what other tests brought in
        asked = keys(make_experiment_schema())
    text = "\n".join(path.read_text("utf-8") for path in DOCUMENTS)
    found = {*re.findall(r"`(\w+):?[^`]*`", text), *re.findall(r"(\w+):\s", text)}
    assert asked - found == set()


def test_outputs_are_shortened_as_they_were() -> None:
    printed = ["a", "b", "c", "d"]
    assert shorten(printed, ["x", "y"]) == printed
    assert shorten(printed, ["x", CUT]) == ["a", CUT]
    assert shorten(printed, ["x", CUT, "y", "z"]) == ["a", CUT, "c", "d"]
    assert split_block("$ icl a\n1\n2\n$ icl b\n") == [("$ icl a", ["1", "2"]), ("$ icl b", [])]
