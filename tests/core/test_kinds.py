"""Kinds of tasks: found by their tasks, told to another process, compared by name nowhere."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from icl.core import kinds as module
from icl.core.errors import ConfigError
from icl.core.kinds import kind_of, kinds, learn_kinds, told_kinds
from icl.core.registry import lookup, names

PACKAGE = Path(__file__).parents[2] / "icl"
NAMING = {"tasks/generic.py", "experiment/samples.py", "workbench/row_sources.py"}
"""Where the kinds are made, and where data sets lie in folders that are called like them."""


def test_a_kind_is_that_of_the_task_of_its_name() -> None:
    assert list(kinds()) == ["choose", "classify", "extract", "generate", "labels"]
    for name, kind in kinds().items():
        assert kind_of(name) is kind is lookup("task", name).kind
        assert (kind.variable is None) == (kind.labels is None) == (kind.methods == ("generate",))
    for name in names("task"):
        assert lookup("task", name).kind in kinds().values()
    with pytest.raises(ConfigError, match="unknown kind of task 'intent'.*choose, classify"):
        kind_of("intent")  # a task, and of the kind classify


def test_a_process_is_told_all_kinds_as_plain_values(monkeypatch: pytest.MonkeyPatch) -> None:
    known, told = kinds(), json.loads(json.dumps(told_kinds()))
    monkeypatch.setattr(module, "_learnt", {})
    learn_kinds([*told, {**told[0], "name": "new"}])
    assert {name: kind for name, kind in kinds().items() if name != "new"} == known
    assert kind_of("new").labels == kind_of("choose").labels == "row"


def test_no_name_of_a_kind_is_written_elsewhere() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        if path.relative_to(PACKAGE).as_posix() not in NAMING
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and node.value in ("classify", "choose", "extract")
    ]
    assert found == [], "ask the Kind instead: see icl/core/kinds.py"
