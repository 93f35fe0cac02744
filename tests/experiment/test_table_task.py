"""What a table asks: one row of the table below for each kind of columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from icl.core.errors import ConfigError
from icl.core.types import Example
from icl.data.columns import ColumnTable
from icl.experiment.table_task import TableTask, guess_task

TEXT = [f"a text of its own, number {i}" for i in range(24)]
LONG = [f"{text} " * 20 for text in TEXT]
COLORS = ("red", "green", "blue")


def table(**columns: list[Any]) -> ColumnTable:
    rows = [
        Example(str(n), dict(zip(columns, cells, strict=True)))
        for n, cells in enumerate(zip(*columns.values(), strict=True))
    ]
    return ColumnTable(Path("t.jsonl"), rows, tuple(columns), len(rows))


def guess(columns: dict[str, list[Any]], **options: Any) -> TableTask:
    return guess_task(table(**columns), **options)


def cycle(*values: Any) -> list[Any]:
    return [values[i % len(values)] for i in range(24)]


LISTED = [[f"a{i}", f"b{i}", f"c{i}"] for i in range(24)]
APART = {name: [row[n] for row in LISTED] for n, name in enumerate(("A", "B", "C"))}


@pytest.mark.parametrize(
    ("answers", "task"),
    [
        (cycle(*COLORS), "classify"),
        (cycle(1, 2, 3, 4, 5), "classify"),
        (cycle(True, False), "classify"),
        (cycle("Food, drink", "Health, body"), "classify"),
        (cycle("joy, fear", "joy", "fear", "anger, joy", "anger"), "labels"),
        (cycle("a;b", "a", "b;c", "c", "a;c"), "labels"),
        (cycle(["joy"], ["joy", "fear"], []), "labels"),
        (cycle('["joy"]', '["joy", "fear"]', "[]"), "labels"),
        (cycle({"who": "Ann"}, {"who": "Bo"}), "extract"),
        (cycle('{"who": "Ann"}', '{"who": "Bo"}'), "extract"),
        ([[f"x{i}", f"y{i}"] for i in range(24)], "extract"),
        ([[f"he went home at {i}", f"at {i} he went home"] for i in range(24)], "generate"),
        ([f"word{i}" for i in range(24)], "generate"),
        ([f"he went home at {i}" for i in range(24)], "generate"),
    ],
    ids=str,
)
def test_the_answers_tell_the_task(answers: list[Any], task: str) -> None:
    made = guess({"text": TEXT, "out": answers}, answer="out")
    assert (made.task, made.inputs) == (task, ("text",))


def test_a_long_text_with_a_short_one_is_a_summary_and_with_a_label_is_none() -> None:
    assert guess({"body": LONG, "out": TEXT}).task == "summarization"
    assert guess({"body": LONG, "out": cycle(*COLORS)}).task == "classify"
    assert guess({"body": TEXT, "out": LONG}).task == "generate"


@pytest.mark.parametrize(
    ("columns", "answers", "choices", "labels"),
    [
        ({"options": LISTED}, cycle(0, 1, 2), ("options",), ("index",)),
        ({"options": LISTED}, cycle(1, 2, 3), ("options",), ("1", "2", "3")),
        ({"options": LISTED}, cycle("A", "C"), ("options",), ("A", "B", "C")),
        ({"options": LISTED}, [row[0] for row in LISTED], ("options",), ("text",)),
        (APART, cycle("A", "B", "C"), ("A", "B", "C"), ("A", "B", "C")),
        (APART, cycle("b", "c"), ("A", "B", "C"), ("a", "b", "c")),
        (
            {f"option_{name}": cells for name, cells in APART.items()},
            cycle("option_A", "option_C"),
            ("option_A", "option_B", "option_C"),
            ("option_A", "option_B", "option_C"),
        ),
    ],
    ids=str,
)  # fmt: skip
def test_columns_with_choices_are_found_however_the_answer_names_one(
    columns: dict[str, list[Any]], answers: list[Any], choices: Any, labels: Any
) -> None:
    made = guess({"question": TEXT, **columns, "key": answers}, answer="key")
    assert (made.task, made.choices, made.choice_labels) == ("choose", choices, labels)
    assert made.inputs == ("question",)


def test_two_texts_and_a_number_are_no_choices() -> None:
    made = guess({"text1": TEXT, "text2": TEXT[::-1], "label": cycle(0, 1)})
    assert (made.task, made.inputs) == ("classify", ("text1", "text2"))


def test_what_the_model_reads() -> None:
    columns: dict[str, list[Any]] = {
        "text": TEXT,
        "date": [f"2024-01-{i + 1:02} 10:00" for i in range(24)],
        "same": ["all alike here"] * 24,
        "stars": [i % 5 for i in range(24)],
        "code": cycle(7, 8, 9),
        "color": cycle(*COLORS),
    }
    made = guess(columns, answer="color")
    assert (made.inputs, made.left_out) == (("text",), ("code",))
    made = guess(columns, answer="color", inputs=("stars", "text"))
    assert made.inputs == ("stars", "text")
    single = {
        "singular": [f"w{'x' * i}" for i in range(24)],
        "plural": [f"{i}s" for i in range(24)],
    }
    with pytest.raises(ConfigError, match="to classify"):  # numbers of rows, it seems
        guess({"t": TEXT, "n": list(range(24))})
    assert guess(single).inputs == ("singular",)
    japanese = {
        "文": [f"これは{i}番目の文章です" for i in range(24)],
        "答え": cycle("はい", "いいえ"),
    }
    assert guess(japanese).inputs == ("文",)


def test_the_answer_is_guessed_by_its_name_or_asked_for() -> None:
    assert guess({"label": cycle(*COLORS), "text": TEXT, "other": TEXT}).answer == "label"
    assert guess({"a": TEXT, "b": cycle(*COLORS)}).answer == "b"
    with pytest.raises(ConfigError, match="Name it, as in --answer target; there are: label, ta"):
        guess({"label": cycle(*COLORS), "target": cycle(*COLORS), "text": TEXT})


def test_labels_that_differ_in_case_alone_are_one() -> None:
    made = guess({"text": TEXT, "out": cycle("Red", "red", "red", "blue")})
    assert made.labels == ("blue", "red")
    assert made.values[0] == "red"
    assert made.notes == ("labels spelt in more than one way: Red is taken as red",)
    for pair in (("1", "1.0"), ("ＡＢ", "AB"), ("e\u0301", "\xe9")):
        assert len(guess({"text": TEXT, "out": cycle(*pair, "other")}, answer="out").labels) == 2
        sets = cycle([pair[0]], [pair[1], "other"])
        assert len(guess({"text": TEXT, "out": sets}, answer="out").labels) == 2


@pytest.mark.parametrize(
    ("answers", "task", "message"),
    [
        (cycle({"a": 1}, "b"), None, "in others values such as 'b'; to extract"),
        (cycle({"a": 1}, {"a": 2}), "classify", "--task extract takes objects"),
        (cycle(["a"], ["b"]), "classify", "--task labels takes sets of them"),
        (cycle({"a": 1}, {"a": 2}), "generate", "--task extract takes objects"),
        (TEXT, "classify", "24 different values in 24 rows; to classify, at most 200"),
        (cycle(*([{"role": "user", "content": text}] for text in "xy")), None, "chats"),
        ([[f"{i}x{j}" for j in range(10)] for i in range(24)], "labels", "240 different values"),
    ],
    ids=str,
)  # fmt: skip
def test_answers_that_do_not_suit_the_task_say_which_they_suit(
    answers: list[Any], task: str | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        guess({"text": TEXT, "out": answers}, answer="out", task=task)
