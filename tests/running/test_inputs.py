"""Files as people bring them, from the experiment file to the score and the messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from icl.core.errors import DataError, IclError, LeakError, TemplateError
from icl.experiment.condition import build
from icl.experiment.file import load_experiment
from icl.experiment.grid import list_points
from icl.experiment.lint import lint
from icl.experiment.loader import Loader
from icl.records.results import load_run
from icl.running.progress import Progress
from icl.running.run import run
from icl.scoring.scores import score_run
from tests.datafiles import write

SENTIMENT = """---
task: classify
labels: [pos, neg]
stop: ["\\n"]
---
[[example]]
Text: {{ text }}
Label:||| {{ label }}
"""
FOUND = SENTIMENT.replace("labels: [pos, neg]\n", "")
"""With the labels that the data has."""


def experiment(
    folder: Path, template: str, data: dict[str, Any], task: str = "classify", **more: Any
) -> Path:
    """An experiment of one task on the table engine; ``more`` joins the task."""
    (folder / "t.j2").write_text(template, "utf-8")
    entry = {"task": task, "prompt": "t.j2", "rows": {"data": "d"}, **more}
    file = folder / "e.yaml"
    models = {"m": {"engine": "table", "default": "hash"}}
    file.write_text(
        yaml.safe_dump(
            {
                "name": "e",
                "models": models,
                "data": {"d": data},
                "tasks": [entry],
                "grid": {"shots": [0]},
            }
        )
    )
    return file


def built(file: Path):
    """The one condition of a file, and its loader."""
    loaded = load_experiment(file)
    loader = Loader(loaded)
    return build(list_points(loaded)[0], loader), loader


def targets(file: Path) -> dict[str, tuple[str, ...]]:
    return {row.id: row.targets for row in built(file)[0].examples}


def jsonl(path: Path, *rows: Any) -> Path:
    return write(path, "".join(json.dumps(row) + "\n" for row in rows))


class Told(Progress):
    """Keeps the notes of a run."""

    def __init__(self) -> None:
        super().__init__(None)
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.parametrize(
    ("name", "text", "entry", "expected"),
    [
        (
            "x.csv",
            "\ufeffid;text;label\r\n1;Guten Tag;pos\r\n2;Nein, danke;neg\r\n",
            {"format": "csv"},
            {"1": ("pos",), "2": ("neg",)},
        ),
        (
            "x.tsv",
            'id\ttext\tlabel\n1\t"She said ""no"""\tneg\n3\tplain\tpos\n',
            {"format": "tsv"},
            {"1": ("neg",), "3": ("pos",)},
        ),
        (
            "x.json",
            '[\n {"text": "a", "label": "pos"},\n {"text": "b", "label": "neg"}\n]',
            {"format": "json"},
            {"0": ("pos",), "1": ("neg",)},
        ),
        (
            "x.csv",
            "id,text,label\n7,a,pos\n7,b,neg\n",
            {"format": "csv", "id": "row"},
            {"0": ("pos",), "1": ("neg",)},
        ),
    ],
    ids=["semicolon-csv", "quoted-tsv", "json-array", "duplicate-ids"],
)
def test_files_are_run_at_the_first_try(
    tmp_path: Path, name: str, text: str, entry: dict[str, Any], expected: dict[str, Any]
) -> None:
    write(tmp_path / name, text)
    file = experiment(tmp_path, SENTIMENT, {"path": name, "answer": "label", **entry})
    assert targets(file) == expected
    assert lint(str(file)) == []
    done = run(load_experiment(file), tmp_path / "runs", Told())
    assert done.conditions[0].scores[0].n == 2


def test_guesses_are_told_by_a_run(tmp_path: Path) -> None:
    write(tmp_path / "x.csv", "text;label\na;pos\nb;neg\n")
    told = Told()
    data = {"format": "csv", "path": "x.csv", "answer": "label", "where": "{{ text != 'b' }}"}
    run(load_experiment(experiment(tmp_path, SENTIMENT, data)), tmp_path / "runs", told)
    assert [note.partition("x.csv: ")[2] for note in told.notes] == [
        "cells are separated by semicolons; delimiter: says otherwise",
        "1 of 2 rows are left out by where: {{ text != 'b' }}",
    ]


