"""A run as tables and figures: columns, names of settings, shades, dots."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from icl.records.results import Run
from icl.reports.errors import Confusion
from icl.running.run import run
from icl.scoring.sensitivity import spreads
from icl.scoring.slices import slices
from icl.workbench.browse_runs import RunBrowser
from icl.workbench.jobs import RunMeter
from icl.workbench.run_tables import condition_table, mix_ups, settings, spread_table
from icl.workbench.web.figures import (
    figures,
    matrix,
    progress_html,
    slice_figure,
    spread_figure,
)
from icl.workbench.web.form_values import table_value
from tests.table_experiment import write

LONG = "a-template-with-a-name-that-no-column-of-a-table-holds.j2"
SHOTS = [0, *({"k": 2, "seed": seed} for seed in (0, 1, 2)), {"k": 2, "select": "bm25"}]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("tables")
    file = write(folder, grid={"shots": SHOTS})
    whole = json.loads(file.read_text())
    (folder / LONG).write_text((folder / "intent.j2").read_text().replace("Name", "Tell"))
    whole["tasks"] = [{**whole["tasks"][0], "prompt": ["intent.j2", LONG]}]
    file.write_text(json.dumps(whole))
    return run(str(file), folder / "runs")


def test_score_interval_and_rows_stand_first_and_names_are_short(made: Run) -> None:
    table = condition_table(made)
    assert table.headers[:6] == ("condition", "prompt", "shots", "score", "95 % interval", "rows")
    assert table.headers[-1] == "others"
    names = {row[1] for row in table.rows}
    assert names == {"intent.j2", "a-template-with-a-name-th…table-holds.j2"}
    assert {row[5] for row in table.rows} == {"10"}


def test_spreads_are_told_apart_by_what_differs(made: Run) -> None:
    found = spreads(made)
    assert settings(found) == ["shots 0", "k 2 · random", "2 bm25"]
    assert [row[:3] for row in spread_table(found).rows] == [
        ("intent · shots 0", "prompt", "2"),
        ("intent · k 2 · random", "seed, prompt", "6"),
        ("intent · 2 bm25", "prompt", "2"),
    ]
    drawn = spread_figure(found)
    assert drawn.count('<circle class="one"') == 10
    assert "intent: acc" in drawn
    assert spread_figure([]) == ""


def test_a_matrix_shades_counts_and_escapes_labels(made: Run) -> None:
    found = Confusion(("<b>a", "b"), ((4, 1, 0), (0, 2, 1)), (), unanswered=True)
    html = matrix(found)
    assert "<th><span>&lt;b&gt;a</span></th>" in html
    assert "<b>" not in html
    assert re.findall(r'class="(same)?" style="--share: ([\d.]+)">(\d|·)<', html) == [
        ("same", "1.00", "4"),
        ("", "0.25", "1"),
        ("", "0.00", "·"),
        ("", "0.00", "·"),
        ("same", "0.50", "2"),
        ("", "0.25", "1"),
    ]
    opened = RunBrowser([made.folder.parent]).open("small", "1")
    whole = mix_ups(opened)
    assert whole is not None
    assert sum(map(sum, whole[0].counts)) == 10


def test_locales_share_one_line(tmp_path: Path) -> None:
    file = write(tmp_path)
    whole = json.loads(file.read_text())
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    for locale in ("de-DE", "sw-KE"):
        lines = (json.dumps({**row, "locale": locale}) for row in rows)
        (tmp_path / f"{locale}.jsonl").write_text("\n".join(lines) + "\n")
    whole["data"]["rows"]["path"] = "{locale}.jsonl"
    whole["tasks"] = whole["tasks"][:1]
    whole["tasks"][0]["rows"]["locale"] = ["de-DE", "sw-KE"]
    file.write_text(json.dumps(whole))
    drawn = figures(run(str(file), tmp_path / "runs"))
    assert drawn.count("Swahili (sw-KE)") == drawn.count("German (de-DE)") == 2
    assert len(set(re.findall(r'"ends">(.*?)</td>', drawn))) == 1
    assert "orange ticks: chance, majority" in drawn
    assert drawn.count("<td>10</td>") == 4


def test_slices_are_drawn_on_one_scale_and_escaped(made: Run) -> None:
    found = slices(made.conditions[0], "label")
    drawn = slice_figure(found)
    assert drawn.count("<svg") == len(found) and drawn.count('class="tick"') == len(found) - 1
    assert "not corrected for how many slices there are" in drawn
    hostile = [replace(found[0], name="<b>x\u202e")]
    assert "&lt;b&gt;x\\u202e" in slice_figure(hostile) and "<b>" not in slice_figure(hostile)
    assert slice_figure([]) == ""


def test_a_bar_of_progress_has_its_rows_and_times() -> None:
    drawn = progress_html(RunMeter(3, 12, 62, None))
    assert 'max="12" value="3"' in drawn and "3 of 12 rows; 1 min 02 s so far" in drawn
    assert progress_html(None) == ""


def test_the_open_condition_is_shaded_in_its_table(made: Run) -> None:
    table = condition_table(made)
    value = table_value(table, table.rows[1][0])
    shaded = [any(cells) for cells in value["metadata"]["styling"]]
    assert shaded == [place == 1 for place in range(len(table.rows))]
    assert "metadata" not in table_value(table)
