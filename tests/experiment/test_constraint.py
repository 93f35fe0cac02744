"""`constrain:` of a task, from the file to records that can be read again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from icl.core.errors import ConfigError
from icl.experiment.condition import build
from icl.experiment.file import load_experiment
from icl.experiment.grid import list_points
from icl.experiment.lint import lint
from icl.experiment.loader import Loader
from icl.records.results import load_run
from icl.running.run import run
from tests.core.test_answer_forms import keeps

MARKED = """---
task: generate
stop: ["\\n"]
---
[[example]]
Say: {{ utt }}
Marked:||| {{ target }}
"""
ROWS = [
    {"id": str(n), "utt": utt, "marked": marked, "split": "train" if n > 2 else "test"}
    for n, (utt, marked) in enumerate(
        [
            ("wake me at five", "wake me at [time : five]"),
            ("rain in rome", "rain in [place : rome]"),
            ("lights off", "lights off"),
            ("rain at six", "rain at [time : six]"),
            ("rain in oslo", "rain in [place : oslo]"),
        ]
    )
]


def write(folder: Path, model: Any, **changes: Any) -> Path:
    """Write an experiment on five rows; ``changes`` are keys of the task, ``grid`` of the file."""
    (folder / "marked.j2").write_text(MARKED)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    task = {
        "task": "generate",
        "prompt": "marked.j2",
        "rows": {"data": "rows", "split": "test"},
        "pool": {"split": "train"},
        "sampling": {"max_tokens": 60},
    }
    grid = changes.pop("grid", {})
    made = {
        "name": "bound",
        "models": {"m": model},
        "data": {"rows": {"format": "jsonl", "path": "rows.jsonl", "answer": "marked"}},
        "tasks": [{name: value for name, value in (task | changes).items() if value is not None}],
        "grid": grid,
        "compare": {"by": "constrain"},
    }
    if "tasks.generate.constrain" not in grid:
        del made["compare"]
    path = folder / "bound.yaml"
    path.write_text(json.dumps(made))
    return path


@pytest.fixture
def tiny(tiny_model: Path) -> dict[str, Any]:
    return {"source": str(tiny_model), "device": "cpu"}


def test_bound_and_free_are_conditions_of_one_run(
    tmp_path: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, tiny, grid={"tasks.generate.constrain": [None, "source"]})
    made = run(path, tmp_path / "runs")
    found = load_run(made.path if hasattr(made, "path") else tmp_path / "runs" / "bound")
    free, bound = found.conditions
    assert [one.entry.settings["constrain"] for one in (free, bound)] == ["free", "source"]
    for record in free.records.values():
        assert all(output.form is None for output in record.outputs)
        assert record.request == free.hash_again(record)
    for record in bound.records.values():
        (output,) = record.outputs
        assert output.form is not None and output.form.steps > 0
        assert record.request == bound.hash_again(record), "its form is made again"
        words = ROWS[int(record.id)]["utt"].split()
        assert output.finish == "length" or [w for w in output.text.replace("]", " ").split()
                                             if w in words] == words  # fmt: skip
    names = json.loads((bound.store.folder / "condition.json").read_text())["constrain"]["names"]
    assert names == ["place", "time"], "those of the answers of pool and rows"
    identity = json.loads((free.store.folder / "condition.json").read_text())
    assert "constrain" not in identity and "constrain" not in identity["sampling"]


def test_forms_of_one_kind_are_told_apart(tmp_path: Path, tiny: dict[str, Any]) -> None:
    forms = [None, {"regex": "a+"}, {"regex": "b+"}, {"json_schema": {"type": "string"}}]
    path = write(tmp_path, tiny, grid={"tasks.generate.constrain": forms})
    experiment = load_experiment(path)
    points = list_points(experiment)
    words = ["free", "regex (1)", "regex (2)", "json_schema"]
    assert [point.axes["constrain"] for point in points] == words
    loader = Loader(experiment)
    conditions = [build(point, loader) for point in points]
    assert len({one.fingerprint for one in conditions}) == 4
    first, second = (one.request(one.examples[0]) for one in conditions[1:3])
    assert first.hash != second.hash and first.sent == second.sent


def test_without_a_form_no_axis_is_added(tmp_path: Path, tiny: dict[str, Any]) -> None:
    (point,) = list_points(load_experiment(write(tmp_path, tiny)))
    assert "constrain" not in point.axes


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"constrain": "choice"}, "'generate' has none; write source, or a regex"),
        ({"constrain": {"regex": "a", "grammar": "start: x"}}, "regex and grammar is given; give"),
        ({"constrain": {"regex": "(a"}}, "constrain.regex:1:1: unclosed group"),
        ({"constrain": {"json_schema": "none.json"}}, "none.json: No such file"),
        ({"constrain": {"grammar": "start: x"}}, "constrain.grammar:1:8: unknown name"),
        ({"constrain": {"names": ["a:b"]}}, "'a:b' of a mark holds a bracket"),
        ({"constrain": "source", "pool": None, "rows": {"data": "rows", "lines": [3, 3]}},
         "answers of the pool have none.*list them"),
        ({"constrain": {"field": "nothing"}}, "which is None here; name a field"),
        ({"constrain": "source", "sampling": {"max_tokens": 3}},
         "max_tokens is 3, and the shortest answers of 3 of 3 rows need more.*raise max_tokens"),
    ],
)  # fmt: skip
def test_lint_says_what_is_wrong_before_a_model_is_loaded(
    tmp_path: Path, tiny: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    import re

    problems = [problem.text for problem in lint(str(write(tmp_path, tiny, **changes)))]
    assert any(re.search(said, text) for text in problems), problems
    assert all("\n" not in text for text in problems)


def test_a_form_of_right_length_is_no_problem(tmp_path: Path, tiny: dict[str, Any]) -> None:
    assert not lint(str(write(tmp_path, tiny, constrain="source")))


def test_an_engine_without_forms_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, {"engine": "table"}, constrain="source")
    experiment = load_experiment(path)
    with pytest.raises(ConfigError, match="the model 'm' takes no forms, .* asks for source"):
        build(list_points(experiment)[0], Loader(experiment))


def test_ranking_writes_nothing_that_could_be_held(tmp_path: Path, tiny: dict[str, Any]) -> None:
    path = write(tmp_path, tiny, task="classify", constrain="choice")
    text = MARKED.replace("generate", "classify\nlabels: [x, y]").replace("target", "label")
    (tmp_path / "marked.j2").write_text(text)
    problems = [problem.text for problem in lint(str(path))]
    assert any("method here is rank, which writes nothing" in text for text in problems)


SLOTS = """---
task: slots
output: {output}
text_field: utt
label_field: marked
{front}
stop: ["\\n"]
---
[[example]]
Say: {{{{ utt }}}}
Slots:||| {target}
"""


def slots(folder: Path, model: Any, target: str, front: str = "", **changes: Any) -> Path:
    """Write an experiment with slots; ``front`` is more of the template's front matter."""
    kept = {"constrain": "source", "task": "slots"} | changes
    path = write(folder, model, **kept)
    made = json.loads(path.read_text())
    del made["data"]["rows"]["answer"]
    made["tasks"][0]["sampling"]["max_tokens"] = 80
    path.write_text(json.dumps(made))
    rows = [{"intent": row["utt"].split()[0], **row} for row in ROWS]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    output = "json" if "json" in target else "per_slot" if "value" in target else "marked"
    text = SLOTS.format(output=output, front=front, target=target)
    (folder / "marked.j2").write_text(text)
    return path


