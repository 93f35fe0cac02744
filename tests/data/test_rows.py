import csv
import json
from pathlib import Path

import pytest

from icl.core.types import Example
from icl.data import DataSpec, hash_data, keep_apart, load, read_json_lines, sample
from tests.datafiles import message, write

# --- JSON lines ---------------------------------------------------------------------------------


def test_jsonl_all_columns_under_their_own_names(tmp_path):
    path = write(
        tmp_path / "a.jsonl",
        '{"id": "x", "text": "hi", "label": "pos"}\n\n{"id": 7, "text": "oh", "label": "neg"}\r\n',
    )
    rows = load(DataSpec("jsonl", path, answer="label", locale="en"))
    assert rows == [
        Example("x", {"text": "hi", "label": "pos"}, ("pos",), {"locale": "en"}, ("label",)),
        Example("7", {"text": "oh", "label": "neg"}, ("neg",), {"locale": "en"}, ("label",)),
    ]
    assert rows[0].inputs == {"text": "hi"}


def test_jsonl_id_and_split_are_no_content(tmp_path):
    path = write(
        tmp_path / "a.jsonl",
        '{"id": 1, "split": "train", "t": "Hi  there"}\n'
        '{"id": 2, "split": "test", "t": "hi there"}\n',
    )
    train, test = load(DataSpec("jsonl", path))
    assert train.content == test.content
    assert (train.meta, test.meta) == ({"split": "train"}, {"split": "test"})


def test_jsonl_fields_answer_id_and_gold(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"n": 3, "q": "2+2?", "a": [4, "four"], "why": "sum"}\n')
    spec = DataSpec(
        "jsonl", path, fields={"question": "q", "why": "why"}, answer="a", id="n", gold=("why",)
    )
    (row,) = load(spec)
    assert row == Example(
        "3", {"question": "2+2?", "why": "sum", "a": [4, "four"]}, ("4", "four"), {}, ("a", "why")
    )


def test_answer_names_a_field_or_a_column(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"q": "?", "a": "x"}\n')
    spec = DataSpec("jsonl", path, fields={"text": "q", "answer": "a"}, answer="answer")
    (by_field,) = load(spec)
    (by_column,) = load(DataSpec("jsonl", path, fields={"text": "q", "answer": "a"}, answer="a"))
    assert by_field == by_column
    assert by_field.gold == ("answer",)


@pytest.mark.parametrize(
    ("value", "targets"),
    [
        ('"x"', ("x",)),
        ("1", ("1",)),
        ("0.5", ("0.5",)),
        ("true", ("true",)),
        ("null", ()),
        ("[]", ()),
        ('["a", "b"]', ("a", "b")),
    ],
)
def test_answer_values(tmp_path, value, targets):
    path = write(tmp_path / "a.jsonl", f'{{"t": "?", "a": {value}}}\n')
    (row,) = load(DataSpec("jsonl", path, answer="a"))
    assert row.targets == targets


def test_row_numbers_are_ids_and_count_the_whole_file(tmp_path):
    lines = [json.dumps({"t": str(n), "partition": "ab"[n % 2]}) for n in range(4)]
    path = write(tmp_path / "a.jsonl", "\n".join(lines))
    assert [row.id for row in load(DataSpec("jsonl", path))] == ["0", "1", "2", "3"]
    assert [row.id for row in load(DataSpec("jsonl", path, split="b"))] == ["1", "3"]


