"""Pivots: values, means, the best of a row, and marks of differences that are shown."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from icl.core.errors import ConfigError
from icl.reports.pivot import ABSENT, lay_out_pivot, pivot
from icl.running.run import run
from icl.scoring.significance import holm
from tests.madeup import Made, Row, made
from tests.table_experiment import write


def hits(n_right: int, n: int = 40, **axes: str) -> Made:
    """A condition that answers the first ``n_right`` rows rightly; the same rows in each."""
    rows = [
        Row("abc"[i % 3], "abc"[i % 3] if i < n_right else "abc"[(i + 1) % 3]) for i in range(n)
    ]
    return Made(rows, axes)


def grid(folder: Path, values: dict[tuple[str, str], int], **more: Any) -> Any:
    conditions = [hits(n, locale=row, prompt=col) for (row, col), n in values.items()]
    return made(folder, *conditions, **more)


def test_a_place_is_a_score_with_its_interval(tmp_path: Path) -> None:
    run = grid(tmp_path, {("en", "x"): 20, ("en", "y"): 30, ("de", "x"): 10, ("de", "y"): 10})
    [one] = pivot(run, "locale", "prompt")
    assert (one.row_values, one.col_values) == (("en", "de"), ("x", "y"))
    place = one.place("en", "x")
    assert place is not None and place.value == 50.0 and place.sd is None
    assert place.text.startswith("50.0") and place.text.endswith("[35.2, 64.8]")
    assert one.over == ()
    table = lay_out_pivot(one)
    assert table.heads == ("locale \\ prompt", "x", "y")
    assert [[cell.bold for cell in row] for row in table.rows] == [
        [False, False, True],
        [False, True, True],
    ]
    assert "n = 40 rows a condition; [95 % interval]" in table.notes
    assert any("accuracy|match:exact" in note for note in table.notes)


def test_marks_are_corrected_for_all_comparisons(tmp_path: Path) -> None:
    run = grid(tmp_path, {("en", "x"): 20, ("en", "y"): 30, ("de", "x"): 30, ("de", "y"): 34})
    [one] = pivot(run, "locale", "prompt")
    # 10 rows differ, all one way: McNemar's mid-p is 1 / 2**10; 4 rows: 1 / 2**4.
    expected = holm([1 / 2**10, 1 / 2**4])
    worse = [one.place("en", "x"), one.place("de", "x")]
    assert [place.p for place in worse if place] == pytest.approx(expected)
    assert [place.differs for place in worse if place] == [True, False]
    assert worse[0] is not None and worse[0].text.startswith("50.0* [")
    assert one.notes == (
        "* differs from the best of its row, p < 0.05 (mcnemar:midp, paired by example; Holm over "
        "2 comparisons); bold: best of its row",
    )
    best = one.place("en", "y")
    assert best is not None and best.best and best.p is None


def test_other_settings_are_averaged_and_counted(tmp_path: Path) -> None:
    conditions = [
        hits(n, locale="en", prompt=prompt, seed=seed)
        for prompt, seed, n in [("x", "0", 10), ("x", "1", 20), ("y", "0", 30), ("y", "1", 40)]
    ]
    [one] = pivot(made(tmp_path, *conditions), "locale", "prompt")
    place = one.place("en", "x")
    assert place is not None and place.value == 37.5
    assert place.sd == pytest.approx(math.sqrt(2) * 12.5)
    assert place.text == "37.5* ± 17.7 (2)"
    assert one.over == ("seed",)
    notes = lay_out_pivot(one).notes
    assert "mean ± standard deviation (conditions) over seed: 2 conditions a place" in notes
    assert place.p is not None and place.p < 0.01


def test_several_seeds_are_tested_against_the_one_that_draws_nothing(tmp_path: Path) -> None:
    drawn = [hits(n, locale="en", select="random", seed=str(i)) for i, n in enumerate((10, 12))]
    best = hits(30, locale="en", select="bm25")
    [one] = pivot(made(tmp_path, *drawn, best), "locale", "select")
    place = one.place("en", "random")
    assert place is not None and place.p is not None and place.p < 0.001
    # The same as each seed alone against it, but drawn together: both are far from the best.
    assert "jackknife-tango" in one.notes[0]


def test_places_that_nothing_pairs_are_not_tested(tmp_path: Path) -> None:
    conditions = [
        hits(10, locale="en", prompt="x", k="1"),
        hits(10, locale="en", prompt="x", k="2"),
        hits(30, locale="en", prompt="y", k="1", seed="0"),
        hits(31, locale="en", prompt="y", k="1", seed="1"),
        hits(31, locale="en", prompt="y", k="2", seed="0"),
    ]
    [one] = pivot(made(tmp_path, *conditions), "locale", "prompt")
    assert one.notes == ("1 place was not tested: nothing pairs it",)
    assert all(place.p is None for place in one.places)


def test_one_setting_alone_is_a_column(tmp_path: Path) -> None:
    run = grid(tmp_path, {("en", "x"): 20, ("de", "x"): 30})
    [one] = pivot(run, "locale")
    table = lay_out_pivot(one)
    assert table.heads == ("locale", "acc")
    assert not any(cell.bold for row in table.rows for cell in row)


def test_a_setting_that_a_condition_lacks_is_a_dash(tmp_path: Path) -> None:
    zero, some = hits(10), hits(20)
    zero.settings = {"k": "0"}
    some.settings, some.axes = {"k": "8", "select": "bm25"}, {"shots": "8 bm25"}
    run = made(tmp_path, zero, some)
    [one] = pivot(run, "k", "select")
    assert (one.row_values, one.col_values) == (("0", "8"), (ABSENT, "bm25"))
    assert [[cell.text[:4] for cell in row] for row in lay_out_pivot(one).rows] == [
        ["0", "25.0", "–"],
        ["8", "–", "50.0"],
    ]


def test_fewer_errors_are_the_best(tmp_path: Path) -> None:
    texts = [Row(f"ein Satz {i}", f"ein Satz {i}", meta={"target": "de"}) for i in range(20)]
    wrong = [Row(row.gold, "ganz anders", meta=row.meta) for row in texts]
    conditions = [
        Made(rows, {"prompt": name}, labels=(), metrics=["ter", "length_ratio"])
        for name, rows in (("good", texts), ("bad", wrong))
    ]
    run = made(tmp_path, *[*conditions])
    run.conditions[0].entry.settings.update(locale="x")
    run.conditions[1].entry.settings.update(locale="x")
    [one] = pivot(run, "locale", "prompt")
    assert [place.best for place in one.places] == [True, False]
    assert one.places[1].differs
    [one] = pivot(run, "locale", "prompt", "length_ratio")
    assert not any(place.best for place in one.places) and one.notes == ()


def test_every_task_has_its_own(tmp_path: Path) -> None:
    texts = [Row(f"Satz {i}", f"Satz {i}", meta={"target": "de"}) for i in range(20)]
    run = made(tmp_path, hits(10, prompt="x"), Made(texts, {"prompt": "x"}, labels=()))
    assert [one.metric for one in pivot(run, "prompt")] == ["accuracy", "chrf"]
    assert [one.metric for one in pivot(run, "prompt", None, "chrf")] == ["chrf"]


@pytest.mark.parametrize(
    ("rows", "cols", "metric", "message"),
    [
        ("lokale", None, None, "made: no setting 'lokale'. Did you mean 'locale'?"),
        ("locale", "promt", None, "made: no setting 'promt'. Did you mean 'prompt'?"),
        ("locale", "locale", None, "rows and columns are both 'locale'; name two settings"),
        ("locale", None, "acuracy", "no scores of 'acuracy'. Did you mean 'accuracy'?"),
        ("locale", None, "macro_f1", "/made --metric macro_f1"),
    ],
)
def test_mistakes_are_named(
    tmp_path: Path, rows: str, cols: str | None, metric: str | None, message: str
) -> None:
    run = grid(tmp_path, {("en", "x"): 20, ("de", "y"): 30})
    with pytest.raises(ConfigError) as error:
        pivot(run, rows, cols, metric)
    assert message in str(error.value)


def test_a_run_without_scores_says_how_to_make_them(tmp_path: Path) -> None:
    run = made(tmp_path, Made([], {"locale": "en"}))
    assert json.loads((tmp_path / "made" / "scores.json").read_text()) == []
    with pytest.raises(ConfigError, match="made has no scores yet; make .*: icl score .*made"):
        pivot(run, "locale")


def test_pairs_are_a_matrix_of_source_and_target(tmp_path: Path) -> None:
    """The two languages of a pair arrange a table, although tables name them in one word."""
    file = write(tmp_path, grid={"shots": [0]})
    values = json.loads(file.read_text())
    values["tasks"] = [values["tasks"][1]]
    values["tasks"][0]["rows"]["pair"] = {"from": ["en", "de"], "to": ["en", "de"]}
    file.write_text(json.dumps(values))
    [one] = pivot(run(file, tmp_path / "runs"), "source", "target")
    assert (one.row_values, one.col_values) == (("en", "de"), ("de", "en"))
    assert one.place("en", "de") is not None and one.place("en", "en") is None
    assert lay_out_pivot(one).heads == ("source \\ target", "de", "en")
    with pytest.raises(ConfigError, match="no setting 'source'"):
        pivot(made(tmp_path / "other", hits(3)), "source")
