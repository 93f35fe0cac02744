"""Data frames of a run: every setting a column of its own type, with the names of the CSV."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas
import pytest

from icl.core.errors import ConfigError
from icl.core.types import UnscoredRow
from icl.records.frames import name_setting_column
from icl.records.results import Run, load_run
from icl.reports.markdown_csv_json import as_csv
from tests.madeup import Made, Row, made


def rows(right: int, of: int = 10) -> list[Row]:
    return [Row("ab"[i % 2], "ab"[i % 2] if i < right else "ab"[(i + 1) % 2]) for i in range(of)]


def study(folder: Path) -> Run:
    """No shots, two drawn sets of four, and eight that are retrieved with an option."""
    drawn = {"select": "random", "order": "selected"}
    return made(
        folder,
        Made(rows(2), {"shots": "0"}, settings={"k": "0"}),
        Made(rows(4), {"shots": "4 s0"}, settings={"k": "4", "seed": "0", **drawn}),
        Made(rows(6), {"shots": "4 s1"}, settings={"k": "4", "seed": "1", **drawn}),
        Made(
            rows(9),
            {"shots": "8 mmr", "width": "4", "locale": "de-DE"},
            settings={"k": "8", "select": "mmr", "diversity": "0.5", "n": "7"},
        ),
    )


def test_every_setting_is_a_column_of_its_own_type(tmp_path: Path) -> None:
    frame = study(tmp_path).frame()
    types = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert types == {
        "run": "category",
        "condition": "str",
        **dict.fromkeys(["task", "prompt", "model", "shots"], "category"),
        **{"k": "Int64", "select": "category", "order": "category", "seed": "Int64"},
        **{"locale": "category", "width": "category"},
        **{"diversity": "Float64", "setting.n": "category"},
        **dict.fromkeys(["score", "kind"], "category"),
        **dict.fromkeys(["value", "low", "high"], "Float64"),
        **{"n": "Int64", "signature": "str", "tied": "Int64"},
    }
    first = frame.iloc[0]
    assert first["k"] == 0 and first["n"] == 10
    assert all(pandas.isna(first[name]) for name in ("select", "seed", "locale", "diversity"))
    last = frame[frame["score"] == "accuracy"].iloc[-1]
    assert (last["diversity"], last["setting.n"], last["width"]) == (0.5, "7", "4")
    assert list(frame["shots"].cat.categories) == ["0", "4 s0", "4 s1", "8 mmr"]


def test_score_against_k_and_the_mean_over_seeds_are_one_groupby(tmp_path: Path) -> None:
    frame = study(tmp_path).frame()
    accuracy = frame[frame["score"] == "accuracy"]
    assert accuracy.groupby("k")["value"].mean().to_dict() == {0: 20.0, 4: 50.0, 8: 90.0}
    over = accuracy.groupby(["k", "select"], dropna=False, observed=True)["value"]
    assert over.agg(["mean", "count"]).to_numpy().tolist() == [[20, 1], [50, 2], [90, 1]]


def test_the_frame_and_the_csv_have_the_same_names_and_numbers(tmp_path: Path) -> None:
    run = study(tmp_path)
    frame = run.frame()
    read = list(csv.DictReader(io.StringIO(as_csv(run))))
    heads = [name for name in frame.columns if name != "tied" or frame["tied"].any()]
    margin = ["", "_low", "_high", "_p", "_p_holm"]
    assert list(read[0]) == [*heads, "baseline", *(f"difference{one}" for one in margin)]
    for line, (_, row) in zip(read, frame.iterrows(), strict=True):
        for name in heads:
            cell = row[name]
            if name in ("value", "low", "high", "diversity") and not pandas.isna(cell):
                assert float(line[name]) == cell
            elif name != "tied":
                assert line[name] == ("" if pandas.isna(cell) else str(cell))


def test_all_shots_of_a_file_are_no_number(tmp_path: Path) -> None:
    run = made(
        tmp_path,
        Made(rows(5), {"shots": "mine"}, settings={"k": "all", "select": "mine"}),
        Made(rows(5), {"shots": "mine 2"}, settings={"k": "2", "select": "mine"}),
    )
    frame = run.frame()
    assert str(frame["k"].dtype) == "Int64"
    found = frame[frame["score"] == "accuracy"]["k"]
    assert pandas.isna(found.iloc[0]) and found.iloc[1] == 2


def test_a_setting_called_like_another_column_has_a_prefix(tmp_path: Path) -> None:
    assert name_setting_column("condition") == "setting.condition"
    assert name_setting_column("right") == "setting.right"
    assert name_setting_column("seed") == "seed"
    alike = made(tmp_path, Made(rows(5)), Made(rows(6)))  # nothing tells them apart
    frame = alike.frame()
    assert set(frame["setting.condition"]) == {"#1", "#2"}
    assert set(frame["condition"]) == {one.entry.fingerprint for one in alike.conditions}


def test_a_run_of_an_earlier_version_has_its_axes(tmp_path: Path) -> None:
    study(tmp_path)
    path = tmp_path / "made" / "manifest.json"
    kept = json.loads(path.read_text())
    for entry in kept["conditions"]:
        entry["settings"] = None
    path.write_text(json.dumps(kept))
    run = load_run(tmp_path / "made")
    frame = run.frame()
    assert "k" not in frame and set(frame["shots"]) == {"0", "4 s0", "4 s1", "8 mmr"}
    assert next(csv.DictReader(io.StringIO(as_csv(run))))["shots"] == "0"


def test_a_run_without_scores_has_the_columns(tmp_path: Path) -> None:
    run = study(tmp_path)
    bare = replace(run, conditions=tuple(replace(one, scores=()) for one in run.conditions))
    assert list(bare.frame().columns) == list(run.frame().columns) and bare.frame().empty
    assert list(replace(run, conditions=()).predictions().columns)[:3] == ["run", "condition", "id"]


def test_predictions_are_a_row_for_each_row_of_each_condition(tmp_path: Path) -> None:
    run = study(tmp_path)
    frame = run.predictions()
    assert len(frame) == 40
    by_k = frame.groupby("k")["right"].mean()
    assert by_k.to_dict() == {0: 0.2, 4: 0.5, 8: 0.9}
    one = frame.iloc[0]
    assert (one["id"], one["prediction"], one["targets"], one["right"]) == ("r0", "a", ("a",), True)
    assert pandas.isna(one["error"])
    assert str(frame["right"].dtype) == "boolean"
    assert [made.value for made in run.conditions[1].predictions()] == list(
        frame[frame["seed"] == 0]["prediction"]
    )


def written(folder: Path) -> Run:
    texts = [Row("yes", "yes"), Row("yes", "no"), Row("no", "  "), Row("no", "")]
    return made(folder, Made(texts, labels=()))


def test_predictions_say_why_there_is_none(tmp_path: Path) -> None:
    run = written(tmp_path)
    frame = run.predictions()
    assert list(frame["right"]) == [True, False, False, False]
    assert list(frame["prediction"].isna()) == list(frame["error"].notna())
    assert set(run.predictions(parser="first_line")["id"]) == {"r0", "r1", "r2", "r3"}
    with pytest.raises(ConfigError, match="txt"):
        run.predictions(parser="txt")


def test_an_unscored_row_is_there_without_being_wrong(tmp_path: Path) -> None:
    run = study(tmp_path)
    first = run.conditions[0]
    record = first.records["r1"]
    silent = replace(record, logprobs=(), outputs=())
    del first.__dict__["records"]  # read again without the row
    first.__dict__["unscored"] = {"r1": UnscoredRow(record=silent, error="the server said no")}
    found = run.predictions().query("k == 0").set_index("id")
    assert pandas.isna(found.loc["r1", "right"]) and pandas.isna(found.loc["r1", "prediction"])
    assert found.loc["r1", "error"] == "unscored: the server said no"
    assert found["right"].mean() == pytest.approx(1 / 9)


def test_pandas_is_imported_by_the_frames_alone(tmp_path: Path) -> None:
    study(tmp_path)
    code = (
        "import sys; import icl; run = icl.load_run(sys.argv[1]); run._repr_html_(); "
        "assert 'pandas' not in sys.modules; run.frame(); assert 'pandas' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "made")], check=True)
