"""Inflection: changes of words, answers without a model, and a run from the file to the table."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from icl.core.errors import MetricError
from icl.core.types import Example
from icl.records.results import load_run
from icl.running.run import run
from icl.scoring.scores import score_run
from icl.tasks.inflection import Change, answer_inflections, find_change, find_nearest


def row(name: str, lemma: str, features: str, form: str = "") -> Example:
    targets = (form,) if form else ()
    return Example(name, {"lemma": lemma, "features": features}, targets)


@pytest.mark.parametrize(
    ("lemma", "form", "other", "expected"),
    [
        ("walk", "walked", "talk", "talked"),
        ("machen", "gemacht", "sagen", "gesagt"),
        ("bake", "baking", "hope", "hoping"),
        ("bake", "baking", "go", "going"),  # an ending that the word does not have is not cut
        ("sing", "sing", "ring", "ring"),
        ("go", "went", "do", "dowent"),  # nothing in common: all of it is change
    ],
)
def test_a_change_is_done_to_another_word(lemma: str, form: str, other: str, expected: str) -> None:
    assert find_change(lemma, form).apply(lemma) == form
    assert find_change(lemma, form).apply(other) == expected


def test_a_prefix_and_a_suffix_never_take_the_same_letters() -> None:
    assert Change("ab", "x", "bc", "y").apply("abc") == "xcy"


def test_the_nearest_shot_has_most_features_then_the_like_ending() -> None:
    shots = [row("a", "wolf", "N;PL"), row("b", "walk", "V;PST"), row("c", "sing", "V;PST")]
    assert find_nearest(row("q", "ring", "V;PST"), shots).id == "c"
    assert find_nearest(row("q", "elf", "N;SG"), shots).id == "a"


def test_answers_without_a_model() -> None:
    rows = [row("1", "talk", "V;PST", "talked"), row("2", "day", "N;PL", "days")]
    shots = [[row("a", "walk", "V;PST", "walked"), row("b", "elf", "N;PL", "elves")], []]
    made = answer_inflections(rows, shots)
    assert [one.value for (one,) in made["copy"]] == ["talk", "day"]
    assert [(one.value, one.error) for (one,) in made["nearest"]] == [
        ("talked", None),
        (None, "no shots"),
    ]
    assert set(answer_inflections(rows, [[], []])) == {"copy"}
    bare = [[row("a", "walk", "V;PST")], []]
    assert set(answer_inflections(rows, bare)) == {"copy"}, "a shot without its form shows nothing"


def test_a_row_without_a_lemma_is_named() -> None:
    with pytest.raises(MetricError, match="reads the field 'lemma' as text, and example '1' has w"):
        answer_inflections([Example("1", {"word": "x"})], [[]])


def test_from_the_file_to_the_table(tmp_path: Path) -> None:
    (tmp_path / "eng.test").write_text("talk\tV;PST\ttalked\nday\tN;PL\tdays\nox\tN;PL\toxen\n")
    (tmp_path / "eng.train").write_text("walk\tV;PST\twalked\nroad\tN;PL\troads\n")
    written = {
        "talk | V;PST =>": " talked\n",
        "day | N;PL =>": " dayen\n",
        "ox | N;PL =>": " oxen\n",
    }
    experiment: dict[str, Any] = {
        "name": "inflected",
        "models": {"t": {"engine": "table", "answers": written}},
        "data": {"forms": {"format": "unimorph", "path": "{locale}.{split}"}},
        "tasks": [
            {
                "task": "inflection",
                "prompt": "inflection/arrow",
                "rows": {"data": "forms", "locale": "eng", "split": "test"},
                "pool": {"split": "train"},
            }
        ],
        "grid": {"shots": [0, {"k": 1, "select": "features"}]},
    }
    (tmp_path / "inflected.yaml").write_text(json.dumps(experiment))
    with contextlib.chdir(tmp_path):
        run("inflected.yaml", tmp_path / "runs")
        zero, one = score_run(load_run("inflected", tmp_path / "runs")).conditions
    found = {score.name: score.value for score in one.scores}
    assert found["exact_match"] == pytest.approx(200 / 3)
    assert found["edit_distance"] == pytest.approx(2 / 3)  # dayen for days: one replaced, one more
    assert found["copy/exact_match"] == 0 and found["nearest/exact_match"] == pytest.approx(200 / 3)
    assert "nearest/exact_match" not in {score.name for score in zero.scores}
    texts = [one.prompt(record).text for record in one.records.values()]
    assert "walk | V;PST => walked\n\ntalk | V;PST =>" in texts
