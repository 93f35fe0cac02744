"""Comparisons of a small run: what is paired, on which examples, and what the words say."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from icl import run
from icl.core.errors import CommandError, ConfigError, StoreError
from icl.core.types import Example, Prediction
from icl.experiment.file import load_experiment
from icl.metrics import make_metric
from icl.metrics.accuracy import Accuracy
from icl.records.results import Run
from icl.reports.comparison import (
    describe_comparison,
    make_comparison_tables,
    make_spread_tables,
    render_plain,
)
from icl.scoring.compare import (
    Comparison,
    compare,
    compare_by,
    compare_runs,
    compare_sides,
    correct_comparisons,
)
from icl.scoring.pairs import Side, collect_settings
from icl.scoring.sensitivity import rank_stability, spreads
from tests.table_experiment import TEMPLATE, write

SHOTS = [0, {"k": 2, "select": "bm25"}, {"k": 2, "select": "random", "seeds": [0, 1, 2]}]


def varied(folder: Path, n: int = 12, **changes: Any) -> Path:
    """The small experiment with two prompts for the intents, and several shots."""
    file = write(folder, **{"grid": {"shots": SHOTS}, **changes})
    (folder / "short.j2").write_text(TEMPLATE.replace("Name the intent.", "Intent?"))
    raw = json.loads(file.read_text())
    raw["tasks"][0]["prompt"] = ["intent.j2", "short.j2"]
    raw["tasks"][0]["rows"]["n"] = n
    file.write_text(json.dumps(raw))
    return file


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("varied")
    return run(varied(folder), folder / "runs")


def answered(hits: str, name: str = "x", text: str = "q", locale: str = "en") -> Side:
    """A side that is right where there is a ``+``, on examples r0, r1, …; ``.`` has none."""
    ids = [f"r{place}" for place, sign in enumerate(hits) if sign != "."]
    return Side(
        name,
        {key: Example(key, {"q": text + key}, ("a",), {"locale": locale}) for key in ids},
        {key: Prediction(key, "a" if hits[int(key[1:])] == "+" else "b") for key in ids},
    )


def between(one: Side, two: Side, metric: Any = None) -> Comparison:
    made = compare_sides(one, two, "accuracy", metric or Accuracy(), {"task": "t"})
    return correct_comparisons([made])[0]


def test_conditions_equal_but_for_the_setting_are_paired(small: Run) -> None:
    found = compare_by(small, "prompt")
    pairs = [(one.a, one.b, one.where["shots"]) for one in found if one.pairs == 1]
    shots = ["0", "2 bm25", "2 random s0", "2 random s1", "2 random s2"]
    assert pairs == [("intent.j2", "short.j2", word) for word in shots]
    for one, word in zip(found, shots, strict=False):
        a = small.condition(f"intent.j2 {word}" if word != "0" else "1")
        values = {s.value for s in a.scores if s.name == "accuracy" and s.kind == "model"}
        assert one.value_a in values
        assert one.difference.test == "mcnemar:midp|ci:tango"
        assert (one.n_a, one.n_b, one.n, one.compared) == (12, 12, 12, 5)
    *singles, mean = found
    assert (mean.pairs, mean.n, mean.compared) == (5, 12, 1)
    assert mean.value_b == pytest.approx(sum(one.value_b for one in singles) / 5)
    assert mean.difference.test.startswith("jackknife-tango|ci:the same")


def test_a_setting_that_one_of_two_does_not_have_keeps_them_not_apart(small: Run) -> None:
    found = [one for one in compare_by(small, "k") if one.where["task"] == "intent"]
    assert {one.a for one in found} == {"0"}
    assert [one.b for one in found if one.pairs == 1].count("2 random s1") == 2
    assert [(one.b, one.pairs) for one in found if one.pairs > 1] == [
        ("2 bm25", 2),
        ("2 random", 6),
    ]


def test_the_baseline_can_be_named(small: Run) -> None:
    found = compare_by(small, "seed", "1")
    assert {(one.a, one.b) for one in found} == {
        ("2 random s1", "2 random s0"),
        ("2 random s1", "2 random s2"),
    }


def test_values_of_each_setting(small: Run) -> None:
    found = collect_settings(small)
    assert found["prompt"] == ["intent.j2", "short.j2", "copy.j2"]
    assert (found["seed"], found["select"]) == (["0", "1", "2"], ["bm25", "random"])


@pytest.mark.parametrize(
    ("setting", "baseline", "message"),
    [
        ("promt", None, "^small: no setting 'promt'. Did you mean 'prompt'"),
        ("prompt", "shrot.j2", "^small: no prompt 'shrot.j2'. Did you mean 'short.j2'"),
        ("model", None, "^small: model is 't' wherever there is one, so there is nothing to compare"
                        "; what differs: task, prompt, shots, k, method, select, seed"),
        ("task", None, "^small: no two conditions differ only in task; with task 'intent'"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_told(
    small: Run, setting: str, baseline: str | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        compare_by(small, setting, baseline)


def test_two_conditions_and_another_metric(small: Run) -> None:
    one = compare(small.conditions[0], small.conditions[1], "macro_f1")
    assert (one.metric, one.title, one.a, one.b) == (
        "macro_f1",
        "macro-F1",
        "intent.j2",
        "short.j2",
    )
    for condition, value in zip(small.conditions, (one.value_a, one.value_b), strict=False):
        assert value in [score.value for score in condition.scores if score.name == "macro_f1"]
    with pytest.raises(ConfigError, match="unknown metric 'macro'.*macro_f1"):
        compare(small.conditions[0], small.conditions[1], "macro")


def test_runs_are_compared_on_the_examples_that_both_have(tmp_path: Path, small: Run) -> None:
    other = {"u": {"engine": "table", "window": 999, "default": "hash"}}
    fewer = run(varied(tmp_path, 8, name="fewer", models=other), tmp_path)
    found = compare_runs(small, fewer)
    assert len(found) == len(small.conditions)
    first = found[0]
    assert (first.a, first.b) == ("t", "u")  # what tells the runs apart
    assert (first.n_a, first.n_b, first.n) == (12, 8, 8)
    assert "of 12 and 8 examples, 8 are in both" in describe_comparison(first)
    assert first.identical  # the same engine by another name
    single = replace(small, conditions=small.conditions[:1])
    with pytest.raises(ConfigError, match="^no condition of small is alike to one of fewer; name"):
        compare_runs(single, replace(fewer, conditions=fewer.conditions[1:3]))


def test_the_order_of_the_rows_changes_nothing() -> None:
    one, two = answered("++-+--+-+--+"), answered("-++-+++-++-+")
    turned = replace(
        two,
        examples=dict(reversed(two.examples.items())),
        predictions=dict(reversed(two.predictions.items())),
    )
    for metric in (Accuracy(), make_metric("macro_f1")[1]):
        assert between(one, two, metric) == between(one, turned, metric)


def test_rows_of_the_same_id_with_another_text_are_left_out() -> None:
    two = answered("+-+-")
    other = {**two.examples, "r0": Example("r0", {"q": "something else"}, ("a",), {"locale": "en"})}
    made = between(answered("++++"), replace(two, examples=other))
    assert (made.n, made.left_out) == (3, 1)
    text = render_plain(make_comparison_tables([made]))
    assert "1 examples share an id, not text and targets: left out" in text
    none = between(answered("++++"), answered("----", text="other "))
    assert none.problem == ("no common examples: 4 ids are in both, with other texts or targets")
    parallel = between(answered("++++"), answered("----", text="autre ", locale="fr"))
    assert parallel.n == 4  # parallel rows of two languages


def test_a_row_with_hints_is_the_same_question_without_them() -> None:
    """Hints against the control of other words were refused as having no common examples."""
    two = answered("+-+-")
    hinted = {
        key: replace(row, fields={**row.fields, "hints": f"of {key}", "hint_pairs": [["a", "b"]]})
        for key, row in two.examples.items()
    }
    made = between(answered("++++"), replace(two, examples=hinted))
    assert (made.n, made.left_out, made.problem) == (4, 0, "")
    other = {**hinted, "r0": replace(hinted["r0"], fields={"q": "another", "hints": ""})}
    assert between(answered("++++"), replace(two, examples=other)).left_out == 1


def test_nothing_in_common_is_said_without_a_table() -> None:
    made = between(answered("+++..", "left"), answered("...++", "right"))
    assert describe_comparison(made) == (
        "t: right against left: nothing can be compared: no common examples: 3 and 2 examples "
        "share no id"
    )
    assert (made.value_a, made.difference.p, made.p_holm) == (None, None, None)
    assert render_plain(make_comparison_tables([made])).startswith(
        "t: right against left: nothing can be"
    )
    assert render_plain(make_comparison_tables([made, made])).count("share no id") == 2  # one each


def test_a_metric_that_is_not_defined_is_said() -> None:
    one, two = answered("+-"), answered("-+")
    bare = {key: replace(example, targets=()) for key, example in one.examples.items()}
    made = between(replace(one, examples=bare), replace(two, examples=bare))
    assert made.problem.startswith("acc needs a target, and example 'r0' has none")
    many = render_plain(make_comparison_tables([made, between(one, two)]))
    assert "needs a target" in many and "nan" not in many.lower()


@pytest.mark.parametrize(
    ("one", "two", "words"),
    [
        ("+", "-", "both have answered the same 1 example; one example shows nothing"),
        ("+-+-", "+-+-", "both have the same score on each, so there is no difference to test"),
        ("----", "----", "both have the same score on each"),
        # Tango by hand: of 20 gains alone the lower end is (n - z^2) / (n + z^2).
        ("-" * 20, "+" * 20, "shown: acc of x is higher, +100.0 [+67.8, +100.0], p < 0.001"),
        ("+" * 9 + "-", "-" * 9 + "+",
         "shown: acc of x is lower, -80.0 [-96.4, -19.2], p = 0.012"),
        ("+-+-", "-++-", "the difference is not shown: +0.0 [-60.4, +60.4], p = 1.000"),
        ("+-" * 30, "+--+" * 15, "p = 1.000; about 7,400 to 12,000 examples would be needed to see "
                                 "2 points"),
        ("-" * 60, "-" * 58 + "++", "the difference is not shown: +3.3 [-2.9, +11.4], p = 0.250"),
    ],
)  # fmt: skip
def test_the_words_say_what_is_shown(one: str, two: str, words: str) -> None:
    assert words in describe_comparison(between(answered(one), answered(two)))


def test_where_lower_is_better_the_words_say_so() -> None:
    one, two = answered("-" * 9), answered("+" * 9)
    made = between(one, two, make_metric("ter")[1])
    assert made.better == "lower"
    assert describe_comparison(made).endswith("p = 0.005 (lower is better)")
    assert between(one, two, make_metric("length_ratio")[1]).better == "none"


def test_all_comparisons_are_corrected_together() -> None:
    made = [between(answered("-" * 8), answered("+" * n + "-" * (8 - n))) for n in (6, 7, 8)]
    found = correct_comparisons(made)
    assert [round(one.difference.p, 6) for one in found] == [0.015625, 0.007813, 0.003906]
    assert [round(one.p_holm, 6) for one in found] == [0.015625, 0.015625, 0.011719]
    assert {one.compared for one in found} == {3}
    problem = between(answered("+."), answered(".+"))
    assert correct_comparisons([*made, problem])[0].compared == 3


def test_many_comparisons_are_summed_up_in_80_columns(small: Run) -> None:
    text = render_plain(make_comparison_tables(compare_by(small, "prompt"), "prompt"))
    assert max(map(len, text.splitlines())) <= 80
    assert "intent · t · acc by prompt, against intent.j2" in text
    assert "mean of 5" in text
    assert "not shown, 5 of 5: neither that they differ nor that they are alike" in text
    assert "Holm: p corrected for all 5 comparisons listed; * below 0.05" in text
    assert "nan" not in text.lower()


def test_a_narrow_table_leaves_out_the_base_before_it_breaks_a_number(small: Run) -> None:
    parts = list(make_comparison_tables(compare_by(small, "prompt"), "prompt"))
    lines = render_plain(parts, 58).splitlines()
    assert any(line.startswith("no room here for the columns: p, base") for line in lines)
    head = next(place for place, line in enumerate(lines) if line.rstrip().endswith(" n"))
    ends = [line[-2:].strip() for line in lines[head + 2 : head + 8]]
    assert all(end.isdigit() for end in ends), lines[head : head + 8]


def test_a_metric_that_a_task_lacks_is_neither_compared_nor_counted(small: Run) -> None:
    """Macro-F1 of translations was, and made p of the labels' larger."""
    tasks = {one.where["task"] for one in compare_by(small, "seed", metrics=["chrf"])}
    found = compare_by(small, "seed", metrics=["macro_f1"])
    assert len({c.entry.task for c in small.conditions}) == 2
    assert len(tasks) == 1 and tasks.isdisjoint(one.where["task"] for one in found)
    singles = [one for one in found if one.pairs == 1]
    assert {one.compared for one in singles} == {len(singles)}
    # Which no task has is of all: it was meant so.
    everywhere = {one.where["task"] for one in compare_by(small, "seed", metrics=["token_f1"])}
    assert len(everywhere) == 2


