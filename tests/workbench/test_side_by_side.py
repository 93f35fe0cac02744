"""Columns beside each other: the table engine answers, everything else is the real line."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from icl.core.errors import ConfigError, DataError, IclError, StoppedError, TemplateError
from icl.workbench.jobs import JobProgress, run_job
from icl.workbench.side_by_side import (
    ColumnSettings,
    RowSelection,
    SideBySide,
    condition_of,
    cross,
    request_of,
    run_columns,
)
from icl.workbench.workbench import Workbench
from tests.workbench.conftest import screen, used

BENCH = RowSelection("samples/intent", "en-US", n=12, seed=0)
COLUMNS = [
    ColumnSettings("intent/plain"),
    ColumnSettings("intent/short"),
    ColumnSettings("intent/plain", k=2, seed=1),
]


def run(work: Workbench, bench: RowSelection = BENCH) -> SideBySide:
    return run_columns(work, bench, COLUMNS, JobProgress(threading.Event()))


def test_columns_answer_the_same_rows(work: Workbench) -> None:
    made = run(work)
    assert len(made.examples) == 12
    for answers, column in zip(made.answers, made.right, strict=True):
        for name, example in made.examples.items():
            assert column[name] is (answers[name] in example.targets)
    differ = made.different()
    assert 0 < len(differ) <= 12
    assert differ == [n for n in made.examples if len({said[n] for said in made.answers}) > 1]
    assert made.different([0]) == []
    assert made.wrong([1]) == [n for n in made.examples if not made.right[1][n]]
    assert set(made.wrong()) == {n for place in range(3) for n in made.wrong([place])}


def test_prompts_times_models_are_columns() -> None:
    column = ColumnSettings("a", "m", k=2, seed=1)
    made = cross(column, ["a", "b", "a"], ["m", "n"])
    assert [(one.template, one.model, one.k, one.seed) for one in made] == [
        ("a", "m", 2, 1),
        ("a", "n", 2, 1),
        ("b", "m", 2, 1),
        ("b", "n", 2, 1),
    ]
    for templates in (["a"], [str(number) for number in range(13)]):
        with pytest.raises(
            ConfigError, match=f"^{len(templates)} prompts × 1 models are {len(templates)} columns"
        ):
            cross(column, templates, ["m"])


def test_the_table_has_intervals_and_wins_against_the_first(work: Workbench) -> None:
    head, lines = run(work).table()
    assert head == ["", "settings", "acc", "n", "against A", "wins – ties – losses", "p"]
    assert [line[0] for line in lines] == ["A", "B", "C"]
    assert lines[0][4:] == ["baseline", "", ""]
    assert lines[2][1] == "intent/plain · 2 random · seed 1"
    for line in lines[1:]:
        assert "[" in line[2] and "[" in line[4] and "ties" in line[5] and float(line[6]) <= 1


def test_asking_again_computes_nothing(work: Workbench) -> None:
    run(work)
    kept = sorted((work.base / "runs" / "conditions").glob("*/records.jsonl"))
    assert len(kept) == 3
    before = [path.read_bytes() for path in kept]
    run(work)
    assert [path.read_bytes() for path in kept] == before


def test_one_row_leaves_no_condition_folder(work: Workbench) -> None:
    made = run(work, RowSelection("samples/intent", "en-US", row=3))
    assert len(made.examples) == 1
    assert not (work.base / "runs").exists()


def test_a_wrong_column_is_named(work: Workbench) -> None:
    with pytest.raises(TemplateError, match="^column B: unknown template 'intent/shrt'"):
        run_columns(
            work, BENCH, [COLUMNS[0], ColumnSettings("intent/shrt")], JobProgress(threading.Event())
        )


def test_the_prompt_of_any_row_without_a_tokenizer(work: Workbench) -> None:
    condition = condition_of(work, BENCH, COLUMNS[0])
    second = condition.examples[1]
    made = request_of(condition, second.id, counted=False)
    assert made.example == second and made.sent.endswith("Intent:")
    assert request_of(condition, "gone", counted=True).example == condition.examples[0]


def test_work_is_stopped_between_batches_and_goes_on(work: Workbench) -> None:
    stop = threading.Event()

    def halting(progress: JobProgress) -> SideBySide:
        def commit(rows: int, tokens: int, left_s: float | None = None) -> None:
            stop.set()
            JobProgress.advance(progress, rows, tokens, left_s)

        progress.advance = commit  # type: ignore[method-assign]
        return run_columns(work, BENCH, COLUMNS, progress)

    with pytest.raises(
        StoppedError, match="^stopped; finished answers are saved, and running again"
    ):
        list(run_job(halting, stop))
    (records,) = (work.base / "runs" / "conditions").glob("*/records.jsonl")
    kept = records.read_bytes()
    assert kept.count(b"\n") == 8  # one batch of the first column
    *_, (line, done) = run_job(
        lambda progress: run_columns(work, BENCH, COLUMNS, progress), threading.Event()
    )
    assert records.read_bytes().startswith(kept)
    assert done is not None and len(done.examples) == 12
    assert "12 of 12 rows" in line and line.endswith("0 s left")


def test_a_row_typed_in_the_playground_is_asked_of_every_column(work: Workbench) -> None:
    typed = screen(
        work, "intent/plain", own={"utt": "wake me at nine"}, answer="alarm_set", k=3, seed=4
    )
    bench = RowSelection.of(typed, n=12, seed=0)
    for column in COLUMNS:
        sent = request_of(condition_of(work, bench, column), None, counted=False)
        assert sent.example.fields["utt"] == "wake me at nine"
        assert sent.sent.count("wake me at nine") == 1 and len(sent.shots) == column.k
    made = run(work, bench)
    assert [len(made.examples), made.table()[1][0][3]] == [1, "1"]
    (example,) = made.examples.values()
    assert [example.fields["utt"], example.targets] == ["wake me at nine", ("alarm_set",)]
    assert not (work.base / "runs").exists()
    alone = replace(typed, k=2, seed=1)  # the third column, but for what the Playground sets
    expected = work.bind(alone).condition
    assert (
        condition_of(work, bench, COLUMNS[2]).request(expected.examples[0]).sent
        == expected.request(expected.examples[0]).sent
    )


def test_rows_uploaded_in_the_playground_are_drawn(work: Workbench) -> None:
    rows = [f"{number} o'clock,alarm_set,test" for number in range(9)]
    rows += [f"play number {number},play_music,train" for number in range(5)]
    name = used(work, "mine.csv", "\n".join(["utt,intent,split", *rows]))
    given = screen(work, "intent/plain", data=name, locale=None, row=4)
    made = run(work, RowSelection.of(given, n=5, seed=0))
    assert len(made.examples) == 5
    shots = {shot[0] for record in made.results[2].records.values() for shot in record.shots}
    assert shots and not shots & {row.id for row in work.rows(given)}
    plain = [ColumnSettings("intent/plain"), ColumnSettings("intent/short")]
    bench = RowSelection.of(given, n=9, seed=0)
    assert len(run_columns(work, bench, plain, JobProgress(threading.Event())).examples) == 9
    assert all(row.fields["utt"].endswith("o'clock") for row in made.examples.values())
    (example,) = run(work, RowSelection.of(given, n=1, seed=0)).examples.values()
    assert example.fields["utt"] == "3 o'clock"
    with pytest.raises(DataError, match="^column A: .* is no longer here; upload the file again"):
        run(work, RowSelection.of(replace(given, data="uploads/gone.jsonl"), n=1, seed=0))


def test_a_typed_row_that_a_template_cannot_read_is_told(work: Workbench) -> None:
    bench = RowSelection.of(screen(work, "intent/plain", own={"text": "hm"}), n=1, seed=0)
    with pytest.raises(IclError, match="^intent/plain:12: 'utt' is undefined. Did you mean 'text'"):
        run(work, bench)
