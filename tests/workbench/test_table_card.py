"""A table of the user's own: the page says and makes what `icl init --from` says and makes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from icl.core.errors import DataError, IclError
from icl.experiment.condition import build
from icl.experiment.file import load_experiment
from icl.experiment.grid import list_points
from icl.experiment.loader import Loader
from icl.experiment.table_starter import start_from_table
from icl.workbench.screen import Screen
from icl.workbench.table_card import ROLES, TableCard, open_table
from icl.workbench.template_files import save_template
from icl.workbench.workbench import Workbench

WISHES = ("order", "refund", "hours", "thanks")
Rows = list[dict[str, Any]]


def messages() -> Rows:
    return [
        {
            "id": f"m{n}",
            "text": f"please see to my matter number {n}",
            "code": f"C{n % 4}",
            "wish": WISHES[n % 4],
            "part": "test" if n < 8 else "train",
        }
        for n in range(24)
    ]


def without(rows: Rows, *names: str) -> Rows:
    return [{name: row[name] for name in row if name not in names} for row in rows]


def renamed(rows: Rows, old: str, new: str) -> Rows:
    return [{new if name == old else name: value for name, value in row.items()} for row in rows]


def save(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


TABLES: dict[str, Rows] = {
    "labels": without(messages(), "part"),
    "split": renamed(messages(), "part", "split"),
    "translation": [
        {"German": f"Satz Nummer {n}", "English": f"sentence number {n}"} for n in range(8)
    ],
    "choose": [
        {"q": f"which is {n}?", "choice1": f"{n}", "choice2": f"not {n}", "label": str(1 + n % 2)}
        for n in range(8)
    ],
    "sets": [
        {"text": f"some text {n}", "labels": ["joy", "anger"][: 1 + n % 2]} for n in range(12)
    ],
    "extract": [{"text": f"Ann met Bo {n}", "answer": {"who": f"Ann {n}"}} for n in range(8)],
    "empty": [
        {"text": f"some text {n}", "answer": f"its answer {n}" if n % 2 else None}
        for n in range(12)
    ],
}


def condition_of(work: Workbench, card: TableCard) -> Any:
    made, table = card.starter()
    name = save_template(work.base, "mine", made.template, "")
    one, other = made.pair or (None, None)
    screen = Screen(name, made.template, work.add_table(made.rows, table), None, one, other)
    screen = Screen(
        **{**vars(screen), "select": made.select, "k": made.k, "max_tokens": made.max_tokens}
    )
    return work.sample(screen, None, 0)


@pytest.mark.parametrize("name", list(TABLES))
def test_the_card_says_and_asks_what_icl_init_does(
    work: Workbench, tmp_path: Path, name: str
) -> None:
    path = save(tmp_path / "mine.jsonl", TABLES[name])
    task = "translation" if name == "translation" else None
    made = start_from_table(tmp_path / "made", path, task=task)
    card = open_table(path)
    if task:
        card = card.assign({}, task)
    assert not card.problem
    told = [f"{guess.name}: {guess.found}" for guess in made.guesses]
    assert card.lines() == [*told, *(note.replace(str(path), path.name) for note in made.notes)]
    assert card.draft is not None
    assert card.draft.template == (tmp_path / "made" / "prompt.j2").read_text()
    assert card.draft.rows == (tmp_path / "made" / "rows.jsonl").read_text()
    # What is sent is the same, too: row by row, with the same shots.
    text = made.experiment.read_text()
    text = re.sub(r"\{source: .*?\}", "{engine: table, default: hash}", text, count=1)
    made.experiment.write_text(text)
    experiment = load_experiment(made.experiment)
    there = build(list_points(experiment)[1], Loader(experiment))
    here = condition_of(work, card)
    asked, sent = (
        {row.id: one.request(row).prompt.text for row in one.examples} for one in (here, there)
    )
    assert asked == sent and len(sent) >= 2
    assert (here.task.name, here.method) == (there.task.name, there.method)


def test_roles_are_guessed_for_each_column(tmp_path: Path) -> None:
    card = open_table(save(tmp_path / "m.jsonl", TABLES["split"]))
    assert card.roles == {
        "id": "id",
        "split": "split",
        "text": "text",
        "code": "gives the answer away",
        "wish": "answer",
    }
    assert card.preview() == [
        [f"m{n}", "test", f"please see to my matter number {n}", f"C{n % 4}", WISHES[n % 4]]
        for n in range(5)
    ]
    assert "split: 8 test rows, 16 may be shots, as its column split says" in card.lines()


def test_a_split_that_is_called_otherwise_is_respected(tmp_path: Path, work: Workbench) -> None:
    card = open_table(save(tmp_path / "m.jsonl", messages()))
    assert card.roles["part"] == "ignore"
    made = card.assign({"part": "split", "id": "id"})
    rows, table = made.rows()
    sides = {row["id"]: row["split"] for row in map(json.loads, rows.splitlines())}
    assert sides == {f"m{n}": "test" if n < 8 else "train" for n in range(24)} and table.split
    drawn = card.assign({"part": "ignore"})
    assert any(line.endswith("drawn label by label") for line in drawn.lines())
    condition = condition_of(work, made)
    assert sorted(row.id for row in condition.examples) == sorted(f"m{n}" for n in range(8))
    assert {row.id for row in condition.pool} == {f"m{n}" for n in range(8, 24)}


def test_what_gives_the_answer_away_may_not_be_read(tmp_path: Path, work: Workbench) -> None:
    card = open_table(save(tmp_path / "m.jsonl", TABLES["labels"]))
    data = work.add_table(*card.rows())
    text = "---\ntask: generate\n---\n[[example]]\n{{ code }}:||| {{ target }}\n"
    name = save_template(work.base, "peek", text, "")
    condition = work.bind(Screen(name, text, data, None, k=0)).condition
    with pytest.raises(IclError, match="'code'"):
        condition.request(condition.examples[0])


@pytest.mark.parametrize(
    ("roles", "problem"),
    [
        ({"text": "ignore"}, "no column has the role text; choose what the model is to read"),
        ({"wish": "ignore"}, "no column has the role answer, so no template can be made; choose"),
        ({"code": "answer"}, "2 columns have the role answer: code, wish; only one can"),
        (
            {"wish": "id", "code": "answer", "id": "ignore"},
            "wish: the id 'order' stands twice, in row 5; give it",
        ),
    ],
)
def test_roles_that_do_not_go_together_are_told(
    tmp_path: Path, roles: dict[str, str], problem: str
) -> None:
    card = open_table(save(tmp_path / "m.jsonl", TABLES["labels"])).assign(roles)
    assert card.problem.startswith(problem) and card.draft is None


def test_messages_speak_of_roles_and_not_of_options_or_folders(tmp_path: Path) -> None:
    rows = [{"a": f"text {n}", "b": f"more {n}", "c": n} for n in range(8)]
    card = open_table(save(tmp_path / "m.jsonl", rows))
    assert card.problem == (
        "m.jsonl: which column holds the right answer? Name it, as in the role answer for c; "
        "there are: a, b, c"
    )
    with pytest.raises(DataError, match="^m.csv is empty; a line with the names"):
        (tmp_path / "m.csv").write_text("")
        open_table(tmp_path / "m.csv")


def test_rows_without_answers_are_all_asked(tmp_path: Path, work: Workbench) -> None:
    card = open_table(save(tmp_path / "m.jsonl", [{"utt": "wake me"}, {"utt": "play jazz"}]))
    assert card.problem and card.roles == {"utt": "text"}
    rows, table = card.rows()
    assert not table.split and table.answer is None
    text = "---\ntask: generate\n---\n[[example]]\n{{ utt }}:||| {{ target }}\n"
    name = save_template(work.base, "say", text, "")
    screen = Screen(name, text, work.add_table(rows, table), None, k=0)
    assert [row.fields["utt"] for row in work.sample(screen, None, 0).examples] == [
        "wake me",
        "play jazz",
    ]


def test_a_workbook_and_the_same_table_as_csv_give_one_card(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    rows = without(messages(), "part")
    for row in ([*rows[0]], *([*row.values()] for row in rows)):
        sheet.append(row)
    book.save(tmp_path / "m.xlsx")
    lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    (tmp_path / "m.csv").write_text("\n".join(lines))
    one, two = (open_table(tmp_path / name) for name in ("m.xlsx", "m.csv"))
    assert (one.roles, one.preview(), one.lines()) == (two.roles, two.preview(), two.lines())
    assert set(one.roles.values()) <= set(ROLES)
