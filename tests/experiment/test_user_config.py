"""A user's own file: what it may set, what comes before it, and that no fingerprint knows of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from icl import run
from icl.core.errors import ConfigError
from icl.experiment.condition import build
from icl.experiment.file import load_experiment
from icl.experiment.grid import Experiment, list_points
from icl.experiment.loader import Loader
from icl.experiment.user_config import (
    CONFIG_KEYS,
    EngineConfigEntry,
    UserConfig,
    find_config_file,
    find_machine_keys,
    read_user_config,
)
from tests.cli.test_cli import assert_one_line, call
from tests.servers import Server, serving
from tests.table_experiment import write

PRICE = {"input": 1.0, "output": 2.0}
ENGINE_VALUES = {
    "cache_bytes": 1 << 20,
    "check_memory": False,
    "timeout_s": 7.0,
    "concurrency": 3,
    "requests_per_minute": 900.0,
    "retries": 1,
    "backoff_s": 0.25,
    "max_cost": 3.0,
    "price": PRICE,
}
"""A value for each key, none of which is its default."""


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Server()) as started:
        yield started


def config(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> Path:
    """Write a user's file and let it be found."""
    file = folder / "config.yaml"
    file.write_text(text, "utf-8")
    monkeypatch.setenv("ICL_CONFIG", str(file))
    return file


def engines(experiment: Experiment) -> list[Any]:
    loader = Loader(experiment)
    return [loader.engine(point) for point in list_points(experiment)]


def test_every_key_is_given_a_value_here() -> None:
    assert set(ENGINE_VALUES) == set(EngineConfigEntry.model_fields)
    known = set(EngineConfigEntry.model_fields) - {"price", "max_cost"}
    assert set(CONFIG_KEYS) == {*known, "batch_size", "models"}


