"""Links, pipes and folders in a run folder lead nowhere: each is refused by its name."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from icl import load_run, run, score_run, search
from icl.cli.report import report
from icl.core.errors import StoreError
from icl.core.files import (
    append_lines,
    check_folders,
    find_shipped_file,
    read_plain,
    replace_file,
)
from icl.engines.ledger import Ledger, ServerAnswer
from icl.records.feedback import write_shots
from icl.records.store import ConditionStore
from tests.crash_driver import files
from tests.planted import planted
from tests.table_experiment import write

pytestmark = pytest.mark.skipif(os.name != "posix", reason="makes links and pipes")
LINE = '{"precious": 1}\n'
CONDITION = (
    "records.jsonl",
    "timings.jsonl",
    "plan.json",
    "examples.jsonl",
    "shots.jsonl",
    "choices.json",
    "condition.json",
    ".lock",
)
RUN = ("manifest.json", "scores.json", "calibrations.json", "table.txt")
SEARCH = ("search.json", "search.jsonl", ".search.lock", "best.yaml", "shots.jsonl")


def calibrated(folder: Path) -> Path:
    """One condition with shots and probes of the content-free kind and of the pool."""
    tasks = json.loads(write(folder).read_text())["tasks"][:1]
    tasks[0] |= {"metrics": ["accuracy"], "calibrate": ["contextual", "vote_mix"]}
    return write(folder, tasks=tasks, grid={"shots": [{"k": 2, "select": "bm25"}]})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole run; tests change a copy of it."""
    folder = tmp_path_factory.mktemp("whole")
    assert run(calibrated(folder), folder / "runs").computed > 0
    return folder


