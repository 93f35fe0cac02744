"""Gold is what the prompt teaches: each target as the target half of the template shows it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from icl.core.types import Example
from icl.prompts.template import Template, bind
from icl.prompts.template_file import parse_template
from icl.records.results import Run, load_run
from icl.reports.card import make_card
from icl.reports.grid import make_score_grids
from icl.reports.tables import render, render_record
from icl.running.progress import Progress
from icl.running.run import run
from icl.scoring.compare import compare
from icl.scoring.scores import score_run
from icl.tasks.predict import read_gold

LABELLED = ("Text: {{ text }}\nPage:", "{{ ['lost card', 'stolen'][label] }}")
WORKED = ("Q: {{ text }}\nA:", "{{ target.split('####')[-1] | trim }}")
RAW = ("Q: {{ text }}\nA:", "{{ target }}")


def template(halves: tuple[str, str], task: str = "generate") -> Template:
    text = f'---\ntask: {task}\nstop: ["\\n"]\n---\n{halves[0]}||| {halves[1]}\n'
    return bind(parse_template(text, "t.j2", Path("t.j2")), "en", None, ())


def write(folder: Path, halves: tuple[str, str], rows: list[dict[str, Any]], **task: Any) -> Path:
    """An experiment whose model writes what ``said`` of each row holds."""
    made = template(halves)
    (folder / "t.j2").write_text(made.file.text)
    (folder / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    prompts = [halves[0].replace("{{ text }}", row["text"]) for row in rows]
    answers = {one: row["said"] for one, row in zip(prompts, rows, strict=True)}
    body = {
        "name": "gold",
        "models": {"m": {"engine": "table", "answers": answers}},
        "data": {"d": {"format": "jsonl", "path": "x.jsonl", "answer": "label", "gold": ["said"]}},
        "tasks": [
            {"task": "generate", "prompt": "t.j2", "rows": {"data": "d"},
             "metrics": ["exact_match"], **task}
        ],
    }  # fmt: skip
    file = folder / "e.yaml"
    file.write_text(json.dumps(body))
    return file


PAGES = [
    {"text": "my card", "label": 0, "said": " lost card"},
    {"text": "gone", "label": 1, "said": " stolen"},
    {"text": "gone too", "label": 1, "said": " lost card"},
]
SUMS = [
    {"text": "2 + 3?", "label": "2 + 3 = 5 pens.\n#### 5", "said": " 5"},
    {"text": "1,000 + 200?", "label": "sum\n#### 1,200", "said": " 1,200"},
]


def value(made: Run) -> float | None:
    return next(one.value for one in made.scores if one.name == "exact_match")


def texts(made: Run) -> list[Any]:
    path = made.conditions[0].store.folder / "examples.jsonl"
    found = {row["id"]: row for row in map(json.loads, path.read_text().splitlines())}
    return [found[name].get("gold_texts") for name in sorted(found)]


@pytest.mark.parametrize(
    ("halves", "rows", "expected", "kept"),
    [
        (LABELLED, PAGES, 200 / 3, [["lost card"], ["stolen"], ["stolen"]]),
        (WORKED, SUMS, 100.0, [["5"], ["1,200"]]),
        (RAW, [{"text": "a", "label": " b ", "said": " b"}], 100.0, [None]),
        (("Q: {{ text }}", "{{ label | trim }}"), [{"text": "a", "label": "b", "said": "b"}],
         100.0, [None]),
    ],
)  # fmt: skip
def test_answers_are_held_against_what_the_prompt_shows(
    tmp_path: Path,
    halves: tuple[str, str],
    rows: list[dict[str, Any]],
    expected: float,
    kept: list[Any],
) -> None:
    made = run(write(tmp_path, halves, rows), out=tmp_path / "runs")
    assert value(made) == pytest.approx(expected)
    assert texts(made) == kept
    assert value(score_run(load_run("gold", tmp_path / "runs"))) == pytest.approx(expected)


def test_a_folder_without_gold_keeps_the_raw_one_and_says_so_until_it_is_run_again(
    tmp_path: Path,
) -> None:
    file = write(tmp_path, LABELLED, PAGES)
    path = run(file, out=tmp_path / "runs").conditions[0].store.folder / "examples.jsonl"
    path.write_text(re.sub(r',"gold_texts":\[.*?\]', "", path.read_text()))
    old = score_run(load_run("gold", tmp_path / "runs"))
    assert value(old) == 0.0
    said = "gold is the raw answer of the data, although the part after ||| changes it, in 1 of 1"
    assert said in " ".join(render(old).split())
    assert said in " ".join(make_score_grids(old)[0].notes)
    again = run(file, out=tmp_path / "runs")
    assert (again.computed, value(again)) == (0, pytest.approx(200 / 3))
    assert "gold is the raw answer" not in render(again)


def test_a_record_shows_the_gold_and_what_the_row_says(tmp_path: Path) -> None:
    [made] = run(write(tmp_path, LABELLED, PAGES), out=tmp_path / "runs").conditions
    text = render_record(made, made.record("0"))
    assert "target     lost card\nof the row 0\nanswer     lost card (right)" in text
    card = make_card(made, made.record("0"))
    assert card.example.targets == ("lost card",)


def test_gold_is_read_by_the_parser_that_reads_the_answers() -> None:
    row = Example("1", {}, ("5",), gold_texts=("It is 5.\nSo 5",))
    assert read_gold(row, "first_line").targets == ("It is 5.",)
    assert read_gold(row, "text").targets == ("It is 5.\nSo 5",)
    assert read_gold(row, "fields").targets == ("It is 5.\nSo 5",)  # which cannot read it
    assert read_gold(Example("1", {}, ("5",)), "first_line").targets == ("5",)


def test_prompts_that_teach_other_answers_are_compared_each_with_its_own(tmp_path: Path) -> None:
    found = []
    for name, halves, said in (
        ("a", RAW, "5"),
        ("b", ("Q: {{ text }}\nA:", "<{{ target }}>"), "<5>"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        rows = [{"text": f"{n}?", "label": "5", "said": f" {said}"} for n in range(4)]
        found += run(write(folder, halves, rows), out=folder / "runs").conditions
    made = compare(*found)
    assert (made.n, made.left_out, made.value_a, made.value_b) == (4, 0, 100.0, 100.0)


def test_every_target_is_shown_as_if_it_stood_first() -> None:
    row = Example("1", {"text": "x"}, ("a b", "c b", "a  b"))
    assert template(("{{ text }}", "{{ target.split()[0] }}")).teach(row).gold_texts == ("a", "c")


def test_a_row_that_the_target_half_cannot_show_keeps_its_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": "2 + 3?", "label": "5", "said": " 5"}]
    file = write(tmp_path, ("Q: {{ text }}\nA:", "{{ why }} {{ target }}"), rows)
    made = run(file, out=tmp_path / "runs", progress=Progress())
    assert value(made) == 100.0
    assert "cannot be rendered for 1 test rows" in capsys.readouterr().err


def test_labels_and_items_are_never_changed() -> None:
    text = "---\ntask: classify\nlabels: [a, b]\n---\n{{ text }}||| <{{ label }}>\n"
    made = bind(parse_template(text, "t.j2", Path("t.j2")), "en", None, ())
    assert made.teach(Example("1", {"text": "x"}, ("a",))).gold_texts == ()
