"""Files as people bring them: separators, quotes, encodings, lists of JSON, columns of indices."""

from __future__ import annotations

import json

import pytest

from icl.core.errors import ConfigError, DataError
from icl.data import DataSpec, load
from tests.datafiles import message, write


def told(spec_of, *args, **options):
    """The rows of a spec, and what its reader told."""
    notes = []
    rows = load(spec_of(*args, **options, tell=notes.append))
    return rows, notes


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("\ufeffid;text;label\r\n1;Guten Tag;pos\r\n2;Nein, danke;neg\r\n", "semicolons"),
        ("id\ttext\tlabel\n1\tGuten Tag\tpos\n2\tNein, danke\tneg\n", "tabs"),
        ('id;text;label\n1;"Guten Tag";pos\n2;"Nein, danke";neg\n', "semicolons"),
        # A comma in the header, and lines that only semicolons part alike.
        ("id;text;label\n1;Guten Tag;pos\n2;Nein, danke;neg\n", "semicolons"),
    ],
)
def test_the_separator_of_a_csv_is_found_and_told(tmp_path, text, note):
    path = write(tmp_path / "a.csv", text)
    rows, notes = told(DataSpec, "csv", path, answer="label")
    assert [(row.id, row.fields["text"], row.targets) for row in rows] == [
        ("1", "Guten Tag", ("pos",)),
        ("2", "Nein, danke", ("neg",)),
    ]
    assert notes == [f"{path}: cells are separated by {note}; delimiter: says otherwise"]


def test_commas_stay_the_separator_where_they_part_the_lines(tmp_path):
    path = write(tmp_path / "a.csv", 'text,label\n"a; b",x\nc; d,y\n')
    rows, notes = told(DataSpec, "csv", path)
    assert [row.fields["text"] for row in rows] == ["a; b", "c; d"]
    one = write(tmp_path / "one.csv", "text\nso; so\n")
    assert [row.fields for row in load(DataSpec("csv", one))] == [{"text": "so; so"}]
    bare = write(tmp_path / "bare.csv", "so; so\nha; ha\n")
    assert load(DataSpec("csv", bare, columns=("text",)))[0].fields == {"text": "so; so"}
    assert notes == []


def test_a_separator_that_is_named_wins(tmp_path):
    path = write(tmp_path / "a.csv", "a,b|c\n1,2|3\n")
    rows, notes = told(DataSpec, "csv", path, delimiter="|")
    assert (rows[0].fields, notes) == ({"a,b": "1,2", "c": "3"}, [])
    with pytest.raises(ConfigError, match="delimiter: is for the format csv or tsv, not jsonl"):
        load(DataSpec("jsonl", path, delimiter="|"))


QUOTED = 'id\ttext\tlabel\n1\t"She said ""no"""\tneg\n2\t"two\nlines"\tpos\n3\tplain\tpos\n'


def test_quotes_that_a_program_wrote_are_taken_off_a_tsv(tmp_path):
    path = write(tmp_path / "a.tsv", QUOTED)
    rows, notes = told(DataSpec, "tsv", path, answer="label")
    assert [row.fields["text"] for row in rows] == ['She said "no"', "two\nlines", "plain"]
    assert notes == [f"{path}: quotes around cells are taken off; `quoting: none` keeps them"]
    every = write(tmp_path / "b.tsv", '"id"\t"text"\n"1"\t"plain"\n')
    assert load(DataSpec("tsv", every))[0].fields == {"text": "plain"}
    kept = write(tmp_path / "c.tsv", 'id\ttext\n1\t"She said ""no"""\n')
    assert load(DataSpec("tsv", kept, quoting="none"))[0].fields == {"text": '"She said ""no"""'}


@pytest.mark.parametrize(
    "line", ['1\t"so', '1\tso"', '1\ta "word" here', '1\t"word"', '1\t"a" b', '1\t"']
)
def test_quotes_that_are_text_stay_in_a_tsv(tmp_path, line):
    path = write(tmp_path / "a.tsv", f"id\ttext\n{line}\n2\tplain\n")
    rows, notes = told(DataSpec, "tsv", path)
    assert rows[0].fields == {"text": line.partition("\t")[2]}
    assert (len(rows), notes) == (2, [])