@pytest.mark.parametrize(
    ("lines", "options", "error"),
    [
        (['{"t": 1}', '{"t": '], {}, ":2: not a line of JSON: Expecting value at character 7"),
        (['{"t": 1} x'], {}, ":1: not a line of JSON: Extra data at character 10"),
        (["[1]"], {}, ":1: a JSON object is needed"),
        (['{"t": NaN}'], {}, ":1: not a line of JSON: NaN is no JSON value"),
        (['{"t": 1e999}'], {}, ":1: not a line of JSON: 1e999 is too large"),
        (['{"t": 1, "t": 2}'], {}, ":1: not a line of JSON: the key 't' appears twice"),
        (["[" * 100_000], {}, ":1: not a line of JSON: maximum recursion depth"),
        (['{"id": 1}', '{"id": 2}', '{"id": "1"}'], {}, ":3: the id '1' is also on line 1"),
        (['{"id": null}'], {}, ":1: the id None is neither a string nor a whole number"),
        (['{"id": true}'], {}, ":1: the id True is neither a string nor a whole number"),
        (["\u00a0", '{"t": 1}'], {}, ":1: not a line of JSON: Expecting value"),
        (['{"id": 1}', '{"t": 2}'], {}, ":2: no column 'id'. There are: t"),
        (['{"label": 1}'], {"answer": "lable"}, "no column 'lable'. Did you mean 'label'?"),
        (['{"text": 1}'], {"fields": {"t": "txt"}}, ":1: no column 'txt'. Did you mean 'text'?"),
        (['{"text": 1}'], {"id": "idx"}, ":1: no column 'idx'. There are: text"),
        (['{"text": 1}'], {"gold": ("txt",)}, ":1: gold names no field 'txt'. Did you mean 'text'"),
        (['{"a": {"b": 1}}'], {"answer": "a"}, ":1: the answer in 'a' is {'b': 1}; a string, a"),
        (['{"a": [null]}'], {"answer": "a"}, ":1: the answer in 'a' is None; a string, a number"),
        (['{"t": 1}'], {"split": "test"}, "split 'test' is requested, but there is no column"),
        (
            ['{"split": "dev"}', '{"split": "train"}'],
            {"split": "tset"},
            "no split 'tset'. There are: dev, train",
        ),
        (['{"split": "dev"}', "{}"], {"split": "dev"}, ":2: no column 'split'"),
        ([], {}, "no rows; check the path"),
        ([""], {}, "no rows; check the path"),
    ],
)
def test_jsonl_errors(tmp_path, lines, options, error):
    path = write(tmp_path / "a.jsonl", "".join(line + "\n" for line in lines))
    text = message(DataSpec("jsonl", path, **options))
    assert text.startswith(str(path))
    assert error in text


def test_nul_and_lone_surrogate_survive(tmp_path):
    path = write(tmp_path / "a.jsonl", r'{"id": "\ud800", "t": "a\u0000b\udfff"}' + "\n")
    rows = load(DataSpec("jsonl", path))
    assert rows[0].fields == {"t": "a\0b\udfff"}
    assert sample(rows, 1, seed=0) == rows
    assert keep_apart(rows, rows) == ([], 1)
    assert len(hash_data(rows)) == 64


def test_only_line_feeds_end_a_line(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"t": "a\u2028b\x85c"}\n')
    assert load(DataSpec("jsonl", path))[0].fields == {"t": "a\u2028b\x85c"}


def test_json_lines_gives_line_numbers_and_skips_a_byte_order_mark(tmp_path):
    path = write(tmp_path / "a.jsonl", '\ufeff{"a": 1}\n\n{"a": 2}')
    assert list(read_json_lines(path)) == [(1, {"a": 1}), (3, {"a": 2})]


# --- files --------------------------------------------------------------------------------------


def test_missing_file_names_its_neighbours(tmp_path):
    write(tmp_path / "train.jsonl", "{}")
    write(tmp_path / "notes.md", "")
    text = message(DataSpec("jsonl", tmp_path / "trian.jsonl"))
    assert text == (
        f"no such file or folder: {tmp_path}/trian.jsonl. Did you mean 'train.jsonl'? "
        f"In {tmp_path} there are: train.jsonl, notes.md"
    )
    deep = message(DataSpec("jsonl", tmp_path / "trian" / "x" / "y.jsonl"))
    assert f"Did you mean 'train.jsonl'? In {tmp_path} there are" in deep


def test_folder_instead_of_file(tmp_path):
    write(tmp_path / "a.jsonl", "{}")
    text = message(DataSpec("jsonl", tmp_path))
    assert text == f"{tmp_path} is a folder, a file is needed. In {tmp_path} there are: a.jsonl"


def test_undecodable_byte_names_its_line(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"t": "a"}\n{"t": "\xe9t\xe9"}\n')
    text = message(DataSpec("jsonl", tmp_path / "a.jsonl"))
    assert text.startswith(f"{tmp_path}/a.jsonl:2: byte 0xe9 is not utf-8 (")
    rows = load(DataSpec("jsonl", tmp_path / "a.jsonl", encoding="latin-1"))
    assert rows[1].fields == {"t": "été"}


@pytest.mark.parametrize("encoding", ["utf-9", "hex"])
def test_unknown_encoding(tmp_path, encoding):
    path = write(tmp_path / "a.jsonl", "{}")
    text = message(DataSpec("jsonl", path, encoding=encoding))
    assert encoding in text and "write encoding: utf-8" in text


