"""Keys in which entries of a task differ become axes, and rows of tables can be told apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from icl.experiment.differences import find_differences, pick_telling
from icl.experiment.entries import DevEntry, PoolEntry, RowsEntry, SamplingEntry, TaskEntry
from icl.experiment.file import load_experiment
from icl.experiment.grid import list_points
from icl.records.results import find_varying_axes, number_alike
from icl.reports.grid import make_score_grids
from icl.reports.groups import group_conditions
from icl.reports.pivot import pivot
from icl.reports.tables import render
from icl.running.progress import Progress
from icl.running.run import run
from icl.scoring.compare import compare_by
from icl.workbench.run_tables import condition_table
from tests.table_experiment import write

ROWS = {"data": "rows", "split": "test", "n": 6}
BASE = {"task": "intent", "prompt": "intent.j2", "rows": ROWS, "pool": {"split": "train"}}
PAIRS: dict[str, tuple[Any, Any]] = {
    "name": ("one", "two"),
    "prompt": ("intent.j2", "ends.j2"),
    "method": ("rank", "generate"),
    "parser": ("label", "text"),
    "take": (1, 2),
    "choice_end": ("template", "never"),
    "prompt_language": ("en", "de"),
    "label_language": ("en", "de"),
    "layouts": ("f0", "f1"),
    "rows.data": ("rows", "more"),
    "rows.split": ("test", "train"),
    "rows.lines": ([1, 5], [6, 10]),
    "pool.data": ("rows", "more"),
    "pool.locale": ("same", "de"),
    "pool.parallel": ("auto", "allow"),
    "pool.split": ("train", "test"),
    "pool.lines": ([13, 18], [19, 24]),
    "pool.n": (3, 5),
    "pool.translate": ("one", "two"),
    "hints": ("one", "two"),
    "pool.seed": (0, 1),
    "pool.without.data": ("rows", "more"),
    "pool.without.split": ("train", "test"),
    "pool.without.lines": ([1, 2], [3, 4]),
    "pool.without.n": (1, 2),
    "pool.without.seed": (0, 1),
    "sampling.max_tokens": (4, 8),
    "sampling.temperature": (0.5, 1.0),
    "sampling.top_p": (0.5, 1.0),
    "sampling.top_k": (0, 5),
    "sampling.min_p": (0.0, 0.5),
    "constrain": ("choice", "source"),
    "sampling.n": (1, 2),
    "sampling.seed": (0, 1),
    "sampling.thinking_tokens": (1, 2),
    "rows.locale": ("en", "de"),
    "rows.pair": ({"from": "en", "to": "de"}, {"from": "de", "to": "en"}),
}
"""Every key of a task with two values; what stays the same beside them is in BASE."""
TOLD_OTHERWISE = {"task", "metrics", "calibrate", "rows.n", "rows.seed"}
"""A task has a table of its own; the others make no condition of their own."""
SHOTS: dict[str, tuple[Any, Any]] = {
    "k": (1, 2),
    "select": ("bm25", "random"),
    "file": ("a/shots.jsonl", "b/shots.jsonl"),
    "seed": (1, 2),
    "order": ("selected", "reversed"),
    "shown_labels": ("gold", "random"),
    "ngrams": ("word", "char"),
}


def keys(entry: type[Any], before: str = "") -> Iterator[str]:
    blocks = {"rows": RowsEntry, "pool": PoolEntry, "sampling": SamplingEntry, "without": DevEntry}
    for name in entry.model_fields:
        if name in blocks and (before + name) in ("rows", "pool", "sampling", "pool.without"):
            yield from keys(blocks[name], f"{before}{name}.")
        else:
            yield before + name


def entries(key: str) -> list[dict[str, Any]]:
    """Two entries that are equal but for one key."""
    made = []
    for value in PAIRS[key]:
        entry = json.loads(json.dumps(BASE))
        if key.startswith("sampling."):
            entry |= {"method": "generate", "sampling": {"temperature": 0.7}}
        target = entry
        *parents, last = key.split(".")
        for parent in parents:
            target = target.setdefault(parent, {})
        target[last] = value
        made.append(entry)
    return made


def test_every_key_of_a_task_is_tried() -> None:
    assert {*keys(TaskEntry)} - TOLD_OTHERWISE == {*PAIRS}


@pytest.mark.parametrize("key", PAIRS)
def test_conditions_that_differ_in_one_key_have_different_axes(tmp_path: Path, key: str) -> None:
    file = write(
        tmp_path,
        data={name: {"format": "jsonl", "path": "rows.jsonl"} for name in ("rows", "more")},
        tasks=entries(key),
        lexicons={name: {"path": f"{name}.tsv"} for name in ("one", "two")},
        grid={"shots": [{"k": 2, "select": "bm25"}]},
    )
    one, two = list_points(load_experiment(file))
    assert one.axes != two.axes
    assert one.settings != two.settings
    varying = [axis for axis in one.axes | two.axes if one.axes.get(axis) != two.axes.get(axis)]
    assert len(varying) == 1


@pytest.mark.parametrize("key", SHOTS)
def test_shots_that_differ_in_one_key_have_different_names(tmp_path: Path, key: str) -> None:
    shots = [{"k": 2, "select": "bm25", key: value} for value in SHOTS[key]]
    if key in ("seed", "shown_labels"):
        shots = [{**one, "select": "random"} for one in shots]
    one, two = list_points(load_experiment(write(tmp_path, grid={"shots": shots})))[::2]
    assert one.axes["shots"] != two.axes["shots"]


def three_pools(folder: Path, **more: Any) -> Any:
    """A run of three entries that differ in the lines of their pools."""
    tasks = [{**BASE, "pool": {"lines": lines}} for lines in ([13, 18], [19, 24], [25, 30])]
    named = [task | {"name": f"pool {at}"} for at, task in enumerate(tasks, 1)]
    shots = [0, {"k": 2, "select": "bm25"}]
    file = write(folder, tasks=named if more.get("named") else tasks, grid={"shots": shots})
    return run(file, out=folder / "runs")


def test_three_pools_are_told_apart_in_every_table(tmp_path: Path) -> None:
    made = three_pools(tmp_path)
    words = ["13-18", "19-24", "25-30"]
    [grid] = make_score_grids(made)
    at = grid.heads.index("pool.lines")
    assert [row[at].text for row in grid.rows] == ["", *words]  # asked once without shots
    printed = render(made)
    assert all(word in printed for word in words)
    assert max(map(len, printed.splitlines())) <= 80
    [group] = group_conditions(made)
    assert len({row.name for row in group.rows}) == 4
    assert group.rows[1].name == "pool.lines 13-18 · 2 bm25"
    table = condition_table(made)
    assert [row[table.headers.index("pool.lines")] for row in table.rows] == ["", *words]
    compared = compare_by(made, "k", "0")
    assert [one.where["pool.lines"] for one in compared] == words
    assert [one.b for one in compare_by(made, "pool.lines")] == words[1:]


def test_a_pivot_says_over_which_keys_it_averages(tmp_path: Path) -> None:
    [made] = pivot(three_pools(tmp_path), "k")
    assert made.over == ("pool.lines",)


def test_a_name_has_a_column_and_keeps_no_conditions_apart(tmp_path: Path) -> None:
    plain, named = three_pools(tmp_path), three_pools(tmp_path, named=True)
    prints = [[one.entry.fingerprint for one in made.conditions] for made in (plain, named)]
    assert prints[0] == prints[1]
    assert (named.computed, named.reused) == (0, 24)
    [grid] = make_score_grids(named)
    assert grid.heads[:3] == ("entry", "pool.lines", "shots")
    assert [row[0].text for row in grid.rows] == ["pool 1", "pool 1", "pool 2", "pool 3"]
    assert len(compare_by(named, "k", "0")) == 3
    assert [one.b for one in compare_by(named, "entry")] == ["pool 2", "pool 3"]


def test_conditions_of_an_older_run_are_numbered_where_nothing_tells_them_apart(
    tmp_path: Path,
) -> None:
    made = three_pools(tmp_path)
    bare = [
        replace(
            one,
            entry=replace(
                one.entry,
                axes={k: v for k, v in one.axes.items() if k != "pool.lines"},
                settings={k: v for k, v in one.settings.items() if k != "pool.lines"},
            ),
        )
        for one in made.conditions
    ]
    told = number_alike(bare)
    assert find_varying_axes(told) == ["shots", "condition"]
    assert [one.axes.get("condition", "") for one in told] == ["", "#2", "#3", "#4"]
    [averaged] = pivot(replace(made, conditions=told), "k")
    assert averaged.over == ("condition",)


def test_what_is_told_already_has_no_second_column() -> None:
    entries = [
        TaskEntry.model_validate({**BASE, "rows": {"data": "rows", "lines": lines}})
        for lines in ([1, 5], [6, 10])
    ]
    assert find_differences(entries) == [{"rows.lines": "1-5"}, {"rows.lines": "6-10"}]
    assert find_differences(entries, ["rows.lines"]) == [{}, {}]
    rows = [{"locale": "de", "rows.lines": "1-5"}, {"locale": "en", "rows.lines": "6-10"}]
    assert pick_telling(["locale", "rows.lines"], rows) == ["locale"]


def test_rows_that_are_not_asked_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = [{**BASE, "rows": ROWS | {"n": n}} for n in (5, 7)]
    run(
        write(tmp_path, tasks=tasks, grid={"shots": [0]}),
        out=tmp_path / "runs",
        progress=Progress(),
    )
    said = " ".join(capsys.readouterr().err.split())
    assert "is run once, on the 5 rows of that one: rows.n and rows.seed alone" in said
