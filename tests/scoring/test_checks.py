"""Each check on a run that has the defect and on one that has not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from icl import load_run, run
from icl.core.types import Output
from icl.reports.tables import render
from icl.scoring.checks import CHECKS, Finding, checks, find_score_direction, summarize_findings
from tests.madeup import Made, Row, made
from tests.table_experiment import write

LABELS = "abc"


def right(n: int = 30, **record: Any) -> list[Row]:
    """Rows of three labels, all answered rightly."""
    return [Row(LABELS[i % 3], LABELS[i % 3], record=record) for i in range(n)]


def written(n: int = 30, **kept: Any) -> list[Row]:
    """German outputs equal to their targets."""
    meta = {"source": "eng_Latn", "target": "deu_Latn"}
    return [Row(f"Satz {i}", f"Satz {i}", meta=meta, **kept) for i in range(n)]


def found(folder: Path, *conditions: Made) -> dict[str, Finding]:
    return {one.name: one for one in checks(made(folder, *conditions))}


def ranked(folder: Path, rows: Sequence[Row], **more: Any) -> dict[str, Finding]:
    return found(folder, Made(rows, **more))


def wrote(folder: Path, rows: Sequence[Row]) -> dict[str, Finding]:
    return found(folder, Made(rows, labels=()))


def test_a_run_without_defects_has_no_findings(tmp_path: Path) -> None:
    shots = (("p0", "a", None), ("p1", "b", None), ("p2", "c", None))
    rows = [
        Row(LABELS[i % 3], LABELS[i % 3] if i % 6 else "b", record={"shots": shots})
        for i in range(120)
    ]
    assert ranked(tmp_path / "rank", rows, pool_labels={"a": 1, "b": 1, "c": 1}) == {}
    assert wrote(tmp_path / "write", written(40)) == {}


def test_spanning_tokens(tmp_path: Path) -> None:
    rows = [*right(27), *right(3, spanning=1)]
    one = ranked(tmp_path, rows)["spanning"]
    assert (one.count, one.of) == (3, 30)
    assert one.text.startswith("3 of 30 prompts end inside a token of their choices")


def test_labels_that_are_never_predicted(tmp_path: Path) -> None:
    rows = [Row(LABELS[i % 3], "ab"[i % 2]) for i in range(30)]
    one = ranked(tmp_path, rows)["never_predicted"]
    assert (one.count, one.of) == (1, 3)
    assert "('c'): 10 rows cannot be right" in one.text


def test_a_label_of_two_rows_may_go_unpredicted(tmp_path: Path) -> None:
    rows = [*[Row(LABELS[i % 2], LABELS[i % 2]) for i in range(30)], Row("c", "a"), Row("c", "b")]
    assert "never_predicted" not in ranked(tmp_path, rows)


def test_one_answer_for_most_rows_and_for_all(tmp_path: Path) -> None:
    most = [Row(LABELS[i % 3], "a" if i < 24 else LABELS[i % 3]) for i in range(30)]
    one = ranked(tmp_path / "most", most)["one_answer"]
    assert (one.count, one.of) == (26, 30)
    assert one.text == "'a' is the answer to 26 of 30 rows, and right for 10"
    every = [Row(LABELS[i % 3], "a") for i in range(30)]
    one = ranked(tmp_path / "every", every)["one_answer"]
    assert one.text == "'a' is the answer to every one of 30 rows, and right for 10"
    texts = [Row(f"Satz {i}", "Ja.", meta={"target": "deu_Latn"}) for i in range(20)]
    assert wrote(tmp_path / "text", texts)["one_answer"].count == 20


def test_one_answer_that_is_mostly_right_is_none(tmp_path: Path) -> None:
    rows = [Row("a" if i < 20 else "b", "a") for i in range(30)]
    assert "one_answer" not in ranked(tmp_path, rows)


def test_ties_of_choices_and_of_votes(tmp_path: Path) -> None:
    rows = [*right(28), *[Row("a", record={"logprobs": (-1.0, -1.0, -2.0)})] * 2]
    one = ranked(tmp_path / "rank", rows)["ties"]
    assert (one.count, one.of) == (2, 30)
    halves = tuple(Output(text, "stop", 5, 1, place) for place, text in enumerate("xyxy"))
    texts = [*written(29), Row("Satz 29", record={"outputs": halves})]
    one = wrote(tmp_path / "vote", texts)["ties"]
    assert one.text == "1 of 30 votes over samples are ties; the first is taken"


def test_answers_in_another_script(tmp_path: Path) -> None:
    hindi = {"source": "eng_Latn", "target": "hin_Deva"}
    rows = [Row("नमस्ते", "नमस्ते" if i < 24 else f"Hello there {i}", meta=hindi) for i in range(30)]
    one = wrote(tmp_path / "off", rows)["off_target"]
    assert (one.count, one.of) == (6, 30)
    assert "not in hin_Deva: 6 in another script (another language in the same" in one.text
    rows = [Row("नमस्ते", f"नमस्ते {i} OK", meta=hindi) for i in range(30)]
    assert "off_target" not in wrote(tmp_path / "on", rows)
    rows = [Row("7", f"{i}", meta=hindi) for i in range(30)]
    assert "off_target" not in wrote(tmp_path / "digits", rows)


def test_copies_of_the_source(tmp_path: Path) -> None:
    rows = [
        Row(
            f"Satz {i}",
            f" SOURCE  {i}" if i < 5 else f"Satz {i}",
            meta={"source": "eng_Latn", "target": "deu_Latn"},
        )
        for i in range(30)
    ]
    one = wrote(tmp_path / "copied", rows)["off_target"]
    assert (one.count, one.of) == (5, 30)
    assert "5 copied from the source" in one.text
    names = [Row(f"source {i}", f"source {i}", meta={"target": "deu_Latn"}) for i in range(30)]
    assert "off_target" not in wrote(tmp_path / "names", names)


def test_copies_of_the_input_in_any_task(tmp_path: Path) -> None:
    def row(i: int, answer: str) -> Row:
        return Row(f"gold {i}", answer, {"source": f"a long question {i}", "hint": f"hint {i}"})

    rows = [row(i, f"A  long question {i}" if i < 5 else f"gold {i}") for i in range(30)]
    one = wrote(tmp_path / "copied", rows)["copied_input"]
    assert (one.count, one.of) == (5, 30)
    assert one.text == (
        "5 of 30 answers copy their input, and are not right, as 'A long question 0' from 'source'"
    )
    rows = [row(i, f"hint {i}") for i in range(30)]  # a short field may be one to answer with
    assert "copied_input" not in wrote(tmp_path / "choice", rows)
    rows = [Row(f"source {i}", f"source {i}") for i in range(30)]
    assert "copied_input" not in wrote(tmp_path / "right", rows)


def test_answers_that_repeat_a_shot(tmp_path: Path) -> None:
    shots = {"shots": (("p0", "The shot", 1.0), ("p1", "Another", 1.0))}
    rows = [
        Row(f"gold {i}", "the  shot" if i < 6 else f"gold {i}", record=shots) for i in range(30)
    ]
    one = wrote(tmp_path / "repeated", rows)["copied_shot"]
    assert (one.count, one.of) == (6, 30)
    assert one.text == (
        "6 of 30 answers repeat the answer of one of their shots, and are not right, as 'the shot'"
    )
    # What is right for another row, as yes and no, says nothing.
    rows = [*rows, Row("The shot", "The shot", record=shots)]
    assert "copied_shot" not in wrote(tmp_path / "shared", rows)
    labels = [Row(LABELS[i % 3], "a", record={"shots": (("p0", "a", 1.0),)}) for i in range(30)]
    assert "copied_shot" not in ranked(tmp_path / "labels", labels)


def test_retrieval_that_finds_nothing(tmp_path: Path) -> None:
    def rows(empty: int, score: float | None = 0.0) -> list[Row]:
        shots = [(("p0", "a", score if i < empty else 1.5), ("p1", "b", score)) for i in range(30)]
        return [Row(LABELS[i % 3], LABELS[i % 3], record={"shots": shots[i]}) for i in range(30)]

    one = ranked(tmp_path / "nothing", rows(30))["nothing_found"]
    assert (one.count, one.of) == (30, 30)
    assert one.text.startswith("retrieval found nothing for 30 of 30 rows: all scores of their sho")
    assert "nothing_found" not in ranked(tmp_path / "one", rows(1))
    assert "nothing_found" not in ranked(tmp_path / "random", rows(30, None))


def test_the_gravest_checks_come_first() -> None:
    places = {name: place for place, name in enumerate(CHECKS)}
    order = "stale_scores spanning nothing_found one_answer copied_input below_baseline few_rows"
    assert sorted(order.split(), key=lambda name: places[name]) == order.split()


def test_a_tag_that_is_no_language_has_no_script(tmp_path: Path) -> None:
    rows = [Row("x", f"Привет {i}", meta={"target": "part-two!"}) for i in range(30)]
    assert "off_target" not in wrote(tmp_path, rows)


@pytest.mark.parametrize(
    ("name", "row", "text"),
    [
        ("over_length", Row("Satz", "Satz und", finish="length"), "were cut at max_tokens"),
        ("unended", Row("Satz", "", finish="reasoning"), "ended while still reasoning"),
        ("filtered", Row("Satz", "", finish="filter"), "withheld or cut by the server's filter"),
        ("refused", Row("Satz", "I can't", finish="refusal"), "rows were refused an answer"),
        ("empty", Row("Satz", "  "), "answers are empty"),
        (
            "shortened",
            Row("Satz", "Satz", record={"shortened": (3, 9)}),
            "lost the end of their marked span",
        ),
        (
            "lost_shots",
            Row("Satz", "Satz", record={"dropped": ("p1", "p2")}),
            "prompts lost shots to fit the window (4 shots)",
        ),
    ],
)
def test_shares_of_odd_outputs(tmp_path: Path, name: str, row: Row, text: str) -> None:
    one = wrote(tmp_path / "with", [*written(28), row, row])[name]
    assert (one.count, one.of) == (2, 30)
    assert text in one.text
    assert name not in wrote(tmp_path / "without", written(30))


def test_an_odd_output_in_a_hundred_stands_in_the_table_alone(tmp_path: Path) -> None:
    rows = [*written(99), Row("Satz", "Satz und", finish="length")]
    assert "over_length" not in wrote(tmp_path, rows)


def test_answers_that_cannot_be_parsed(tmp_path: Path) -> None:
    odd = {"outputs": (Output("neither", "stop", 5, 1),), "logprobs": ()}
    rows = [*right(27), *[Row("a", record=odd)] * 3]
    one = ranked(tmp_path, rows)["unparsed"]
    assert one.text == "3 of 30 answers cannot be read by the parser"
    assert "empty" not in ranked(tmp_path / "again", rows)


def test_retrieval_that_does_the_work(tmp_path: Path) -> None:
    rows = [
        Row(
            LABELS[i % 3],
            LABELS[i % 3] if i % 2 else "a",
            record={"shots": (("p0", LABELS[i % 3], 2.0), ("p1", LABELS[(i + 1) % 3], 1.0))},
        )
        for i in range(60)
    ]
    one = ranked(tmp_path / "below", rows)["below_vote"]
    assert (one.count, one.of) == (40, 40)
    assert one.text == (
        "accuracy 66.7 is worse than the vote of its own shots, 100.0: retrieval does most of the "
        "work (40 of 40 right answers are the vote's too)"
    )
    rows = [Row(row.gold, row.gold, record={"shots": (("p0", "a", 1.0),)}) for row in rows]
    assert "below_vote" not in ranked(tmp_path / "above", rows)


def test_shots_without_retrieval_are_a_baseline_like_others(tmp_path: Path) -> None:
    rows = [Row(LABELS[i % 3], "a", record={"shots": (("p0", "a", None),)}) for i in range(30)]
    found = ranked(tmp_path, rows)
    assert "below_vote" not in found
    assert found["below_baseline"].text == (
        "accuracy 33.3 is not shown to be better than chance 33.3, vote 33.3"
    )


def test_a_score_that_beats_no_baseline(tmp_path: Path) -> None:
    rows = [Row("a" if i < 40 else "b", "a" if i % 2 else "b") for i in range(60)]
    one = ranked(tmp_path / "few", rows, pool_labels={"a": 5, "b": 1})["below_baseline"]
    # Of 30 rows that just one of the two has right, 20 are the majority's: p is 0.07.
    assert one.text == "accuracy 50.0 is not shown to be better than majority 66.7"
    one = ranked(tmp_path / "more", rows * 2, pool_labels={"a": 5, "b": 1})["below_baseline"]
    assert one.text == "accuracy 50.0 is worse than majority 66.7"


def test_fewer_errors_are_better(tmp_path: Path) -> None:
    bad = [Row(f"ein Satz {i}", "völlig anders und lang", meta={"target": "de"}) for i in range(30)]
    run = made(tmp_path, Made(bad, labels=(), metrics=["ter"]))
    assert find_score_direction(run.conditions[0], "ter@text") == "lower"
    assert find_score_direction(run.conditions[0], "length_ratio") == "none"
    assert find_score_direction(run.conditions[0], "accuracy+batch") == "higher"
    assert find_score_direction(run.conditions[0], "who knows") == "none"
    assert "below_baseline" in {one.name for one in checks(run)}


def test_right_labels_missing_among_the_shots(tmp_path: Path) -> None:
    shots = {"shots": (("p0", "a", None), ("p1", "a", None))}
    one = ranked(tmp_path / "without", right(30, **shots))["gold_missing"]
    assert one.text == "the right label is missing among the shots of 20 of 30 rows"
    shots = {"shots": (("p0", "a", None), ("p1", "b", None))}
    assert "gold_missing" not in ranked(tmp_path / "with", right(30, **shots))


def test_few_rows(tmp_path: Path) -> None:
    rows = [Row(LABELS[i % 3], LABELS[i % 3] if i % 2 else "a") for i in range(20)]
    one = ranked(tmp_path, rows)["few_rows"]
    assert (one.count, one.of) == (20, 20)
    assert one.text.endswith("points wide with n = 20; about 80 rows would halve it")


def test_test_inputs_that_stand_twice_are_told_once(tmp_path: Path) -> None:
    rows = right(30)
    rows[3].fields = {"text": " TEXT 4"}
    twice = [Made(rows), Made(rows, {"shots": "1"})]
    told = [one for one in checks(made(tmp_path, *twice)) if one.name == "duplicates"]
    assert [(one.count, one.of) for one in told] == [(1, 30)]
    assert told[0].text == "1 of 30 test inputs repeat another one of them"


def at(width: str, rows: Sequence[Row]) -> Made:
    engine = {"kind": "hf", "weights": "w", "tokenizer": "t", "width": width}
    return Made(rows, {"width": width}, engine=engine)


def test_identical_answers_at_two_widths(tmp_path: Path) -> None:
    same = right(30)
    one = found(tmp_path / "same", at("bf16", same), at("nf4", same))["same_answers"]
    assert (one.count, one.of) == (30, 30)
    assert one.text.startswith("all 30 answers at nf4 are those at bf16 to the last digit")
    other = [*same[:-1], Row("c", record={"logprobs": (-1.0, -1.0001, 0.0)})]
    assert "same_answers" not in found(tmp_path / "other", at("bf16", same), at("nf4", other))
    models = [at("bf16", same), Made(same, engine={"kind": "hf", "weights": "v", "width": "nf4"})]
    assert "same_answers" not in found(tmp_path / "models", *models)


def test_nothing_is_told_of_what_was_not_answered(tmp_path: Path) -> None:
    assert found(tmp_path, Made([])) == {}


def test_the_terminal_names_a_handful_and_counts_the_rest(tmp_path: Path) -> None:
    bad = [
        Row(
            LABELS[i % 3],
            "a",
            {"text": "same"},
            record={"shots": (("p0", "a", None),), "dropped": ("p1",), "spanning": 1},
        )
        for i in range(12)
    ]
    run = made(tmp_path, Made(bad), Made(bad, {"shots": "1 bm25"}))
    lines = summarize_findings(run.conditions, checks(run), 3, "made")
    assert len(lines) == 4
    assert lines[0].startswith("check: no shots: 12 of 12 prompts end inside a token")
    assert lines[0].endswith("(and 1 more condition)")
    assert lines[-1] == "5 more checks: icl show made --details"
    everything = summarize_findings(run.conditions, checks(run), None)
    assert len(everything) == 8
    shown = render(run)
    assert max(map(len, shown.splitlines())) <= 80
    assert "check: no shots: 12 of 12 prompts end inside" in " ".join(shown.split())


def test_every_check_has_a_name_once() -> None:
    assert len(set(CHECKS)) == len(CHECKS) == 29


def test_scores_of_rows_that_are_no_longer_there(tmp_path: Path) -> None:
    run(write(tmp_path, grid={"shots": [0]}), tmp_path / "runs")
    assert "stale_scores" not in {one.name for one in checks(load_run("small", tmp_path / "runs"))}
    intent, translation = load_run("small", tmp_path / "runs").conditions
    lines = (intent.store.folder / "records.jsonl").read_text().splitlines(keepends=True)
    (intent.store.folder / "records.jsonl").write_text("".join(lines[:-1]))
    (translation.store.folder / "records.jsonl").unlink()
    told = [one for one in checks(load_run("small", tmp_path / "runs")) if "stale" in one.name]
    assert [(one.count, one.of) for one in told] == [(10, 10), (10, 10)]
    assert "0 have records now" in told[1].text
    assert told[0].text.startswith(
        "accuracy was computed from 10 rows, 9 have records now: run the"
    )
    assert "accuracy was computed from 10 rows" in render(load_run("small", tmp_path / "runs"))
