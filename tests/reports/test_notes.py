"""Scores of several settings under one name: which they are, and whose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from icl.core.errors import ConfigError
from icl.core.registry import lookup, names
from icl.core.types import BASELINES, Example, Prediction
from icl.experiment.file import load_experiment
from icl.experiment.grid import list_points
from icl.metrics import make_metric
from icl.records.results import Run
from icl.reports.grid import make_score_grids
from icl.reports.notes import TERMS, define_terms, name_settings
from icl.reports.page.page import report_page
from icl.reports.pivot import lay_out_pivot, pivot
from icl.reports.tables import render
from icl.running.run import run
from icl.workbench.run_tables import condition_table
from tests.table_experiment import write

TEXT = """---
task: generate
stop: ["\\n"]
---
{{ source }} =||| {{ target }}
"""


def translated(folder: Path, *metrics: Any, to: tuple[str, ...] = ("deu_Latn",)) -> Run:
    """A run that translates into each language, an entry for each list of metrics."""
    (folder / "t.j2").write_text(TEXT)
    for language in ("eng_Latn", *to):
        (folder / f"x.{language}").write_text("ein Satz\nnoch ein Satz\n")
    pair = {"from": "eng_Latn", "to": list(to)}
    rows = {"data": "d", "pair": pair}
    body = {
        "name": "tr",
        "models": {"m": {"engine": "table", "default": "hash"}},
        "data": {"d": {"format": "lines", "path": "x.{lang}"}},
        "tasks": [
            {"task": "translation", "prompt": "t.j2", "rows": rows, "metrics": one,
             "sampling": {"max_tokens": 8 + place}}
            for place, one in enumerate(metrics)
        ],
    }  # fmt: skip
    file = folder / "e.yaml"
    file.write_text(json.dumps(body))
    return run(file, out=folder / "runs")


PLAIN = {"metric": "chrf", "word_order": 0}


def test_chrf_without_words_is_called_so_everywhere(tmp_path: Path) -> None:
    made = translated(tmp_path, [PLAIN])
    printed = render(made)
    assert "chrF " in printed
    [grid] = make_score_grids(made)
    [averaged] = pivot(made, "model")
    page = report_page(made)
    table = condition_table(made)
    assert "chrF" in grid.heads
    assert "chrF" in lay_out_pivot(averaged).heads
    assert table.rows[0][table.headers.index("score")].startswith("chrF ")
    for text in (printed, str(grid.heads), page, str(table.rows)):
        assert "chrF++" not in text


def test_two_kinds_in_one_column_say_whose_is_whose(tmp_path: Path) -> None:
    made = translated(tmp_path, [PLAIN], ["chrf"])
    [grid] = make_score_grids(made)
    assert "chrF / chrF++" in grid.heads
    assert "sampling.max_tokens" in grid.heads
    whose = [note[note.index(" (") :] for note in grid.notes if note.startswith("chrf: ")]
    assert whose == [" (needs 10 rows) (8)", " (needs 10 rows) (9)"]
    assert "(8)" in render(made) and "chrF / chrF++" in render(made)
    assert "several settings" in " ".join(lay_out_pivot(pivot(made, "model")[0]).notes)


def test_bleu_of_several_tokenizers_says_whose_is_whose(tmp_path: Path) -> None:
    made = translated(tmp_path, ["bleu"], to=("deu_Latn", "zho_Hans", "fra_Latn"))
    [grid] = make_score_grids(made)
    told = {note.partition("tok:")[2][:3].strip("|"): note for note in grid.notes if "tok:" in note}
    assert told["13a"].endswith(" (eng_Latn→deu_Latn, eng_Latn→fra_Latn)")
    assert told["zh"].endswith(" (eng_Latn→zho_Hans)")
    printed = " ".join(render(made).split())
    assert "(eng_Latn→zho_Hans)" in printed
    assert "(eng_Latn→zho_Hans)" in report_page(made)
    alike = translated(tmp_path, ["bleu"], to=("deu_Latn", "fra_Latn"))
    assert {*name_settings(alike.conditions, "bleu").values()} == {""}


def test_two_scores_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        translated(tmp_path, ["chrf", PLAIN])
    assert str(caught.value).endswith(
        "metrics: two scores are called 'chrf', and one would hide the other; give one of them a "
        "`name:`, such as {metric: chrf, word_order: 0, name: plain_chrf}"
    )
    named = translated(tmp_path, ["chrf", PLAIN | {"name": "plain"}])
    assert [one.name for one in named.scores if one.kind == "model"] == ["chrf", "plain"]
    assert len(list_points(load_experiment(tmp_path / "e.yaml"))) == 1


OPTIONS: dict[str, dict[str, Any]] = {
    "bleu": {"tokenize": "char", "lowercase": True},
    "chrf": {"char_order": 5, "word_order": 1, "beta": 1, "lowercase": True},
    "exact_match": {"ignore_case": True},
    "rouge1": {"stem": True},
    "rouge2": {"stem": True},
    "rougeL": {"stem": True},
    "rougeLsum": {"stem": True},
    "ter": {"normalized": True, "no_punct": True, "case_sensitive": True},
}
"""Metrics with options, and another value of each."""


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_of_a_metric_changes_its_signature(name: str) -> None:
    rows = [Prediction("0", "A cat sat.")], [Example("0", {}, ("A cat sits.",))]
    plain = make_metric(name)[1].stats(*rows).signature
    for option, value in OPTIONS[name].items():
        assert make_metric({"metric": name, option: value})[1].stats(*rows).signature != plain
    assert name in names("metric")
    assert {*OPTIONS[name]} <= {*lookup("metric", name).__dataclass_fields__}


@pytest.mark.parametrize("details", [True, False])
def test_words_of_the_tables_are_explained_once(tmp_path: Path, details: bool) -> None:
    tasks = json.loads(write(tmp_path).read_text())["tasks"][:1]
    done = run(write(tmp_path, tasks=tasks), tmp_path / "runs")
    shown = " ".join(render(done, details=details).split())
    assert set(TERMS) == {*BASELINES}
    assert define_terms(done.conditions) == (
        "condition: a row of a table, one combination of settings; baselines (no model): chance, a "
        "random answer; majority, the pool's most frequent answer; vote, the shots' most frequent "
        "label"
    )
    assert shown.count(define_terms(done.conditions)) == 1
    assert define_terms(()) == "condition: a row of a table, one combination of settings"