@pytest.fixture
def run_copy(whole: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The experiment of a run and the folder of all runs."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    return tmp_path / "small.yaml", tmp_path / "runs"


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A file elsewhere, whose one line must stay."""
    path = tmp_path / "elsewhere" / "precious.txt"
    path.parent.mkdir()
    path.write_text(LINE)
    return path


@pytest.fixture
def elsewhere(precious: Path) -> Path:
    """Its folder, into which nothing may be written."""
    return precious.parent


def folders(out: Path) -> dict[str, Path]:
    (rows,) = (out / "conditions").iterdir()
    return {
        "condition": rows,
        "content_free": rows / "probes" / "content_free",
        "pool": rows / "probes" / "pool",
    }


def link(path: Path, target: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def untouched(elsewhere: Path) -> bool:
    held = {path.name: path.read_text() for path in elsewhere.iterdir()}
    return held == {"precious.txt": LINE}


@pytest.mark.parametrize("store", ["condition", "content_free", "pool"])
@pytest.mark.parametrize("name", CONDITION)
@pytest.mark.parametrize("there", [True, False])
def test_a_link_in_a_condition_folder_is_refused(
    run_copy: tuple[Path, Path], precious: Path, store: str, name: str, there: bool
) -> None:
    file, out = run_copy
    path = folders(out)[store] / name
    kept = path.read_bytes() if path.is_file() else None
    link(path, precious if there else precious.with_name("new"))
    with pytest.raises(
        StoreError, match=f"{name} is a link, and only a plain file .* put the file"
    ):
        run(file, out)
    assert untouched(precious.parent)
    path.unlink()
    if kept:
        path.write_bytes(kept)
    run(file, out)


@pytest.mark.parametrize("name", [name for name in CONDITION if name != ".lock"])
def test_a_link_in_a_folder_without_records_is_refused(
    run_copy: tuple[Path, Path], precious: Path, name: str
) -> None:
    file, out = run_copy
    folder = folders(out)["condition"]
    shutil.rmtree(folder)
    folder.mkdir()
    link(folder / name, precious)
    with pytest.raises(StoreError, match=f"{name} is a link"):
        run(file, out)
    assert untouched(precious.parent)


@pytest.mark.parametrize("name", RUN)
def test_a_link_in_a_run_folder_is_refused_before_anything_is_computed(
    tmp_path: Path, precious: Path, name: str
) -> None:
    file, out = calibrated(tmp_path), tmp_path / "runs"
    (out / "small").mkdir(parents=True)
    link(out / "small" / name, precious)
    with pytest.raises(StoreError, match=f"{name} is a link"):
        run(file, out)
    assert not (out / "conditions").exists()
    assert untouched(precious.parent)


@pytest.mark.parametrize("name", ["scores.json", "calibrations.json"])
def test_scores_are_not_written_to_a_link(
    run_copy: tuple[Path, Path], precious: Path, name: str
) -> None:
    _, out = run_copy
    done = load_run("small", out)
    link(out / "small" / name, precious.with_name("new"))
    with pytest.raises(StoreError, match=f"{name} is a link"):
        score_run(done)
    assert untouched(precious.parent)


@pytest.mark.parametrize("name", [*RUN[:3], "records.jsonl", "examples.jsonl", "choices.json"])
def test_nothing_is_read_through_a_link(
    run_copy: tuple[Path, Path], precious: Path, name: str
) -> None:
    _, out = run_copy
    link((out / "small" if name in RUN else folders(out)["condition"]) / name, precious)
    with pytest.raises(StoreError, match=f"{name} is a link"):
        score_run(load_run("small", out))


def test_a_page_is_not_written_through_a_link(run_copy: tuple[Path, Path], precious: Path) -> None:
    pytest.importorskip("matplotlib")
    _, out = run_copy
    link(out / "small" / "report.html", precious)
    with pytest.raises(StoreError, match=r"report\.html is a link"):
        report(str(out / "small"), None, None, None, False, None, None)
    assert untouched(precious.parent)


@pytest.mark.parametrize(
    "place", ["conditions", "small", "condition", "probes", "content_free", "pool"]
)
def test_a_folder_that_is_a_link_is_refused(
    run_copy: tuple[Path, Path], elsewhere: Path, place: str
) -> None:
    file, out = run_copy
    known = {"conditions": out / "conditions", "small": out / "small", **folders(out)}
    known["probes"] = known["pool"].parent
    shutil.rmtree(known[place])
    known[place].symlink_to(elsewhere)
    with pytest.raises(
        StoreError, match=f"{known[place].name} is a link, and below .*command again"
    ):
        run(file, out)
    assert untouched(elsewhere)


def test_the_folder_of_all_runs_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk" / "deep").mkdir(parents=True)
    (tmp_path / "large").symlink_to(tmp_path / "disk")
    (tmp_path / "runs").symlink_to(tmp_path / "large" / "deep")
    file = calibrated(tmp_path)
    assert run(file, tmp_path / "runs").computed > 0
    assert run(file, tmp_path / "runs").computed == 0
    assert (tmp_path / "disk" / "deep" / "small" / "manifest.json").is_file()


def test_a_second_name_of_a_file_keeps_what_it_held(
    run_copy: tuple[Path, Path], tmp_path: Path
) -> None:
    (file, out), backup = run_copy, tmp_path / "backup"
    wanted, plain = files(out), folders(out)["condition"]
    records = plain / "records.jsonl"
    torn = records.read_bytes()[:-9]
    records.write_bytes(torn)
    shutil.copytree(out, backup, copy_function=os.link)
    before = {path: path.read_bytes() for path in backup.rglob("*.json*")}
    assert run(file, out).computed > 0
    assert files(out) == wanted
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("name", [*CONDITION, *RUN])
@pytest.mark.parametrize("kind", ["a pipe", "a folder"])
def test_what_is_no_file_is_refused_and_never_waited_for(
    run_copy: tuple[Path, Path], name: str, kind: str
) -> None:
    file, out = run_copy
    path = (out / "small" if name in RUN else folders(out)["condition"]) / name
    path.unlink(missing_ok=True)
    if kind == "a pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(StoreError, match=f"{name} is {kind}, and only a plain file"):
        run(file, out)


@pytest.mark.parametrize("name", SEARCH)
def test_a_link_in_the_folder_of_a_search_is_refused(
    tmp_path: Path, precious: Path, name: str
) -> None:
    file, out = planted(tmp_path, write=None), tmp_path / "runs"
    (out / "small").mkdir(parents=True)
    link(out / "small" / name, precious)
    with pytest.raises(StoreError, match=f"{name} is a link"):
        search(file, out)
    assert untouched(precious.parent)
    assert not (out / "conditions").exists()


@pytest.mark.parametrize("place", ["small", "small/shot_sets"])
def test_a_search_does_not_write_into_a_folder_that_is_a_link(
    tmp_path: Path, elsewhere: Path, place: str
) -> None:
    out = tmp_path / "runs"
    (out / place).parent.mkdir(parents=True)
    (out / place).symlink_to(elsewhere)
    with pytest.raises(StoreError, match=f"{place} is a link, and below .*command again"):
        search(planted(tmp_path), out)
    assert untouched(elsewhere)


def test_a_drawn_set_of_shots_is_not_written_through_a_link(tmp_path: Path, precious: Path) -> None:
    file, out = planted(tmp_path), tmp_path / "runs"
    search(file, out)
    drawn = min((out / "small" / "shot_sets").iterdir())
    link(drawn, precious)
    with pytest.raises(StoreError, match=f"{drawn.name} is a link"):
        search(file, out)
    assert untouched(precious.parent)


@pytest.mark.parametrize("name", ["arriving.jsonl", "traffic.jsonl"])
def test_what_a_server_answered_is_not_written_through_a_link(
    tmp_path: Path, precious: Path, name: str
) -> None:
    folder = tmp_path / "c"
    folder.mkdir()
    ledger = Ledger(folder)
    link(folder / name, precious)
    with pytest.raises(StoreError, match=f"{name} is a link"):
        ledger.add(ServerAnswer("a", 1, cost=0.5))
        ledger.settle(0)
    assert untouched(precious.parent)


def test_a_half_written_file_that_was_planted_is_not_written_through(
    tmp_path: Path, precious: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("threading.get_ident", lambda: 7)
    path = tmp_path / "c" / "plan.json"
    path.parent.mkdir()
    planted_link = path.with_name(f".plan.json.{os.getpid()}.7.part")
    link(planted_link, precious)
    replace_file(path, "new")
    assert path.read_text() == "new"
    assert not planted_link.is_symlink()
    assert untouched(precious.parent)


def test_lines_are_not_appended_through_a_link(tmp_path: Path, precious: Path) -> None:
    link(tmp_path / "feedback.jsonl", precious)
    with pytest.raises(StoreError, match=r"feedback\.jsonl is a link"):
        append_lines(tmp_path / "feedback.jsonl", ["x"])
    link(tmp_path / "shots.jsonl", precious.with_name("new"))
    with pytest.raises(StoreError, match=r"shots\.jsonl is a link"):
        write_shots(tmp_path / "shots.jsonl", [{"fields": {}, "target": "x"}])
    assert untouched(precious.parent)


def test_a_folder_is_checked_below_the_folder_of_runs_alone(tmp_path: Path) -> None:
    (tmp_path / "real" / "runs").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    check_folders(tmp_path / "link" / "runs" / "conditions" / "x", tmp_path / "link")
    with pytest.raises(StoreError, match="link is a link, and below"):
        check_folders(tmp_path / "link" / "runs", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file is no folder, and below"):
        check_folders(tmp_path / "file" / "x", tmp_path)


def test_what_is_not_there_is_none_and_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    assert read_plain(tmp_path / "none") is None
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be read: Not a directory; repair it and run"):
        read_plain(tmp_path / "file" / "x")


def test_a_folder_that_becomes_a_link_meanwhile_is_seen(tmp_path: Path, precious: Path) -> None:
    store = ConditionStore(tmp_path / "runs" / "conditions" / "c", tmp_path / "runs")
    with pytest.raises(StoreError, match="c is a link, and below"), store.writing():
        store.folder.rename(tmp_path / "moved")
        store.folder.symlink_to(precious.parent)
        store.plan([["a"]], [])
    assert untouched(precious.parent)


def test_a_file_that_ships_is_found_from_anywhere_unless_one_of_that_name_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "experiments/quickstart.yaml"
    assert "name: quickstart" in find_shipped_file(name).read_text("utf-8")
    for other in ("experiments/none.yaml", "quickstart.yaml", "samples", "samples/../x", "runs/a"):
        assert find_shipped_file(other) == Path(other)
    (tmp_path / "experiments").mkdir()
    (tmp_path / name).write_text("name: mine")
    assert find_shipped_file(name) == Path(name)