def test_class_labels_of_parquet_are_the_choices(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    label = {"names": ["neg", "pos"], "_type": "ClassLabel"}
    about = {"huggingface": json.dumps({"info": {"features": {"label": label}}})}
    rows = pa.Table.from_pylist([{"text": "a", "label": 1}, {"text": "b", "label": 0}])
    pq.write_table(rows.replace_schema_metadata(about), tmp_path / "x.parquet")
    data = {"format": "parquet", "path": "x.parquet", "answer": "label"}
    made, _ = built(experiment(tmp_path, FOUND, data))
    assert [choice.text for choice in made.choices] == [" neg", " pos"]


def test_rows_without_an_answer_are_left_out_and_counted(tmp_path: Path) -> None:
    jsonl(
        tmp_path / "x.jsonl",
        {"text": "a", "label": None},
        {"text": "b", "label": "pos"},
        {"text": "c", "label": "None"},
    )
    data = {"format": "jsonl", "path": "x.jsonl", "answer": "label"}
    file = experiment(tmp_path, SENTIMENT.replace("pos, neg", "pos, None"), data)
    told = Told()
    done = run(load_experiment(file), tmp_path / "runs", told)
    assert told.notes == ["classify: d: 1 of 3 rows has no answer and is left out"]
    assert (done.conditions[0].scores[0].n, {*done.conditions[0].ids}) == (2, {"1", "2"})
    jsonl(tmp_path / "x.jsonl", {"text": "a", "label": None})
    assert targets(file) == {"0": ()}  # without a single answer all are asked


def test_shots_are_taken_from_rows_with_an_answer(tmp_path: Path) -> None:
    jsonl(
        tmp_path / "x.jsonl",
        {"text": "q", "label": "pos", "split": "test"},
        *({"text": str(n), "label": None, "split": "train"} for n in range(5)),
        {"text": "p", "label": "neg", "split": "train"},
    )
    data = {"format": "jsonl", "path": "x.jsonl", "answer": "label"}
    rows = {"data": "d", "split": "test"}
    file = experiment(tmp_path, SENTIMENT, data, rows=rows, pool={"split": "train"})
    made, loader = built(file)
    assert [row.fields["text"] for row in made.pool] == ["p"]
    assert [*loader.notes] == ["classify: the pool d: 5 of 6 rows have no answer and are left out"]


def test_choices_may_bring_their_own_labels(tmp_path: Path) -> None:
    template = """---
task: choose
choices: o
choice_labels: l
label_field: a
stop: ["\\n"]
---
Q: {{ q }}
A:||| {{ choice }}
"""
    rows = [
        {"q": "q1", "o": ["x", "y", "z"], "l": ["A", "B", "C"], "a": "B"},
        {"q": "q2", "o": ["x", "y", "z"], "l": [1, 2, 3], "a": 2},
    ]
    jsonl(tmp_path / "x.jsonl", *rows)
    file = experiment(tmp_path, template, {"format": "jsonl", "path": "x.jsonl"}, "choose")
    made, _ = built(file)
    labels = {row.id: [one.label for one in made.choices_of(row)] for row in made.examples}
    assert labels == {"0": ["A", "B", "C"], "1": ["1", "2", "3"]}
    assert targets(file) == {"0": ("B",), "1": ("2",)}
    assert lint(str(file)) == []
    jsonl(tmp_path / "x.jsonl", {**rows[0], "l": ["A"]})
    with pytest.raises(TemplateError, match="the field 'l' must list a label for each of 3 cho"):
        built(file)
    (tmp_path / "t.j2").write_text(template.replace("choice_labels: l", "choice_labels: letter"))
    with pytest.raises(TemplateError, match="choice_labels: no field 'letter'"):
        built(file)
    (tmp_path / "t.j2").write_text(template.replace("choice_labels: l", "choice_labels: [A, B]"))
    with pytest.raises(TemplateError, match="3 choices, but `choice_labels:` has 2; give each its"):
        built(file)
    (tmp_path / "t.j2").write_text(template.replace("choice_labels: l", "choice_labels: [A, C, D]"))
    jsonl(tmp_path / "x.jsonl", rows[0])
    with pytest.raises(DataError, match="or name there the field that lists each row's labels"):
        built(file)


CHAT = """---
stop: ["\\n"]
---
{% for m in messages %}{{ m.role }}: {{ m.content }}
{% endfor %}assistant:||| {{ target }}
"""


def test_chat_turns_are_data_whose_last_answer_is_gold(tmp_path: Path) -> None:
    turns = [
        {"role": "system", "content": "Be nice."},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
    ]
    jsonl(tmp_path / "x.jsonl", {"messages": turns})
    data = {"format": "jsonl", "path": "x.jsonl", "answer": "messages"}
    file = experiment(tmp_path, CHAT, data, "generate")
    made, _ = built(file)
    (row,) = made.examples
    assert row.targets == ("hello",)
    assert made.request(row).prompt.text == "system: Be nice.\nuser: hi\nassistant:"
    assert lint(str(file)) == []
    cut = CHAT.replace("in messages", "in messages[:-1]").replace("target", "messages[-1].content")
    (tmp_path / "t.j2").write_text(cut)
    with pytest.raises(LeakError, match="`answer: messages` in the data, which takes the answer"):
        built(file)


def test_an_answer_may_be_an_expression_read_by_a_parser_with_options(tmp_path: Path) -> None:
    jsonl(
        tmp_path / "x.jsonl",
        {"question": "2 pens and 3 pens?", "answer": "2+3=<<2+3=5>>5 pens.\n#### 5"},
        {"question": "1,000 + 200?", "answer": "sum\n#### 1,200"},
    )
    data = {
        "format": "jsonl",
        "path": "x.jsonl",
        "answer": "{{ answer.split('####')[-1] | trim }}",
    }
    template = '---\nstop: ["Q:"]\n---\nQ: {{ question }}\nA:||| {{ target }}\n'
    file = experiment(tmp_path, template, data, "generate", metrics=["exact_match", "number"])
    values = yaml.safe_load(file.read_text())
    values["models"]["m"] = {
        "engine": "table",
        "answers": {
            "Q: 2 pens and 3 pens?\nA:": " So The answer is 5.",
            "Q: 1,000 + 200?\nA:": " The answer is 1,200.",
        },
    }
    file.write_text(yaml.safe_dump(values))
    assert targets(file) == {"0": ("5",), "1": ("1,200",)}
    run(load_experiment(file), tmp_path / "runs", Told())
    pattern = '{parser: regex, pattern: "answer is (-?[0-9.,]+)\\\\."}'
    scored = score_run(load_run("e", tmp_path / "runs"), parser=pattern)
    found = {one.name: one for one in scored.conditions[0].scores}
    assert found["exact_match"].value == 0  # the first line is a sentence
    assert found["number"].value == 100
    assert found["exact_match@regex"].value == 100
    assert '|parser:{"parser":"regex","pattern":' in found["exact_match@regex"].signature
    again = score_run(load_run("e", tmp_path / "runs"), parser="number")
    assert {one.name: one.value for one in again.conditions[0].scores}["number@number"] == 100


def test_a_parser_with_options_stands_in_the_file(tmp_path: Path) -> None:
    jsonl(tmp_path / "x.jsonl", {"q": "?", "a": "5"})
    data = {"format": "jsonl", "path": "x.jsonl", "answer": "a"}
    template = '---\nstop: ["Q:"]\n---\n{{ q }}||| {{ target }}\n'
    parser = {"parser": "regex", "pattern": "x"}
    file = experiment(tmp_path, template, data, "generate", parser=parser)
    done = run(load_experiment(file), tmp_path / "runs", Told())
    assert done.conditions[0].entry.parser == parser
    assert load_run("e", tmp_path / "runs").conditions[0].entry.parser == parser
    values = yaml.safe_load(file.read_text())
    values["tasks"][0]["parser"] = {"parser": "regex"}
    file.write_text(yaml.safe_dump(values))
    with pytest.raises(IclError, match="parser: the parser 'regex' needs 'pattern'"):
        list_points(load_experiment(file))


NFD, NFC = "cafe\u0301", "caf\u00e9"


def test_labels_are_one_in_every_unicode_form(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": NFD}, {"text": "b", "label": NFC}, {"text": "c", "label": "th"}]
    jsonl(tmp_path / "x.jsonl", *rows)
    data = {"format": "jsonl", "path": "x.jsonl", "answer": "label"}
    file = experiment(tmp_path, FOUND, data)
    made, _ = built(file)
    assert [choice.text for choice in made.choices] == [f" {NFC}", " th"]
    assert targets(file) == {"0": (NFC,), "1": (NFC,), "2": ("th",)}
    (problem,) = lint(str(file))
    assert f"spells the label {NFC!r} in another Unicode form too, with U+0065 U+0301" in str(
        problem
    )
    # A template that spells its labels otherwise than the data names the same labels.
    (tmp_path / "t.j2").write_text(SENTIMENT.replace("pos, neg", f"{NFD}, th"), "utf-8")
    assert [choice.text for choice in built(file)[0].choices] == [f" {NFC}", " th"]


def test_text_in_composed_form_is_sent_as_before(tmp_path: Path) -> None:
    jsonl(tmp_path / "x.jsonl", {"text": NFD, "label": "pos"}, {"text": NFC, "label": "neg"})
    data = {"format": "jsonl", "path": "x.jsonl", "answer": "label"}
    made, _ = built(experiment(tmp_path, FOUND, data))
    texts = {row.id: made.request(row).prompt.text for row in made.examples}
    assert texts == {"0": f"Text: {NFD}\nLabel:", "1": f"Text: {NFC}\nLabel:"}


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ("Pos", "pos", "differ in case or space only"),
        ("po s", "po  s", "differ in case or space only"),
        ("1", "1.0", "are one number, written in two ways"),
        ("\uff21", "A", "differ only in the form of their letters (U+0041 and U+FF21)"),
        ("\ufb01n", "fin", "differ only in the form of their letters (U+0066 U+0069 and U+FB01)"),
        ("o\u00a0k", "o k", "differ in case or space only"),
    ],
)
def test_lint_finds_labels_that_look_alike(tmp_path: Path, one: str, other: str, said: str) -> None:
    jsonl(tmp_path / "x.jsonl", {"text": "a", "label": one}, {"text": "b", "label": other})
    data = {"format": "jsonl", "path": "x.jsonl", "answer": "label"}
    found = [problem.text for problem in lint(str(experiment(tmp_path, FOUND, data)))]
    assert any(said in text for text in found), found


