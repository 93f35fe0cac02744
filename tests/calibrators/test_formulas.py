"""Every formula on tables computed by hand; where authors' code was published, what it computes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icl.calibrators import Answers, CalibratedScores, make_calibrator, make_calibrators
from icl.calibrators.batch import chance_skew, skew
from icl.core.errors import CalibrationError, ConfigError
from icl.core.probabilities import normalise
from icl.core.registry import names


def answers(rows: Sequence[Sequence[float]], **more: Any) -> Answers:
    """Rows of probabilities of the labels a, b, c …, as a condition has them."""
    width = len(rows[0])
    n = len(rows)
    made = Answers(
        logprobs=[np.log(row) for row in rows],
        labels=[tuple("abcdefgh"[:width])] * n,
        texts=[tuple(f" {label}" for label in "abcdefgh"[:width])] * n,
        tokens=[(1,) * width] * n,
        votes=[()] * n,
    )
    return replace(made, **more)


def applied(entry: Any, given: Answers) -> CalibratedScores:
    return make_calibrator(entry)[1].calibrate(given)


def close(found: Sequence[Any], wanted: Sequence[Sequence[float]]) -> None:
    np.testing.assert_allclose(np.array(found), np.array(wanted), atol=1e-12)


def winners(made: CalibratedScores) -> list[str]:
    return ["abcdefgh"[int(row.argmax())] for row in made.scores]


def test_none_leaves_the_sums() -> None:
    given = answers([[0.2, 0.1]])
    close(applied("none", given).scores, [np.log([0.2, 0.1])])


def test_lengths_divide() -> None:
    # Sums -6 and -4; 3 and 1 tokens; 6 and 2 letters, the white space in front not counted; the
    # letters of "जागना" are 5 characters of 3 bytes each.
    given = replace(
        answers([[0.5, 0.5]]),
        logprobs=[np.array([-6.0, -4.0])],
        tokens=[(3, 1)],
        texts=[(" abc de", " जागना")],
    )
    close(applied("per_token", given).scores, [[-2.0, -4.0]])
    close(applied("per_char", given).scores, [[-1.0, -4 / 5]])
    close(applied("per_byte", given).scores, [[-1.0, -4 / 15]])
    with pytest.raises(CalibrationError, match="the choice 'b' has no length to divide by"):
        applied("per_token", replace(given, tokens=[(3, 0)]))


def test_batch_subtracts_the_mean_of_the_logarithms() -> None:
    # Zhou et al. 2023, section 3, on log-probabilities. By hand, p = (.9 .1) and (.6 .4):
    # ln .9 - (ln .9 + ln .6)/2 = ln(.9/.6)/2 = .2027; ln .1 - (ln .1 + ln .4)/2 = -ln(4)/2.
    made = applied("batch", answers([[0.9, 0.1], [0.6, 0.4]]))
    up, down = math.log(1.5) / 2, -math.log(4) / 2
    close(made.scores, [[up, down], [-up, -down]])
    assert winners(made) == ["a", "b"], "both rows are a without it"
    # A row whose choices have less mass in all is normalised first: the same distribution.
    halved = replace(answers([[0.45, 0.05], [0.6, 0.4]]))
    close(applied("batch", halved).scores, made.scores)


def test_batch_in_the_space_of_probabilities() -> None:
    # The other reading, as in toolkits of prompting: p - mean p, means (.75 .25).
    made = applied(
        {"calibrator": "batch", "space": "probability"}, answers([[0.9, 0.1], [0.6, 0.4]])
    )
    close(made.scores, [[0.15, -0.15], [-0.15, 0.15]])


def test_batch_of_one_row_is_refused_and_of_few_is_warned_of() -> None:
    with pytest.raises(CalibrationError, match="'a' is a choice in one row only.*at least 2 rows"):
        applied("batch", answers([[0.9, 0.1]]))
    made = applied("batch", answers([[0.9, 0.1], [0.6, 0.4]]))
    assert made.warnings[0].startswith("2 rows for 2 labels (1.0 a label)")


def test_batch_warns_on_skew_of_the_pool_else_of_the_predictions() -> None:
    rows = [[0.6, 0.4]] * 5 + [[0.4, 0.6]] * 5
    assert applied("batch", answers(rows, pool_labels={"a": 60, "b": 40})).warnings == ()
    (told,) = applied("batch", answers(rows, pool_labels={"a": 90, "b": 10})).warnings
    # |.9 - .5| + |.1 - .5| = .8, halved .4; chance at n = 100: .5 sqrt(2 / (100 pi)) = .04.
    assert told.startswith("the pool's labels are skewed: 0.40 from even")
    assert "0.50 one label alone, 0.04 expected by chance" in told
    assert applied("batch", answers(rows)).warnings == ()
    (told,) = applied("batch", answers([[0.6, 0.4]] * 10)).warnings
    assert told.startswith("the predictions, which may be the bias itself, are skewed: 0.50")


def test_skew_and_chance() -> None:
    assert skew({"a": 1, "b": 1}, 2) == 0
    assert skew({"a": 4}, 4) == 0.75, "three of four labels never occur"
    assert skew({}, 3) == 0
    generator = np.random.default_rng(0)
    drawn = [
        skew({str(i): int(c) for i, c in enumerate(generator.multinomial(600, [1 / 6] * 6))}, 6)
        for _ in range(400)
    ]
    assert chance_skew(600, 6) == pytest.approx(np.mean(drawn), rel=0.05)
    assert chance_skew(0, 6) == 1


def test_batch_where_rows_have_choices_of_their_own() -> None:
    given = answers([[0.9, 0.1], [0.6, 0.4]], shared=False)
    assert applied("batch", given).warnings[0].startswith("the choices differ from row to row")
    with pytest.raises(CalibrationError, match="is a choice in one row only"):
        applied("batch", replace(given, labels=[("a", "b"), ("c", "d")]))


def test_contextual_is_the_authors_code() -> None:
    # tonyzhaozh/few-shot-learning, get_p_content_free and eval_accuracy: the probabilities after
    # each content-free input, not normalised, are averaged: ((.2 .1) + (.4 .1)) / 2 = (.3 .1),
    # then normalised: (.75 .25); W = inv(diag(p_cf)), b = 0. For p = (.6 .4): W p = (.8 1.6).
    probes = [[np.log([0.2, 0.1]), np.log([0.4, 0.1])]]
    made = applied("contextual", answers([[0.06, 0.04]], probes=probes))
    close(made.scores, [np.log([0.8, 1.6])])
    assert winners(made) == ["b"]
    # Normalising before the mean would give (.7333 .2667), and .818 and 1.5.


def test_pmi_is_the_authors_code() -> None:
    # peterwestuw/surface-form-competition, score.py: dcpmi = domain_cond_ce - cond_ce, the largest
    # wins. Cross-entropies (5 6) after the premise, (3 7) after the domain premise: (-2 1).
    given = replace(
        answers([[0.5, 0.5]]), logprobs=[np.array([-5.0, -6.0])], probes=[[np.array([-3.0, -7.0])]]
    )
    close(applied("pmi", given).scores, [[-2.0, 1.0]])


def test_vote_mix_with_a_weight() -> None:
    # .5 (.6 .4) + .5 (1/3 2/3) = (.4667 .5333)
    given = answers([[0.6, 0.4], [0.6, 0.4]], votes=[("b", "b", "a"), ()])
    made = applied({"calibrator": "vote_mix", "weight": 0.5}, given)
    close(np.exp(made.scores), [[7 / 15, 8 / 15], [0.6, 0.4]])
    assert winners(made) == ["b", "a"], "a row without shots keeps the model's"
    vote = applied({"calibrator": "vote_mix", "weight": 1}, replace(given, votes=[("b",), ("a",)]))
    assert winners(vote) == ["b", "a"]
    assert not np.isnan(np.array(vote.scores)).any()
    model = applied({"calibrator": "vote_mix", "weight": 0}, given)
    close(model.scores, [np.log([0.6, 0.4])] * 2)


def test_vote_mix_chooses_its_weight_on_the_pool() -> None:
    # Row 1 (gold a): .9 (1-w) + w/3 > .5 for w < .706. Row 2 (gold b): .6 (1-w) < .5 for w > .167.
    # Both are right for w = .2 … .7; the mass on a and b, 1.3 + w/30, is largest at .7.
    pool = answers(
        [[0.9, 0.1], [0.6, 0.4]], votes=[("a", "b", "b"), ("b", "b", "b")], gold=[("a",), ("b",)]
    )
    given = answers([[0.9, 0.1]], votes=[("b", "b", "b")], pool=pool)
    made = applied("vote_mix", given)
    assert made.fitted == "weight=0.7,pool=2,right=100%,model=50%,vote=50%"
    close(np.exp(made.scores), [[0.27, 0.73]])
    assert made.warnings == ("the weight was chosen on 2 pool rows alone; 20 and more are better",)


def test_vote_mix_warns_of_a_pool_with_one_row_a_label() -> None:
    pool = answers([[0.9, 0.1]] * 20, votes=[("b",)] * 20, gold=[("a",)] * 11 + [("b",)] * 9)
    given = answers([[0.9, 0.1]], votes=[("b",)], pool=pool, pool_labels={"a": 1, "b": 9})
    (told,) = applied("vote_mix", given).warnings
    assert told.startswith("11 of 20 pool rows are the only ones of their label")
    assert applied("vote_mix", replace(given, pool_labels={"a": 2, "b": 9})).warnings == ()


def test_vote_mix_says_what_it_lacks() -> None:
    with pytest.raises(CalibrationError, match="no prompt has shots with labels"):
        applied("vote_mix", answers([[0.6, 0.4]]))
    with pytest.raises(CalibrationError, match="no pool row has a right answer.*weight: 0.5"):
        applied("vote_mix", answers([[0.6, 0.4]], votes=[("a",)]))
    with pytest.raises(CalibrationError, match="differ from row to row, so shots cannot vote"):
        applied("vote_mix", answers([[0.6, 0.4]], votes=[("a",)], shared=False))


@pytest.mark.parametrize("name", ["none", "per_token", "per_char", "per_byte", "batch",
                                  "contextual", "pmi"])  # fmt: skip
def test_constant_scores_tie_and_a_single_choice_is_no_error(name: str) -> None:
    for row in ([0.25, 0.25], [0.5]):
        given = answers([row] * 3, probes=[[np.log(row)] * 3] * 3)
        made = applied(name, given)
        assert all(np.isfinite(scores).all() for scores in made.scores)
        assert winners(made) == ["a"] * 3
        assert len({float(score) for scores in made.scores for score in scores}) == 1


chances = st.floats(0.01, 1)
tables = st.integers(2, 4).flatmap(
    lambda width: st.lists(
        st.lists(chances, min_size=width, max_size=width), min_size=2, max_size=6
    )
)


@given(tables, st.lists(chances, min_size=4, max_size=4))
def test_a_bias_of_the_labels_changes_nothing_once_it_is_calibrated(
    rows: list[list[float]], bias: list[float]
) -> None:
    tilt = bias[: len(rows[0])]
    tilted = [[p * b for p, b in zip(row, tilt, strict=True)] for row in rows]
    one, other = (applied("batch", answers(table)).scores for table in (rows, tilted))
    close([normalise(row) for row in one], [normalise(row) for row in other])
    np.testing.assert_allclose(np.mean(one, axis=0), 0, atol=1e-9)
    free = [0.5] * len(tilt)
    plain = applied("contextual", answers(rows, probes=[[np.log(free)]] * len(rows)))
    moved = applied("contextual", answers(tilted, probes=[[np.log(tilt)]] * len(rows)))
    close([normalise(row) for row in plain.scores], [normalise(row) for row in moved.scores])


def test_every_calibrator_says_what_it_assumes_and_where_it_hurts() -> None:
    assert set(names("calibrator")) >= {
        "none",
        "batch",
        "per_token",
        "per_char",
        "per_byte",
        "vote_mix",
        "contextual",
        "pmi",
    }
    for name in names("calibrator"):
        made = make_calibrator(name)[1]
        assert "not stated" not in (made.assumes, made.hurts)
        assert made.settings().startswith(f"calibrator:{name}")


def test_settings_name_what_was_given() -> None:
    _, made = make_calibrator(
        {"calibrator": "contextual", "inputs": ["", "N/A"], "fields": ["utt"]}
    )
    assert made.settings() == "calibrator:contextual|inputs:'','N/A'|fields:'utt'"
    assert make_calibrator("vote_mix")[1].settings() == "calibrator:vote_mix|n:50"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("bach", "unknown calibrator 'bach'. Did you mean 'batch'"),
        ({"calibrator": "batch", "spce": "log"}, "unknown option 'spce'.*Did you mean 'space'"),
        ({"calibrator": "batch", "space": "logit"}, "space is 'logit'; give log or probability"),
        ({"calibrator": "vote_mix", "weight": 2}, "weight is 2; give a share between 0"),
        ({"calibrator": "vote_mix", "weight": True}, "weight is True; give a share"),
        ({"calibrator": "vote_mix", "n": 0}, "n is 0; give the number of pool rows"),
        ({"calibrator": "contextual", "inputs": []}, "inputs must be one or more different"),
        ({"calibrator": "contextual", "inputs": "N/A"}, "inputs is 'N/A'; give a list of texts"),
        ({"calibrator": "contextual", "inputs": ["", ""]}, "inputs must be one or more different"),
        ({"calibrator": "pmi", "premise": " "}, "premise is ' '; give a text"),
        ({"n": 5}, "a calibrator is a name or"),
        ({"calibrator": "batch", "name": "a+b"}, "without \\+ @ / |"),
        ({"calibrator": "batch", "name": ""}, "a calibrator is a name or"),
    ],
)
def test_bad_entries_are_told_in_one_line(entry: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_calibrator(entry)


def test_two_of_a_name_are_refused() -> None:
    with pytest.raises(
        ConfigError, match="'batch' appears twice; give one of them another `name:`"
    ):
        make_calibrators(["batch", {"calibrator": "batch", "space": "probability"}])
