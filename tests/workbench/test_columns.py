"""Columns beside each other: the table engine answers, everything else is the real line."""

from __future__ import annotations

import threading

import pytest

from icl.errors import TemplateError
from icl.workbench.columns import Bench, Column, Compared, asked, condition_of, run_columns
from icl.workbench.jobs import Stopped, Watched, watched
from icl.workbench.place import Workplace

BENCH = Bench("samples/intent", "en-US", n=12, seed=0)
COLUMNS = [Column("intent/plain"), Column("intent/short"), Column("intent/plain", k=2, seed=1)]


def run(work: Workplace, bench: Bench = BENCH) -> Compared:
    return run_columns(work, bench, COLUMNS, Watched(threading.Event()))


def test_columns_answer_the_same_rows(work: Workplace) -> None:
    made = run(work)
    assert len(made.examples) == 12
    rows = made.rows(different=False)
    assert [len(row) for row in rows] == [6] * 12
    for row in rows:
        for cell, column in zip(row[3:], made.right, strict=True):
            assert cell.startswith("✓ ") is column[row[0]] is (cell.removeprefix("✓ ") == row[2])
    differ = made.different()
    assert [row[0] for row in made.rows(different=True)] == differ
    assert all(len(set(row[3:])) > 1 for row in made.rows(different=True))
    assert 0 < len(differ) <= 12


def test_the_table_has_intervals_and_wins_against_the_first(work: Workplace) -> None:
    head, lines = run(work).table()
    assert head == ["", "asked", "acc", "n", "against A", "wins – ties – losses", "p"]
    assert [line[0] for line in lines] == ["A", "B", "C"]
    assert lines[0][4:] == ["baseline", "", ""]
    assert lines[2][1] == "intent/plain · 2 random · seed 1"
    for line in lines[1:]:
        assert "[" in line[2] and "[" in line[4] and "ties" in line[5] and float(line[6]) <= 1


def test_asking_again_computes_nothing(work: Workplace) -> None:
    run(work)
    kept = sorted((work.base / "runs" / "conditions").glob("*/records.jsonl"))
    assert len(kept) == 3
    before = [path.read_bytes() for path in kept]
    run(work)
    assert [path.read_bytes() for path in kept] == before


def test_one_row_leaves_no_condition_folder(work: Workplace) -> None:
    made = run(work, Bench("samples/intent", "en-US", row=3))
    assert len(made.examples) == 1
    assert not (work.base / "runs").exists()


def test_a_wrong_column_is_named(work: Workplace) -> None:
    with pytest.raises(TemplateError, match="^column B: unknown template 'intent/shrt'"):
        run_columns(work, BENCH, [COLUMNS[0], Column("intent/shrt")], Watched(threading.Event()))


def test_the_prompt_of_any_row_without_a_tokenizer(work: Workplace) -> None:
    condition = condition_of(work, BENCH, COLUMNS[0])
    second = condition.examples[1]
    made = asked(condition, second.id, counted=False)
    assert made.example == second and made.sent.endswith("Intent:")
    assert asked(condition, "gone", counted=True).example == condition.examples[0]


def test_work_is_stopped_between_batches_and_goes_on(work: Workplace) -> None:
    stop = threading.Event()

    def halting(progress: Watched) -> Compared:
        def commit(rows: int, tokens: int) -> None:
            stop.set()
            Watched.advance(progress, rows, tokens)

        progress.advance = commit  # type: ignore[method-assign]
        return run_columns(work, BENCH, COLUMNS, progress)

    with pytest.raises(Stopped, match="^stopped; what was answered is kept, and running again"):
        list(watched(halting, stop))
    (records,) = (work.base / "runs" / "conditions").glob("*/records.jsonl")
    kept = records.read_bytes()
    assert kept.count(b"\n") == 8  # one batch of the first column
    *_, (line, done) = watched(
        lambda progress: run_columns(work, BENCH, COLUMNS, progress), threading.Event()
    )
    assert records.read_bytes().startswith(kept)
    assert done is not None and len(done.examples) == 12
    assert line.endswith("12 of 12 rows") or "tokens/s" in line
