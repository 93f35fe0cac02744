"""``icl`` alone, ``icl init --from`` and shell completion."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from icl import start_from_table
from icl.cli.common import DEMO_MODEL
from icl.cli.next_steps import find_next_steps
from tests.cli.test_cli import assert_one_line, call
from tests.planted import planted
from tests.table_experiment import write

MESSAGES = "text,wish\n" + "".join(
    f"please see to matter {i},{'refund' if i % 2 else 'order'}\n" for i in range(12)
)


def commands(folder: Path) -> list[str]:
    lines = find_next_steps(folder)
    assert max(map(len, lines)) <= 80
    return [line.strip() for line in lines if line.startswith("  icl ")]


def test_what_is_next_follows_from_what_is_there(tmp_path: Path) -> None:
    assert commands(tmp_path) == ["icl init first", "icl init mine --from FILE", "icl app"]
    (tmp_path / "my table.csv").write_text(MESSAGES)
    assert commands(tmp_path)[0] == "icl init mine --from 'my table.csv'"
    (tmp_path / "notes.yaml").write_text("a: 1\n")
    assert "no experiment" not in find_next_steps(tmp_path)[0]
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "e.yaml").write_text("models:\n  m: {}\ntasks:\n  - {}\n")
    assert commands(tmp_path) == ["icl lint one/e.yaml", "icl try one/e.yaml", "icl run one/e.yaml"]
    (tmp_path / "runs" / "done").mkdir(parents=True)
    (tmp_path / "runs" / "done" / "manifest.json").write_text("{}")
    assert commands(tmp_path) == ["icl report done", "icl app", "icl run one/e.yaml"]
    assert find_next_steps(tmp_path)[0].startswith("In this folder: 1 run under runs/, the last")


def test_a_search_file_is_told_from_a_grid(tmp_path: Path) -> None:
    planted(tmp_path, "find.yaml")
    (tmp_path / "small.yaml").unlink()
    assert "the last one find.yaml, a search. Next:" in find_next_steps(tmp_path)[0]
    assert commands(tmp_path) == [
        "icl lint find.yaml",
        "icl run find.yaml --dry-run",
        "icl run find.yaml",
    ]


@pytest.mark.parametrize("kind", ["grid", "search"])
def test_what_was_stopped_is_gone_on_with(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def said() -> str:
        return " ".join(find_next_steps(tmp_path))

    monkeypatch.chdir(tmp_path)
    file = planted(tmp_path, "find.yaml") if kind == "search" else write(tmp_path)
    if kind == "search":
        Path("small.yaml").unlink()
    Path("newer.yaml").write_text("models:\n  m: {}\ntasks:\n  - {}\n")
    assert call(capsys, monkeypatch, "run", file.name, "--stop-after", 0)[0] == 3
    again = f"icl run {file.name}"  # the file of that name, not the newest one
    assert commands(tmp_path) == [again, "icl show small", "icl app"]
    assert ("a search that" if kind == "search" else "which") + " was stopped. Next:" in said()
    for command in commands(tmp_path)[:2]:
        assert call(capsys, monkeypatch, *command.split()[1:])[0] == 0
    if kind == "search":
        done = ["icl show small", "icl run runs/small/best.yaml", again]
    else:
        done = ["icl report small", "icl app", again]
    assert commands(tmp_path) == done
    assert "stopped" not in said()


def test_icl_alone_tells_the_next_steps_and_they_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = write(tmp_path)
    assert call(capsys, monkeypatch, "run", file)[0] == 0
    code, out, err = call(capsys, monkeypatch)
    assert (code, err) == (0, "")
    assert "icl report small" in out and "icl run small.yaml" in out
    assert call(capsys, monkeypatch, "report", "small")[0] == 0


def test_init_from_a_table_says_what_it_guessed_and_how_to_change_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "messages.csv").write_text(MESSAGES)
    given = ("init", "wishes", "--from", "messages.csv", "--answer", "wish", "--model", "./none")
    code, out, err = call(capsys, monkeypatch, *given)
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    text = " ".join(out.split())
    assert "task classify: 2 different answers in 12 rows [--task labels choose" in text
    assert "answer wish [--answer COLUMN]" in text
    assert "6 test rows, 6 may be shots, drawn label by label [the column split in" in text
    assert "icl run wishes/experiment.yaml" in text
    file = Path("wishes/experiment.yaml")
    file.write_text(file.read_text().replace('source: "./none"', "engine: table, default: hash"))
    assert call(capsys, monkeypatch, "lint", file)[0] == 0
    assert call(capsys, monkeypatch, "run", file)[0] == 0
    for words, message in (
        (["init", "x", "--from", "messages.csv", "--answer", "wihs"], "Did you mean 'wish'"),
        (["init", "x", "--answer", "wish"], "--answer names a column of a table; name that too"),
        (["init", "x", "--input", "text"], "--input names a column of a table; name that too"),
        (["init", "x", "--from", "none.csv"], "no such file or folder: none.csv"),
    ):
        assert_one_line(message, *call(capsys, monkeypatch, *words))
    assert not Path("x").exists()


def test_python_and_the_command_line_begin_with_the_same_model() -> None:
    given = inspect.signature(start_from_table).parameters["model"].default
    assert given == DEMO_MODEL


@pytest.mark.parametrize(("words", "found"), [("icl in", "init"), ("icl init --fr", "--from")])
def test_the_shell_completes_verbs_and_options(words: str, found: str) -> None:
    code = "import sys; sys.argv = ['icl']; from icl.cli import main; main()"
    asked = {
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
        "_ICL_COMPLETE": "complete_bash",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **asked}
    )  # fmt: skip
    assert done.stdout.split() == [found], done.stderr
