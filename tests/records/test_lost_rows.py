"""Files of a run that somebody deletes, cuts or replaces meanwhile: it is told, and repaired."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from icl import cli, run, search
from icl.core.errors import StoreError
from icl.core.types import Example, Record
from icl.records.store import ConditionStore
from tests.meddling import MODELS, Meddled
from tests.planted import planted
from tests.table_experiment import write

Deed = Callable[[Path], object]


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def swap(path: Path) -> None:
    path.with_suffix(".new").write_bytes(path.read_bytes())
    path.with_suffix(".new").replace(path)


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"{}\n")


DEEDS = pytest.mark.parametrize(
    ("deed", "told"),
    [
        (Path.unlink, "was deleted, with the .* bytes that were in it during this run"),
        (cut, r"was cut from [\d,]+ bytes to [\d,]+ during this run"),
        (swap, "was replaced by another file during this run"),
        (lengthen, "was changed by another program .*: stop that program"),
    ],
)


def small(folder: Path) -> Path:
    """Two conditions of ten rows, in batches of four."""
    write(folder, models=MODELS)
    tasks = json.loads((folder / "small.yaml").read_text())["tasks"][:1]
    return write(folder, models=MODELS, tasks=tasks)


def rows(out: Path) -> list[int]:
    """Lines of every ``records.jsonl``."""
    return sorted(path.read_bytes().count(b"\n") for path in out.rglob("records.jsonl"))


def first(out: Path) -> Path:
    """The records of the condition that is asked first."""
    (found,) = out.rglob("records.jsonl")
    return found


@DEEDS
@pytest.mark.parametrize("batch", [2, 3])
def test_a_run_sees_what_became_of_its_records(
    tmp_path: Path, deed: Deed, told: str, batch: int
) -> None:
    file, out = small(tmp_path), tmp_path / "runs"
    Meddled.before(batch, lambda: deed(first(out)))
    with pytest.raises(StoreError, match=f"records.jsonl {told}") as caught:
        run(file, out)
    assert "run the same command again, and what is missing is computed again" in str(caught.value)
    assert "\n" not in str(caught.value)
    again = run(file, out)
    assert rows(out) == [10, 10]
    assert [len(condition.records) for condition in again.conditions] == [10, 10]
    run(small(tmp_path), tmp_path / "whole")
    assert records(out) == records(tmp_path / "whole")


def records(out: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in out.rglob("records.jsonl")}


def test_what_is_left_of_the_records_stays(tmp_path: Path) -> None:
    file, out = small(tmp_path), tmp_path / "runs"
    left: list[bytes] = []

    def deed() -> None:
        os.truncate(first(out), first(out).stat().st_size - 20)
        left.append(first(out).read_bytes())

    Meddled.before(3, deed)
    with pytest.raises(StoreError, match="was cut"):
        run(file, out)
    assert first(out).read_bytes() == left[0] != b""
    assert run(file, out).reused > 0


@pytest.mark.parametrize("deed", [Path.unlink, cut])
def test_records_of_a_condition_that_was_done_with_are_missed_too(
    tmp_path: Path, deed: Deed
) -> None:
    file, out = small(tmp_path), tmp_path / "runs"
    Meddled.before(5, lambda: deed(max(out.rglob("records.jsonl"), key=os.path.getsize)))
    with pytest.raises(StoreError, match="records.jsonl was"):
        run(file, out)
    manifest = json.loads((out / "small" / "manifest.json").read_text())
    assert manifest["finished"] is False
    run(file, out)
    assert rows(out) == [10, 10]


def test_another_run_may_add_rows_to_a_condition_that_was_done_with(tmp_path: Path) -> None:
    file, out = small(tmp_path), tmp_path / "runs"
    more = tmp_path / "more"
    more.mkdir()
    small(more)
    larger = json.loads((more / "small.yaml").read_text())
    larger["tasks"][0]["rows"]["n"] = 12
    larger["grid"]["shots"] = [0]
    (more / "small.yaml").write_text(json.dumps({**larger, "name": "larger"}))
    Meddled.before(5, lambda: run(more / "small.yaml", out))
    assert run(file, out).computed == 20
    assert rows(out) == [10, 12]


def test_the_command_ends_with_an_error_and_claims_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = small(tmp_path), tmp_path / "runs"
    Meddled.before(2, lambda: first(out).unlink())
    monkeypatch.setattr(sys, "argv", ["icl", "run", str(file), "--out", str(out)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    told = capsys.readouterr()
    assert ended.value.code not in (0, None)
    assert "records computed" not in told.out
    assert "records.jsonl was deleted" in told.err


def test_a_whole_folder_that_is_deleted_meanwhile_is_missed(tmp_path: Path) -> None:
    file, out = small(tmp_path), tmp_path / "runs"
    Meddled.before(2, lambda: shutil.rmtree(first(out).parent))
    with pytest.raises(StoreError, match="records.jsonl was deleted"):
        run(file, out)
    run(file, out)
    assert rows(out) == [10, 10]


@DEEDS
def test_timings_follow_the_same_rule(tmp_path: Path, deed: Deed, told: str) -> None:
    file, out = small(tmp_path), tmp_path / "runs"
    Meddled.before(2, lambda: deed(first(out).with_name("timings.jsonl")))
    with pytest.raises(StoreError, match=f"timings.jsonl {told}"):
        run(file, out)
    run(file, out)
    assert rows(out) == [10, 10]


def test_a_plan_that_is_deleted_is_written_again_and_told(tmp_path: Path) -> None:
    file, out = small(tmp_path), tmp_path / "runs"
    Meddled.before(2, lambda: first(out).with_name("plan.json").unlink())
    with pytest.raises(StoreError, match="plan.json was deleted or replaced .* is written again: "):
        run(file, out)
    assert run(file, out).reused == 10
    assert rows(out) == [10, 10]


def test_examples_that_are_deleted_are_missed(tmp_path: Path) -> None:
    file, out = small(tmp_path), tmp_path / "runs"
    Meddled.before(2, lambda: first(out).with_name("examples.jsonl").unlink())
    with pytest.raises(StoreError, match="examples.jsonl was deleted .* put it back as it was, or"):
        run(file, out)
    done = run(file, out)
    assert [len(condition.examples) for condition in done.conditions] == [10, 10]


@pytest.mark.parametrize("deed", [Path.unlink, cut])
def test_a_search_sees_it_and_goes_on_to_the_same_end(tmp_path: Path, deed: Deed) -> None:
    engine = {"t": {"engine": "meddled", "default": "hash"}}
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    Meddled.before(0, lambda: None)
    whole = search(planted(tmp_path / "a", models=engine), tmp_path / "a" / "runs")
    file, out = planted(tmp_path / "b", models=engine), tmp_path / "b" / "runs"

    def meddle() -> None:
        deed(max(out.rglob("records.jsonl"), key=lambda path: path.stat().st_mtime_ns))

    Meddled.before(Meddled.calls, meddle)  # the last batch: the test rows'
    with pytest.raises(StoreError, match="records.jsonl was"):
        search(file, out)
    again = search(file, out)
    assert (again.winner.name, again.dev) == (whole.winner.name, whole.dev)
    assert rows(out) == rows(tmp_path / "a" / "runs")


def test_what_is_deleted_after_the_last_batch_is_missed(tmp_path: Path) -> None:
    store = ConditionStore(tmp_path / "c")
    with pytest.raises(StoreError, match="records.jsonl was deleted"), store.writing():
        store.plan([["a"]], [Example("a", {"utt": "x"}, ("x",))])
        store.commit(0, [Record("a", "c", "h")], {})
        (tmp_path / "c" / "records.jsonl").unlink()


def test_an_error_of_the_work_itself_is_not_hidden(tmp_path: Path) -> None:
    store = ConditionStore(tmp_path / "c")
    with pytest.raises(KeyboardInterrupt), store.writing():
        store.plan([["a"]], [Example("a", {"utt": "x"}, ("x",))])
        store.commit(0, [Record("a", "c", "h")], {})
        (tmp_path / "c" / "records.jsonl").unlink()
        raise KeyboardInterrupt