def test_what_is_shown_is_marked_and_named() -> None:
    rows = [
        replace(
            between(answered("-" * 20), answered("+" * n + "-" * (20 - n), f"b{n}")),
            where={"task": "t", "shots": f"{n}"},
        )
        for n in (1, 2, 18, 19)
    ]
    text = render_plain(make_comparison_tables(correct_comparisons(rows), "prompt"))
    assert "shown, 2 of 4: b18 +90.0 (18), b19 +95.0 (19)" in text
    assert text.count("<0.001*") == 2


def test_a_run_of_an_earlier_version_is_told(small: Run) -> None:
    entry = replace(small.conditions[0].entry, settings=None)
    old = replace(small, conditions=(replace(small.conditions[0], entry=entry),))
    with pytest.raises(StoreError, match="of an earlier version and does not list its settings"):
        compare_by(old, "prompt")
    assert render_plain(make_spread_tables(replace(small, conditions=small.conditions[:1]))) == "\n"


def test_the_page_on_statistics_is_true(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text("utf-8")
    (wanted,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.M | re.S)
    file = varied(tmp_path, **yaml.safe_load(wanted))
    assert load_experiment(file).raw["compare"] == {"by": "shots", "baseline": 0}


def test_outside_programs_are_not_started_unasked(small: Run) -> None:
    program = {"command": "python score.py {hypothesis}", "name": "comet"}
    first, second = (
        replace(one, entry=replace(one.entry, metrics=(program,))) for one in small.conditions[:2]
    )
    with pytest.raises(ConfigError, match="^the task 'intent' has outside programs for metrics"):
        compare(first, second)
    with pytest.raises(CommandError, match="'comet' is a program .*'python score.py {hypothesis}"):
        compare(first, second, "comet")
    alone = replace(small, conditions=(first, second))
    assert spreads(alone) == []
    assert rank_stability(alone) == []


def test_conditions_without_records_are_told(small: Run) -> None:
    empty = replace(small.conditions[1], ids=())
    made = compare(small.conditions[0], empty)
    assert made.problem == "no common examples: 12 and 0 examples share no id"
    assert spreads(replace(small, conditions=(small.conditions[0], empty))) == []


def calibrated(tmp_path: Path) -> Run:
    tasks = json.loads(write(tmp_path).read_text())["tasks"][:1]
    tasks[0]["calibrate"] = ["batch", "per_token"]
    return run(write(tmp_path, tasks=tasks), tmp_path / "runs")


def test_calibrators_are_compared_with_the_plain_answers(tmp_path: Path) -> None:
    done = calibrated(tmp_path)
    found = [one for one in compare_by(done, "calibrator") if one.pairs == 1]
    assert {(one.a, one.b) for one in found} == {("none", "batch"), ("none", "per_token")}
    scores = {(tuple(c.axes.items()), s.name): s.value for c in done.conditions for s in c.scores}
    for one in found:
        assert one.metric == "accuracy"
        key = next(axes for axes, _ in scores if set(one.where.items()) <= set(axes))
        assert one.value_a == scores[key, "accuracy"]
        assert one.value_b == scores[key, f"accuracy+{one.b}"]
    turned = compare_by(done, "calibrator", "batch")
    assert {one.b for one in turned} == {"none", "per_token"}


def test_a_condition_that_refused_the_baseline_is_left_out(tmp_path: Path) -> None:
    tasks = json.loads(write(tmp_path).read_text())["tasks"][:1]
    tasks[0]["calibrate"] = ["batch", {"calibrator": "vote_mix", "weight": 0.5}]
    done = run(write(tmp_path, tasks=tasks), tmp_path / "runs")
    found = compare_by(done, "calibrator", "vote_mix")  # refused without shots
    assert {(one.a, one.b) for one in found} == {("vote_mix", "none"), ("vote_mix", "batch")}
    assert {one.where["shots"] for one in found} == {"2 bm25"}


def test_a_calibrated_score_is_compared_over_settings(tmp_path: Path) -> None:
    done = calibrated(tmp_path)
    scores = {
        c.axes["shots"]: s.value
        for c in done.conditions
        for s in c.scores
        if s.name == "accuracy+batch"
    }
    for one in compare_by(done, "shots", metrics=["accuracy+batch"]):
        assert one.metric == "accuracy+batch"
        assert (one.value_a, one.value_b) == (scores[one.a], scores[one.b])


def test_calibrators_that_are_not_there_are_told(tmp_path: Path) -> None:
    done = calibrated(tmp_path)
    with pytest.raises(ConfigError, match=r"small: no calibrator 'bach'\. Did you mean 'batch'"):
        compare_by(done, "calibrator", "bach")
    with pytest.raises(ConfigError, match=r"accuracy\+batch names a calibrator.*; ask for accurac"):
        compare_by(done, "calibrator", metrics=["accuracy+batch"])
    plain = run(write(tmp_path, name="plain"), tmp_path / "runs")
    with pytest.raises(ConfigError, match="has no calibrated scores; add some: icl score"):
        compare_by(plain, "calibrator")
