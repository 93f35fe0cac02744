"""One verb for a grid and a search: what runs, stops, goes on, and is read afterwards."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from icl.cli.runners import RUNNERS, Runner, find_block
from icl.core.errors import ConfigError
from tests.cli.test_cli import assert_one_line, call
from tests.planted import planted
from tests.table_experiment import write

Printed = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


def trials(folder: Path) -> list[str]:
    file = folder / "runs" / "small" / "search.jsonl"
    return file.read_text().splitlines() if file.exists() else []


def records(folder: Path) -> int:
    return sum(len(p.read_text().splitlines()) for p in folder.rglob("records.jsonl"))


def test_a_file_with_a_search_is_searched_and_its_folder_is_read(
    tmp_path: Path, capsys: Printed, monkeypatch: Patch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = planted(tmp_path).name
    code, plan, _ = call(capsys, monkeypatch, "run", file, "--dry-run")
    assert code == 0 and "10 candidates:" in plan and not Path("runs").exists()
    code, out, _ = call(capsys, monkeypatch, "run", file)
    assert code == 0
    assert "the test\n" in out and out.endswith("  icl run runs/small/best.yaml\n")
    assert call(capsys, monkeypatch, "show", "small") == (0, out, "")
    assert call(capsys, monkeypatch, "show", "runs/small") == (0, out, "")
    for verb in ("report", "compare", "score"):
        code, printed, err = call(capsys, monkeypatch, verb, "small")
        assert_one_line("'small' is a search, and no run: `icl show small`", code, printed, err)
        assert err.endswith("its winner becomes a run by: icl run runs/small/best.yaml\n")
    assert call(capsys, monkeypatch, "run", "runs/small/best.yaml")[0] == 0
    assert call(capsys, monkeypatch, "report", "small-best")[0] == 0
    assert call(capsys, monkeypatch, "run", file, "--again")[0] == 0


def test_a_search_that_was_stopped_goes_on_and_ends_as_one_that_was_not(
    tmp_path: Path, capsys: Printed, monkeypatch: Patch
) -> None:
    (tmp_path / "whole").mkdir()
    monkeypatch.chdir(tmp_path / "whole")
    few: dict[str, Any] = {
        "over": {"prompt": ["intent.j2", "guess.j2"]},
        "dev": {"split": "train", "n": 4},
        "batch_size": 100,
    }
    _, whole, _ = call(capsys, monkeypatch, "run", planted(tmp_path / "whole", **few).name)
    monkeypatch.chdir(tmp_path)
    file = planted(tmp_path, **few).name
    made = [0]
    for _ in range(40):
        code, out, err = call(capsys, monkeypatch, "run", file, "--stop-after", 0)
        made.append(len(trials(tmp_path)))
        if code == 0:
            break
        assert code == 3 and out == ""
        assert "stopped after 0 min, as --stop-after says" in err
        assert err.endswith("run the same command again to go on\n")
        shown = call(capsys, monkeypatch, "show", "small") if len(made) < 5 else (0, "")
        assert shown[0] == 0
        if len(made) >= 5:
            continue
        if not trials(tmp_path):
            assert "has not answered its first candidate" in shown[1]
        elif not Path("runs/small/best.yaml").exists():
            assert "not finished: the same icl run goes on from here" in shown[1]
    assert code == 0 and made == sorted(made) and len({*made}) > 2
    plain = [text.replace(str(tmp_path), "").replace("/whole", "") for text in (out, whole)]
    assert plain[0].partition("cost:")[0] == plain[1].partition("cost:")[0]
    assert len(plain[0].partition("cost:")[0]) > 1000


def test_a_grid_that_was_stopped_goes_on_batch_by_batch(
    tmp_path: Path, capsys: Printed, monkeypatch: Patch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = write(tmp_path).name  # 4 conditions of 10 rows
    found = []
    while True:
        code, out, err = call(
            capsys, monkeypatch, "run", file, "--batch-size", 5, *["--stop-after", 0]
        )
        found.append(records(tmp_path))
        if code == 0:
            break
        assert (code, out) == (3, "")
        assert call(capsys, monkeypatch, "show", "small")[0] in (0, 2)
    assert found == [5, 10, 15, 20, 25, 30, 35, 40]
    assert "5 records computed, 35 reused" in out
    code, out, _ = call(capsys, monkeypatch, "run", file, "--stop-after", 60)
    assert code == 0 and "0 records computed, 40 reused" in out


def test_what_an_option_or_a_file_asks_is_told_where_it_cannot_be_done(
    tmp_path: Path, capsys: Printed, monkeypatch: Patch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = write(tmp_path).name
    told = f"--again tests another winner of a search, and {file} has no search: block"
    assert_one_line(told, *call(capsys, monkeypatch, "run", file, "--again"))
    for option, value in (("--batch-size", 0), ("--stop-after", -1), ("--stop-after", "x")):
        assert_one_line(option, *call(capsys, monkeypatch, "run", file, option, value))
    monkeypatch.setitem(RUNNERS, "probe", Runner(lambda experiment, options: None))
    with pytest.raises(ConfigError, match="x: one file is one run, and it has search: and probe:"):
        find_block({"search": {}, "probe": {}}, "x")
    assert find_block({"probe": {}, "search": None}, "x") == "probe"
    assert find_block({}, "x") is None


def test_lint_finds_what_is_wrong_with_a_search(
    tmp_path: Path, capsys: Printed, monkeypatch: Patch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = planted(tmp_path).name
    code, out, err = call(capsys, monkeypatch, "lint", file)
    assert (code, out) == (0, "") and "1 of 1 files clean" in err
    for changes, told in (
        ({"over": {"prompt": ["intent.j2", "none.j2"]}}, "no template file none.j2"),
        ({"objective": "accurcy"}, "unknown objective 'accurcy'. Did you mean 'accuracy'?"),
        ({"dev": None}, "search: no development rows"),
        ({"over": {"prompt": "intent.j2"}}, "one candidate only"),
    ):
        made = planted(tmp_path, "wrong.yaml", **changes).name
        code, out, _ = call(capsys, monkeypatch, "lint", made)
        assert code == 1 and told in out, out
        assert out.count("\n") == 1
        place, text = int(out.split(":")[1]), Path(made).read_text().splitlines()
        assert place >= next(n for n, line in enumerate(text, 1) if '"search"' in line)
    file = planted(tmp_path).name
    (tmp_path / "guess.j2").write_text(
        Path("intent.j2").read_text().replace("Intent:||| {{", "Intent: |||{{")
    )
    code, out, _ = call(capsys, monkeypatch, "lint", file)
    assert code == 1 and "guess.j2:10: a space before |||" in out
    assert not Path("runs").exists()


def test_a_search_and_a_run_of_one_name_are_both_shown(
    tmp_path: Path, capsys: Printed, monkeypatch: Patch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(capsys, monkeypatch, "run", planted(tmp_path).name)[0] == 0
    raw = json.loads(Path("small.yaml").read_text())
    Path("small.yaml").write_text(json.dumps({k: v for k, v in raw.items() if k != "search"}))
    assert call(capsys, monkeypatch, "run", "small.yaml")[0] == 0
    code, out, _ = call(capsys, monkeypatch, "show", "small")
    assert code == 0
    assert out.startswith("gold_logprob on development rows, 16 trials so far")
    assert "the run of the same name:" in out and "intent" in out.partition("same name:")[2]
    assert max(map(len, out.splitlines())) <= 80


def test_a_result_older_than_the_state_is_not_shown_for_it(
    tmp_path: Path, capsys: Printed, monkeypatch: Patch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = call(capsys, monkeypatch, "run", planted(tmp_path).name)
    state = Path("runs/small/search.json").stat()
    os.utime("runs/small/table.txt", ns=(state.st_mtime_ns - 1, state.st_mtime_ns - 1))
    _, shown, _ = call(capsys, monkeypatch, "show", "small")
    assert shown != out and "the winner's experiment: runs/small/best.yaml" in shown
