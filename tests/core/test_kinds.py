"""Kinds of tasks: found by their tasks, told to another process, compared by name nowhere."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from icl.core.errors import ConfigError
from icl.core.kinds import kind_of, kinds, told_kinds
from icl.core.registry import lookup, names

PACKAGE = Path(__file__).parents[2] / "icl"
NAMING = {
    "tasks/generic.py",
    "experiment/samples.py",
    "experiment/table_starter.py",
    "experiment/table_task.py",
    "workbench/row_sources.py",
}
"""Where the kinds are made, where data sets lie in folders that are called like them, and where a
task is guessed from the columns of a table."""


def test_a_kind_is_that_of_the_task_of_its_name() -> None:
    assert list(kinds()) == [
        "choose",
        "classify",
        "extract",
        "generate",
        "inflection",
        "labels",
        "slots",
    ]
    for name, kind in kinds().items():
        assert kind_of(name) is kind is lookup("task", name).kind
        assert (kind.variable is None) == (kind.labels is None) == (kind.methods == ("generate",))
    for name in names("task"):
        assert lookup("task", name).kind in kinds().values()
    with pytest.raises(ConfigError, match="unknown kind of task 'intent'.*choose, classify"):
        kind_of("intent")  # a task, and of the kind classify


LEARN = """
import json, sys
from icl.core.kinds import kind_of, kinds, learn_kinds, told_kinds
learn_kinds(json.load(sys.stdin))
print(json.dumps([told_kinds(), list(kinds()), kind_of("new").labels]))
"""


def test_a_process_is_told_all_kinds_as_plain_values() -> None:
    told = json.loads(json.dumps(told_kinds()))
    given = json.dumps([*told, {**told[0], "name": "new"}])
    line = [sys.executable, "-c", LEARN]
    done = subprocess.run(line, input=given, capture_output=True, text=True, check=True)
    again, names_of_all, labels = json.loads(done.stdout)
    assert [one for one in again if one["name"] != "new"] == told
    assert set(names_of_all) == {*kinds(), "new"}
    assert labels == kind_of("choose").labels == "row"


def test_no_name_of_a_kind_is_written_elsewhere() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        if path.relative_to(PACKAGE).as_posix() not in NAMING
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and node.value in ("classify", "choose", "extract")
    ]
    assert found == [], "ask the Kind instead: see icl/core/kinds.py"
