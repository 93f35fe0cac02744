"""A record of a run folder as one HTML page."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from icl.cli import app
from icl.core.types import Prompt
from icl.reports.card import make_card, render_card, split_prompt
from icl.running.run import run
from tests.table_experiment import write


def plain(text: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", text))


def test_show_html_is_the_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(write(tmp_path), tmp_path / "runs")
    wanted = [c.axes["task"] == "intent" and c.axes["shots"] != "0" for c in done.conditions]
    condition = done.conditions[wanted.index(True)]
    name = condition.ids[0]
    record_name = f"small#{wanted.index(True) + 1}/{name}"
    app(["show", record_name, "--html", "--out", str(tmp_path / "runs")], standalone_mode=False)
    told = capsys.readouterr().out
    record = condition.record(name)
    assert told.removesuffix("\n") == render_card(make_card(condition, record))
    shown = plain(told)
    assert condition.prompt(record).text in shown
    for choice in condition.choices(record):
        assert choice.label in shown
    (right,) = condition.examples[0].targets
    assert f"{right} ✓" in shown
    assert told.count('<span class="target">') == len(record.shots) == 2
    assert "default-src 'none'" in told and "<script" not in told


def test_pieces_are_the_prompt() -> None:
    prompt = Prompt("q q", "do it", (("in a", " b"), ("in c", " d")), system="sys")
    assert "".join(text for text, _ in split_prompt(prompt)) == prompt.text
    assert split_prompt(prompt) == [
        ("sys", "instruction"),
        ("\n\n", None),
        ("do it", "instruction"),
        ("\n\n", None),
        ("in a", "shot input"),
        (" b", "shot target"),
        ("\n\n", None),
        ("in c", "shot input"),
        (" d", "shot target"),
        ("\n\n", None),
        ("q q", "query"),
    ]
