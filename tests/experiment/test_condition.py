"""A condition's template: label words in the language of the rows, and what they lack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from icl.core.errors import ConfigError
from icl.core.types import Example
from icl.experiment.condition import build
from icl.experiment.file import load_experiment
from icl.experiment.grid import list_points
from icl.experiment.loader import Loader
from icl.prompts.template import load_template
from icl.reports.grid import make_score_grids
from icl.reports.page.page import report_page
from icl.reports.tables import render
from icl.running.run import run
from icl.workbench.run_tables import condition_table

TEMPLATE = """---
task: classify
fallback: en
stop: ["\\n"]
labels:
  good: {en: fine, de: gut, sw: nzuri}
  bad: {en: poor, de: schlecht}
---
{{ text }} =||| {{ label }}
"""


def write(folder: Path, locales: list[str], **task: Any) -> Path:
    (folder / "t.j2").write_text(TEMPLATE)
    for locale in locales or [""]:
        rows = [{"text": f"{word} {locale}", "mood": word} for word in ("good", "bad")]
        name = f"x.{locale}.jsonl" if locale else "x.jsonl"
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = "x.{locale}.jsonl" if locales else "x.jsonl"
    where = {"locale": locales} if locales else {}
    body = {
        "name": "moods",
        "models": {"m": {"engine": "table", "default": "hash"}},
        "data": {"d": {"format": "jsonl", "path": path, "answer": "mood"}},
        "tasks": [{"task": "classify", "prompt": "t.j2", "rows": {"data": "d", **where}, **task}],
    }
    file = folder / "e.yaml"
    file.write_text(json.dumps(body))
    return file


def built(file: Path) -> list[Any]:
    experiment = load_experiment(file)
    loader = Loader(experiment)
    return [build(point, loader) for point in list_points(experiment)]


def test_labels_stand_in_the_language_of_the_rows(tmp_path: Path) -> None:
    found = built(write(tmp_path, ["en-US", "de-DE", "sw-KE"], label_language="row"))
    assert [[choice.text for choice in one.choices] for one in found] == [
        [" fine", " poor"],
        [" gut", " schlecht"],
        [" nzuri", " poor"],
    ]
    assert [one.template.fallbacks for one in found] == [(), (), ("bad",)]
    assert {one.template.language for one in found} == {"en"}  # of the prompt


def test_rows_without_a_language_give_none_to_their_labels(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        built(write(tmp_path, [], label_language="row"))
    assert str(caught.value) == (
        "the task 'classify': label_language: row takes the language of the rows, which have "
        "neither locale nor pair; give them `locale:`, or name the language, as in "
        "`label_language: en`"
    )


def test_words_from_the_fallback_have_a_column_and_name_their_locale(tmp_path: Path) -> None:
    made = run(write(tmp_path, ["de-DE", "sw-KE"], label_language="row"), out=tmp_path / "runs")
    said = "sw-KE: 1 words of t.j2 are from its fallback language: bad"
    [grid] = make_score_grids(made)
    at = grid.heads.index("fallback")
    assert [row[at].text for row in grid.rows] == ["0", "1"]
    assert said in grid.notes
    text = render(made)
    assert said in text
    assert "fallback n" in text
    table = condition_table(made)
    assert [row[table.headers.index("fallback")] for row in table.rows] == ["0", "1"]
    assert '<th scope="col" class="n">fallback</th>' in report_page(made)


def test_only_words_that_the_rows_lead_to_are_counted(tmp_path: Path) -> None:
    (tmp_path / "w.j2").write_text(
        '---\ntask: generate\nfallback: en\nstop: ["\\n"]\n---\n'
        "{{ words[kind] }}:||| {{ target }}\n"
    )
    template = load_template("w.j2", language_tag="is", base=str(tmp_path))
    lacking = template.fallbacks
    assert len(lacking) > 1  # the whole table stands behind it
    rows = [Example("1", {"kind": lacking[0]}), Example("2", {"kind": lacking[0]})]
    assert template.find_fallbacks(rows) == (lacking[0],)
    assert template.find_fallbacks([Example("1", {"kind": "none such"})]) == ()


def test_each_language_of_the_labels_is_a_condition_with_its_column(tmp_path: Path) -> None:
    found = built(write(tmp_path, ["de-DE"], label_language=["en", "row", "sw"]))
    assert [one.template.labels["good"] for one in found] == ["fine", "gut", "nzuri"]
    assert [one.point.axes["label_language"] for one in found] == ["en", "row", "sw"]
    assert len({one.fingerprint for one in found}) == 3
    alone = built(write(tmp_path, ["de-DE"], label_language="row"))[0]
    assert alone.fingerprint == found[1].fingerprint
    assert "label_language" not in alone.point.axes


def test_own_files_beside_the_experiment(tmp_path: Path) -> None:
    """Words and labels in a further language need no change of the library or the template."""
    file = write(tmp_path, ["fi-FI", "sw-KE"], prompt_language="row")
    raw = json.loads(file.read_text()) | {"labels": "my_labels.yaml"}
    file.write_text(json.dumps(raw))
    (tmp_path / "my_labels.yaml").write_text(
        "labels: {good: {fi: hyvä}, bad: {sw: mbaya}}", "utf-8"
    )
    finnish, swahili = built(file)
    assert finnish.template.labels == {"good": "hyvä", "bad": "poor"}
    assert finnish.template.fallbacks == ("bad",)
    assert swahili.template.labels == {"good": "nzuri", "bad": "mbaya"}
    assert swahili.template.fallbacks == ()
    (tmp_path / "my_labels.yaml").unlink()
    with pytest.raises(ConfigError, match="labels: there is no file .*my_labels.yaml"):
        built(file)


def test_own_names_for_labels_that_only_the_data_has(tmp_path: Path) -> None:
    file = write(tmp_path, ["fi-FI"], label_language="row")
    text = TEMPLATE.replace(TEMPLATE[TEMPLATE.index("labels:") : TEMPLATE.rindex("---")], "")
    (tmp_path / "t.j2").write_text(text)
    plain = built(file)[0]
    raw = json.loads(file.read_text()) | {"labels": "my_labels.yaml"}
    file.write_text(json.dumps(raw))
    (tmp_path / "my_labels.yaml").write_text("labels: {good: {fi: hyvä}}", "utf-8")
    named = built(file)[0]
    assert plain.template.labels == {"bad": "bad", "good": "good"}
    assert named.template.labels == {"bad": "bad", "good": "hyvä"}
    assert named.template.fallbacks == ("bad",)
    assert plain.fingerprint != named.fingerprint


def test_locales_by_pattern_and_by_language(tmp_path: Path) -> None:
    file = write(tmp_path, ["de-DE", "sw-KE"], pool={"locale": "row"})
    raw = json.loads(file.read_text())

    def locales(*names: str) -> list[str]:
        raw["tasks"][0]["rows"]["locale"] = list(names)
        file.write_text(json.dumps(raw))
        return [one.locale for one in list_points(load_experiment(file))]

    assert locales("all") == ["de-DE", "sw-KE"]
    assert locales("swh_Latn", "*-DE") == ["sw-KE", "de-DE"]
    with pytest.raises(ConfigError, match="no locale 'sw-TZ' in data 'd'. Did you mean 'sw-KE'"):
        locales("sw-TZ")
    by_name = [one.fingerprint for one in built(write(tmp_path, ["sw-KE"]))]
    raw["tasks"][0] = json.loads(write(tmp_path, ["sw-KE"]).read_text())["tasks"][0]
    assert locales("sw") == ["sw-KE"]
    assert [one.fingerprint for one in built(file)] == by_name