def test_no_key_changes_a_fingerprint(
    tmp_path: Path, tiny_model: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {"engine": "openai", "source": server.url, "model": server.name}
    models = {"here": {"source": str(tiny_model)}, "there": there}
    file = write(tmp_path, models=models, grid={"shots": [0]}, batch_size=None)
    raw = json.loads(file.read_text())
    file.write_text(json.dumps({**raw, "tasks": raw["tasks"][:1]}))

    def fingerprints() -> list[str]:
        experiment = load_experiment(file)
        loader = Loader(experiment)
        return [build(point, loader).fingerprint for point in list_points(experiment)]

    plain = fingerprints()
    assert len(plain) == 2
    names = [models["here"]["source"], models["there"]["source"]]
    own = {name: ENGINE_VALUES for name in names}
    config(tmp_path, monkeypatch, json.dumps({"batch_size": 3, "models": own}))
    experiment = load_experiment(file)
    assert experiment.batch_size == 3
    here, there = engines(experiment)
    for key, value in ENGINE_VALUES.items():
        taken = [engine for engine in (here, there) if hasattr(engine, key)]
        assert [getattr(engine, key) for engine in taken] == [value], key
    assert fingerprints() == plain
    for key, value in ENGINE_VALUES.items():
        if key in CONFIG_KEYS:
            config(tmp_path, monkeypatch, json.dumps({key: value}))
            assert fingerprints() == plain, key


def test_an_option_comes_before_the_file_before_the_config_before_the_default(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config(tmp_path, monkeypatch, "batch_size: 5\n")

    def sizes(*words: object, **changes: Any) -> set[int]:
        file = write(tmp_path, name=f"n{len(words)}{len(changes)}", **changes)
        out = f"{len(words)}-{len(changes)}"
        assert call(capsys, monkeypatch, "run", file, "--out", out, *words)[0] == 0
        plans = [json.loads(path.read_text()) for path in Path(out).rglob("plan.json")]
        return {len(plan[0]) for plan in plans}

    assert sizes(batch_size=None) == {5}
    assert sizes(batch_size=4, about="x") == {4}
    assert sizes("--batch-size", 3, batch_size=4) == {3}
    monkeypatch.setenv("ICL_CONFIG", "")
    assert sizes("--batch-size", 10, batch_size=None, about="x") == {10}


def test_what_an_experiment_says_of_its_model_stays(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = server.entry(timeout_s=4, price=None)
    file = write(tmp_path, models={"s": entry, "o": server.entry()}, grid={"shots": [0]})
    own = {server.entry()["model"]: {"timeout_s": 9, "price": PRICE, "retries": 2}}
    made = {"timeout_s": 8, "retries": 3, "concurrency": 2, "models": own}
    config(tmp_path, monkeypatch, json.dumps(made))
    first, other = (engines(load_experiment(file))[place] for place in (0, -1))
    assert (first.timeout_s, first.price, first.retries, first.concurrency) == (4, None, 2, 2)
    assert (other.timeout_s, other.price, other.retries, other.concurrency) == (9, PRICE, 2, 2)


def test_a_key_of_the_machine_in_an_experiment_is_accepted_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = config(tmp_path, monkeypatch, "")
    code, _, err = call(capsys, monkeypatch, "run", write(tmp_path, batch_size=4))
    notes = [line for line in err.splitlines() if line.startswith("note: batch_size")]
    assert code == 0
    assert notes == [
        "note: batch_size: accepted, but a setting of the machine, which changes no answer; it "
        f"belongs to `--batch-size` or {path}"
    ]
    _, _, err = call(capsys, monkeypatch, "run", write(tmp_path, batch_size=None))
    assert "setting of the machine" not in err
    models = {
        "a": {"source": "x", "cache_bytes": 9, "width": "nf4"},
        "b": {"engine": "openai", "timeout_s": 3, "max_cost": 2, "price": PRICE},
        "c": {"engine": "table", "timeout_s": 3},
    }
    assert list(find_machine_keys({"models": models})) == [
        "models.a.cache_bytes",
        "models.b.timeout_s",
    ]


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("a: 1", 1, "unknown key 'a'. There are: backoff_s, batch_size"),
        (
            "# x\ntimeout_s: 5\nbatchsize: 3",
            3,
            "unknown key 'batchsize'. Did you mean 'batch_size'?",
        ),
        ("api_key_env: X", 1, "unknown key 'api_key_env'. There are:"),
        ("\nbatch_size: 0", 2, "batch_size: Input should be greater than or equal to 1"),
        ("batch_size: yes", 1, "batch_size: true is no number; give one; accepted keys: backoff_s"),
        ("timeout_s: .inf", 1, "timeout_s: inf is not a finite number"),
        ("retries: 1\nprice: {input: 1, output: 2}", 2, "'price' is that of one model; write it"),
        (
            "max_cost: 3",
            1,
            "'max_cost' is that of one model; write it under models, as in `models:",
        ),
        ("models:\n  g:\n    price: {inp: 1}", 3, "unknown key 'models.g.price.inp'"),
        ("models:\n  g: {price: {input: 1}}", 2, "'models.g.price.output' is missing"),
        ("models:\n  g: {retries: -1}", 2, "models.g.retries: Input should be greater"),
        ("models: 3", 1, "models: Input should be a valid dictionary"),
        ("- batch_size", 1, "a config is `key: value` lines; accepted keys: backoff_s, batch_size"),
        ("a: [", 1, "not YAML:"),
        ("retries: 1\nretries: 2", 2, "not YAML: the key 'retries' appears twice"),
    ],
)
def test_a_bad_file_is_one_line(
    text: str,
    line: int,
    told: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = config(tmp_path, monkeypatch, text)
    printed = call(capsys, monkeypatch, "run", write(tmp_path))
    assert_one_line(f"icl: {path}:{line}: {told}", *printed)


def test_a_file_that_cannot_be_read_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = config(tmp_path, monkeypatch, "")
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigError, match="cannot be read as UTF-8 text: .*; a config is a YAML"):
        read_user_config()
    path.unlink()
    with pytest.raises(ConfigError, match="no such file, and ICL_CONFIG names it; write it, or un"):
        read_user_config()
    monkeypatch.setenv("ICL_CONFIG", "")
    assert read_user_config() == UserConfig()


def test_the_file_lies_where_the_platform_keeps_such_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ICL_CONFIG")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", "")
    home = tmp_path / ".config" / "icl" / "config.yaml"
    assert find_config_file("linux") == home
    monkeypatch.setenv("XDG_CONFIG_HOME", "not/absolute")  # the rule says: not to be used
    assert find_config_file("linux") == home
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "x"))
    assert find_config_file("linux") == tmp_path / "x" / "icl" / "config.yaml"
    support = tmp_path / "Library" / "Application Support" / "icl" / "config.yaml"
    assert find_config_file("darwin") == support
    monkeypatch.setenv("APPDATA", str(tmp_path / "data"))
    assert find_config_file("win32") == tmp_path / "data" / "icl" / "config.yaml"
    monkeypatch.setenv("ICL_CONFIG", "~/mine.yaml")
    assert find_config_file("win32") == tmp_path / "mine.yaml"
    monkeypatch.delenv("ICL_CONFIG")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert read_user_config() == UserConfig()  # nobody must have one
    home.parent.mkdir(parents=True)
    home.write_text("retries: 1\n")
    assert read_user_config() == UserConfig(home, None, {"retries": 1})


def test_python_reads_it_too_and_an_old_run_is_reused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, batch_size=None)
    assert run(file, tmp_path / "runs").computed == 40
    config(tmp_path, monkeypatch, "batch_size: 3\n")
    again = run(file, tmp_path / "runs")
    assert (again.computed, again.reused) == (0, 40)


def test_list_config_says_where_it_is_and_what_it_sets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = config(tmp_path, monkeypatch, "batch_size: 5\nmodels: {g: {max_cost: 2}}\n")
    code, out, err = call(capsys, monkeypatch, "list", "config")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == str(path) and max(map(len, lines[1:])) <= 80
    assert "batch_size = 5" in lines and "    models.g.max_cost = 2.0" in lines
    assert {line for line in lines if line in CONFIG_KEYS} == {*CONFIG_KEYS} - {"batch_size"}
    monkeypatch.setenv("ICL_CONFIG", "")
    out = call(capsys, monkeypatch, "list", "config")[1]
    assert out.startswith("no config.yaml is read, since ICL_CONFIG is empty; unset it to use")
    monkeypatch.delenv("ICL_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "x"))
    monkeypatch.setenv("HOME", str(tmp_path))
    out = call(capsys, monkeypatch, "list", "config")[1]
    assert "(not there; write it to set one of these)" in out.splitlines()[0]
