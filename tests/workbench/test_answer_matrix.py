"""The matrix of answers: which rows it shows, verdicts in its cells, and its export."""

from __future__ import annotations

import json
import re
import threading

import pytest

from icl.core.errors import ConfigError, DataError
from icl.records.feedback import read
from icl.workbench.answer_matrix import AnswerMatrix, MatrixQuery
from icl.workbench.jobs import JobProgress
from icl.workbench.side_by_side import ColumnSettings, RowSelection, run_columns
from icl.workbench.workbench import Workbench

ROWS = 40
COLUMNS = [
    ColumnSettings("intent/plain"),
    ColumnSettings("intent/short"),
    ColumnSettings("intent/plain", k=2, seed=1),
]


@pytest.fixture
def matrix(work: Workbench) -> AnswerMatrix:
    bench = RowSelection("samples/intent", "en-US", n=ROWS, seed=0)
    made = run_columns(work, bench, COLUMNS, JobProgress(threading.Event()))
    return AnswerMatrix(made, work.base)


def test_pages_modes_and_hidden_columns(matrix: AnswerMatrix) -> None:
    made = matrix.made
    assert [head[:2] for head in matrix.heads] == list(zip("ABC", made.titles, strict=True))
    assert all(re.fullmatch(r"acc [\d.]+ \[.*\]", score) for _, _, score in matrix.heads)
    first, second = (matrix.page(MatrixQuery(), number) for number in (1, 9))
    assert [first.number, second.number, first.pages, first.found] == [1, 2, 2, ROWS]
    shown = [row.id for row in (*first.rows, *second.rows)]
    assert shown == list(made.examples)
    for row in first.rows:
        assert [one.answer for one in row.cells] == [said[row.id] for said in made.answers]
        assert [one.right for one in row.cells] == [right[row.id] for right in made.right]
    assert matrix.find(MatrixQuery("different")) == made.different()
    assert matrix.find(MatrixQuery("wrong", hidden=(0, 2))) == made.wrong([1])
    two = matrix.page(MatrixQuery("different", hidden=(1,)))
    assert two.columns == (0, 2) and [one.column for one in two.rows[0].cells] == [0, 2]
    assert matrix.find(MatrixQuery("different", hidden=(1, 2))) == []
    with pytest.raises(ConfigError, match="^'few': must be one of all, different, wrong$"):
        matrix.page(MatrixQuery("few"))
    with pytest.raises(ConfigError, match="^every column is hidden: show at least one$"):
        matrix.page(MatrixQuery(hidden=(0, 1, 2)))


def test_a_search_by_regular_expression_ends_in_time(
    matrix: AnswerMatrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = matrix.made
    name, said = next(iter(made.answers[1].items()))
    found = matrix.find(MatrixQuery(pattern=f"^{said.upper()}$"))
    assert name in found
    for one in found:
        answers = [answers[one] for answers in made.answers]
        assert said in [one, *made.examples[one].targets, *answers]
    only = matrix.find(MatrixQuery(pattern=f"^{said}$", hidden=(1, 2)))
    assert set(only) < set(matrix.find(MatrixQuery(pattern=".")))
    with pytest.raises(ConfigError, match=r"^pattern: '\(' is no regular expression"):
        matrix.find(MatrixQuery(pattern="("))
    monkeypatch.setattr("icl.core.bounded_regex.TIMEOUT_S", 0.1)
    with pytest.raises(ConfigError, match=r"worked for more than 0\.1 s and was stopped"):
        matrix.find(MatrixQuery(pattern=r"(\w|\s|[a-z])+((\w|\s|[a-z])+)+(?=\d\d\d\d)"))


def test_a_verdict_is_kept_and_exported(matrix: AnswerMatrix, work: Workbench) -> None:
    name = matrix.page(MatrixQuery()).rows[0].id
    assert matrix.cell(name, 1).verdict == ""
    path = matrix.judge(name, 1, "good", None, " clear ")
    matrix.judge(name, 2, "bad", None, "")
    matrix.judge(name, 2, "corrected", "alarm_set", "as it was meant")
    one, *_, last = read(path)
    assert (one.id, one.output, one.comment) == (name, matrix.made.answers[1][name], "clear")
    record = matrix.made.results[1].records[name]
    assert (one.request, one.condition) == (record.request, record.condition)
    assert "clear" not in one.prompt and one.prompt == matrix.made.results[1].sent(
        matrix.made.results[1].prompt(record)
    )
    assert last.right == "alarm_set"
    again = AnswerMatrix(matrix.made, work.base)  # as after a restart
    cells = again.page(MatrixQuery()).rows[0].cells
    assert [(cell.verdict, cell.comment) for cell in cells] == [
        ("", ""),
        ("good", "clear"),
        ("corrected", "as it was meant"),
    ]
    files = [again.export(MatrixQuery(hidden=hidden)) for hidden in ((), (0, 1))]
    assert [file.name for file in files] == ["matrix-1.jsonl", "matrix-2.jsonl"]
    whole, narrow = ([json.loads(line) for line in file.read_text().splitlines()] for file in files)
    assert [row["id"] for row in whole] == list(matrix.made.examples)
    assert [cell["column"] for cell in whole[0]["answers"]] == ["A", "B", "C"]
    (cell,) = narrow[0]["answers"]
    assert (cell["verdict"], cell["correction"]) == ("corrected", "alarm_set")
    assert cell["settings"] == "intent/plain · 2 random · seed 1"
    with pytest.raises(ConfigError, match="^no row to export"):
        matrix.export(MatrixQuery(pattern="nothing says this"))


def test_a_verdict_on_what_is_not_there_is_refused(matrix: AnswerMatrix) -> None:
    name = next(iter(matrix.made.examples))
    with pytest.raises(ConfigError, match="^no row 'gone' is answered here; click a cell"):
        matrix.judge("gone", 0, "good", None, "")
    with pytest.raises(ConfigError, match="^there is no column 4; there are 3$"):
        matrix.judge(name, 3, "good", None, "")
    with pytest.raises(DataError, match="^a corrected output needs the text"):
        matrix.judge(name, 0, "corrected", " ", "")
    assert not (matrix.base / "feedback.jsonl").exists()
