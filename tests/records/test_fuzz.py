"""Files of a run folder, broken at random: they are read, or refused with a typed error."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from icl import load_run, run
from icl.core.errors import IclError
from icl.prompts.child_process import Sandbox
from icl.prompts.render_again import Rendering
from icl.reports.card import make_card, render_card
from icl.reports.comparison import render_comparison
from icl.reports.page.page import report_page
from icl.reports.tables import render, render_record
from icl.scoring.scores import score_run
from tests.table_experiment import write

VALUES = (
    None, True, 0, -1, 3, 0.5, 1e308, -1e308, 10**30, 10**4000, "", "a", "\ud800", "\0\n", "../..",
    "/etc", "x" * 300, [], {}, [[]], [None], [1], ["a"], {"": 0}, {"a": "b"},
)  # fmt: skip
TEXTS = (b"NaN", b"-Infinity", b"1e999", b"[" * 5000, b"{", b'"', b"\xff", b"\xed\xa0\x80", b"\\u")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that ranks and writes, calibrated, scored and compared."""
    folder = tmp_path_factory.mktemp("whole")
    tasks = json.loads(write(folder).read_text())["tasks"]
    tasks[0] |= {"calibrate": ["contextual", "batch"], "metrics": ["accuracy"]}
    tasks[0]["rows"]["n"] = 3
    tasks[1]["rows"]["lines"] = [1, 3]
    run(write(folder, tasks=tasks, compare={"by": "shots"}), folder / "runs")
    return folder


@pytest.fixture
def runs(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole / "runs", tmp_path / "runs"))


@pytest.fixture(scope="module")
def rendering() -> Iterator[Rendering]:
    with closing(Sandbox()) as sandbox:
        yield sandbox.rendering


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place of a JSON value."""
    yield path
    if isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(one, (*path, key))


def other_value(data: bytes, draw: random.Random) -> bytes:
    """A place of the JSON, or of a line of it, with another value, or gone."""
    lines = [data] if data[:1] in b"[{" and data.count(b"\n{") == 0 else data.split(b"\n")
    at = draw.randrange(len(lines))
    try:
        value = json.loads(lines[at])
    except ValueError:
        return data[: len(data) // 2]
    *path, last = draw.choice([*places(value)][1:] or [(0,)])
    inner = value
    for step in path:
        inner = inner[step]
    if draw.random() < 0.3:
        del inner[last]
    elif isinstance(inner, dict) and draw.random() < 0.2:
        inner[f"{last}x"] = inner.pop(last)
    else:
        inner[last] = draw.choice(VALUES)
    lines[at] = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return b"\n".join(lines)


def broken(data: bytes, draw: random.Random) -> bytes:
    """The bytes of a file, changed in one of many ways."""
    at, upto = sorted(draw.randrange(len(data) + 1) for _ in range(2))
    match draw.randrange(8):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + data[min(upto, at + 40) :]
        case 2:
            return data[:at] + bytes([draw.randrange(256)]) + data[at + 1 :]
        case 3:
            return data[:at] + draw.choice(TEXTS) + data[at:]
        case 4 if b"\n" in data:
            lines = data.split(b"\n")
            lines.insert(draw.randrange(len(lines)), draw.choice(lines))
            return b"\n".join(lines)
    return other_value(data, draw)


def read_all(folder: Path, rendering: Rendering, changed: Path) -> None:
    """A run with every file of the condition that a file was changed of, or of the first."""
    made = load_run("small", folder, rendering)
    found = [one for one in made.conditions if one.store.folder in changed.parents]
    for condition in found or made.conditions[:1]:
        _ = condition.examples, condition.predictions(), condition.seconds, condition.tokens
        condition.store.batches()
        for record in [*condition.records.values()][:1]:
            render_record(condition, record)
            render_card(make_card(condition, record))
            for probe in [*condition.probes("content_free").records.values()][:1]:
                render_record(condition.probes("content_free"), probe)


def score_all(folder: Path, rendering: Rendering) -> None:
    """What computes: scores, calibrators, checks and comparisons."""
    made = score_run(load_run("small", folder, rendering))
    render(made)
    render_comparison(made)


def fuzz(runs: Path, rendering: Rendering, cases: range, scored: int = 30) -> int:
    """How many of the cases were refused; one of ``scored`` is scored too, and reported."""
    files = sorted(path for path in runs.rglob("*.json*") if path.is_file())
    kept = {path: path.read_bytes() for path in files}
    refused = 0
    for case in cases:
        draw = random.Random(f"fuzz:{case}")
        path = draw.choice(files)
        path.write_bytes(broken(kept[path], draw))
        try:
            read_all(runs, rendering, path)
            if case % scored == 0:
                score_all(runs, rendering)
                if case % (5 * scored) == 0:
                    report_page(load_run("small", runs, rendering))
        except IclError:
            refused += 1
        except Exception as error:
            error.add_note(f"case {case}: {path.relative_to(runs)}")
            raise
        finally:
            for one in (path, runs / "small" / "scores.json", runs / "small/calibrations.json"):
                one.write_bytes(kept[one])
    return refused


def test_files_broken_at_random_are_read_or_refused(runs: Path, rendering: Rendering) -> None:
    assert 20 < fuzz(runs, rendering, range(120)) < 116


@pytest.mark.slow
def test_ten_thousand_broken_files_are_read_or_refused(runs: Path, rendering: Rendering) -> None:
    assert fuzz(runs, rendering, range(1000, 11_000), scored=40) > 1000
