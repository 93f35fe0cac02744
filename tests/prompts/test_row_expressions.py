"""Expressions in ``where:``, ``answer:`` and ``fields:``, from the spec to the child process."""

from __future__ import annotations

import json

import pytest

from icl.core.errors import DataError
from icl.data import DataSpec, load
from icl.prompts.child_process import Sandbox
from icl.prompts.row_expressions import BATCH_BYTES, RowExpressions
from tests.datafiles import message, write

EVALUATOR = RowExpressions()


@pytest.mark.parametrize(
    ("expression", "row", "columns", "value"),
    [
        ("{{ answer.split('####')[-1] | trim }}", {"answer": "2+3 #### 5"}, {"answer"}, "5"),
        ("{{ m[:-1] }}", {"m": [{"a": 1}, 2]}, {"m"}, [{"a": 1}]),
        ("{{ words | map('upper') }}", {"words": ["a", "b"]}, {"words"}, ["A", "B"]),
        ("{{ -n }}", {"n": 3}, {"n"}, -3),
        ("{{- result -}}", {"result": 0.5}, {"result"}, 0.5),
        ("{{ row['my column'] }}", {"my column": None}, {"my column"}, None),
        ("{{ row | length }}", {"a": 1}, {"row"}, 1),
        ("{{ row.a }}", {"row": {"a": 7}}, {"a"}, 7),
        ("{{ range(2) }}", {}, set(), [0, 1]),
        ("{{ a is defined and a > 1 }}", {}, {"a"}, False),
        ("{{ '}} {{' ~ a }}", {"a": "x"}, {"a"}, "}} {{x"),
    ],
)
def test_values_keep_their_kind(expression, row, columns, value):
    assert EVALUATOR.find_columns([expression]) == [frozenset(columns)]
    assert EVALUATOR.evaluate([expression], [("f:1", row)]) == [[value]]


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        ("{{ nope }}", "f:1: {{ nope }}: 'nope' is undefined. Did you mean 'note'? There are"),
        ("{{ note }} {{ note }}", "is no single expression; write one in {{ }}, and put texts"),
        ("{{ note | foo }}", "no filter is called 'foo'. Did you mean"),
        ("{{ note | tojson }}", "write json, which keeps the text and the order of the data"),
        ("{{ note + }}", "TemplateSyntaxError"),
        ("{{ note.__class__ }}", "SecurityError: access to attribute '__class__'"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ 'a' * 10**9 }}", "needs more than 256 MB"),
        ("{{ 1e999 }}", "NameError"),
        ("{{ (note | length) * 1e308 * 10 }}", "which JSON has no form for"),
    ],
)
def test_a_mistake_is_one_line(expression, error):
    with pytest.raises(DataError) as caught:
        EVALUATOR.evaluate([expression], [("f:1", {"note": "x"})])
    assert error in str(caught.value)
    assert "\n" not in str(caught.value)


def rows_file(tmp_path, count=6):
    lines = [
        {"q": f"q{n}", "a": f"because\n#### {n}", "ok": n % 2 == 0, "src": "ab"[n % 2]}
        for n in range(count)
    ]
    return write(tmp_path / "a.jsonl", "".join(json.dumps(line) + "\n" for line in lines))


def test_rows_are_kept_answered_and_told(tmp_path):
    notes = []
    spec = DataSpec(
        "jsonl",
        rows_file(tmp_path),
        where="{{ src == 'a' }}",
        answer="{{ a.split('####')[-1] | trim }}",
        expressions=EVALUATOR,
        tell=notes.append,
    )
    rows = load(spec)
    assert [(row.id, row.targets) for row in rows] == [("0", ("0",)), ("2", ("2",)), ("4", ("4",))]
    assert {row.gold for row in rows} == {("a",)}  # the column that the answer is read from
    assert notes == [
        f"{spec.path}: 3 of 6 rows are left out by where: {{{{ src == 'a' }}}}",
    ]


def test_fields_may_be_expressions(tmp_path):
    fields = {"question": "q", "why": "{{ a.split('####')[0] | trim }}", "whole": "a"}
    spec = DataSpec(
        "jsonl",
        rows_file(tmp_path, 1),
        fields=fields,
        answer="{{ a.split('####')[-1] | trim }}",
        where="ok",
        expressions=EVALUATOR,
    )
    (row,) = load(spec)
    assert row.fields == {"question": "q0", "why": "because", "whole": "because\n#### 0"}
    assert (row.targets, row.gold) == (("0",), ("whole",))


def test_where_that_keeps_nothing_is_told(tmp_path):
    spec = DataSpec("jsonl", rows_file(tmp_path), where="{{ false }}", expressions=EVALUATOR)
    assert message(spec) == f"{spec.path}: where: {{{{ false }}}} keeps none of 6 rows; correct it"


def test_where_knows_the_fields_of_formats_without_columns(tmp_path):
    path = write(tmp_path / "a.txt", "one\n\nthree\n")
    spec = DataSpec("lines", path, where="{{ source != '' }}", expressions=EVALUATOR)
    assert [(row.id, row.fields["source"]) for row in load(spec)] == [("0", "one"), ("2", "three")]


def test_where_drops_rows_before_their_ids_are_compared(tmp_path):
    path = write(tmp_path / "a.csv", "id,text\n7,a\n7,\n8,b\n")
    spec = DataSpec("csv", path, where="{{ text != '' }}", expressions=EVALUATOR)
    assert [row.id for row in load(spec)] == ["7", "8"]


def test_parquet_reads_the_columns_of_expressions_alone(tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    rows = [{"q": "?", "a": "x #### 1", "nan": float("nan"), "keep": True}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    spec = DataSpec(
        "parquet",
        tmp_path / "a.parquet",
        fields={"question": "{{ q | upper }}"},
        answer="{{ a[-1] }}",
        where="keep",
        expressions=EVALUATOR,
    )
    (row,) = load(spec)
    assert (row.fields, row.targets) == ({"question": "?"}, ("1",))


def test_rows_go_to_the_child_in_batches(tmp_path, monkeypatch):
    asked = []
    whole = Sandbox.evaluate

    def counted(self, expressions, rows, offered=()):
        asked.append(len(rows))
        return whole(self, expressions, rows, offered)

    monkeypatch.setattr(Sandbox, "evaluate", counted)
    spec = DataSpec(
        "jsonl", rows_file(tmp_path, 600), where="{{ src == 'a' }}", expressions=EVALUATOR
    )
    assert len(load(spec)) == 300
    assert asked == [256, 256, 88]
    asked.clear()
    large = [(f"f:{n}", {"t": "x" * (BATCH_BYTES // 2)}) for n in range(4)]
    assert EVALUATOR.evaluate(["{{ t | length }}"], large) == [[BATCH_BYTES // 2]] * 4
    assert asked == [1, 1, 1, 1]
