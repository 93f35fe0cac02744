"""``icl init`` and the schemas: what they write is what the loaders accept."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from icl.core.errors import ConfigError, StoreError, TemplateError
from icl.core.registry import isolated
from icl.experiment.file import load_experiment
from icl.experiment.grid import list_points
from icl.experiment.json_schema import SCHEMAS, write_schema
from icl.experiment.lint import lint
from icl.experiment.starters import find_starters, init, make_experiment
from icl.prompts.template_file import FrontMatter, list_templates
from icl.running.run import run
from tests.table_experiment import write

ROOT = Path(__file__).parents[2]
TASKS = sorted(find_starters())


@pytest.mark.parametrize("task", TASKS)
def test_what_init_writes_is_clean_and_runs(task: str, tmp_path: Path) -> None:
    written = init(tmp_path / "first", task, "./no-model-here")
    file = tmp_path / "first" / "experiment.yaml"
    assert {path.name for path in written} >= {
        "experiment.yaml",
        "prompt.j2",
        "shots.jsonl",
        "experiment.schema.json",
    }
    text = file.read_text()
    assert "@" not in text
    assert text.startswith("# yaml-language-server: $schema=experiment.schema.json\n")
    assert (file.parent / "experiment.schema.json").read_text() == write_schema("experiment")
    assert lint(str(file)) == []
    file.write_text(text.replace('source: "./no-model-here"', "engine: table, default: hash"))
    done = run(file, tmp_path / "runs")
    assert done.name == "first"
    assert len(done.conditions) == 3
    assert all(len(condition.records) >= 10 for condition in done.conditions)


def test_init_puts_a_local_model_in_whole_and_quotes_it(tmp_path: Path) -> None:
    model = tmp_path / 'a "model'
    model.mkdir()
    init(tmp_path / "2024", "intent", str(model))
    experiment = load_experiment(tmp_path / "2024" / "experiment.yaml")
    assert list_points(experiment)[0].model["source"] == str(model)
    assert experiment.name == "2024"


def test_init_never_writes_over_anything(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="exists already and nothing is overwritten"):
        init(folder, "intent", "m")
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="nothing is overwritten; name another"):
        init(tmp_path / "file", "intent", "m")
    with pytest.raises(ConfigError, match="no starter for the task 'intend'. Did you mean 'int"):
        init(tmp_path / "x", "intend", "m")
    with pytest.raises(ConfigError, match="'-x' cannot name an experiment; accepted: letters"):
        init(tmp_path / "-x", "intent", "m")
    assert not (tmp_path / "x").exists()


def test_a_template_alone_gets_data_of_its_kind(tmp_path: Path) -> None:
    for name in list_templates():
        (point,) = list_points(make_experiment(name, "m"))
        assert point.prompt == name
        assert point.model == {"source": "m"}
    with pytest.raises(TemplateError, match="no template file"):
        make_experiment("none.j2", "m")


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_shipped_schemas_are_those_of_the_code(kind: str) -> None:
    """To renew one:  icl schema experiment > schemas/experiment.schema.json."""
    shipped = (ROOT / "schemas" / f"{kind}.schema.json").read_text("utf-8")
    with isolated(empty=True):  # without what other tests brought in
        assert shipped == write_schema(kind)


def accepts(schema: Any, value: Any, root: Any) -> bool:
    """Whether a JSON value is valid: the part of JSON Schema that pydantic writes."""
    if "$ref" in schema:
        return accepts(root["$defs"][schema["$ref"].rsplit("/", 1)[1]], value, root)
    if "anyOf" in schema and not any(accepts(one, value, root) for one in schema["anyOf"]):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    kinds = {
        "string": str,
        "integer": int,
        "number": (int, float),
        "array": list,
        "object": dict,
        "null": type(None),
        "boolean": bool,
    }
    wanted = schema.get("type")
    named = [wanted] if isinstance(wanted, str) else wanted
    if named and not any(isinstance(value, kinds[one]) for one in named):
        return False
    if isinstance(value, list):
        return all(accepts(schema.get("items", {}), one, root) for one in value)
    if not isinstance(value, dict):
        return True
    known = schema.get("properties", {})
    if any(key not in value for key in schema.get("required", ())):
        return False
    rest = schema.get("additionalProperties", True)
    patterns = [*schema.get("patternProperties", {}).values()]
    for key, one in value.items():
        if key in known:
            if not accepts(known[key], one, root):
                return False
        elif rest is False:
            if not (patterns and "." in key and accepts(patterns[0], one, root)):
                return False
        elif isinstance(rest, dict) and not accepts(rest, one, root):
            return False
    return True


def test_the_experiment_schema_accepts_what_the_loader_accepts(tmp_path: Path) -> None:
    schema = json.loads(write_schema("experiment"))
    shipped = [*(ROOT / "experiments").glob("*.yaml"), *(ROOT / "icl").glob("starters/*/*.yaml")]
    assert len(shipped) >= 4
    for path in [*shipped, write(tmp_path)]:
        assert accepts(schema, yaml.safe_load(path.read_text()), schema), path


@pytest.mark.parametrize(
    "changes",
    [
        {"modles": {}},
        {"models": []},
        {"tasks": [{"task": "intent", "promt": "x.j2", "rows": {"data": "rows"}}]},
        {"tasks": [{"task": "intent", "prompt": "x.j2", "rows": {"data": "rows", "n": "two"}}]},
        {"grid": {"shots": ["two"]}},
        {"grid": {"shot": [2]}},
        {"batch_size": "8"},
    ],
)
def test_the_experiment_schema_refuses_what_the_loader_refuses(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    schema = json.loads(write_schema("experiment"))
    file = write(tmp_path, **changes)
    assert not accepts(schema, json.loads(file.read_text()), schema)
    if "batch_size" not in changes:  # pydantic reads "8" as 8
        with pytest.raises(ConfigError):
            load_experiment(file)


def test_the_schemas_say_what_each_key_is_for() -> None:
    template = json.loads(write_schema("template"))
    assert set(template["properties"]) == {spec.name for spec in fields(FrontMatter)}
    assert all(spec["description"] for spec in template["properties"].values())
    text = write_schema("experiment")
    for word in (
        "bm25",
        "macro_f1",
        "label_prefix",
        "massive",
        "intent/plain",
        "float32",
        "Number of sampled rows, with the same ids in every locale",
    ):
        assert word in text
    with pytest.raises(ConfigError, match="no schema of 'prompt'"):
        write_schema("prompt")
