"""The generic kinds through the whole line, on the table engine: a template and a YAML file."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from icl import load_run, run, score_run
from icl.core.errors import (
    CalibrationError,
    ChoiceError,
    CommandError,
    ConfigError,
    DataError,
    MetricError,
    TemplateError,
    WindowError,
)
from icl.core.types import Choice, Output, Record
from icl.experiment.condition import build
from icl.experiment.file import load_experiment
from icl.experiment.grid import list_points
from icl.experiment.loader import Loader
from icl.reports.grid import make_score_grids
from icl.reports.markdown_csv_json import as_csv, as_json, as_markdown
from icl.reports.page.page import report_page
from icl.reports.tables import render, render_record
from icl.running.estimate import estimate
from icl.running.search.objective import gold_logprob
from icl.scoring.checks import checks
from icl.scoring.ensembles import ensemble_side
from icl.tasks.predict import predict
from icl.workbench.answer import rank
from icl.workbench.calibrated_answer import calibrate_answer
from icl.workbench.run_tables import condition_table
from icl.workbench.shot_influence import influence

COPA = """---
task: choose
choices: [a, b]
label_field: label
stop: ["\\n"]
---
{{ premise }} so||| {{ choice }}
"""
ROWS = [
    {
        "id": str(i),
        "premise": f"P{i}",
        "a": f"left {i}",
        "b": f"left {i} or right",
        "label": i % 2,
        "split": "test" if i < 6 else "train",
    }
    for i in range(9)
]


def small(folder: Path, template: str, rows: list[dict[str, Any]], task: str, **keys: Any) -> Path:
    """An experiment with one task on ``rows``; ``keys`` are added to the task."""
    (folder / "t.j2").write_text(template, "utf-8")
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    data = {"format": "jsonl", "path": "rows.jsonl"} | keys.pop("data", {})
    models = keys.pop("model", {"engine": "table", "default": "hash"})
    entry = {
        "task": task,
        "prompt": "t.j2",
        "rows": {"data": "d", "split": "test"},
        "pool": {"split": "train"},
        **keys,
    }
    made = {
        "name": "k",
        "models": {"t": models},
        "data": {"d": data},
        "tasks": [entry],
        "grid": {"shots": [{"k": 1, "select": "random"}]},
        "batch_size": 4,
    }
    (folder / "k.yaml").write_text(json.dumps(made))
    return folder / "k.yaml"


def scores(done: Any) -> dict[str, Any]:
    return {score.name: score.value for score in done.conditions[0].scores}


def test_choices_of_the_row_are_scored_kept_and_rendered_again(tmp_path: Path) -> None:
    file = small(tmp_path, COPA, ROWS, "choose")
    done = run(file, tmp_path / "runs")
    condition = done.conditions[0]
    record = condition.record("3")
    assert record.choices == (Choice("0", " left 3", "\n"), Choice("1", " left 3 or right")), (
        "the shorter one begins the longer one, so it is scored to its end"
    )
    assert len(record.logprobs) == len(record.choice_tokens) == 2
    assert not (condition.store.folder / "choices.json").exists()
    assert "the same as was sent" in render_record(condition, record)
    assert "1  left 3 or right" in render_record(condition, record)
    found = scores(done)
    assert found["chance/accuracy"] == 50 and found["accuracy"] is not None
    (tmp_path / "t.j2").unlink()
    again = score_run(load_run(tmp_path / "runs" / "k"))
    assert scores(again) == found, "scored without the template"
    assert [p.value for p in again.conditions[0].predictions()] == [
        ("0", "1")[r.logprobs[1] > r.logprobs[0]] for r in condition.records.values()
    ]


def test_another_run_reuses_the_records_and_a_new_choice_computes_one_again(tmp_path: Path) -> None:
    run(small(tmp_path, COPA, ROWS, "choose"), tmp_path / "runs")
    assert run(tmp_path / "k.yaml", tmp_path / "runs").reused == 6
    changed = [*ROWS]
    changed[2] = {**ROWS[2], "b": "right"}
    done = run(small(tmp_path, COPA, changed, "choose"), tmp_path / "runs")
    assert (done.computed, done.reused) == (1, 5)
    other = run(small(tmp_path, COPA, ROWS, "choose", choice_end="never"), tmp_path / "runs")
    assert other.computed == 6, "the terminators are part of the fingerprint"


def test_a_condition_with_shared_choices_keeps_them_out_of_its_records(tmp_path: Path) -> None:
    template = "---\ntask: classify\nlabel_field: label\n---\n{{ premise }}:||| {{ label }}\n"
    done = run(small(tmp_path, template, ROWS, "classify"), tmp_path / "runs")
    text = (done.conditions[0].store.folder / "records.jsonl").read_text()
    assert '"choices"' not in text and all(len(line) < 600 for line in text.splitlines())


def test_labels_are_those_of_the_label_field_where_the_data_names_no_answer(tmp_path: Path) -> None:
    template = "---\ntask: classify\nlabel_field: label\n---\n{{ premise }}:||| {{ label }}\n"
    rows = [*ROWS, {**ROWS[0], "id": "9", "split": "train"}]
    file = small(tmp_path, template, rows, "classify")
    experiment = load_experiment(file)
    made = build(list_points(experiment)[0], Loader(experiment))
    assert [choice.label for choice in made.choices] == ["0", "1"]
    assert made.left_out == 1, "the answer is no part of the content that pool and test share"


def test_classify_can_be_generated_and_parsed(tmp_path: Path) -> None:
    template = "---\ntask: classify\nlabels: {'0': no, '1': yes}\nlabel_field: label\n---\n"
    template = template.replace("no", '"no"').replace("yes", '"yes"')
    answers = {f"P{i}:": " Yes." for i in range(6)}
    file = small(
        tmp_path,
        template + "{{ premise }}:||| {{ label }}\n",
        ROWS,
        "classify",
        method="generate",
        model={"engine": "table", "answers": answers},
    )
    found = scores(run(file, tmp_path / "runs"))
    assert (found["accuracy"], found["unparsed"], found["chance/accuracy"]) == (50, 0, 50)


def test_choose_can_be_generated_and_parsed(tmp_path: Path) -> None:
    answers = {f"P{i} so": f" Left {i} or right!" for i in range(6)}
    file = small(
        tmp_path,
        COPA,
        ROWS,
        "choose",
        method="generate",
        model={"engine": "table", "answers": answers},
    )
    found = scores(run(file, tmp_path / "runs"))
    assert (found["accuracy"], found["unparsed"], found["chance/accuracy"]) == (50, 0, 50)


@pytest.mark.parametrize(
    ("labels", "answer", "rows_label"),
    [('["1", "2"]', "2", "2"), ("[A, B]", "B", "B"), ("text", "y", "y"), ("index", "1", 1)],
)
def test_how_an_answer_names_a_choice(
    tmp_path: Path, labels: str, answer: str, rows_label: Any
) -> None:
    template = COPA.replace("choices: [a, b]", f"choices: options\nchoice_labels: {labels}")
    rows = [
        {"id": "0", "premise": "P", "options": ["x", "y"], "label": rows_label, "split": s}
        for s in ("test",)
    ] + [
        {
            "id": "1",
            "premise": "Q",
            "options": ["x", "y", "z"][:2],
            "label": rows_label,
            "split": "train",
        }
    ]
    experiment = load_experiment(small(tmp_path, template, rows, "choose"))
    made = build(list_points(experiment)[0], Loader(experiment))
    request = made.request(made.examples[0])
    assert request.prompt.text == "Q so y\n\nP so"
    assert request.example.targets == (answer,)
    assert [choice.text for choice in request.choices] == [" x", " y"]


@pytest.mark.parametrize(
    ("row", "error", "message"),
    [
        ({"b": ""}, ChoiceError, "example '0': the choice for label '1' is empty; repair the row"),
        ({"b": "left 0"}, ChoiceError, "labels '0' and '1' give the same choice ' left 0'; repair"),
        ({"b": None}, TemplateError, "example '0': the choice 2 of 2 is null"),
        ({"label": 2}, DataError, "example '0' has the label '2', which is not among the 2 labels"),
    ],
)
def test_rows_that_cannot_be_ranked(
    tmp_path: Path, row: dict[str, Any], error: type[Exception], message: str
) -> None:
    file = small(tmp_path, COPA, [{**ROWS[0], **row}, *ROWS[1:]], "choose")
    with pytest.raises(error) as caught:
        run(file, tmp_path / "runs")
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not list((tmp_path / "runs").glob("conditions/*/records.jsonl"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("choices: [a, b]\n", "", "choices: names the fields that hold the choices of a row, in a"),
        ("[a, b]", "[a, c]", "choices: no field 'c'"),
        ("[a, b]", "a", "choices: the field 'a' must hold a list of texts, or name a field for"),
        ("{{ choice }}", "{{ a }}", "the target of a choose template must read `choice`, as in"),
        ("{{ choice }}", "{{ choice }}{{ label }}", "so it cannot read the answer ['label']"),
        ("[a, b]\n", "[a, b]\nchoice_labels: [A]\n", "choice_labels: no field 'A'"),
    ],
)
def test_templates_that_cannot_choose(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = small(tmp_path, COPA.replace(old, new), ROWS, "choose")
    with pytest.raises(TemplateError) as caught:
        run(file, tmp_path / "runs")
    assert message in str(caught.value)


EXTRACT = (
    "---\ntask: extract\nlabel_field: found\nstop: ['\\n']\n---\n{{ t }}:||| {{ found | json }}\n"
)
FOUND = [
    {"id": str(i), "t": f"T{i}", "found": {"who": [f"n{i}"]}, "split": s}
    for i, s in enumerate(["test", "test", "test", "train"])
]


def test_extraction_from_json_to_f1(tmp_path: Path) -> None:
    answers = {"T0:": ' {"who": "N0", "where": "x"}', "T1:": " who: n1", "T2:": " no idea"}
    file = small(tmp_path, EXTRACT, FOUND, "extract", model={"engine": "table", "answers": answers})
    done = run(file, tmp_path / "runs")
    assert scores(done)["item_f1"] == pytest.approx(100 * 2 * 2 / (3 + 3))
    assert scores(done)["exact_match"] == pytest.approx(100 / 3)
    assert scores(done)["unparsed"] == pytest.approx(100 / 3)
    assert '{"who": ["n3"]}' in done.conditions[0].prompt(done.conditions[0].record("0")).text
    assert "neither JSON" in render_record(done.conditions[0], done.conditions[0].record("2"))


@pytest.mark.parametrize(
    ("template", "data", "message"),
    [
        (EXTRACT.replace("label_field: found", "answer_fields: [found]"), {"answer": "t"},
         ": a task of kind 'extract' compares fields, so the front matter of t.j2 must name"),
        (EXTRACT.replace("found", "t"), {},
         "the answer in 't' of a task of kind 'extract' must be a JSON object or list"),
    ],
)  # fmt: skip
def test_extraction_needs_fields(
    tmp_path: Path, template: str, data: dict[str, str], message: str
) -> None:
    template = template.replace("{{ t }}:", "x:")
    with pytest.raises(DataError) as caught:
        run(small(tmp_path, template, FOUND, "extract", data=data), tmp_path / "runs")
    assert message in str(caught.value)


VOTES = [
    ([" a", " b", " b"], "b", 2, False, "stop"),
    ([" b", " a", " a", " b"], "b", 2, True, "end"),
    (["", " a", ""], "a", 1, False, "stop"),
    (["", " "], None, 0, False, "end"),
    ([" a"], "a", 1, False, "end"),
]


@pytest.mark.parametrize(("texts", "value", "votes", "tied", "finish"), VOTES)
def test_the_answer_is_that_of_most_samples(
    texts: list[str], value: str | None, votes: int, tied: bool, finish: str
) -> None:
    outputs = [Output(text, "stop" if i else "end", 3, 1, i) for i, text in enumerate(texts)]
    found = predict(Record("0", "c", "h", outputs=tuple(outputs)), (), "text")
    assert (found.value, found.votes, found.tied) == (value, votes, tied)
    assert (found.samples, found.finish) == (len(texts), finish)
    assert (found.error is None) == (value is not None)


def test_samples_are_drawn_kept_and_counted(tmp_path: Path) -> None:
    template = "---\nstop: ['\\n']\n---\n{{ t }}:||| {{ target }}\n"
    file = small(
        tmp_path,
        template,
        FOUND,
        "generate",
        data={"answer": "id"},
        sampling={"n": 3, "temperature": 0.7, "max_tokens": 4},
    )
    assert next(estimate(load_experiment(file), tmp_path / "runs")).answer_tokens == 3 * 3 * 4
    done = run(file, tmp_path / "runs")
    assert [output.sample for output in done.conditions[0].record("1").outputs] == [0, 1, 2]
    assert scores(done)["agreement"] == 100
    assert "votes      3 of 3 samples" in render_record(
        done.conditions[0], done.conditions[0].record("1")
    )
    with pytest.raises(ConfigError, match="n is 3, and at temperature 0 all outputs are the same"):
        load_experiment(small(tmp_path, template, FOUND, "generate", sampling={"n": 3}))


SUMMARIZE = "---\nstop: ['\\n']\n---\n{{ document | fit }}\nSum:||| {{ target }}\n"
NEWS = [
    {
        "id": str(i),
        "document": "One two three. Four five six. " * (i + 1),
        "ref": "One two.",
        "split": "train" if i == 5 else "test",
    }
    for i in range(6)
]


def summarize(folder: Path, **keys: Any) -> Path:
    keys.setdefault("model", {"engine": "table", "default": "hash", "window": 24})
    keys.setdefault("sampling", {"max_tokens": 4})
    return small(folder, SUMMARIZE, NEWS, "summarization", data={"answer": "ref"}, **keys)


def test_a_long_document_is_shortened_counted_and_shown(tmp_path: Path) -> None:
    done = run(summarize(tmp_path), tmp_path / "runs")
    found = scores(done)
    assert found["shortened"] == 40 and "lead3/rougeL" in found
    condition = done.conditions[0]
    record = condition.record("4")
    kept, whole = record.shortened
    assert kept < whole == len(NEWS[4]["document"])
    text = render_record(condition, record)
    assert "the same as was sent" in text and f"{kept} of {whole} characters of the marked" in text
    assert "2 prompts lost the end of their marked span" in render(done)


def test_a_document_too_long_even_then_stops_before_anything_runs(tmp_path: Path) -> None:
    file = summarize(tmp_path, model={"engine": "table", "default": "hash", "window": 5})
    with pytest.raises(WindowError) as caught:
        run(file, tmp_path / "runs")
    assert "with the span marked `fit` left empty, 1 fit the model's window" in str(caught.value)


def test_an_outside_metric_runs_in_the_experiments_folder(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("import sys\nfor _ in open(sys.argv[1]): print(0.5)\n")
    command = f"{sys.executable} m.py {{hypothesis}} {{document}}"
    metrics = ["rougeL", {"command": command, "scale": 100, "name": "half"}]
    done = run(summarize(tmp_path, metrics=metrics), tmp_path / "runs")
    assert scores(done)["half"] == 50 and "lead3/half" not in scores(done)
    (tmp_path / "m.py").write_text("raise SystemExit('broken')\n")
    again = score_run(load_run(tmp_path / "runs" / "k"))
    assert scores(again)["half"] == 50, "a run folder starts no program unless it is asked for"
    with pytest.raises(CommandError, match="'half' is a program that the run's manifest names"):
        score_run(again, ["half"])
    allowed = load_run(tmp_path / "runs" / "k", allow_commands=True)
    with pytest.raises(MetricError, match="the metric 'half' ended with code 1: broken"):
        score_run(allowed, ["half"])
    asked = f"{{command: \"{sys.executable} -c 'print(1)' {{hypothesis}}\", name: one}}"
    with pytest.raises(MetricError, match="'one' printed 1 lines for 5 rows"):
        score_run(again, [asked])
    with pytest.raises(ConfigError, match=r"unknown metric 'hlf'. Did you mean 'half'\?"):
        score_run(again, ["hlf"])


def test_a_failing_program_loses_nothing(tmp_path: Path) -> None:
    metrics = [{"command": "false {hypothesis}"}, "rougeL"]
    file = summarize(tmp_path, metrics=metrics)
    with pytest.raises(MetricError) as caught:
        run(file, tmp_path / "runs")
    assert str(caught.value) == (
        "the metric 'false' ended with code 1: it printed no error (all other scores "
        "of k are saved)"
    )
    kept = load_run(tmp_path / "runs" / "k")
    assert {"rougeL", "lead3/rougeL", "unparsed"} <= set(scores(kept))
    assert len(kept.conditions[0].records) == 5


def test_rows_without_a_reference_are_left_out_unless_all_are(tmp_path: Path) -> None:
    def summaries(rows: list[dict[str, Any]]) -> Path:
        options = {"data": {"answer": "ref"}, "sampling": {"max_tokens": 4}}
        return small(tmp_path, SUMMARIZE, rows, "summarization", **options)

    one = [{**row, "ref": None} if row["id"] == "2" else row for row in NEWS]
    done = run(summaries(one), tmp_path / "runs")
    assert len(done.conditions[0].records) == 4 and "2" not in done.conditions[0].ids
    none = [{**row, "ref": None} if row["split"] == "test" else row for row in NEWS]
    with pytest.raises(MetricError, match="R-L needs a target, and example '.' has none: score"):
        run(summaries(none), tmp_path / "runs")
    assert len(load_run(tmp_path / "runs" / "k").conditions[0].records) == 5


@pytest.mark.parametrize("locale", ["sw", "zh"])
def test_xcopa(tmp_path: Path, locale: str) -> None:
    folder = Path(__file__).parents[2].parent / "shared/data/xcopa"
    if not folder.is_dir():
        pytest.skip("XCOPA is not beside this checkout")
    file = Path(__file__).parents[2] / "experiments" / "xcopa.yaml"
    experiment = load_experiment(file)
    raw = {**experiment.raw, "models": {"gemma": {"engine": "table", "default": "hash"}}}
    raw["data"] = {
        "xcopa": {
            **raw["data"]["xcopa"],
            "path": str(folder / "{locale}" / "{split}.{locale}.jsonl"),
        }
    }
    found = [p for p in list_points(replace(experiment, raw=raw)) if p.locale == locale]
    made = build(found[0], Loader(replace(experiment, raw=raw)))
    request = made.request(next(example for example in made.examples if example.id == "test100-1"))
    if locale == "sw":
        assert request.prompt.text == "Niliiacha mitupu mifuko yangu kwa hiyo"
        assert [c.text for c in request.choices] == [
            " nilikipata tena kipande cha tiketi.",
            " niliona silaha.",
        ]
    assert len(made.examples) == 100 and len(made.pool) == 100


TAGGED = """---
task: classify
labels: [{first}, b, c, d]
stop: ["\\n"]
---
[[example]]
Text: {{{{ text }}}}
Label:||| {{{{ label }}}}
"""


def tagged(test: list[Any], train: list[Any]) -> list[dict[str, Any]]:
    """Rows with these answers, one or a list of right ones each."""
    return [
        {"id": f"{split[:2]}{i}", "split": split, "text": f"{split} {i}", "label": label}
        for split, labels in (("test", test), ("train", train))
        for i, label in enumerate(labels)
    ]


@pytest.mark.parametrize("first", ["a", "z"])
def test_a_tied_majority_is_told_wherever_it_is_printed(tmp_path: Path, first: str) -> None:
    rows = tagged([first] * 20 + ["b"] + ["c"] * 19, [first, "b", "c", "d"] * 2)
    file = small(tmp_path, TAGGED.format(first=first), rows, "classify", data={"answer": "label"})
    done = run(file, tmp_path / "runs")
    (one,) = [s for s in done.conditions[0].scores if s.name == "majority/accuracy"]
    assert (one.value, one.tied, one.n) == (25, 4, 40), "50.0 or 2.5 by the name of a label"
    again = load_run(tmp_path / "runs" / "k")
    assert one in again.conditions[0].scores
    assert "majority: 4 labels tied, so it is the mean over them" in render(again)
    assert "- majority: 4 labels tied" in as_markdown(make_score_grids(again))
    assert ",tied\n" in as_csv(again) and '"tied": 4' in as_json(again)
    page = report_page(again)
    assert "majority: 4 labels tied, so it is the mean over them<br>" in page
    assert "majority 25.0 (4 labels tied)" in page, "among the checks"
    assert any("25.0 (4 labels tied)" in row for row in condition_table(again).rows)


def test_balanced_shots_vote_for_every_label_alike(tmp_path: Path) -> None:
    rows = tagged(["a"] * 9 + ["b"], ["a", "b", "c"] * 3)
    file = small(tmp_path, TAGGED.format(first="a"), rows, "classify", data={"answer": "label"})
    made = json.loads(file.read_text())
    made["grid"]["shots"] = [{"k": 3, "select": "balanced"}]
    file.write_text(json.dumps(made))
    done = run(file, tmp_path / "runs")
    (one,) = [s for s in done.conditions[0].scores if s.name == "vote/accuracy"]
    assert (one.value, one.tied) == (pytest.approx(100 / 3), 10)
    assert "vote: labels tied in 10 of 10 rows" in render(done)
    assert "without a model (labels tied in 10 of 10 rows), has 33.3 on" in report_page(done)


def test_chance_and_majority_count_every_right_answer(tmp_path: Path) -> None:
    pairs = [["b", "d"], ["a", "b"], ["c", "d"], ["b", "c"], ["a", "d"], ["a", "b", "c"]]
    pool = [["a", "d"], ["b", "d"], ["c", "d"], ["a", "b"], ["a"]]
    file = small(
        tmp_path,
        TAGGED.format(first="a"),
        tagged(pairs[:5], pool),
        "classify",
        data={"answer": "label"},
        calibrate=[{"calibrator": "vote_mix", "n": 50}],
    )
    done = run(file, tmp_path / "runs")
    assert scores(done)["chance/accuracy"] == 50, "two of four are right in every row"
    assert done.conditions[0].entry.pool.labels == {"a": 3, "b": 2, "c": 1, "d": 3}
    # The first answers alone would have a: 3. All of them tie a and d, right in 2 and 3 rows.
    (one,) = [s for s in done.conditions[0].scores if s.name == "majority/accuracy"]
    assert (one.value, one.tied) == (50, 2)
    assert done.conditions[0].entry.pool.answered == 5
    assert "accuracy+vote_mix" in scores(done), "five pool rows are all that are there"
    file = small(
        tmp_path,
        TAGGED.format(first="a"),
        tagged(pairs, pool),
        "classify",
        data={"answer": "label"},
    )
    assert scores(run(file, tmp_path / "runs"))["chance/accuracy"] == pytest.approx(
        100 * (5 * 0.5 + 0.75) / 6
    )


EMOTIONS = ["joy", "anger", "fear", "sad"]
SETS = """---
task: labels
labels: {joy: glad, anger: cross, fear: afraid, sad: sad}
label_field: label
label_separator: "; "
no_labels: nothing
stop: ["\\n"]
---
[[example]]
Text: {{ text }}
Felt:||| {{ label }}
"""
TEST = [["joy", "anger"], ["sad"], [], ["fear", "joy"]]
TRAIN = [["anger", "joy"], ["joy"], ["joy", "anger"], []]


def test_sets_of_labels_are_written_and_read(tmp_path: Path) -> None:
    answers = {
        "test 0": " cross; Glad",
        "test 1": " sad; glad",
        "test 2": " Nothing.",
        "test 3": " glad; hungry",
    }
    known = {f"Text: {row}\nFelt:": text + "\n" for row, text in answers.items()}
    file = small(
        tmp_path, SETS, tagged(TEST, TRAIN), "labels", model={"engine": "table", "answers": known}
    )
    made = json.loads(file.read_text())
    made["grid"]["shots"] = [0, {"k": 4, "select": "random"}]
    file.write_text(json.dumps(made))
    done = run(file, tmp_path / "runs")
    plain, shown = done.conditions
    read = {one.id: one for one in plain.predictions()}
    assert [read[f"te{row}"].value for row in range(4)] == [
        '["anger","joy"]',
        '["joy","sad"]',
        "[]",
        None,
    ]
    assert "no choice: 'hungry'" in str(read["te3"].error)
    found = scores(done)
    assert (found["subset_accuracy"], found["jaccard"]) == (50, pytest.approx(100 * 2.5 / 4))
    assert found["label_micro_f1"] == pytest.approx(100 * 2 * 3 / (4 + 5))
    assert found["chance/subset_accuracy"] == 100 / 2**4
    # Two rows of the pool have {anger, joy}; so has one of the four test rows.
    assert plain.entry.pool.labels == {'["anger","joy"]': 2, '["joy"]': 1, "[]": 1}
    assert found["majority/subset_accuracy"] == 25
    prompt = shown.prompt(shown.record("te0"))
    assert {target for _, target in prompt.shots} == {" glad; cross", " glad", " nothing"}
    assert {label for _, label, _ in shown.record("te0").shots} == {*plain.entry.pool.labels}
    (tmp_path / "t.j2").unlink()
    again = load_run(tmp_path / "runs" / "k")
    assert scores(score_run(again)) == found, "read again without the template"
    assert 'answer     ["anger","joy"] (right)' in render_record(
        again.conditions[0], again.conditions[0].record("te0")
    )
    page = report_page(again)
    assert "subset acc" in page and "[&#34;joy&#34;,&#34;sad&#34;]" in page
    assert "majority" in render(again) and "chance" in render(again)


@pytest.mark.parametrize(
    ("take", "signature", "sizes"),
    [
        (None, "subset_accuracy|take:pool|ci:", None),
        (2, "subset_accuracy|take:2", {2}),
        (0.001, "subset_accuracy|take:0.001", {1, 2, 3, 4}),
    ],
)
def test_sets_of_labels_are_ranked(
    tmp_path: Path, take: Any, signature: str, sizes: set[int] | None
) -> None:
    more = {} if take is None else {"take": take}
    rows = tagged([*TEST, *TEST], TRAIN)
    done = run(small(tmp_path, SETS, rows, "labels", method="rank", **more), tmp_path / "runs")
    again = load_run(tmp_path / "runs" / "k")
    for condition in (done.conditions[0], again.conditions[0]):
        said = [json.loads(str(one.value)) for one in condition.predictions()]
        if sizes is None:
            assert sum(map(len, said)) == 10, "5 labels for 4 rows of the pool, so 10 for 8"
        else:
            assert {len(one) for one in said} <= sizes
        (one,) = [s for s in condition.scores if s.name == "subset_accuracy"]
        assert one.signature.startswith(signature)
        for record, prediction in zip(
            condition.records.values(), condition.predictions(), strict=True
        ):
            assert condition.predict(record) == prediction, "one by one as all together"
    assert "ece" not in scores(done)
    text = render_record(again.conditions[0], again.conditions[0].record("te0"))
    assert "✓ joy" in text and "✓ anger" in text and "✓ sad" not in text
    if take is None:
        assert "of the probability of all labels" in render(again)


def test_what_needs_one_label_takes_sets_or_says_that_it_does_not(tmp_path: Path) -> None:
    file = small(tmp_path, SETS, tagged(TEST, TRAIN), "labels", method="rank", take=1)
    made = json.loads(file.read_text())
    made["grid"]["shots"] = [{"k": 1, "select": "random", "scope": "run", "seeds": [0, 1, 2]}]
    file.write_text(json.dumps(made))
    done = run(file, tmp_path / "runs")
    together = ensemble_side(done.conditions).predictions
    members = [{one.id: one.value for one in c.predictions()} for c in done.conditions]
    for name, one in together.items():
        assert one.value in {member[name] for member in members}, "a set that one of them gave"
    with pytest.raises(MetricError, match="are sets of labels: name a metric under objective:"):
        gold_logprob(done.conditions[0])
    with pytest.raises(CalibrationError, match="the answers are sets of labels; say under take:"):
        score_run(done, calibrators=["batch"])


def test_checks_of_sets_count_labels(tmp_path: Path) -> None:
    rows = tagged([*TEST, *TEST], [["joy"], ["anger", "sad"]])
    file = small(tmp_path, SETS, rows, "labels")
    made = json.loads(file.read_text())
    made["grid"]["shots"] = [{"k": 2, "select": "random"}]
    file.write_text(json.dumps(made))
    told = {one.name: one.text for one in checks(run(file, tmp_path / "runs"))}
    assert told["never_predicted"].startswith("1 of the 1 labels with 3 rows or more are never")
    assert "('joy')" in told["never_predicted"], "four rows have it, in two different sets"
    assert "gold_missing" not in told, "every label but one is among the shots' sets"


def test_a_row_of_the_workbench_is_answered_with_a_set(tmp_path: Path) -> None:
    file = small(tmp_path, SETS, tagged(TEST, TRAIN), "labels", method="rank")
    experiment = load_experiment(file)
    condition = build(list_points(experiment)[0], Loader(experiment))
    row = next(one for one in condition.examples if one.id == "te0")
    answer = rank(condition, condition.request(row))
    assert len(json.loads(str(answer.prediction.value))) == 1, "5 labels for 4 rows, rounded"
    assert set(answer.scores()[0]) == {"subset acc", "Jaccard", "micro-F1", "macro-F1"}
    with pytest.raises(ConfigError, match="ranked sets of labels, .* take method: generate in the"):
        influence(answer)
    with pytest.raises(CalibrationError, match="the answer is a set of labels; choose no calib"):
        calibrate_answer(answer, "pmi")


def test_an_answer_of_the_data_is_any_of_several_or_a_set_by_the_kind(tmp_path: Path) -> None:
    rows = tagged([["joy", "anger"], ["joy", "anger", "fear", "sad"]], ["joy"])
    words = TAGGED.replace("[{first}, b, c, d]", str(EMOTIONS)).format()
    file = small(tmp_path, words, rows, "classify", data={"answer": "label"})
    assert scores(run(file, tmp_path / "runs"))["chance/accuracy"] == 75
    words = words.replace("task: classify", "task: labels")
    done = run(small(tmp_path, words, rows, "labels", data={"answer": "label"}), tmp_path / "runs")
    assert {example.targets for example in done.conditions[0].examples} == {
        ('["anger","joy"]',),
        ('["anger","fear","joy","sad"]',),
    }
    assert scores(done)["chance/jaccard"] == pytest.approx(100 * (17 / 48 + 1 / 2) / 2)
    rows = tagged(["joy, anger", "fear"], ["sad"])
    done = run(
        small(
            tmp_path,
            words.replace(f"labels: {EMOTIONS}\n", ""),
            rows,
            "labels",
            data={"answer": "label"},
        ),
        tmp_path / "runs",
    )
    assert [choice.label for choice in done.conditions[0].store.choices()] == sorted(EMOTIONS)


@pytest.mark.parametrize(
    ("changes", "keys", "error", "message"),
    [
        (
            {},
            {"calibrate": ["batch"], "method": "rank"},
            ConfigError,
            "calibrate: corrects which label is the best one, .* take:",
        ),
        ({}, {"method": "channel"}, ConfigError, "cannot be answered by .channel.. There are: gen"),
        ({}, {"method": "rank", "pool": None}, ConfigError, "and there are none; .* take: 2"),
        ({}, {"take": 0}, ConfigError, "take"),
        ({}, {"take": 1.5}, ConfigError, "take"),
        ({'label_separator: "; "': 'label_separator: "a"'}, {}, ChoiceError, "'glad' .* has the"),
        (
            {"no_labels: nothing": "no_labels: sad"},
            {},
            ChoiceError,
            "'sad' .* or is the text for no",
        ),
        ({'"; "': '""'}, {}, TemplateError, "must not be empty: write the separator of"),
        ({", sad: sad": ""}, {}, DataError, "has the label 'sad', which is not among the 3 labels"),
        (
            {"task: labels": "task: classify"},
            {},
            TemplateError,
            "is for templates whose answers are",
        ),
    ],
)
def test_what_makes_no_set_is_refused_with_the_repair(
    tmp_path: Path, changes: dict[str, str], keys: Any, error: type[Exception], message: str
) -> None:
    template = SETS
    for old, new in changes.items():
        assert old in template
        template = template.replace(old, new)
    keys = {"pool": {"split": "train"}, **keys}
    file = small(tmp_path, template, tagged(TEST, TRAIN), "labels", **keys)
    made = json.loads(file.read_text())
    made["grid"]["shots"] = [0]
    if keys["pool"] is None:
        del made["tasks"][0]["pool"]
    file.write_text(json.dumps(made))
    with pytest.raises(error, match=message):
        run(file, tmp_path / "runs")


def test_take_is_for_sets_and_other_labels_are_not(tmp_path: Path) -> None:
    file = small(tmp_path, COPA, ROWS, "choose", take=2)
    with pytest.raises(
        ConfigError, match="take: 2 says which labels of a ranking make a set, .* rem"
    ):
        run(file, tmp_path / "runs")
    file = small(tmp_path, SETS, tagged(TEST, TRAIN), "labels")
    made = json.loads(file.read_text())
    made["grid"]["shots"] = [{"k": 1, "select": "random", "shown_labels": "random"}]
    file.write_text(json.dumps(made))
    with pytest.raises(ConfigError, match="whose answers are sets of labels; accepted there: gold"):
        run(file, tmp_path / "runs")