def test_a_column_that_a_reserved_name_hides_is_refused(tmp_path: Path) -> None:
    rows = [{"words": ["a", "b"], "labels": "pos"}, {"words": ["c"], "labels": "neg"}]
    jsonl(tmp_path / "x.jsonl", *rows)
    template = SENTIMENT.replace("{{ text }}", "{{ words | join(' ') }}")
    data = {"format": "jsonl", "path": "x.jsonl", "answer": "labels"}
    file = experiment(tmp_path, template, data)
    message = (
        "reads 'words', which is a reserved name, and example '0' has a field 'words' that it "
        "hides; rename the field in the data, as in `fields: {own_words: words}` besides "
        "the others you need, and read `own_words`"
    )
    (problem,) = lint(str(file))
    assert (problem.path, problem.line, problem.text) == (str(tmp_path / "t.j2"), 7, message)
    with pytest.raises(DataError, match="which is a reserved name"):
        run(load_experiment(file), tmp_path / "runs", Told())
    renamed = template.replace("words", "tokens")
    data |= {"fields": {"tokens": "words"}}
    assert lint(str(experiment(tmp_path, renamed, data))) == []


@pytest.mark.parametrize(
    ("half", "column", "rows", "refused"),
    [
        ("{{ language }}: {{ text }}", "language", {"data": "d", "locale": "de"}, True),
        ("{{ language }}: {{ text }}", "language", {"data": "d"}, False),  # the row's own is read
        ("{{ labels | join }}: {{ text }}", "labels", {"data": "d"}, True),
        ("{{ text }}", "labels", {"data": "d"}, False),
    ],
)
def test_reserved_names_are_refused_where_they_hide_a_field(
    tmp_path: Path, half: str, column: str, rows: dict[str, Any], refused: bool
) -> None:
    jsonl(tmp_path / "x.jsonl", {"text": "a", "label": "pos", column: "x"})
    template = SENTIMENT.replace("{{ text }}", half)
    data = {"format": "jsonl", "path": "x.jsonl", "answer": "label"}
    file = experiment(tmp_path, template, data, rows=rows)
    found = [problem for problem in lint(str(file)) if "reserved" in problem.text]
    assert bool(found) == refused


def test_tojson_is_refused_with_the_filter_to_use(tmp_path: Path) -> None:
    jsonl(tmp_path / "x.jsonl", {"text": "a", "slots": {"ort": "Köln"}, "answer": "x"})
    template = (
        '---\nstop: ["\\n"]\n---\nText: {{ text }}\n'
        "Data: {{ slots | tojson }}\nJSON:||| {{ target }}\n"
    )
    data = {"format": "jsonl", "path": "x.jsonl", "answer": "answer"}
    file = experiment(tmp_path, template, data, "generate")
    (problem,) = lint(str(file))
    assert (Path(problem.path).name, problem.line) == ("t.j2", 5)
    assert "write json, which keeps the text and the order of the data" in problem.text
    assert [one.text for one in lint(str(tmp_path / "t.j2"))] == [problem.text]
    with pytest.raises(TemplateError, match="the filter tojson writes"):
        built(file)
    (tmp_path / "t.j2").write_text(template.replace("tojson", "json"))
    made, _ = built(file)
    assert 'Data: {"ort": "Köln"}' in made.request(made.examples[0]).prompt.text
