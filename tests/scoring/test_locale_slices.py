"""Scores by locale, script, family and genus, checked against numbers computed by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from icl.core.errors import ConfigError
from icl.records.results import Run
from icl.scoring.locale_slices import find_locale_slice, slice_run
from tests.madeup import Made, Row, made

ROWS = 20
RIGHT = {"en-US": 18, "de-DE": 15, "sw-KE": 10, "zu-ZA": 5}


def rows(right: int, n: int = ROWS) -> list[Row]:
    return [Row("abc"[i % 3], "abc"[i % 3] if i < right else "abc"[(i + 1) % 3]) for i in range(n)]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Four locales of two families, the same ids in all, under two prompts."""
    conditions = [
        Made(rows(right - minus), {"locale": locale, "prompt": prompt})
        for prompt, minus in (("one", 0), ("two", 5))
        for locale, right in RIGHT.items()
    ]
    return made(tmp_path / "runs", *conditions)


@pytest.mark.parametrize(
    ("locale", "names"),
    [
        ("sw-KE", ("sw-KE", "Latn", "Atlantic-Congo", "Bantu")),
        ("zh-TW", ("zh-TW", "Hant", "Sino-Tibetan", "Chinese")),
        ("eng_Latn→hin_Deva", ("eng_Latn→hin_Deva", "Deva", "Indo-European", "Indic")),
        ("tlh", ("tlh", "Zzzz", "unknown", "unknown")),
        ("no tag", ("no tag", "unknown", "unknown", "unknown")),
    ],
)
def test_the_slice_of_a_locale(locale, names):
    assert (
        tuple(find_locale_slice(locale, by) for by in ("locale", "script", "family", "genus"))
        == names
    )


def test_macro_best_and_worst(run: Run):
    one, two = slice_run(run, "locale")
    assert (one.where["prompt"], two.where["prompt"]) == ("one", "two")
    assert one.macro.value == pytest.approx(np.mean([90, 75, 50, 25]))
    assert [s.name for s in one.slices] == ["en-US", "de-DE", "sw-KE", "zu-ZA"]
    assert [s.score.value for s in one.slices] == [90, 75, 50, 25]
    assert (one.reference, one.slices[0].difference) == ("en-US", None)
    assert one.slices[3].difference.value == pytest.approx(-65)
    assert one.slices[3].difference.p < 0.001
    assert one.apart == ()


def test_families_are_means_of_their_locales(run: Run):
    one = slice_run(run, "family", reference="de")[0]
    assert one.reference == "de-DE"
    assert [(s.name, s.locales) for s in one.slices] == [
        ("Indo-European", ("en-US", "de-DE")),
        ("Atlantic-Congo", ("sw-KE", "zu-ZA")),
    ]
    assert [s.score.value for s in one.slices] == pytest.approx([82.5, 37.5])
    assert one.macro.value == pytest.approx(60) == one.over_slices.value
    assert one.slices[0].difference.value == pytest.approx(7.5)


def test_the_interval_of_a_macro_leaves_an_id_out_of_all_locales(tmp_path: Path):
    """Four copies of one locale know no more than one: their interval is as wide."""
    tags = ("de-DE", "en-US", "sw-KE", "zu-ZA")
    alike = made(tmp_path / "a", *[Made(rows(12, 40), {"locale": tag}) for tag in tags])
    macro = slice_run(alike, "locale")[0].macro
    one, another = (slice_run(alike, "locale")[0].slices[0].score for _ in range(2))
    assert one == another
    assert macro.n == 40
    assert macro.high - macro.low == pytest.approx(one.high - one.low, rel=0.1)


def test_locales_without_shared_ids_are_resampled_apart(tmp_path: Path):
    """Independent rows add up: the variance is a quarter of the sum of both."""
    apart = made(
        tmp_path / "a",
        Made(rows(12, 40), {"locale": "de-DE"}),
        Made(rows(20, 60), {"locale": "sw-KE"}, ids="other"),
    )
    found = slice_run(apart, "locale")[0]
    assert {*found.apart} == {"de-DE", "sw-KE"}
    assert found.macro.n == 40 + 60
    shares = [12 / 40, 20 / 60]
    sd = np.sqrt(sum(p * (1 - p) / n for p, n in zip(shares, (40, 60), strict=True))) / 2
    half = (found.macro.high - found.macro.low) / 200
    assert half == pytest.approx(1.98 * sd, rel=0.08)
    assert found.macro.value == pytest.approx(100 * np.mean(shares))


def test_another_metric_and_one_that_is_unknown(run: Run):
    assert slice_run(run, "locale", metric="accuracy")[0].metric == "accuracy"
    with pytest.raises(ConfigError, match="unknown metric 'acuracy'. Did you mean 'accuracy'"):
        slice_run(run, "locale", metric="acuracy")


@pytest.mark.parametrize(
    ("by", "reference", "told"),
    [
        ("famly", None, "unknown slice 'famly'. Did you mean 'family'? There are: family, genus"),
        ("locale", "en-GB", "no locale 'en-GB' in the run. Did you mean 'en-US'?"),
        ("locale", "xx", "no locale 'xx' to compare with. There are: de-DE, en-US, sw-KE, zu-ZA"),
    ],
)
def test_mistakes_are_told(run: Run, by, reference, told):
    with pytest.raises(ConfigError) as caught:
        slice_run(run, by, reference)
    assert str(caught.value).startswith(told)


def test_one_locale_is_no_slice(tmp_path: Path):
    alone = made(tmp_path / "runs", Made(rows(5), {"locale": "de-DE"}))
    with pytest.raises(ConfigError, match="no two conditions differ in their locale alone"):
        slice_run(alone, "locale")


def test_a_condition_that_was_run_once_is_in_every_group_that_means_it(tmp_path: Path):
    """English shots of English rows are those of the row's language."""
    conditions = [
        Made(rows(right), {"locale": locale, "pool": pool})
        for locale, pool, right in (
            ("en-US", "same", 15),
            ("de-DE", "same", 12),
            ("de-DE", "en-US", 9),
            ("sw-KE", "same", 8),
            ("sw-KE", "en-US", 4),
        )
    ]
    own, english = slice_run(made(tmp_path / "runs", *conditions), "locale")
    assert own.locales == english.locales == 3
    assert english.reference == "en-US"
    assert english.macro.value == pytest.approx(np.mean([75, 45, 20]))


def test_few_rows_have_differences_without_intervals(tmp_path: Path):
    few = made(
        tmp_path / "runs",
        *[Made(rows(2, 3), {"locale": tag}) for tag in ("en-US", "de-DE", "sw-KE")],
    )
    found = slice_run(few, "family")[0]
    assert found.macro.low is None
    assert [one.difference for one in found.slices if len(one.locales) > 1] == [None]
