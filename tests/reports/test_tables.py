"""The terminal's tables: what they say first, and what they keep where the width is small."""

from __future__ import annotations

from pathlib import Path

from icl import run
from icl.records.results import Run, load_run
from icl.reports.axis_columns import FittedTable, make_axis_column, make_number_column
from icl.reports.comparison import render_plain
from icl.reports.margins import describe_task
from icl.reports.tables import render
from icl.scoring.against import measure_margins
from icl.scoring.scores import score_run
from tests.madeup import Made, Row, made
from tests.table_experiment import write


def test_a_narrow_table_leaves_out_what_matters_least(tmp_path: Path) -> None:
    done = run(write(tmp_path), tmp_path / "runs")
    wide, narrow = render(done, 120), render(done, 56)
    assert "no room here" not in wide and " tokens" in wide
    assert "no room here for the columns: s, tokens" in narrow
    assert max(map(len, narrow.splitlines())) <= 56
    head = next(line for line in narrow.splitlines() if "95 % int." in line)
    assert head.split()[-1] == "n", "the columns that are left are whole"


def test_a_narrow_table_leaves_columns_out_before_it_cuts_a_number(tmp_path: Path) -> None:
    entry = {"task": "intent", "prompt": "intent.j2", "rows": {"data": "rows", "split": "test"}}
    run(write(tmp_path, tasks=[entry], grid={"shots": [0]}), tmp_path / "runs")
    scored = score_run(load_run("small", tmp_path / "runs"), ["token_f1", "exact_match", "chrf"])
    narrow = render(scored, 76)
    table, told = narrow.split("no room here for the columns: ")
    assert told.startswith("s, tokens, chance, chrF++\n"), "then metrics, the last one first"
    assert "…" not in table and max(map(len, table.splitlines())) <= 76
    head = next(line for line in table.splitlines() if "95 % int." in line)
    assert " ".join(head.split()) == "shots acc 95 % int. diff. 95 % int. p macro-F1 tok-F1 EM n"
    # Before the difference to a baseline goes, its interval does.
    table, told = render(scored, 40).split("no room here for the columns: ")
    head = next(line for line in table.splitlines() if "95 % int." in line)
    assert " ".join(head.split()) == "shots acc 95 % int. diff. p n"
    told = " ".join(render(scored, 28).split()).partition("no room here for the columns: ")[2]
    assert told.startswith("s, tokens, chance, chrF++, EM, tok-F1, macro-F1, over chance")


def test_a_run_prints_a_sentence_a_table_and_three_checks_at_most(tmp_path: Path) -> None:
    shots = {"shots": (("p0", "a", 0.0),), "dropped": ("p1",), "spanning": 1}
    rows = [Row("abc"[i % 3], "a", {"text": "same"}, record=shots) for i in range(30)]
    done = made(tmp_path, Made(rows), Made(rows, {"shots": "4 bm25"}))
    short, whole = render(done, details=False), render(done)
    assert " ".join(short.split()).startswith(
        "classify: no shots: acc 33.3 [19.2, 51.2], the best of 2; not shown to be better than the "
        "best baseline, vote 33.3 (p = 1.000)."
    )
    assert short.count("check: ") == 3 < whole.count("check: ")
    left = whole.count("check: ") - 3 + 1  # lost shots are a note there
    assert f"{left} more checks: icl show {done.called} --details" in " ".join(short.split())
    assert "accuracy|match:exact" in whole and "accuracy|match:exact" not in short
    head = next(line for line in short.splitlines() if "95 % int." in line)
    assert " ".join(head.split()) == "shots acc 95 % int. diff. 95 % int. p n"
    assert " over vote" in short and "majority" not in head and "tokens" not in head
    assert " chance " in next(line for line in whole.splitlines() if "95 % int." in line)
    assert max(map(len, short.splitlines())) <= 80


