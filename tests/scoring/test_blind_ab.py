"""Blind verdicts: drawn sides, kept lines, and who is preferred."""

from __future__ import annotations

from pathlib import Path

import pytest

from icl.core.errors import DataError, StoreError
from icl.running.run import run
from icl.scoring.blind_ab import Pair, append, preference_rows, read_verdicts, tally_verdicts, write
from icl.scoring.win_rate import Wins
from tests.table_experiment import write as write_experiment

NOON = "2026-01-01T12:00:00+00:00"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("blind")
    done = run(write_experiment(folder), folder / "runs")
    a, b = (one for one in done.conditions if one.entry.task == "intent")
    return Pair("small", a, b)


def test_only_rows_that_differ_are_read_and_each_once(pair: Pair) -> None:
    rows = pair.rows()
    values = [{p.id: p.value for p in one.predictions()} for one in (pair.a, pair.b)]
    assert sorted(rows) == sorted(n for n in values[0] if values[0][n] != values[1][n])
    assert 2 < len(rows) < 10
    done = [pair.judged(name, "left", NOON) for name in rows[:2]]
    assert pair.rows(done) == rows[2:]
    assert Pair("small", pair.b, pair.a).rows(done) == rows[2:]


def test_sides_are_drawn_and_stay(pair: Pair) -> None:
    turned = Pair("small", pair.b, pair.a)
    lefts = set()
    for number in range(40):
        name = f"row {number}"
        assert pair.sides(name) == turned.sides(name)
        lefts.add(pair.sides(name)[0].entry.fingerprint)
    assert lefts == set(pair.names)


def test_verdicts_are_kept_with_their_provenance(pair: Pair, tmp_path: Path) -> None:
    path = tmp_path / "blind.jsonl"
    assert read_verdicts(path) == []
    name = pair.rows()[0]
    made = pair.judged(name, "right", NOON)
    append(path, made)
    append(path, pair.judged(pair.rows()[1], "tie", NOON))
    first, second = read_verdicts(path)
    assert first == made and second.better is None
    right = pair.sides(name)[1]
    assert made.better == made.right == right.entry.fingerprint
    assert made.outputs[made.right] == pair.output(right, name)
    assert made.requests[made.right] == right.record(name).request
    path.write_text('{"run": "x"}\n')
    with pytest.raises(DataError, match=r"blind\.jsonl:1: no verdict of this version"):
        read_verdicts(path)
    path.write_text('{"wun": "x"}\n')
    with pytest.raises(DataError, match=r"blind\.jsonl:1: unknown key 'wun'. Did you mean 'run'"):
        read_verdicts(path)
    with pytest.raises(DataError, match="^unknown verdict 'lefft'. Did you mean 'left'"):
        pair.judged(name, "lefft", NOON)


def test_the_last_verdict_on_a_row_counts(pair: Pair) -> None:
    a, b = pair.names
    one, two, three = pair.rows()[:3]
    for_b = {n: "left" if pair.sides(n)[0] is pair.b else "right" for n in (one, two)}
    made = [
        pair.judged(one, "tie", NOON),
        *(pair.judged(n, c, NOON) for n, c in for_b.items()),
        pair.judged(three, "tie", NOON),
    ]
    assert tally_verdicts(made, a, b) == Wins(2, 1, 0)
    assert tally_verdicts(made, b, a) == Wins(0, 1, 2)
    assert tally_verdicts(made, a, "other") == Wins(0, 0, 0)
    rows = preference_rows(made)
    assert [row["id"] for row in rows] == [one, two]
    assert rows[0]["chosen"] == pair.output(pair.b, one)
    assert rows[0]["rejected"] == pair.output(pair.a, one)


def test_exports_write_over_nothing(pair: Pair, tmp_path: Path) -> None:
    path = tmp_path / "preferences.jsonl"
    with pytest.raises(DataError, match="^no output was preferred to another yet"):
        write(path, [])
    write(path, preference_rows([pair.judged(pair.rows()[0], "left", NOON)]))
    with pytest.raises(StoreError, match=r"^preferences\.jsonl exists already; move it away"):
        write(path, [{}])


def test_a_condition_is_not_compared_with_itself(pair: Pair) -> None:
    with pytest.raises(DataError, match="^choose two conditions: these are the same one$"):
        Pair("small", pair.a, pair.a)
