"""Languages identified, sources copied and answers too long, on sentences counted by hand."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from icl.core.errors import MetricError
from icl.core.stats import score
from icl.core.types import Example, Prediction
from icl.metrics.translation_faults import (
    CopiedSource,
    LanguageConfusion,
    OffTarget,
    OverGeneration,
    make_identifier,
)

ENGLISH = "The weather will be fine tomorrow in the whole country."
GERMAN = "Das Wetter wird morgen im ganzen Land schön sein."
SWAHILI = "Hali ya hewa itakuwa nzuri kesho katika nchi nzima."
HINDI = "कल पूरे देश में मौसम अच्छा रहेगा।"


def row(number: int, source: str, target: str, pair: tuple[str, str]) -> Example:
    meta = {"source": pair[0], "target": pair[1]}
    return Example(str(number), {"source": source, "target": target}, (target,), meta, ("target",))


def rate(metric: Any, answers: list[str | None], rows: list[Example], finish: Any = "end") -> Any:
    given = [
        Prediction(one.id, text, None if text is not None else "empty", finish=finish)
        for one, text in zip(rows, answers, strict=True)
    ]
    return score("x", metric.stats(given, rows)).value


@pytest.mark.parametrize(
    ("pair", "answer", "off"),
    [
        (("eng_Latn", "swh_Latn"), SWAHILI, 0),
        (("eng_Latn", "swh_Latn"), ENGLISH, 100),
        (("eng_Latn", "swh_Latn"), HINDI, 100),
        (("eng_Latn", "hin_Deva"), HINDI, 0),
        (("eng_Latn", "hin_Deva"), ENGLISH, 100),
        (("en", "de"), GERMAN, 0),
        (("eng_Latn", "swh_Latn"), "1,234!", 0),
        (("eng_Latn", "swh_Latn"), None, 0),
    ],
)
def test_the_language_of_an_answer(pair: tuple[str, str], answer: str | None, off: float) -> None:
    pytest.importorskip("py3langid")
    assert rate(OffTarget(), [answer], [row(0, ENGLISH, "x", pair)]) == off


def test_a_further_language_and_the_error_of_identification() -> None:
    pytest.importorskip("py3langid")
    rows = [row(0, ENGLISH, SWAHILI, ("en", "sw")), row(1, ENGLISH, ENGLISH, ("en", "sw"))]
    assert rate(LanguageConfusion(), ["", ""], rows) == 50
    given = [Prediction("0", GERMAN), Prediction("1", SWAHILI)]
    made = OffTarget(languages=("deu_Latn",)).stats(given, rows)
    assert score("x", made).value == 50 and "|languages:deu_Latn" in made.signature


def test_what_cannot_be_identified_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = Example("0", {"source": "x"}, ("x",))
    with pytest.raises(MetricError, match="names no language to translate into; give `pair:`"):
        rate(OffTarget(), ["x"], [bare])
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    make_identifier.cache_clear()
    with pytest.raises(MetricError, match=r'pip install "icl-workbench\[languages\]"'):
        rate(OffTarget(), [SWAHILI], [row(0, ENGLISH, SWAHILI, ("en", "sw"))])


@pytest.mark.parametrize(
    ("answer", "target", "copied"),
    [
        ("the WEATHER", "hali", 100),
        ("the", "hali", 0),
        (None, "hali", 0),
        ("The weather!", "the weather", 0),
    ],
)
def test_a_copied_source(answer: str | None, target: str, copied: float) -> None:
    rows = [row(0, "The weather.", target, ("en", "sw"))]
    assert rate(CopiedSource(), [answer], rows) == copied


def test_a_source_that_is_elsewhere() -> None:
    with pytest.raises(MetricError, match="has no text in a field 'text'; name the text, as in"):
        rate(CopiedSource("text"), ["x"], [row(0, "x", "y", ("en", "sw"))])


@pytest.mark.parametrize(
    ("answer", "finish", "long"),
    [("a b c d", "end", 0), ("a b c d e", "end", 100), ("a", "length", 100), (None, "end", 0)],
)
def test_an_answer_that_goes_on(answer: str | None, finish: str, long: float) -> None:
    rows = [row(0, "x", "ni hali", ("en", "sw"))]
    assert rate(OverGeneration(), [answer], rows, finish) == long
