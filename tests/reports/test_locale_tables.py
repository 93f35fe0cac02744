"""Slices as a reader sees them: in a terminal of 80 columns, in files, and on the page."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from icl.core.errors import ConfigError
from icl.experiment.file import load_experiment
from icl.records.results import Run
from icl.reports.locale_tables import lay_out_slices, render_slices
from icl.reports.markdown_csv_json import as_csv, as_json
from icl.reports.page.page import report_page
from icl.reports.terminal import as_text
from icl.running.run import run
from icl.scoring.locale_slices import BY, slice_run
from tests.core.test_languages import MASSIVE
from tests.madeup import Made, Row, made

LOCALES = MASSIVE.split()


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All locales of MASSIVE, each a little worse than the one before; three by a second prompt."""
    conditions = [
        Made(
            [Row("ab"[i % 2], "ab"[(i % 2) ^ (i * 7 % 53 < place)]) for i in range(12)],
            {"locale": locale, "prompt": prompt},
            labels=("a", "b"),
        )
        for prompt, locales in (("intent/plain", LOCALES), ("intent/instructed", LOCALES[:3]))
        for place, locale in enumerate(locales)
    ]
    return made(tmp_path_factory.mktemp("runs"), *conditions, name="massive")


@pytest.mark.parametrize("by", BY)
def test_fifty_locales_fit_80_columns_with_the_mean_first(many: Run, by: str):
    grids = lay_out_slices(slice_run(many, by), many.called)
    text = as_text(many, grids, plain=True)
    assert max(map(len, text.splitlines())) <= 80
    assert grids[0].heads[1:3] == ("macro acc", "95 % interval")
    assert [row[0].text for row in grids[0].rows] == ["intent/plain", "intent/instructed"]
    assert [row[-1].text for row in grids[0].rows] == ["52", "3"]
    assert "macro: every locale counts once" in text
    assert text.index("macro acc") < text.index("− en-US")


def test_of_fifty_the_worst_five_are_shown_and_the_page_is_named(many: Run):
    _, plain, *_ = lay_out_slices(slice_run(many, "locale"), "massive")
    assert plain.title == "classify · acc by locale · intent/plain · worst 5 of 52"
    assert len(plain.rows) == 5
    assert "the other 47 are on the page of: icl report massive" in plain.notes[0]
    values = [float(row[1].text) for row in plain.rows]
    assert values == sorted(values, reverse=True)
    _, whole, *_ = lay_out_slices(slice_run(many, "locale"), "massive", every=True)
    assert len(whole.rows) == 52
    assert [row[1].text for row in whole.rows[-5:]] == [row[1].text for row in plain.rows]


def test_files_hold_the_mean_and_every_slice(many: Run):
    found = slice_run(many, "family")
    rows = list(csv.DictReader(io.StringIO(as_csv(many, slice_groups=found))))
    assert [row["family"] for row in rows[:2]] == ["macro", "macro_over_slices"]
    assert float(rows[0]["value"]) == pytest.approx(found[0].macro.value)
    assert {"Uralic", "Dravidian"} <= {row["family"] for row in rows}
    assert rows[2]["reference"] == "en-US" and rows[2]["difference_low"]
    body = json.loads(as_json(many, slice_groups=found))
    assert len(body["slices"]) == len(rows) == sum(2 + len(one.slices) for one in found)


def test_the_page_has_a_picture_and_all_locales(many: Run):
    page = report_page(many)
    assert "Macro mean over locales" in page
    assert 'aria-label="acc by locale, best first; macro mean' in page
    assert "sw-KE Swahili" in page and "Indo-European" in page
    assert page.count("sw-KE Swahili: ") == 0  # names are not joined to numbers
    assert "sw-KE: " in page  # what the pointer shows at its dot


def experiment(folder: Path, locales: list[str], **more: object) -> Path:
    for locale in ("de-DE", "en-US", "sw-KE"):
        rows = [{"text": f"{mood} {n}", "mood": mood} for n in range(6) for mood in ("good", "bad")]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"x.{locale}.jsonl").write_text(lines)
    (folder / "t.j2").write_text(
        "---\ntask: classify\nlabels: [good, bad]\n---\n{{ text }} =||| {{ label }}\n"
    )
    body = {
        "name": "moods",
        "models": {"m": {"engine": "table", "default": "hash"}},
        "data": {"d": {"format": "jsonl", "path": "x.{locale}.jsonl", "answer": "mood"}},
        "tasks": [{"task": "classify", "prompt": "t.j2", "rows": {"data": "d", "locale": locales}}],
        **more,
    }
    file = folder / "e.yaml"
    file.write_text(json.dumps(body))
    return file


def test_an_experiment_names_the_slices_of_its_report(tmp_path: Path):
    file = experiment(tmp_path, ["all"], report={"by": ["family", "script"], "reference": "de"})
    done = run(file, out=tmp_path / "runs")
    text = render_slices(done)
    assert "classify · acc by family" in text and "by script" in text
    assert "Atlantic-Congo (1)" in text and "− de-DE" in text
    assert "acc by family, best first" in report_page(done)
    plain = run(experiment(tmp_path, ["all"]), out=tmp_path / "other")
    assert render_slices(plain) == ""
    assert '"report"' not in (tmp_path / "other" / "moods" / "manifest.json").read_text("utf-8")


@pytest.mark.parametrize(
    ("locales", "asked", "told"),
    [
        (["de-DE"], {"by": "family"}, "report: by: family groups locales, and the rows have de-DE"),
        (["all"], {"by": "famly"}, "report.by.0: Input should be 'locale', 'script', 'family' or"),
        (["all"], {"by": "genus", "reference": "fr"}, "report: no locale 'fr'. There are: de-DE"),
        (["all"], {"by": "genus", "reference": "en-GB"}, "no locale 'en-GB' in the rows. Did you"),
    ],
)
def test_a_report_that_cannot_be_made_is_refused_before_anything_runs(
    tmp_path: Path, locales, asked, told
):
    with pytest.raises(ConfigError) as caught:
        load_experiment(experiment(tmp_path, locales, report=asked))
    assert told in str(caught.value)


def test_the_three_languages_are_named_for_what_they_are_of(tmp_path: Path):
    names = {"pool": ("same", "en-US"), "language": ("row", "en"), "label_language": ("en", "row")}
    for axis, words in names.items():
        conditions = [
            Made([Row("a", "a")] * 12, {"locale": locale, axis: word}, labels=("a", "b"))
            for word in words
            for locale in ("sw-KE", "de-DE")
        ]
        found = slice_run(made(tmp_path / axis, *conditions), "locale")
        titles = [row[0].text for row in lay_out_slices(found, "x")[0].rows]
        told = {"pool": "shot locale", "language": "prompt language"}.get(axis, "label language")
        assert titles == [f"{told} {word}" for word in words]
