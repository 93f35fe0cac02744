"""The terminal's tables: what they keep where the width is small."""

from __future__ import annotations

from pathlib import Path

from icl import run
from icl.records.results import load_run
from icl.reports.tables import render
from icl.scoring.scores import score_run
from tests.table_experiment import write


def test_a_narrow_table_leaves_out_what_matters_least(tmp_path: Path) -> None:
    done = run(write(tmp_path), tmp_path / "runs")
    wide, narrow = render(done, 120), render(done, 56)
    assert "no room here" not in wide and " tokens" in wide
    assert "no room here for the columns: s, tokens" in narrow
    assert max(map(len, narrow.splitlines())) <= 56
    head = next(line for line in narrow.splitlines() if "95 % int." in line)
    assert head.split()[-1] == "n", "the columns that are left are whole"


def test_a_narrow_table_leaves_columns_out_before_it_cuts_a_number(tmp_path: Path) -> None:
    entry = {"task": "intent", "prompt": "intent.j2", "rows": {"data": "rows", "split": "test"}}
    run(write(tmp_path, tasks=[entry], grid={"shots": [0]}), tmp_path / "runs")
    scored = score_run(load_run("small", tmp_path / "runs"), ["token_f1", "exact_match", "chrf"])
    narrow = render(scored, 48)
    table, told = narrow.split("no room here for the columns: ")
    assert told.startswith("s, tokens, chance,\nchrF++\n"), "then metrics, the last one first"
    assert "…" not in table and max(map(len, table.splitlines())) <= 48
    head = next(line for line in table.splitlines() if "95 % int." in line)
    assert head.split() == ["shots", "acc", "95", "%", "int.", "macro-F1", "tok-F1", "EM", "n"]


def test_counts_of_another_parser_have_short_titles(tmp_path: Path) -> None:
    entry = {
        "task": "translation",
        "prompt": "copy.j2",
        "rows": {"data": "pairs", "pair": {"from": "en", "to": "de"}, "n": 4},
    }
    model = {"engine": "table", "answers": {f"In: line {n} of text\nOut:": "" for n in range(20)}}
    file = write(tmp_path, tasks=[entry], grid={"shots": [0]}, models={"t": model})
    run(file, tmp_path / "runs")
    again = render(score_run(load_run("small", tmp_path / "runs"), parser="text"), 120)
    assert "empty % (text)" in again and "@" not in again
