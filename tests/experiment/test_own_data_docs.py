"""docs/own_data.md: its table, its commands with what they print, and its Python."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from icl.experiment.lint import lint
from tests.cli.test_cli import call

TEXT = (Path(__file__).parents[2] / "docs" / "own_data.md").read_text("utf-8")
BLOCKS = {
    language: (name, text)
    for language, name, text in re.findall(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", TEXT, re.M | re.S)
}


def test_the_page_shows_what_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name, table = BLOCKS["csv"]
    Path(name).write_text(table)
    command, _, shown = BLOCKS["console"][1].partition("\n")
    code, out, err = call(capsys, monkeypatch, *command.removeprefix("$ icl ").split())
    assert (code, out, err) == (0, shown, "")
    assert lint("wishes/experiment.yaml") == []
    exec(BLOCKS["python"][1], {})  # noqa: S102 - our own page
    assert "task | classify: 3 different answers" in capsys.readouterr().out
    assert Path("mine/rows.jsonl").read_bytes() == Path("wishes/rows.jsonl").read_bytes()
