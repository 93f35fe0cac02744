"""Names of scores: every text is written again as it was read, and the known ones are known."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from icl.core.score_name import PartialRanking, ScoreName, own_scores, partial, primary
from icl.core.types import BASELINES, Score, ScoreKind

KNOWN = {
    "accuracy": ScoreName("accuracy"),
    "chrf@text": ScoreName("chrf", parser="text"),
    "accuracy@first_token": ScoreName("accuracy", ranking="first_token"),
    "accuracy@written": ScoreName("accuracy", ranking="generate"),
    "accuracy+batch": ScoreName("accuracy", calibrator="batch"),
    "accuracy@first_token+batch": ScoreName("accuracy", ranking="first_token", calibrator="batch"),
    "ece+none": ScoreName("ece", calibrator="none"),
    "chance/accuracy": ScoreName("accuracy", role="chance"),
    "copy/chrf": ScoreName("chrf", role="copy"),
    "lead3/rouge1": ScoreName("rouge1", role="lead3"),
    "majority/macro_f1": ScoreName("macro_f1", role="majority"),
    "vote/accuracy": ScoreName("accuracy", role="vote"),
    "unparsed": ScoreName("unparsed"),
    "unparsed@label": ScoreName("unparsed", parser="label"),
    "judge:unread": ScoreName("judge:unread"),
    # Metrics may be called anything; these are read as they are meant.
    "chrf++": ScoreName("chrf++"),
    "chrf+++batch": ScoreName("chrf++", calibrator="batch"),
    "my/metric@text": ScoreName("my/metric", parser="text"),
    "a+b@text": ScoreName("a+b", parser="text"),
    "+": ScoreName("+"),
    "@": ScoreName("@"),
    "vote/": ScoreName("vote/"),
    "": ScoreName(""),
}


@pytest.mark.parametrize("text", KNOWN)
def test_known_names_are_read_and_written(text: str) -> None:
    assert ScoreName.of(text) == KNOWN[text]
    assert str(KNOWN[text]) == text


KINDS: list[ScoreKind | None] = [None, "model", "baseline", "count"]
MARKED = st.text(alphabet="ab+@/|: ", max_size=9) | st.text(max_size=9)


@given(MARKED, st.sampled_from(KINDS))
@example("vote/vote/accuracy@written+batch", "baseline")
def test_any_name_is_written_as_it_was_read(text: str, kind: ScoreKind | None) -> None:
    assert str(ScoreName.of(text, kind)) == text


PLAIN = st.text(alphabet="abc_0:é", min_size=1, max_size=6)
RANKINGS: list[PartialRanking | None] = [None, "first_token", "generate"]


@given(PLAIN, PLAIN | st.just(""), st.sampled_from(RANKINGS), PLAIN | st.just(""))
def test_parts_without_marks_are_read_as_they_were_written(
    metric: str, parser: str, ranking: PartialRanking | None, calibrator: str
) -> None:
    for role in ("", *BASELINES):
        name = ScoreName(metric, "" if ranking else parser, ranking, calibrator, role)
        assert ScoreName.of(str(name)) == name
        assert ScoreName.of(str(name), "baseline" if role else "model") == name


def test_only_the_score_of_a_baseline_has_a_role() -> None:
    assert ScoreName.of("vote/accuracy", "model") == ScoreName("vote/accuracy")
    assert ScoreName.of("random/accuracy") == ScoreName("random/accuracy")
    assert ScoreName.of("random/my/x", "baseline") == ScoreName("my/x", role="random")


def test_a_calibrator_is_put_on_and_taken_off() -> None:
    name = ScoreName.of("accuracy@written")
    assert str(name.calibrated("pmi")) == "accuracy@written+pmi"
    assert name.calibrated("pmi").plain == name


def test_ranking_by_all_tokens_is_not_named() -> None:
    assert [partial(one) for one in ("echo", "first_token", "generate", None)] == [
        None,
        "first_token",
        "generate",
        None,
    ]


def score(name: str, value: float | None, kind: ScoreKind = "model") -> Score:
    return Score(name, value, None, None, 3, "settings|ci:none", kind)


def test_the_first_number_of_the_models_own_answers_is_primary() -> None:
    scores = [
        score("vote/accuracy", 90.0, "baseline"),
        score("ece+none", 7.0),
        score("bleu", None),
        score("comet", math.nan),
        score("chrf", 40.0),
        score("ter", 60.0),
        score("empty", 0.0, "count"),
    ]
    assert primary(scores) == scores[4]
    assert [one.name for one in own_scores(scores)] == ["bleu", "comet", "chrf", "ter"]
    assert primary(scores[:4]) is None


def test_a_signature_is_settings_and_interval() -> None:
    made = Score("a", 1.0, 0.0, 2.0, 3, "accuracy|match:exact|ci:wilson")
    assert (made.settings, made.interval) == ("accuracy|match:exact", "wilson")
    assert (score("a", 1.0).settings, score("a", 1.0).interval) == ("settings", "none")
