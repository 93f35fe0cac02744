"""Experiment files: every mistake is one line that says what is accepted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from icl.core.errors import ConfigError, ModelError
from icl.experiment.file import load_experiment, parse_experiment
from icl.experiment.grid import list_points
from icl.experiment.loader import Loader
from icl.experiment.samples import list_built_in_data
from tests.table_experiment import write


def broken(tmp_path: Path, path: str, value: Any) -> str:
    """The message for ``small.yaml`` with one dotted path set."""
    raw = json.loads(write(tmp_path).read_text())
    *parents, last = path.split(".")
    target = raw
    for parent in parents:
        target = target[int(parent) if parent.isdigit() else parent]
    target[last] = value
    with pytest.raises(ConfigError) as caught:
        parse_experiment(json.dumps(raw), "x.yaml", tmp_path, "x")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "parts"),
    [
        ("taks", [], ["unknown key 'taks'", "Did you mean 'tasks'", "models"]),
        ("tasks.0.promt", "x", ["unknown key 'tasks.0.promt'", "Did you mean 'prompt'"]),
        ("tasks.0.rows.loacle", "x", ["'tasks.0.rows.loacle'", "Did you mean 'locale'"]),
        ("tasks.0.sampling", {"max_token": 3}, ["max_token'", "Did you mean 'max_tokens'"]),
        ("tasks.1.rows.pair", {"form": "en", "to": "de"}, ["form'", "Did you mean 'from'"]),
        ("tasks.0.task", "intnet", ["unknown task 'intnet'", "Did you mean 'intent'"]),
        ("tasks.0.metrics", ["acuracy"], ["unknown metric", "Did you mean 'accuracy'"]),
        ("tasks.0.parser", "lable", ["unknown parser", "Did you mean 'label'"]),
        ("tasks.0.method", "rnak", ["method", "rank"]),
        ("tasks.1.method", "rank", ["'translation' cannot be answered by 'rank'", "generate"]),
        ("tasks.0.rows.data", "row", ["unknown data 'row'", "Did you mean 'rows'"]),
        ("tasks.0.rows.n", 0, ["tasks.0.rows.n", "greater than or equal to 1", "given: 0"]),
        ("tasks.0.sampling", {"temperature": -1}, ["temperature", "-1"]),
        ("grid.shots", [{"k": 2, "select": "bm52"}], ["unknown selector", "'bm25'"]),
        ("grid.shots", [{"k": "two"}], ["shots.k", "'two'"]),
        ("grid.shots", [-1], ["shots.k", "-1"]),
        ("grid.model", ["u"], ["grid.model: unknown 'u'", "There are: t"]),
        ("grid.modle", ["t"], ["unknown grid axis 'modle'", "Did you mean 'model'"]),
        ("grid", {"tasks.intnet.prompt": ["a"]}, ["no task 'intnet'", "'intent'"]),
        ("models", {}, ["models"]),
        ("tasks", [], ["tasks"]),
        ("name", "a/b", ["name", "a/b"]),
        ("plugins", ["no_such_module"], ["cannot import 'no_such_module'"]),
    ],
)
def test_mistakes_are_named(tmp_path: Path, path: str, value: Any, parts: list[str]) -> None:
    message = broken(tmp_path, path, value)
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", r"x\.yaml:\d+: not YAML"),
        ("- a", r"x\.yaml: an experiment is `key: value` lines"),
        ("", r"x\.yaml: an experiment is"),
        ("a: 1\na: 2", r"x\.yaml:2: not YAML: the key 'a' appears twice"),
        ("a: &x [1]\nb: *x", r"x\.yaml:2: not YAML: aliases are not accepted"),
        ("a: !!python/object/apply:os.system [ls]", r"x\.yaml:1: not YAML"),
        ("models: {t: {}}", r"'tasks' is missing"),
    ],
)
def test_text_that_is_no_experiment(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_experiment(text, "x.yaml", tmp_path, "x")


def test_a_missing_file_names_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(ConfigError, match=r"no experiment file .*smal.yaml.*'small.yaml'"):
        load_experiment(tmp_path / "smal.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"name: \xff")
    with pytest.raises(ConfigError, match=r"cannot be read as UTF-8 text: .* an experiment is a"):
        load_experiment(tmp_path / "latin.yaml")
    with pytest.raises(ConfigError, match=r"is a folder, an experiment file is .* small\.yaml"):
        load_experiment(tmp_path)
    with pytest.raises(ConfigError, match=r"name: accepted: letters, .* \(given: '../x'\)"):
        load_experiment(write(tmp_path, name="../x"))


def test_lists_and_grid_axes_multiply(tmp_path: Path) -> None:
    raw = json.loads(write(tmp_path).read_text())
    raw["tasks"][1]["rows"]["pair"] = {"from": ["en", "de"], "to": ["de", "en"]}
    raw["tasks"][0]["prompt"] = ["intent.j2", "ends.j2"]
    raw["grid"]["shots"] = [0, {"k": 2, "select": "random", "seeds": [0, 1, 2]}]
    found = list_points(parse_experiment(json.dumps(raw), "x", tmp_path, "x"))
    by_task = [point.task.task for point in found]
    assert (by_task.count("intent"), by_task.count("translation")) == (2 * 4, 2 * 4)
    assert {point.pair for point in found} == {None, ("en", "de"), ("de", "en")}
    assert {point.axes["shots"] for point in found} == {
        "0",
        "2 random s0",
        "2 random s1",
        "2 random s2",
    }


def test_without_a_grid_every_model_is_run_without_shots(tmp_path: Path) -> None:
    raw = json.loads(write(tmp_path).read_text())
    del raw["grid"]
    raw["models"]["u"] = {"engine": "table"}
    found = list_points(parse_experiment(json.dumps(raw), "x", tmp_path, "x"))
    assert [(p.model_name, p.shots.k) for p in found] == [("t", 0), ("t", 0), ("u", 0), ("u", 0)]


def test_a_dotted_axis_leaves_other_tasks_alone(tmp_path: Path) -> None:
    grid = {"tasks.intent.prompt": ["intent.j2", "ends.j2"], "models.t.window": [100, 200]}
    found = list_points(load_experiment(write(tmp_path, grid=grid)))
    assert len([p for p in found if p.task.task == "intent"]) == 4
    assert len([p for p in found if p.task.task == "translation"]) == 2
    assert {p.model["window"] for p in found} == {100, 200}


def test_the_built_in_data_sets_are_there() -> None:
    from icl.data import DataSpec, load

    intent = list_built_in_data()["samples/intent"]
    ids = []
    for locale in ("en-US", "de-DE", "sw-KE"):
        rows = load(DataSpec(intent.format, Path(intent.path), locale=locale, split="test"))
        ids.append([row.id for row in rows])
        assert len(rows) >= 120
    assert ids[0] == ids[1] == ids[2]
    pairs = list_built_in_data()["samples/translation"]
    for target in ("deu_Latn", "fra_Latn", "spa_Latn", "swh_Latn", "hin_Deva"):
        spec = DataSpec(
            pairs.format, Path(pairs.path), source="eng_Latn", target=target, lines=(1, 120)
        )
        assert len(load(spec)) == 120


def test_settings_take_the_axis_shots_apart(tmp_path: Path) -> None:
    shots = [
        0,
        {"k": 2, "select": "bm25", "ngrams": "char", "seeds": [0, 1]},
        {"k": 4, "select": "random", "order": "reversed", "seeds": [7]},
    ]
    found = [
        point.settings
        for point in list_points(
            load_experiment(write(tmp_path, grid={"model": ["t"], "shots": shots}))
        )
    ]
    intents = [one for one in found if one["task"] == "intent"]
    assert "select" not in intents[0] and intents[0]["k"] == "0"
    assert intents[1]["ngrams"] == "char" and "seed" not in intents[1]  # BM25 draws nothing
    last = intents[-1]
    assert (last["k"], last["select"], last["order"], last["seed"]) == (
        "4",
        "random",
        "reversed",
        "7",
    )


def test_a_model_beside_the_experiment_file_is_found_from_anywhere(tmp_path: Path) -> None:
    raw = json.loads(write(tmp_path).read_text())
    raw["models"]["t"] = {"source": "rows.bin"}
    (tmp_path / "rows.bin").write_text("no model")
    experiment = parse_experiment(json.dumps(raw), "x.yaml", tmp_path, "x")
    with pytest.raises(ModelError, match="is a file, but no .gguf file; name the folder"):
        Loader(experiment).engine(list_points(experiment)[0]).identity()
