"""A table read whole: formats by their names, headers, draws from large ones."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from icl.core.errors import DataError
from icl.data import columns
from icl.data.columns import read_columns


def test_delimiter_index_and_encoding_are_guessed_as_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("\ufeff;Text;Wunsch\n0;schön;a\n1;nicht schön;b\n".encode("utf-16-le"))
    table = read_columns(path)
    assert table.names == ("Text", "Wunsch")
    assert table.values("Text") == ["schön", "nicht schön"]
    assert any("semicolons" in note for note in table.notes)
    assert any("UTF-16" in note for note in table.notes)


def test_packed_and_nested_tables_are_read(tmp_path: Path) -> None:
    packed = tmp_path / "t.jsonl.gz"
    packed.write_bytes(gzip.compress(b'{"a": 1, "b": 2}\n{"a": 2, "c": 3}\n'))
    assert read_columns(packed).names == ("a", "b", "c")
    assert read_columns(packed).values("b") == [2, None]
    nested = tmp_path / "t.json"
    nested.write_text('{"meta": {}, "data": [{"a": "x", "b": "y"}]}')
    assert read_columns(nested).total == 1


def test_ids_that_stand_twice_become_numbers(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,text,row\n7,a b,c\n7,d e,c\n")
    with pytest.raises(DataError, match="the id '7' is also on line 2"):
        read_columns(path)  # a column called row would be the id, and has its value twice too
    path.write_text("id,text,x\n7,a b,c\n7,d e,f\n")
    table = read_columns(path)
    assert [row.id for row in table.rows] == ["0", "1"]
    assert "rows are numbered, or named by a column row" in table.notes[0]


def test_of_a_large_table_the_same_rows_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "MOST_ROWS", 20)
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps({"a": n, "b": "x"}) + "\n" for n in range(200)))
    table = read_columns(path)
    assert (len(table.rows), table.total) == (20, 200)
    assert table.values("a") == sorted(table.values("a"), key=int)
    assert read_columns(path).rows == table.rows


def test_a_header_that_is_named_is_one(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("text,wish\nthe text,wish\nmore text,order\n")
    with pytest.raises(DataError, match=r"first line reads like a row.*it has 'wish'.*'text,answ"):
        read_columns(path)
    assert read_columns(path, "wish").total == 2
    path.write_text("day 1,day 2\n" + "sun,rain\n" * 3)  # numbered names, of which none is below
    assert read_columns(path).names == ("day 1", "day 2")
