"""The terminal's tables: what they keep where the width is small."""

from __future__ import annotations

from pathlib import Path

from icl import run
from icl.report import render
from tests.experiment import write


def test_a_narrow_table_leaves_out_what_matters_least(tmp_path: Path) -> None:
    done = run(write(tmp_path), tmp_path / "runs")
    wide, narrow = render(done, 120), render(done, 56)
    assert "no room here" not in wide and " tokens" in wide
    assert "no room here for the columns: s, tokens" in narrow
    assert max(map(len, narrow.splitlines())) <= 56
    head = next(line for line in narrow.splitlines() if "95 % int." in line)
    assert head.split()[-1] == "n", "the columns that are left are whole"
