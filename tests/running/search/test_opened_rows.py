"""Test rows that a search opened stay opened, whatever rows stand beside them."""

from __future__ import annotations

import json
from pathlib import Path

import icl
from tests.planted import planted

search = icl.search


def test_more_rows_do_not_close_those_that_were_opened(tmp_path: Path) -> None:
    """Of 12 test rows 10 were opened; all 12 are not untouched, nor are 5 of them."""
    out = tmp_path / "runs"
    first = search(planted(tmp_path), out)
    for n in (12, 5):
        file = planted(tmp_path, over={"shot_set": 5, "prompt": ["guess.j2"]})
        raw = json.loads(file.read_text())
        raw["tasks"][0]["rows"]["n"] = n
        file.write_text(json.dumps(raw))
        other = search(file, out)
        assert other.winner.test.fingerprint != first.winner.test.fingerprint
        assert other.test is None and other.opened == 1
    file = planted(tmp_path)
    file.write_text(file.read_text().replace('"n": 10', '"n": 12'))
    same = search(file, out)  # the winner that was tested before is asked the two more
    assert same.test is not None and same.opened == 1
    assert same.test.scores[0].winner.n == 12
