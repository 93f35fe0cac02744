"""The package: light to import, with what it ships, and documents that are true."""

from __future__ import annotations

import ast
import importlib
import json
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import icl
from icl.core.registry import KINDS, names
from icl.experiment.entries import ExperimentEntry
from icl.experiment.file import load_experiment, parse_experiment
from icl.experiment.grid import list_points
from icl.prompts.template_file import list_templates, parse_template

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
DOCUMENTS = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


def modules() -> list[str]:
    found = [m.name for m in pkgutil.walk_packages(icl.__path__, "icl.")]
    return [name for name in found if not name.startswith("icl.workbench.web")]


def test_importing_icl_loads_the_standard_library_alone() -> None:
    code = (
        "import sys; before = set(sys.modules); import icl; "
        "print({name.partition('.')[0] for name in set(sys.modules) - before})"
        "; print([name for name in sys.modules if name.startswith('icl.')])"
        "; from icl import Example, register; print('numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, rooms, numpy = done.stdout.splitlines()
    assert ast.literal_eval(loaded) <= {"icl", *sys.stdlib_module_names}
    assert (rooms, numpy) == ("[]", "False")


def test_the_face_is_listed_for_people_for_checkers_and_for_python_alike() -> None:
    found = {}
    for node in ast.walk(ast.parse(Path(icl.__file__).read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("icl."):
            found[node.module] = tuple(alias.name for alias in node.names)
    assert found == icl.EXPORTS
    listed = [name for names in icl.EXPORTS.values() for name in names]
    assert sorted(listed) == sorted(icl.__all__)
    assert len(set(listed)) == len(listed)
    assert set(icl.__all__) <= set(dir(icl))
    for module, public in icl.EXPORTS.items():
        assert set(public) <= set(importlib.import_module(module).__all__), module


@pytest.mark.parametrize(
    ("package", "why"),
    [
        ("core", "the child that renders strangers' templates starts with it"),
        ("prompts", "the child that renders strangers' templates starts with it"),
        ("running", "the function run would hide the module run"),
        ("running/search", "the function search would hide the module search"),
    ],
)
def test_packages_that_import_nothing(package: str, why: str) -> None:
    made = ast.parse((ROOT / "icl" / package / "__init__.py").read_text("utf-8"))
    assert len(made.body) == 1 and ast.get_docstring(made), why


@pytest.mark.parametrize("name", icl.__all__)
def test_every_name_of_the_face_is_there(name: str) -> None:
    value = getattr(icl, name)
    assert callable(value) or isinstance(value, icl.Task)


def test_a_name_that_the_face_lacks_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'icl' has no attribute 'runs'"):
        _ = icl.runs
    with pytest.raises(ImportError, match="cannot import name 'runs'"):
        from icl import runs  # noqa: F401


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_documents_import_from_the_face_alone(path: Path) -> None:
    text = path.read_text("utf-8")
    for module, imported in re.findall(r"^\s*from (icl[\w.]*) import (.+)$", text, re.M):
        assert module == "icl", f"{path.name}: write `from icl import {imported}`"
        assert set(re.split(r",\s*", imported.strip())) <= set(icl.__all__)
    assert not re.findall(r"^\s*import icl\.", text, re.M)


@pytest.mark.parametrize("name", modules())
def test_all_names_what_there_is(name: str) -> None:
    module = importlib.import_module(name)
    for public in getattr(module, "__all__", ()):
        assert hasattr(module, public), f"{name}.__all__ names {public!r}"


@pytest.mark.parametrize("kind", KINDS)
def test_every_entry_point_loads(kind: str) -> None:
    from icl.core.registry import lookup

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    listed = project["entry-points"][f"icl.{kind}"]
    assert set(listed) <= set(names(kind))
    for name in listed:
        assert lookup(kind, name) is not None


@pytest.mark.parametrize(
    "path", sorted((ROOT / "experiments").glob("*.yaml")), ids=lambda p: p.stem
)
def test_every_experiment_is_valid(path: Path) -> None:
    lists = re.search(r"locale: (all|\"?\*)", path.read_text("utf-8"))
    if lists and not (ROOT / "../shared/data").is_dir():
        pytest.skip("the data set whose locales it lists is not beside this checkout")
    assert list_points(load_experiment(path))


def test_the_examples_of_the_readme_are_valid(tmp_path: Path) -> None:
    template = re.search(r"```jinja\n(.*?)```", README, re.S)
    experiment = re.search(r"```yaml\n(.*?)```", README, re.S)
    assert template and experiment
    parse_template(template[1], "wish.j2", tmp_path / "wish.j2")
    (tmp_path / "wish.j2").write_text(template[1])
    found = list_points(parse_experiment(experiment[1], "mine.yaml", tmp_path, "mine"))
    assert len(found) == 5
    assert yaml.safe_load(experiment[1]).keys() <= ExperimentEntry.model_fields.keys()
    for command in re.findall(r"`make (\w+)`", README):
        assert f"\n{command}:" in (ROOT / "Makefile").read_text("utf-8")


def test_the_wheel_carries_templates_samples_and_types(tmp_path: Path) -> None:
    code = f"from hatchling.build import build_wheel; print(build_wheel({str(tmp_path)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    with zipfile.ZipFile(tmp_path / done.stdout.split()[-1]) as wheel:
        inside = set(wheel.namelist())
    for name in list_templates():
        assert f"icl/_shipped/prompts/{name}.j2" in inside
    for name in (
        "prompts/words.yaml",
        "samples/messages/messages.csv",
        "experiments/quickstart.yaml",
    ):
        assert f"icl/_shipped/{name}" in inside
    for name in (
        "experiment/starters/intent/prompt.j2",
        "experiment/starters/translation/lines.eng.txt",
    ):
        assert f"icl/{name}" in inside
    assert "icl/_shipped/schemas/experiment.schema.json" in inside
    assert "icl/py.typed" in inside
    assert not [name for name in inside if name.startswith(("tests/", "runs/", ".venv/"))]
    # Unpacked, it works in a folder of somebody who has no checkout.
    with zipfile.ZipFile(tmp_path / done.stdout.split()[-1]) as wheel:
        wheel.extractall(tmp_path / "installed")
    code = (
        "import icl; from icl.experiment.file import load_experiment; "
        "from icl.experiment.starters import init; from pathlib import Path; "
        "made = icl.start_from_table('wishes', 'samples/messages/messages.csv', answer='wish'); "
        "init(Path('first'), 'intent', 'small'); print(icl.__file__, made.experiment, "
        "load_experiment('first/experiment.yaml').name, "
        "load_experiment('experiments/quickstart.yaml').name, sep='|')"
    )
    outside = tmp_path / "outside"
    outside.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=outside,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
    )
    package, *made = done.stdout.strip().split("|")
    assert Path(package).is_relative_to(tmp_path / "installed")
    assert made == ["wishes/experiment.yaml", "first", "quickstart"]


def test_the_samples_say_where_they_come_from() -> None:
    for folder in (
        "intent",
        "translation",
        "summarization",
        "sentiment",
        "choose",
        "extract",
        "generate",
        "messages",
    ):
        text = (ROOT / "samples" / folder / "SOURCE.md").read_text("utf-8")
        assert "CC0" in text
    assert json.loads((ROOT / "samples/intent/en-US.jsonl").read_text("utf-8").splitlines()[0])