@pytest.mark.parametrize(
    ("target", "front", "answer"),
    [
        ("{{ marked }}", "", " wake me at [time : five]"),
        ("{{ slots | json }}", "", ' {"time": ["five"]}'),
        ("{{ intent }} | {{ marked }}", "intent_field: intent", " wake | wake me at [time : five]"),
        (
            "{{ dict(intent=intent, **slots) | json }}",
            "intent_field: intent",
            ' {"intent": "wake", "time": ["five"]}',
        ),
    ],
)
def test_the_form_of_slots_follows_from_the_template(
    tmp_path: Path,
    tiny: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    target: str,
    front: str,
    answer: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = slots(tmp_path, tiny, target, front)
    experiment = load_experiment(path)
    made = build(list_points(experiment)[0], Loader(experiment))
    request = made.request(made.examples[[one.id for one in made.examples].index("0")])
    assert request.prompt.form is not None
    assert keeps(request.prompt.form, answer)
    run(path, tmp_path / "runs")
    (condition,) = load_run(tmp_path / "runs" / "bound").conditions
    for record, prediction in zip(condition.records.values(), condition.predictions(), strict=True):
        assert record.request == condition.hash_again(record), "its form is made again"
        if record.outputs[0].finish != "length":
            assert not any(prediction.faults.values()), record.outputs[0].text


@pytest.mark.parametrize(
    ("target", "front", "changes", "said"),
    [
        ("{{ value }}", "", {}, "asks a question for each slot; take a template"),
        ("<{{ marked }}>", "", {}, "what `||| {{ marked }}` writes, and marked.j2 writes '<"),
        ("{{ marked }} ({{ intent }})", "intent_field: intent", {}, "{{ intent }} | {{ marked }}"),
        ("{{ dict(slots=slots) | json }}", "", {}, "{{ slots | json }}"),
        ("{{ marked }}", "", {"constrain": {"written": "json"}},
         "written: 'json', and the template marked.j2 says 'marked'"),
        ("{{ marked }}", "", {"constrain": {"field": "text"}}, "field: 'text', and the template"),
    ],
)  # fmt: skip
def test_a_template_of_slots_that_a_form_would_not_allow_is_refused(
    tmp_path: Path,
    tiny: dict[str, Any],
    target: str,
    front: str,
    changes: dict[str, Any],
    said: str,
) -> None:
    path = slots(tmp_path, tiny, target, front, **changes)
    problems = [problem.text for problem in lint(str(path))]
    assert any(said in text for text in problems), problems
    assert all("\n" not in text for text in problems)