def test_quotes_of_a_csv_can_be_kept(tmp_path):
    path = write(tmp_path / "a.csv", 'a,b\n"x,1\n')
    assert load(DataSpec("csv", path, quoting="none"))[0].fields == {"a": '"x', "b": "1"}


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "utf-8"]
)
@pytest.mark.parametrize("form", ["csv", "jsonl", "json", "lines", "conll"])
def test_an_encoding_with_a_mark_or_zeros_is_found(tmp_path, encoding, form):
    text = {
        "csv": "text,label\nHujambo dünya,x\n",
        "jsonl": '{"text": "Hujambo dünya", "label": "x"}\n',
        "json": '[{"text": "Hujambo dünya", "label": "x"}]',
        "lines": "Hujambo dünya\n",
        "conll": "Hujambo\tO\ndünya\tO\n\n",
    }[form]
    path = write(tmp_path / "a.txt", text, encoding)
    rows, notes = told(DataSpec, form, path)
    assert "Hujambo dünya" in rows[0].fields.values()
    wide = encoding.startswith(("utf-16", "utf-32"))
    if form not in ("lines", "conll"):
        said = f"{path}: read as {encoding[:6].upper()}, as its first bytes say"
        assert notes == ([said] if wide else [])


def test_an_encoding_without_marks_is_named(tmp_path):
    path = write(tmp_path / "a.csv", "text\nschön\n", "cp1252")
    assert message(DataSpec("csv", path)).endswith(
        "save the file as UTF-8 or give its encoding: in the data, such as cp1252 for one from "
        "Excel"
    )
    assert load(DataSpec("csv", path, encoding="cp1252"))[0].fields == {"text": "schön"}


def test_a_json_list_is_read_whole_or_at_a_path(tmp_path):
    rows = [{"id": 7, "text": "a", "label": "pos"}, {"id": 8, "text": "b", "label": "neg"}]
    whole = write(tmp_path / "a.json", json.dumps(rows, indent=1))
    inside = write(tmp_path / "b.json", json.dumps({"data": {"rows": rows}, "version": 1}))
    first = load(DataSpec("json", whole, answer="label"))
    assert [(row.id, row.targets, row.gold) for row in first] == [
        ("7", ("pos",), ("label",)),
        ("8", ("neg",), ("label",)),
    ]
    assert load(DataSpec("json", inside, answer="label", at="data.rows")) == first


@pytest.mark.parametrize(
    ("text", "at", "error"),
    [
        ('{"rows": [], "n": 1}', None, "the file is an object, a list of rows is needed; write "
         "at: rows"),
        ('{"data": {"rows": []}}', "data", "'data' is an object, a list of rows is needed; write "
         "at: data.rows"),
        ('{"rows": []}', "row", "at: the file is an object without 'row'. Did you mean 'rows'?"),
        ("3", None, "the file is 3, a list of objects is needed"),
        ("[1]", None, ": row 1: a JSON object is needed, like {"),
        ('[{"a": 1},\n]', None, ":2: not JSON: "),
        ('{"a": 1}\n{"a": 2}\n', None, ":2: not JSON: Extra data; for one object a line write "
         "format: jsonl"),
        ('[{"a": NaN}]', None, "not JSON: NaN is no JSON value"),
    ],
)  # fmt: skip
def test_json_errors(tmp_path, text, at, error):
    assert error in message(DataSpec("json", write(tmp_path / "a.json", text), at=at))


@pytest.mark.parametrize("text", ['[\n  {"a": 1}\n]', '[{"a": 1}]', '{\n "a": 1}'])
def test_json_that_is_read_as_lines_is_told_its_format(tmp_path, text):
    assert "format: json" in message(DataSpec("jsonl", write(tmp_path / "a.json", text)))


def test_row_numbers_can_be_asked_for(tmp_path):
    path = write(tmp_path / "x.csv", "id,text\n7,a\n7,b\n")
    rows = load(DataSpec("csv", path, id="row"))
    assert [(row.id, row.fields) for row in rows] == [("0", {"text": "a"}), ("1", {"text": "b"})]
    named = write(tmp_path / "y.csv", "row,text\nr1,a\nr2,b\n")
    assert [row.id for row in load(DataSpec("csv", named, id="row"))] == ["r1", "r2"]