def test_the_sentence_of_a_task_says_what_the_tests_show(tmp_path: Path) -> None:
    def answered(right: int, shots: str) -> Made:
        rows = [Row("abc"[i % 3], "abc"[(i + (i >= right)) % 3]) for i in range(60)]
        return Made(rows, {"shots": shots}, settings={"k": shots.split()[0]})

    bare = answered(22, "0")
    shown = describe(made(tmp_path / "shown", bare, answered(12, "4"), answered(57, "10")))
    assert shown == (
        "classify: 10 shots: acc 95.0 [86.3, 98.3], the best of 3, against 36.7 without shots; "
        "shown (p < 0.001); no baseline comes near (the best, chance 33.3)."
    )
    close = describe(made(tmp_path / "close", bare, answered(33, "4")))
    assert "against 36.7 without shots; shown (p < 0.001); better than the best" in close
    alike = describe(made(tmp_path / "alike", bare, answered(24, "4")))
    assert "without shots; not shown to differ (p = 0.250); not shown to be better" in alike
    worse = describe(made(tmp_path / "worse", answered(6, "0")))
    assert worse == (
        "classify: no shots: acc 10.0 [4.7, 20.1]; worse than chance 33.3, which needs no model "
        "(p < 0.001)."
    )


def describe(run: Run) -> str:
    """The sentence of a run of one task."""
    return " ".join(describe_task(run.conditions, measure_margins(run.conditions), "acc").split())


def test_places_are_no_alternatives_to_take_the_best_of(tmp_path: Path) -> None:
    good = [Row("abc"[i % 3], "abc"[i % 3]) for i in range(30)]
    bad = [Row("abc"[i % 3], "b") for i in range(30)]
    done = made(tmp_path, Made(good, {"locale": "de-DE"}), Made(bad, {"locale": "sw-KE"}))
    assert describe(done) == (
        "classify: acc from 33.3 (sw-KE) to 100.0 (de-DE); shown to be better than the best "
        "baseline in 1 of 2 conditions."
    )


def test_a_wide_terminal_shows_the_score_against_shots(tmp_path: Path) -> None:
    def answered(right: int, k: str) -> Made:
        rows = [Row("abc"[i % 3], "abc"[(i + (i >= right)) % 3]) for i in range(30)]
        return Made(rows, {"shots": k}, settings={"k": k})

    done = made(tmp_path, answered(0, "0"), answered(15, "1"), answered(30, "10"))
    assert "by shots, from 0" not in render(done, 99)
    lines = render(done, 100).splitlines()
    start = lines.index("acc by shots, from 0 to 100")
    bars = lines[start + 1 : start + 4]
    assert [bar.split("│")[0].strip() for bar in bars] == ["0", "1", "10"]
    assert [bar.split("│")[2].strip() for bar in bars] == ["0.0", "50.0", "100.0"]
    assert [bar.split("│")[1].index("●") for bar in bars] == [0, 30, 59]
    assert max(map(len, lines)) <= 100
    assert "by shots, from 0" not in render(made(tmp_path / "two", answered(0, "0")), 120)


def test_heads_and_words_are_broken_at_their_marks(tmp_path: Path) -> None:
    words = ["prompts/fields_of_a_row.j2", "prompts/moods_of_a_row.j2"]
    axes = [
        make_axis_column("shown_labels", ["gold", "balanced run"]),
        make_axis_column("prompt", words),
        make_axis_column("sampling.max_tokens", ["8", "12"]),
    ]
    numbers = [make_number_column(f"number {i}", ["100.0", "0.0"], str(i)) for i in range(3)]
    text = render_plain([FittedTable([*axes, *numbers], numbers)], 50)
    assert text.splitlines()[:6] == [
        "shown_                sampling.",
        "labels   prompt       max_tokens number 1 number 2",
        "─" * 50,
        "gold     prompts/     8             100.0    100.0",
        "         fields_of_a_",
        "         row.j2",
    ]
    assert text.splitlines()[6].startswith("balanced prompts/ ")
    assert "no room here for the columns: number 0" in text
    assert max(map(len, text.splitlines())) <= 50
    wide = render_plain([FittedTable([*axes, *numbers], numbers)], 120)
    assert words[0] in wide and "shown_labels" in wide and "no room" not in wide


def test_counts_of_another_parser_have_short_titles(tmp_path: Path) -> None:
    entry = {
        "task": "translation",
        "prompt": "copy.j2",
        "rows": {"data": "pairs", "pair": {"from": "en", "to": "de"}, "n": 4},
    }
    model = {"engine": "table", "answers": {f"In: line {n} of text\nOut:": "" for n in range(20)}}
    file = write(tmp_path, tasks=[entry], grid={"shots": [0]}, models={"t": model})
    run(file, tmp_path / "runs")
    again = render(score_run(load_run("small", tmp_path / "runs"), parser="text"), 120)
    assert "empty % (text)" in again and "@" not in again
