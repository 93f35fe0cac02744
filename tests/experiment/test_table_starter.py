"""``icl init --from``: whatever table it takes, what it writes lints, runs and keeps rows apart."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from icl import start_from_table
from icl.core.errors import ConfigError, DataError, StoreError
from icl.experiment.entries import (
    DataEntry,
    ExperimentEntry,
    PoolEntry,
    RowsEntry,
    SamplingEntry,
    ShotsEntry,
    TaskEntry,
)
from icl.experiment.lint import lint
from icl.experiment.starters import find_starters, init
from icl.experiment.table_starter import TableStarter
from icl.records.results import Run
from icl.running.run import run

WISHES = ("order", "refund", "opening hours", "thanks")
Rows = list[dict[str, Any]]


def messages(n: int = 24) -> Rows:
    return [
        {"text": f"please see to my matter number {i}", "stars": i % 5, "wish": WISHES[i % 4]}
        for i in range(n)
    ]


def save(path: Path, rows: Rows) -> Path:
    """Write rows in the format of a path's suffix."""
    if path.suffix in (".csv", ".tsv"):
        text = io.StringIO()
        between = "," if path.suffix == ".csv" else "\t"
        table = csv.DictWriter(text, list(rows[0]), delimiter=between, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        path.write_text(text.getvalue(), "utf-8")
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps({"version": 1, "rows": rows}), "utf-8")
    else:
        arrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(arrow.Table.from_pylist(rows), path)
    return path


def carry_out(made: TableStarter, out: Path) -> Run:
    """Lint and run what was written, with a table in place of the model alone."""
    file = made.experiment
    assert lint(str(file)) == []
    text = file.read_text("utf-8")
    changed = re.sub(r"\{source: .*?\}", "{engine: table, default: hash}", text, count=1)
    assert changed != text
    file.write_text(changed, "utf-8")
    done = run(file, out)
    assert len(done.conditions) == 3
    assert all(c.records and not c.unscored for c in done.conditions)
    return done


def written(made: TableStarter) -> tuple[dict[str, Any], str, Rows]:
    folder = made.experiment.parent
    lines = (folder / "rows.jsonl").read_text("utf-8").splitlines()
    return (
        yaml.safe_load(made.experiment.read_text("utf-8")),
        (folder / "prompt.j2").read_text("utf-8"),
        [json.loads(line) for line in lines],
    )


def check_keys(entry: dict[str, Any]) -> None:
    """Only basic keys, and at most twelve in the file, its data and its tasks."""
    (data,), (task,) = entry["data"].values(), entry["tasks"]
    assert len({*entry, *data, *task}) <= 12
    shots = [one for one in entry["grid"]["shots"] if isinstance(one, dict)]
    for kind, keys in (
        (ExperimentEntry, entry),
        (DataEntry, data),
        (TaskEntry, task),
        (RowsEntry, task["rows"]),
        (PoolEntry, task.get("pool", {})),
        (SamplingEntry, task.get("sampling", {})),
        *((ShotsEntry, one) for one in shots),
    ):
        for key in keys:
            extra = kind.model_fields[key].json_schema_extra
            assert isinstance(extra, dict) and extra["level"] == "basic", key


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_each_format_gives_an_experiment_that_runs(suffix: str, tmp_path: Path) -> None:
    table = save(tmp_path / f"messages.{suffix}", messages())
    made = start_from_table(tmp_path / "wishes", table, answer="wish")
    entry, template, rows = written(made)
    assert entry["tasks"][0]["task"] == "classify"
    assert entry["name"] == "wishes"
    assert 'labels: ["opening hours", "order", "refund", "thanks"]' in template
    assert "Text: {{ text }}\nWish:||| {{ label }}" in template
    assert "stars" not in template
    check_keys(entry)
    for side in ("test", "train"):  # stratified: three of each label on both sides
        held = [row["wish"] for row in rows if row["split"] == side]
        assert {wish: held.count(wish) for wish in WISHES} == dict.fromkeys(WISHES, 3)
    done = carry_out(made, tmp_path / "runs")
    assert {row for c in done.conditions for row in c.ids} == {
        row["id"] for row in rows if row["split"] == "test"
    }


def sentence(i: int) -> str:
    return f"the {i}th day was long and the road went over hill number {i}"


