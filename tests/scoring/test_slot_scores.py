"""The task slots from the file to the table, on the table engine: scores, counts, baselines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import icl
from icl import load_run, run
from icl.core.errors import ConfigError, DataError
from icl.core.slot_answers import SlotAnswer
from icl.experiment.file import load_experiment
from icl.reports.tables import render, render_record
from icl.scoring.against import compare_against
from icl.scoring.checks import checks
from icl.scoring.slot_scores import confuse_slots, join_match, pair_spans, score_slots

ROWS = [
    ("train", "alarm_set", "get me up at [time : six]", None, None),
    ("train", "lights", "light in the [room : attic]", None, None),
    ("test", "alarm_set", "wake me at [time : six]", "wake me at [time : six]", '{"time": "six"}'),
    ("test", "lights", "lamp in the [room : attic]", "lamp in the [time : attic]",
     '{"room": ["attic"'),
    ("test", "lights", "lamp in the [room : hall]", "lamp in [hall : hall", '{"room": ["cellar"]}'),
    ("test", "alarm_stop", "stop it", "stop", "{}"),
    ("test", "alarm_stop", "stop", "", "nothing"),
]  # fmt: skip


def bare(marked: str) -> str:
    return " ".join(word.strip("]") for word in marked.split() if word[0] not in "[:")


def write_rows(folder: Path) -> None:
    lines = [
        {"id": str(n), "partition": part, "intent": intent, "utt": bare(gold), "annot_utt": gold}
        for n, (part, intent, gold, _, _) in enumerate(ROWS)
    ]
    (folder / "data").mkdir()
    text = "".join(json.dumps({**line, "scenario": "x"}) + "\n" for line in lines)
    (folder / "data" / "en-US.jsonl").write_text(text, "utf-8")


def answers() -> dict[str, str]:
    made = {}
    for _, intent, gold, marked, values in ROWS:
        utterance = f"Utterance: {bare(gold)}\n"
        made[utterance + "Marked:"] = f" {marked}"
        made[utterance + "Slots:"] = f" {values}"
        made[utterance + "Meaning:"] = f" {intent} | {gold if intent != 'alarm_stop' else marked}"
        for name in ("time", "room"):
            found = gold.partition(f"[{name} : ")[2].partition("]")[0]
            made[f"{utterance}What is the {name}?"] = f" {found or 'none'}"
    return made


def make(folder: Path, prompts: list[str], **task: Any) -> Path:
    write_rows(folder)
    entry = {
        "task": "slots",
        "prompt": prompts,
        "rows": {"data": "d", "locale": "en-US", "split": "test"},
        "pool": {"split": "train"},
        **task,
    }
    made = {
        "models": {"t": {"engine": "table", "answers": answers()}},
        "data": {"d": {"format": "massive", "path": "data"}},
        "tasks": [entry],
        "grid": {"shots": [{"k": 2, "select": "bm25"}]},
    }
    (folder / "e.yaml").write_text(json.dumps(made), "utf-8")
    return folder / "e.yaml"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("slots")
    prompts = ["slots/marked", "slots/json", "slots/frame", "slots/per_slot"]
    run(load_experiment(make(folder, prompts)), folder / "runs")
    return load_run(folder / "runs" / "e")


def scores(condition) -> dict[str, float | None]:
    return {one.name: one.value for one in condition.scores}


def test_marked_answers(done):
    found = scores(done.conditions[0])
    assert found["slot_f1"] == pytest.approx(200 * 1 / (2 + 3))
    assert found["slot_match"] == pytest.approx(40)  # the first row, and "stop it" without "it"
    assert "intent_accuracy" not in found
    assert [found[name] for name in ("broken", "unknown", "altered", "unparsed")] == [
        pytest.approx(one) for one in (20, 0, 40, 20)
    ]


def test_json_answers(done):
    found = scores(done.conditions[1])
    assert found["slot_f1"] == pytest.approx(200 * 2 / (3 + 3))
    assert found["slot_match"] == pytest.approx(60)
    assert [found[name] for name in ("broken", "unknown", "invented", "unparsed")] == [
        pytest.approx(one) for one in (20, 0, 20, 20)
    ]


def test_answers_with_an_intent(done):
    found = scores(done.conditions[2])
    assert (found["slot_f1"], found["intent_accuracy"]) == (100, 100)
    assert found["slot_match"] == 100 and found["altered"] == pytest.approx(40)


def test_answers_to_a_question_for_each_slot(done):
    condition = done.conditions[3]
    assert scores(condition)["slot_f1"] == 100
    record = condition.record("2")
    assert [one.label for one in record.choices] == ["room", "time"]
    assert [one.text for one in record.outputs] == [" none", " six"]
    assert condition.hash_again(record) == record.request
    shown = render_record(condition, record)
    assert "rendered again: the same as was sent" in shown and "asked about room" in shown
    assert record.prompt_tokens == sum(one.prompt_tokens for one in record.outputs)


def test_baselines_stand_beside_the_scores(done):
    found = scores(done.conditions[0])
    assert found["no_slots/slot_f1"] == 0
    assert found["no_slots/slot_match"] == pytest.approx(40)  # the share of rows without a slot
    assert found["vote/slot_f1"] == pytest.approx(200 * 2 / (2 + 3))
    assert found["vote/slot_match"] == pytest.approx(80)
    (against, *_) = compare_against(done, "vote")
    assert (against.metric, against.value_a) == ("slot_f1", pytest.approx(80))
    framed = scores(done.conditions[2])
    assert framed["no_slots/slot_match"] == 0  # no right intent among those of the pool


def test_the_checks_say_what_the_numbers_hide(done):
    told = [one.text for one in checks(done)]
    assert any("1 of 5 answers hold brackets that make no mark" in one for one in told)
    assert any("2 of 5 answers change the words of the row" in one for one in told)
    assert any("1 of 5 answers give values that do not stand in the row" in one for one in told)
    assert not any("is the answer to" in one or "repeat the answer" in one for one in told)
    assert "slot-F1" in render(done)


def test_a_model_that_marks_nothing_is_told(tmp_path):
    path = make(tmp_path, ["slots/marked"])
    made = json.loads(path.read_text("utf-8"))
    texts = {key: f" {key.splitlines()[0].removeprefix('Utterance: ')}" for key in answers()}
    made["models"]["t"]["answers"] = texts
    path.write_text(json.dumps(made), "utf-8")
    run(load_experiment(path), tmp_path / "runs")
    told = [one.text for one in checks(load_run(tmp_path / "runs" / "e"))]
    wanted = "3 of the 3 rows with slots are answered with none; the 2 rows without any are right"
    assert any(wanted in one for one in told)


def test_readers_see_marks(done):
    condition = done.conditions[1]
    shown = render_record(condition, condition.record("4"))
    assert "target     lamp in the [room : hall]" in shown
    assert "answer     lamp in the hall (not in the text: room)" in shown
    assert "faults     1 invented" in shown


def test_each_slot_has_its_scores(done):
    time, room = sorted(score_slots(done.conditions[0]), key=lambda one: one.support)
    assert (time.name, time.support, time.answered, time.right) == ("time", 1, 2, 1)
    assert (time.precision.value, time.recall.value) == (50, 100)
    assert (room.name, room.support, room.answered, room.precision.value) == ("room", 2, 0, None)
    assert (room.recall.value, room.f1.value) == (0, 0)


def test_names_that_are_confused(done):
    found = confuse_slots(done.conditions[0])
    assert found.names == ("room", "time")
    assert found.counts == {("time", "time"): 1, ("room", "time"): 1, ("room", None): 1}
    assert found.verdicts == {"right": 1, "name": 1, "missing": 1}


@pytest.mark.parametrize(
    ("gold", "said", "verdicts"),
    [
        ("B-a I-a", "B-a I-a", ["right"]),
        ("B-a I-a", "B-a O", ["boundary"]),
        ("B-a I-a O", "O B-b I-b", ["name"]),
        ("B-a O", "O B-a", ["missing", "extra"]),
        ("B-a B-b", "B-b B-a", ["name", "name"]),
        ("B-a I-a I-a", "B-b B-a I-a", ["boundary", "extra"]),
        ("O", None, []),
        ("B-a", None, ["missing"]),
    ],
)
def test_spans_are_held_against_those_that_they_share_most_with(gold, said, verdicts):
    answer = None if said is None else SlotAnswer(tuple(said.split()))
    found = pair_spans(SlotAnswer(tuple(gold.split())), answer)
    assert [one.verdict for one in found] == verdicts
    assert [p.verdict for p in pair_spans(SlotAnswer(("O",)), SlotAnswer((), None, ("a",)))] == [
        "invented"
    ]


def test_exact_match_joins_two_conditions(tmp_path):
    path = make(tmp_path, ["slots/marked"])
    made = json.loads(path.read_text("utf-8"))
    rows = made["tasks"][0]["rows"]
    (tmp_path / "i.j2").write_text(
        "---\ntask: classify\nlabel_field: intent\n---\n{{ utt }}:||| {{ label }}\n", "utf-8"
    )
    ranked = {
        f"{bare(gold)}:": {f" {name}": 0.0 if name == intent else -9.0 for name in
                           ("alarm_set", "alarm_stop", "lights")}
        for _, intent, gold, _, _ in ROWS
    }  # fmt: skip
    made["models"]["t"]["answers"] |= ranked
    made["tasks"].append({"task": "classify", "prompt": "i.j2", "rows": rows})
    made["grid"] = {}
    path.write_text(json.dumps(made), "utf-8")
    run(load_experiment(path), tmp_path / "runs")
    slots, intents = load_run(tmp_path / "runs" / "e").conditions
    joined = join_match(intents, slots)
    assert (joined.value, joined.n) == (pytest.approx(40), 5)
    with pytest.raises(ConfigError, match="are not slots; take a condition of a task of kind"):
        join_match(intents, intents)


def test_everything_is_reached_from_python(done):
    assert icl.score_slots(done.conditions[0])[0].name == "room"
    assert icl.confuse_slots(done.conditions[0]).names == ("room", "time")
    assert icl.SLOTS.kind.gold == "spans"
    rows = {row.id: row.gold.tags for row in icl.list_slot_rows(done.conditions[0])}
    assert rows["5"] == ("O", "O")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"annot_utt": "wake me at [time : ten]"}, "data/en-US.jsonl:3: without its marks"),
        ({"annot_utt": "wake me at [time : six"}, "data/en-US.jsonl:3: 'wake me at [time : six'"),
    ],
)
def test_an_annotation_that_does_not_fit_is_told_with_file_and_line(tmp_path, change, message):
    path = make(tmp_path, ["slots/marked"])
    file = tmp_path / "data" / "en-US.jsonl"
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    lines[2] |= change
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    with pytest.raises(DataError) as caught:
        run(load_experiment(path), tmp_path / "runs")
    text = str(caught.value)
    assert message in text and "or leave the row out by `where:` of the data" in text
    assert "\n" not in text


def test_a_task_without_slots_takes_the_same_row(tmp_path):
    path = make(tmp_path, ["i.j2"], task="classify")
    (tmp_path / "i.j2").write_text(
        "---\ntask: classify\nlabel_field: intent\n---\n{{ utt }}:||| {{ label }}\n", "utf-8"
    )
    file = tmp_path / "data" / "en-US.jsonl"
    file.write_text(file.read_text("utf-8").replace("[time : six]", "[time : ten"), "utf-8")
    made = json.loads(path.read_text("utf-8"))
    made["models"]["t"] = {"engine": "table", "default": "hash"}
    path.write_text(json.dumps(made), "utf-8")
    assert len(run(load_experiment(path), tmp_path / "runs").conditions[0].records) == 5


def test_a_slot_that_the_template_does_not_list_is_told(tmp_path):
    (tmp_path / "t.j2").write_text(
        "---\ntask: slots\ntext_field: utt\nlabel_field: annot_utt\nlabels: [time, rooms]\n"
        "---\n{{ utt }}:||| {{ marked }}\n",
        "utf-8",
    )
    with pytest.raises(DataError, match="the slot 'room', which is not among the 2 slots.*rooms"):
        run(load_experiment(make(tmp_path, ["t.j2"])), tmp_path / "runs")


def test_several_samples_of_questions_are_refused(tmp_path):
    path = make(tmp_path, ["slots/per_slot"], sampling={"n": 2, "temperature": 0.7})
    with pytest.raises(ConfigError, match="asks a question for each slot; write n: 1"):
        run(load_experiment(path), tmp_path / "runs")
