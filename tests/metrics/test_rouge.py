"""ROUGE against the numbers of rouge_score's own documentation, and where it is wrong alone."""

from __future__ import annotations

import pytest

from icl.core.errors import MetricError
from icl.core.stats import score
from icl.core.types import Example, Prediction
from icl.metrics.rouge import Rouge1, Rouge2, RougeL, RougeLsum

# The example of https://github.com/google-research/google-research/tree/master/rouge
FOX = "The quick brown fox jumps over the lazy dog"
DOG = "The quick brown dog jumps on the log."


def value(metric, hypothesis, *targets):
    stats = metric.stats([Prediction("0", hypothesis)], [Example("0", {}, targets)])
    return score(metric.name, stats).value


@pytest.mark.parametrize(
    ("metric", "precision", "recall"),
    [(Rouge1, 6 / 8, 6 / 9), (Rouge2, 2 / 7, 2 / 8), (RougeL, 5 / 8, 5 / 9)],
)
def test_known_answers(metric, precision, recall):
    expected = 100 * 2 * precision * recall / (precision + recall)
    assert value(metric(), DOG, FOX) == pytest.approx(expected)


@pytest.mark.parametrize("metric", [Rouge1, Rouge2, RougeL, RougeLsum])
def test_equal_to_the_library_for_english(metric):
    from rouge_score.rouge_scorer import RougeScorer

    for stem in (False, True):
        target = "Ferries were cancelled.\nPassengers waited in the harbours."
        said = "The ferry was cancelled.\nA passenger waits at the harbour."
        own = RougeScorer([metric.name], use_stemmer=stem).score(target, said)
        assert value(metric(stem=stem), said, target) == pytest.approx(
            100 * own[metric.name].fmeasure
        )


@pytest.mark.parametrize("text", ["हर दस्तावेज़ का सारांश", "东京へ行く", "กขคง", "отчёт готов"])
def test_text_that_is_not_latin_is_kept(text):
    from rouge_score.rouge_scorer import RougeScorer

    assert RougeScorer(["rougeL"]).score(text, text)["rougeL"].fmeasure == 0
    assert value(RougeL(), text, text) == 100
    assert 0 < value(Rouge1(), text[: len(text) // 2], text) < 100


def test_of_several_targets_the_best():
    assert value(Rouge1(), "a b", "x y", "a b", "a c") == 100


def test_lsum_parts_sentences_and_l_does_not():
    # The sentences in another order: every one is found again, the sequence is not.
    assert value(RougeLsum(), "Two went home. One stayed.", "One stayed. Two went home.") == 100
    assert value(RougeL(), "Two went home. One stayed.", "One stayed. Two went home.") < 100


def test_unparsed_counts_0_and_stays_in_n():
    metric = Rouge1()
    stats = metric.stats(
        [Prediction("0", None, "empty"), Prediction("1", "a")],
        [Example("0", {}, ("a",)), Example("1", {}, ("a",))],
    )
    found = score("rouge1", stats)
    assert (found.value, found.n) == (50, 2)
    assert found.signature == (
        "rouge1|F1|refs:best|words:unicode|sentences:rules|stem:no|rouge_score:0.1.2"
        "|ci:none (needs 10 rows)"
    )
    assert "stem:yes" in Rouge1(stem=True).stats([], []).signature


def test_missing_references_are_told():
    with pytest.raises(MetricError, match=r"^R-1 needs a target, and example '0' has none"):
        value(Rouge1(), "a")
    with pytest.raises(MetricError, match=r"^R-1: no target of example '0' holds a word; give"):
        value(Rouge1(), "a", " . ")