KINDS: dict[str, tuple[Rows, dict[str, Any]]] = {
    "labels": (
        [
            {"text": sentence(i), "moods": [["joy"], ["joy", "fear"], [], ["fear", "anger"]][i % 4]}
            for i in range(24)
        ],
        {"answer": "moods"},
    ),
    "choose": (
        [
            {
                "premise": sentence(i),
                "choice1": f"it rained {i}",
                "choice2": f"it snowed {i}",
                "label": i % 2,
            }
            for i in range(20)
        ],
        {},
    ),
    "extract": (
        [
            {"text": f"Ann{i} met Bo{i} in the park", "named": {"person": [f"Ann{i}", f"Bo{i}"]}}
            for i in range(20)
        ],
        {"answer": "named"},
    ),
    "generate": (
        [{"question": sentence(i), "reply": f"it is the day {i} of many"} for i in range(20)],
        {"answer": "reply"},
    ),
    "translation": (
        [
            {"de": f"der Hund Nummer {i} bellt", "en": f"the dog number {i} barks"}
            for i in range(20)
        ],
        {"task": "translate"},
    ),
    "summarization": (
        [
            {"body": " ".join([sentence(i)] * 12), "gist": f"day {i} was very long.\nA road."}
            for i in range(20)
        ],
        {"answer": "gist"},
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_found_and_runs(kind: str, tmp_path: Path) -> None:
    rows, options = KINDS[kind]
    made = start_from_table(tmp_path / "mine", save(tmp_path / "t.jsonl", rows), **options)
    entry, _, copied = written(made)
    assert entry["tasks"][0]["task"] == kind
    check_keys(entry) if kind != "translation" else None
    assert len(copied) == len(rows)
    done = carry_out(made, tmp_path / "runs")
    assert all(c.scores for c in done.conditions)


def test_a_translation_names_the_languages_of_its_columns(tmp_path: Path) -> None:
    rows = [{"German": f"der Hund {i} bellt", "English": f"dog {i} barks"} for i in range(8)]
    made = start_from_table(tmp_path / "m", save(tmp_path / "p.tsv", rows), task="translation")
    entry, template, _ = written(made)
    assert entry["tasks"][0]["rows"]["pair"] == {"from": "de", "to": "en"}
    assert "{{ source_language }}: {{ source }}\n{{ target_language }}:|||" in template
    prompt = next(iter(carry_out(made, tmp_path / "runs").conditions))
    assert prompt.records
    for row in rows:
        row["his words"] = row.pop("German")
        row["her words"] = row.pop("English")
    made = start_from_table(tmp_path / "n", save(tmp_path / "q.tsv", rows), task="translation")
    entry, template, _ = written(made)
    assert "pair" not in entry["tasks"][0]["rows"]
    assert "His words: {{ source }}\nHer words:||| {{ target }}" in template
    carry_out(made, tmp_path / "runs")


NAMES = [
    "words", "labels", "language", "target", "targets", "label", "choice", "row", "split_",
    "source_language", "for", "none", "self", "loop", "range", "namespace", "my text", "Сообщение",
    "問い合わせ", "प्रश्न", "2nd text", "a.b", "{{ x }}", "text|||", "{% if %}", "[[query]]", "  ",
    "größe", "fit", "true", "id_", "text\u202e", "ﬁ",
]  # fmt: skip


def test_columns_of_any_name_are_read(tmp_path: Path) -> None:
    rows = [
        {**{name: f"{name} {row['text']}" for name in NAMES}, "wish": row["wish"]}
        for row in messages(16)
    ]
    made = start_from_table(tmp_path / "m", save(tmp_path / "t.jsonl", rows), answer="wish")
    _, template, copied = written(made)
    assert len(re.findall(r"^.+: \{\{ \w", template, re.M)) == len(NAMES)
    assert len(copied[0]) == len(NAMES) + 3
    done = carry_out(made, tmp_path / "runs")
    first = done.conditions[0]
    (row,) = (one for one in copied if one["id"] == first.ids[0])
    assert {f"{name} " for name in NAMES} == {
        str(text).partition("please")[0] for text in row.values() if "please" in str(text)
    }


@pytest.mark.parametrize("name", ["words", "target", "targets", "labels", "for", "प्रश्न", "{{ x }}"])
def test_an_answer_of_any_name_is_read(name: str, tmp_path: Path) -> None:
    rows = [{"q": sentence(i), name: f"the reply is {i} and more"} for i in range(6)]
    made = start_from_table(tmp_path / "m", save(tmp_path / "t.jsonl", rows), answer=name)
    done = carry_out(made, tmp_path / "runs")
    assert all(c.scores for c in done.conditions)


def test_columns_that_become_one_name_stay_apart(tmp_path: Path) -> None:
    rows = [
        {
            "my text": sentence(i),
            "my-text": sentence(i + 50),
            "my_text": "x y",
            "wish": WISHES[i % 2],
        }
        for i in range(12)
    ]
    rows[0]["my_text"] = "z y"
    made = start_from_table(tmp_path / "m", save(tmp_path / "t.jsonl", rows), answer="wish")
    _, template, copied = written(made)
    assert len(copied[0]) == 6
    assert {"{{ my_text }}", "{{ my_text2 }}", "{{ my_text3 }}"} <= set(
        re.findall(r"\{\{ my\w+ \}\}", template)
    )
    carry_out(made, tmp_path / "runs")


def test_labels_of_any_text_are_ranked(tmp_path: Path) -> None:
    labels = ["yes", "no", "a: b", 'quote "x"', "it's", "#tag", "- dash", "null", "é", "[x]", "{y}"]
    labels += ["1", "tab\there", "line\u2028end", "\udc80 half", "order", "order status", "Order"]
    rows = [{"text": sentence(i), "wish": labels[i % len(labels)]} for i in range(54)]
    made = start_from_table(tmp_path / "m", save(tmp_path / "t.jsonl", rows), answer="wish")
    assert any("Order is taken as order" in note for note in made.notes)
    head = yaml.safe_load(written(made)[1].split("---\n")[1])
    assert len(head["labels"]) == len(labels) - 1
    carry_out(made, tmp_path / "runs")


def test_many_labels_are_fine(tmp_path: Path) -> None:
    rows = [{"text": sentence(i), "intent": f"intent number {i % 60}"} for i in range(300)]
    made = start_from_table(tmp_path / "m", save(tmp_path / "t.csv", rows))
    _, template, copied = written(made)
    assert max(map(len, template.splitlines())) <= 100
    assert [row["split"] for row in copied].count("test") == 100
    assert {row["intent"] for row in copied if row["split"] == "train"} == {
        f"intent number {i}" for i in range(60)
    }
    assert lint(str(made.experiment)) == []


def test_a_split_of_the_table_is_kept_but_for_rows_that_repeat_a_test_row(tmp_path: Path) -> None:
    rows = [{**row, "split": ("train", "test", "dev")[n % 3]} for n, row in enumerate(messages())]
    rows[3]["text"] = rows[1]["text"].upper()  # a row of train repeats one of test
    made = start_from_table(tmp_path / "m", save(tmp_path / "t.jsonl", rows), answer="wish")
    copied = written(made)[2]
    assert [row["split"] for row in copied[:5]] == ["train", "test", "dev", "repeats", "test"]
    carry_out(made, tmp_path / "runs")


def test_rows_without_answer_or_input_and_column_with_the_answer_are_told(tmp_path: Path) -> None:
    rows = [{**row, "wish id": WISHES.index(row["wish"])} for row in messages(24)]
    rows[0]["wish"] = ""
    rows[1]["text"] = " "
    made = start_from_table(tmp_path / "m", save(tmp_path / "t.csv", rows), answer="wish")
    told = {guess.name: guess.found for guess in made.guesses}
    assert told["left out"] == "2 rows without answer, input or choices"
    assert told["hidden"] == "wish id: the answer itself"
    assert len(written(made)[2]) == 22
    assert all(guess.change for guess in made.guesses)
    carry_out(made, tmp_path / "runs")


def test_the_same_table_gives_the_same_files_in_any_order(tmp_path: Path) -> None:
    rows = messages()
    one = start_from_table(tmp_path / "a", save(tmp_path / "t.jsonl", rows), answer="wish")
    two = start_from_table(tmp_path / "b", save(tmp_path / "t.jsonl", rows[::-1]), answer="wish")
    sides = [{row["text"]: row["split"] for row in written(made)[2]} for made in (one, two)]
    assert sides[0] == sides[1]


def headless(rows: Rows) -> str:
    return "\n".join(",".join(map(str, row.values())) for row in rows)


def test_a_folder_and_a_table_of_any_name_stay_in_their_comment(tmp_path: Path) -> None:
    folder = tmp_path / "a\nb: \u2028\x1b[1m # {x}"
    table = save(tmp_path / "a\nb: \u2028\x1b[1m.csv", messages(16))
    made = start_from_table(folder / "mine", table, answer="wish")
    carry_out(made, tmp_path / "runs")
    init(folder / "intent", "intent", "./none")
    assert lint(str(folder / "intent" / "experiment.yaml")) == []


def test_sets_of_labels_with_the_words_that_stand_between_and_for_none(tmp_path: Path) -> None:
    sets = [["joy, pure", "none"], ["none"], [], ["joy, pure"], ["a; b"]]
    rows = [{"text": sentence(i), "moods": sets[i % 5]} for i in range(30)]
    made = start_from_table(tmp_path / "m", save(tmp_path / "t.jsonl", rows), answer="moods")
    _, template, _ = written(made)
    assert 'label_separator: " | "' in template and 'no_labels: "nothing"' in template
    carry_out(made, tmp_path / "runs")


def test_rows_whose_choices_cannot_be_told_apart_are_left_out(tmp_path: Path) -> None:
    rows = [
        {"q": sentence(i), "options": ["a", "b", f"c{i}"], "key": "ABC"[i % 3]} for i in range(20)
    ]
    rows[0]["options"] = ["a", "a", "c"]
    rows[1]["options"] = ["a", "", "c"]
    made = start_from_table(tmp_path / "m", save(tmp_path / "t.jsonl", rows), answer="key")
    assert len(written(made)[2]) == 18
    carry_out(made, tmp_path / "runs")


def test_lists_to_extract_and_lists_of_right_answers_run(tmp_path: Path) -> None:
    items = [{"text": sentence(i), "out": [f"x{i}", f"y{i}"]} for i in range(12)]
    made = start_from_table(tmp_path / "a", save(tmp_path / "t.jsonl", items), answer="out")
    assert written(made)[0]["tasks"][0]["task"] == "extract"
    carry_out(made, tmp_path / "runs")
    for n, row in enumerate(items):
        row["out"] = [f"he went home at {n}\nor so", f"at {n} he went"]
        row["more"] = {"a": [n]}
    table = save(tmp_path / "t.jsonl", items)
    made = start_from_table(tmp_path / "b", table, answer="out", inputs=("text", "more"))
    _, template, _ = written(made)
    assert "{{ more | json }}" in template and "split()" in template
    carry_out(made, tmp_path / "runs")


def test_rows_of_numbers_or_objects_alone_run_too(tmp_path: Path) -> None:
    rows = [{"size": i * 1.5, "kind": "ab"[i % 2]} for i in range(12)]
    made = start_from_table(tmp_path / "a", save(tmp_path / "t.jsonl", rows), answer="kind")
    carry_out(made, tmp_path / "runs")
    bare = [{"size": {"cm": i}, "kind": "ab"[i % 2]} for i in range(12)]
    table = save(tmp_path / "t.jsonl", bare)
    made = start_from_table(tmp_path / "b", table, answer="kind", inputs=("size",))
    assert "bm25" not in made.experiment.read_text()  # which compares texts
    assert lint(str(made.experiment)) == []


def test_of_parquet_with_pictures_the_named_columns_are_read(tmp_path: Path) -> None:
    rows = [{**row, "picture": b"\x89PNG"} for row in messages(16)]
    table = save(tmp_path / "t.parquet", rows)
    with pytest.raises(DataError, match="'picture' holds a value of type bytes"):
        start_from_table(tmp_path / "m", table, answer="wish")
    made = start_from_table(tmp_path / "m", table, answer="wish", inputs=("text",))
    carry_out(made, tmp_path / "runs")


BAD: list[tuple[str, bytes, dict[str, Any], str]] = [
    ("t.csv", headless(messages()).encode(), {},
     r"the first line reads like a row and not like names of columns \(it has 'please see"),
    ("t.csv", b"good,pos\nbad,neg\nwell,pos\nno,neg\n", {},
     r"it has 'pos'\); put a line of names above it, such as 'text,answer'"),
    ("pairs.tsv", b"Good day.\tGuten Tag.\nBye now.\tBis dann.\n", {"task": "translation"},
     "it has 'Good day.'.; put a line of names above it, such as 'text.tanswer'"),
    ("t.csv", b"text\nhello there\nbye then\n", {},
     "has one column, 'text'; at least two are needed: what the model reads, and the right answer"),
    ("t.csv", b"", {}, "is empty; a line with the names of the columns and some rows"),
    ("t.jsonl", b"\n", {}, "is empty; a line with the names"),
    ("t.csv", b"text,wish\n", {}, "has one line, 'text,wish', and no rows below it; a line of"),
    ("t.csv", b"hund1,dog one\nhund2,dog two\nhund3,a dog\nkatze,cat\n", {},
     "first line reads like a row and not like names of columns .it has 'hund1'"),
    ("t.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0", {}, "holds bytes that are no text"),
    ("t.xls", b"PK\3\4", {}, "no table is known by the end of this name; accepted: .csv, .tsv"),
    ("t.xlsx", b"PK\3\4", {}, "is no XLSX workbook: file is not a zip file; save it as .xlsx"),
    ("t.parquet", b"nope", {}, "no whole Parquet file"),
    ("t.csv", save, {"answer": "wihs"}, "no column 'wihs'. Did you mean 'wish'?"),
    ("t.csv", save, {"answer": "wish", "inputs": ["txt"]}, "no column 'txt'. Did you mean 'text'?"),
    ("t.csv", save, {"answer": "wish", "inputs": ["wish"]}, "'wish' is the answer, which"),
    ("t.csv", save, {"answer": "wish", "task": "clasify"}, "Did you mean 'classify'"),
    ("t.csv", save, {"answer": "wish", "task": "choose"}, "no columns hold the choices of a row"),
    ("t.csv", save, {"answer": "wish", "task": "extract"}, "to extract, JSON objects or lists are"),
    ("t.jsonl", "".join(json.dumps({"text": sentence(i), "n": f"c{i}"}) + "\n" for i in range(1000))
     .encode(), {"answer": "n"},
     "'n' holds 1,000 different values in 1,000 rows; to classify, at most 200 are needed"),
    ("t.jsonl", "".join(json.dumps({"text": sentence(i), "n": f"c d {i}"}) + "\n"
     for i in range(1000)).encode(), {"answer": "n", "task": "classify"}, "1,000 different values"),
    ("t.jsonl", "".join(json.dumps({"text": sentence(i), "n": "one"}) + "\n" for i in range(9))
     .encode(), {"answer": "n"}, "'n' holds one value, 'one', in all 9 rows; at least two"),
    ("t.csv", b"text,wish\na b c,\nc d e,\n", {"answer": "wish"}, "'wish' is empty in all 2 rows"),
    ("t.csv", b"text,wish\na b c,x\nc d e,y\n", {"answer": "wish"}, "at least 4 are needed"),
    ("t.csv", b"a,b,c\nx y,z w,u v\nq r,s t,o p\n", {}, "which column holds the right answer?"),
    ("t.jsonl", b'{"m": [{"role": "user", "content": "x"}], "t": "y"}\n' * 5, {"answer": "m"},
     "holds one value"),
    ("t.csv", b"text,wish\n" + b"same text,x\nsame text,y\n" * 4, {"answer": "wish"},
     "no column to read besides the answer 'wish'"),
    ("t.csv", "text,wish\ngröße,x\n".encode("latin-1"), {"answer": "wish"}, "is not utf-8"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "options", "message"), BAD)
def test_a_table_that_cannot_be_used_is_one_line_and_nothing_is_written(
    name: str, content: Any, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content) if isinstance(content, bytes) else content(path, messages())
    with pytest.raises((ConfigError, DataError), match=message) as raised:
        start_from_table(tmp_path / "mine", path, **options)
    assert "\n" not in str(raised.value)
    assert [one.name for one in tmp_path.iterdir()] == [name]


def test_a_missing_table_and_a_folder_that_is_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        start_from_table(tmp_path / "mine", tmp_path / "none.csv")
    table = save(tmp_path / "t.csv", messages())
    with pytest.raises(StoreError, match="nothing is overwritten"):
        start_from_table(tmp_path, table)


@pytest.mark.parametrize("task", sorted(find_starters()))
def test_the_starters_that_ship_have_at_most_twelve_keys_too(task: str) -> None:
    text = (find_starters()[task] / "experiment.yaml").read_text("utf-8")
    check_keys(yaml.safe_load(text.replace("@", "x")))