@pytest.mark.parametrize("header", ["", "Unnamed: 0", "__index_level_0__"])
def test_the_index_that_pandas_writes_is_no_field(tmp_path, header):
    path = write(tmp_path / "a.csv", f"{header},text\n0,a\n1,b\n")
    assert [(row.id, row.fields) for row in load(DataSpec("csv", path))] == [
        ("0", {"text": "a"}),
        ("1", {"text": "b"}),
    ]
    behind = write(tmp_path / "b.csv", "text,\na,1\n")
    assert "a column has no name" in message(DataSpec("csv", behind))


def test_fields_take_the_languages_of_the_pair(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"text_en": "hi", "text_sw": "jambo"}\n')
    fields = {"source": "text_{source}", "target": "text_{target}"}
    options = {"fields": fields, "answer": "target"}
    (row,) = load(DataSpec("jsonl", path, source="en", target="sw", **options))
    assert (row.fields, row.targets) == ({"source": "hi", "target": "jambo"}, ("jambo",))
    assert row.gold == ("target",)
    (other,) = load(DataSpec("jsonl", path, source="sw", target="en", **options))
    assert other.targets == ("hi",)
    error = message(DataSpec("jsonl", path, **options))
    assert error.endswith("has {source} but no value: give pair: under rows")


def test_class_labels_of_a_parquet_file_come_by_name(tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    label = {"names": ["neg", "pos"], "_type": "ClassLabel"}
    features = {
        "text": {"dtype": "string", "_type": "Value"},
        "label": label,
        "tags": {"feature": label, "_type": "List"},
        "old": [label],
        "deep": {"one": label, "two": {"dtype": "int64", "_type": "Value"}},
    }
    rows = [
        {"text": "a", "label": 1, "tags": [0, 1], "old": [1], "deep": {"one": 0, "two": 0}},
        {"text": "b", "label": -1, "tags": [], "old": [], "deep": {"one": 1, "two": 1}},
    ]
    about = {"huggingface": json.dumps({"info": {"features": features}})}
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(rows).replace_schema_metadata(about), path)
    first, second = load(DataSpec("parquet", path, answer="label"))
    assert (first.targets, second.targets) == (("pos",), ())
    assert first.fields["tags"] == ["neg", "pos"]
    assert first.fields["old"] == ["pos"]
    assert first.fields["deep"] == {"one": "neg", "two": 0}
    rows[0]["label"] = 2
    pq.write_table(pa.Table.from_pylist(rows).replace_schema_metadata(about), path)
    assert message(DataSpec("parquet", path, answer="label")).startswith(
        f"{path}: row 1: the class label 2, and the file names 2, from 0"
    )
    foreign = {"huggingface": "[not json"}
    pq.write_table(pa.Table.from_pylist(rows).replace_schema_metadata(foreign), path)
    assert load(DataSpec("parquet", path, answer="label"))[0].targets == ("2",)


TURNS = [
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": "b"},
    {"role": "user", "content": "c"},
    {"role": "assistant", "content": "d"},
]


def test_the_last_turn_of_the_assistant_is_the_answer(tmp_path):
    parts = [{"role": "assistant", "content": [{"type": "text", "text": "x"}]}]
    lines = [TURNS, TURNS[:3] + TURNS[:1], TURNS[:1], parts]
    text = "".join(json.dumps({"messages": line}) + "\n" for line in lines)
    path = write(tmp_path / "a.jsonl", text)
    rows = load(DataSpec("jsonl", path, answer="messages"))
    assert [row.targets for row in rows] == [("d",), ("b",), (), ("x",)]
    assert [row.fields["messages"] for row in rows] == [TURNS[:3], TURNS[:1], TURNS[:1], []]
    assert [row.gold for row in rows] == [()] * 4
    broken = write(tmp_path / "b.jsonl", '{"m": [{"role": "assistant", "content": null}]}\n')
    assert "the last turn of the assistant in 'm' is None; a text is needed" in message(
        DataSpec("jsonl", broken, answer="m")
    )


def test_a_spec_with_an_expression_says_what_it_needs(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"a": 1}\n')
    with pytest.raises(ConfigError, match=r"expressions=icl.RowExpressions\(\)"):
        load(DataSpec("jsonl", path, answer="{{ a }}"))
    with pytest.raises(DataError, match="the column 'a' holds 1, and a column of true and false"):
        load(DataSpec("jsonl", path, where="a"))
    with pytest.raises(
        DataError, match=r"no column 'b'. There are: a; an expression is written in {{"
    ):
        load(DataSpec("jsonl", path, where="b"))