def test_placeholders_and_star(tmp_path):
    write(tmp_path / "v1-test.sw.jsonl", '{"t": "jambo"}')
    write(tmp_path / "v1-test.de.jsonl", '{"t": "hallo"}')
    spec = DataSpec("jsonl", tmp_path / "*-{split}.{locale}.jsonl", locale="sw", split="test")
    (row,) = load(spec)
    assert (row.fields, row.meta) == ({"t": "jambo"}, {"locale": "sw", "split": "test"})
    assert "matches 2 files, one is needed" in message(DataSpec("jsonl", tmp_path / "*.jsonl"))
    no_locale = message(DataSpec("jsonl", tmp_path / "{locale}.jsonl"))
    assert no_locale.endswith("has {locale} but no value: give locale: under rows")
    assert "only lines files have it" in message(DataSpec("jsonl", tmp_path / "{lang}.jsonl"))
    assert "no such file or folder" in message(DataSpec("jsonl", tmp_path / "*.xml"))


def test_odd_names(tmp_path, monkeypatch):
    folder = tmp_path / "[v1]"
    folder.mkdir()
    write(folder / "a*.jsonl", '{"t": "star"}')
    write(folder / "ab.jsonl", '{"t": "b"}')
    write(folder / "cd.jsonl", '{"t": "d"}')
    assert load(DataSpec("jsonl", folder / "a*.jsonl"))[0].fields == {"t": "star"}
    assert load(DataSpec("jsonl", folder / "c*.jsonl"))[0].fields == {"t": "d"}
    monkeypatch.setenv("HOME", str(folder))
    assert load(DataSpec("jsonl", Path("~/ab.jsonl")))[0].fields == {"t": "b"}


def test_split_in_the_path_leaves_the_column_alone(tmp_path):
    path = write(tmp_path / "test.jsonl", '{"split": "hard", "t": "x"}')
    (row,) = load(DataSpec("jsonl", path.with_name("{split}.jsonl"), split="test"))
    assert row.meta == {"split": "test"}


def test_lines_take_rows_in_file_order(tmp_path):
    path = write(tmp_path / "a.jsonl", "".join(f'{{"t": {n}}}\n' for n in range(5)))
    rows = load(DataSpec("jsonl", path, lines=(2, 3)))
    assert [(row.id, row.fields["t"]) for row in rows] == [("1", 1), ("2", 2)]
    assert len(load(DataSpec("jsonl", path, lines=(1, 5)))) == 5
    assert "lines [4, 6] are requested, but there are 5" in message(
        DataSpec("jsonl", path, lines=(4, 6))
    )
    for lines in [(0, 2), (3, 2)]:
        assert "1 <= first <= last is needed" in message(DataSpec("jsonl", path, lines=lines))


# --- CSV and TSV --------------------------------------------------------------------------------


def test_csv_quotes_byte_order_mark_and_strings(tmp_path):
    path = write(tmp_path / "a.csv", '\ufefftext,label\r\n"a, ""b""\nc",01\r\n\r\nd\0,\r\n')
    rows = load(DataSpec("csv", path, answer="label"))
    assert [row.fields["text"] for row in rows] == ['a, "b"\nc', "d\0"]
    assert [row.targets for row in rows] == [("01",), ()]


def test_tsv_has_no_quoting(tmp_path):
    path = write(tmp_path / "a.tsv", 'id\ttext\n1\t"so\n2\tso"\n')
    rows = load(DataSpec("tsv", path))
    assert [(row.id, row.fields) for row in rows] == [
        ("1", {"text": '"so'}),
        ("2", {"text": 'so"'}),
    ]


def test_csv_cells_may_be_long(tmp_path):
    path = write(tmp_path / "a.csv", "text\n" + "x" * 200_000 + "\n")
    csv.field_size_limit(131_072)  # the default of the standard library
    assert len(load(DataSpec("csv", path))[0].fields["text"]) == 200_000
    assert csv.field_size_limit() == 131_072


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('a,b\n"1\n1",2\n3\n', ":4: 1 cells, but the header has 2; quote cells"),
        ("a,b\n1,2,3\n", ":2: 3 cells, but the header has 2"),
        ('a,b\n1,"2\n', ":2: unexpected end of data; check the quotes"),
        ("a,a\n1,2\n", ":1: the column 'a' appears twice in the header"),
        ("a,\n1,2\n", ":1: a column has no name in the header"),
        ("", ": empty; a first line with the names of the columns is needed"),
        ("a,b\n", ": no rows; check the path"),
        ("id,b\n1,x\n1,y\n", ":3: the id '1' is also on line 2"),
    ],
)
def test_csv_errors(tmp_path, text, error):
    path = write(tmp_path / "a.csv", text)
    assert message(DataSpec("csv", path)).startswith(str(path) + error)
