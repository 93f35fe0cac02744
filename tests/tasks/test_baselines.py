from dataclasses import replace

import pytest

from icl.core.errors import ConfigError, MetricError
from icl.core.score_name import ScoreName
from icl.core.types import Example, Prediction, Score
from icl.metrics.accuracy import Accuracy
from icl.metrics.chrf import ChrF
from icl.metrics.macro_f1 import MacroF1
from icl.scoring.significance import measure_difference
from icl.tasks import Task
from icl.tasks.baselines import (
    baselines,
    copy,
    counts,
    describe_tie,
    describe_ties,
    expect,
    lead,
    majority,
    score_chance,
    vote,
)
from icl.tasks.generic import CLASSIFY
from icl.tasks.intent import INTENT
from icl.tasks.translation import TRANSLATION


def shots(labels, scores=(), id="0"):
    return Prediction(id, "x", None, tuple(labels), tuple(scores))


def examples(targets):
    return [Example(str(index), {}, (target,)) for index, target in enumerate(targets)]


LABELS = [["a", "b", "c", "d"]]


def chance(rows, labels):
    name = ScoreName("accuracy", role="chance")
    return score_chance(name, Accuracy().chance(rows, labels))


def answers(rows):
    return [[one.value for one in row] for row in rows]


def test_chance_is_exact():
    scored = chance(examples("7"), [[str(label) for label in range(60)]])
    assert scored.value == pytest.approx(100 / 60)
    assert (scored.name, scored.low, scored.high, scored.n) == ("chance/accuracy", None, None, 0)
    assert (scored.signature, scored.kind) == ("chance|labels:60|ci:exact", "baseline")


def test_chance_where_any_of_several_targets_is_right():
    rows = [
        Example("0", {}, ("joy", "anger")),
        Example("1", {}, ("joy", "anger", "fear", "sad")),
        Example("2", {}, ("joy", "joy", "pride")),  # twice the same, and one that is no label
    ]
    labels = ["joy", "anger", "fear", "sad"]
    assert chance(rows[:2], [labels] * 2).value == 75
    assert chance(rows, [labels] * 3).value == pytest.approx(100 * (2 / 4 + 1 + 1 / 4) / 3)


@pytest.mark.parametrize("labels", [[], [[]]])
def test_chance_needs_labels(labels):
    with pytest.raises(MetricError, match="^chance needs at least one label to draw: give the"):
        Accuracy().chance(examples("x")[: len(labels)], labels)


@pytest.mark.parametrize(
    ("pool", "answer"),
    [({"a": 1, "b": 3, "c": 2}, ["b"]), ({"b": 2, "a": 2, "c": 1}, ["a", "b"]), ({"z": 1}, ["z"])],
)
def test_majority(pool, answer):
    assert answers(majority(examples("xy"), pool)) == [answer, answer]


def test_majority_needs_a_pool():
    with pytest.raises(MetricError, match="^majority needs labels to count: give the task a pool"):
        majority(examples("x"), {})


def scored(task, metrics, rows, predictions, pool, labels=LABELS):
    """Scores of all baselines by their names, every row with the same labels."""
    made = baselines(task, metrics, rows, predictions, pool, labels * len(rows))
    return {one.name: one for one in made}


@pytest.mark.parametrize("first", ["a", "z"])
def test_a_tied_majority_is_the_mean_whatever_the_labels_are_called(first):
    rows = examples([first] * 20 + ["b"] + ["c"] * 19)
    made = scored(INTENT, [Accuracy()], rows, [], {first: 2, "b": 2, "c": 2, "d": 2})
    one = made["majority/accuracy"]
    assert one.value == 25, "each row has one of the four labels"
    assert (one.n, one.tied, describe_tie(one)) == (40, 4, "4 labels tied")
    assert one.settings == "accuracy|match:exact", "a score of an earlier version is replaced"
    made = scored(INTENT, [Accuracy()], rows, [], {first: 2, "b": 2, "c": 1})
    one = made["majority/accuracy"]
    assert one.value == pytest.approx(100 * (20 / 40 + 1 / 40) / 2)
    assert one.low < one.value < one.high


def test_a_tied_majority_under_macro_f1_is_the_mean_of_the_constant_answers():
    rows = examples("aaab")
    made = scored(INTENT, [MacroF1()], rows, [], {"a": 2, "b": 2})["majority/macro_f1"]
    # Always a: F1 of a is 6/7, of b 0. Always b: F1 of b is 2/5, of a 0.
    assert made.value == pytest.approx(100 * (6 / 7 / 2 + 2 / 5 / 2) / 2)
    assert (made.n, made.tied) == (4, 2)


def test_expected_scores_of_many_tied_labels_hold_each_column_once():
    labels = [f"l{place}" for place in range(30)]
    rows = examples(labels * 2)
    stats = expect(MacroF1(), majority(rows, dict.fromkeys(labels, 3)), rows)
    assert stats.rows.shape[1] <= 2 * 30 + 2, "of 30 systems with 90 columns each"
    # A constant answer: 2 right of 60, so F1 4/62 for its label and 0 for 29 others.
    assert stats.value(stats.rows.sum(axis=0)) == pytest.approx(100 * 4 / 62 / 30)


def test_a_tied_baseline_is_compared_with_a_model_row_by_row():
    rows = examples("ab" * 30)
    model = [Prediction(row.id, row.targets[0]) for row in rows]
    tied = expect(Accuracy(), majority(rows, {"a": 1, "b": 1}), rows)
    found = measure_difference(tied, Accuracy().stats(model, rows))
    assert found.value == pytest.approx(50) and found.p < 0.001
    chance = Accuracy().chance(rows, [["a", "b"]] * 60)
    same = measure_difference(chance, tied)
    assert (same.value, same.p) == (0, 1)
    half = [Prediction(row.id, "a") for row in rows]
    even = measure_difference(tied, Accuracy().stats(half, rows))
    assert even.value == 0 and even.low < 0 < even.high and even.p > 0.9


@pytest.mark.parametrize(
    ("labels", "scores", "answer"),
    [
        ("abb", (), "b"),
        ("abb", (9.0, 1.0, 1.0), "b"),  # frequency before score
        ("abba", (1.0, 3.0, 3.0, 4.0), "b"),  # equals: 5 against 6
        ("abba", (1.0, 3.0, 1.0, 4.0), "a"),
        ("ba", (), "ba"),  # equals without scores: both
        ("ba", (None, None), "ba"),
        ("ba", (2.0, 2.0), "ba"),
        ("cbabc", (), "cb"),
        ("ba", (None, 0.5), "a"),
        ("ab", (-2.0, -1.0), "b"),
        ("a", (0.0,), "a"),
    ],
)
def test_vote(labels, scores, answer):
    assert answers(vote([shots(labels, scores)])) == [list(answer)]


def test_vote_without_shots():
    assert vote([shots(""), shots("", id="1")]) is None
    assert vote([]) is None
    assert vote([shots("a"), shots("", id="1")]) == [
        [Prediction("0", "a")],
        [Prediction("1", None, "no shots")],
    ]


def test_a_tied_vote_is_the_expected_score_and_says_in_how_many_rows():
    predictions = [shots(labels, id=str(row)) for row, labels in enumerate(["ab", "abc", "bba"])]
    one = scored(INTENT, [Accuracy()], examples("aab"), predictions, {})["vote/accuracy"]
    assert one.value == pytest.approx(100 * (1 / 2 + 1 / 3 + 1) / 3)
    assert (one.tied, describe_tie(one)) == (2, "labels tied in 2 of 3 rows")
    # Balanced shots: all labels tie in every row, in whichever order they stand.
    for order in ("abcd", "dcba"):
        even = [shots(order, id=str(row)) for row in range(3)]
        one = scored(INTENT, [Accuracy()], examples("aab"), even, {})["vote/accuracy"]
        assert one.value == pytest.approx(25) and one.tied == 3


def test_what_tied_is_told_once_for_a_table():
    def made(name, tied):
        return Score(name, 1.0, None, None, 60, "", "baseline", tied)

    assert describe_tie(made("majority/accuracy", 0)) == ""
    assert describe_ties(
        [
            made("chance/accuracy", 0),
            made("majority/accuracy", 60),
            made("majority/accuracy", 60),
            made("vote/accuracy", 12),
            made("vote/accuracy", 40),
        ]
    ) == [
        "majority: 60 labels tied, so it is the mean over them",
        "vote: labels tied in 12 to 40 of 60 rows, so it is the mean over them",
    ]


def test_copy():
    row = Example("r", {"source": "Hello.", "de": "Hallo."})
    assert copy([row]) == [Prediction("r", "Hello.")]
    assert copy([row], field="de") == [Prediction("r", "Hallo.")]


@pytest.mark.parametrize(
    ("fields", "shown"), [({"en": "x", "de": "y"}, "de, en"), ({"source": 3}, "source"), ({}, "no")]
)
def test_copy_names_the_field_that_is_not_there(fields, shown):
    with pytest.raises(MetricError) as caught:
        copy([Example("r", fields)])
    assert str(caught.value).startswith(
        f"the copy baseline reads the field 'source' as text, and example 'r' has {shown}"
    )
    assert str(caught.value).endswith("call the column of inputs 'source'")


def test_baselines_of_a_task_under_all_its_metrics():
    predictions = [shots(labels, id=str(index)) for index, labels in enumerate(["a", "b", "aab"])]
    scores = baselines(
        INTENT, [Accuracy(), MacroF1()], examples("abb"), predictions, {"a": 1, "b": 5}, LABELS * 3
    )
    assert [score.name for score in scores] == [
        "chance/accuracy",
        "majority/accuracy",
        "majority/macro_f1",
        "vote/accuracy",
        "vote/macro_f1",
    ]
    found = {score.name: score for score in scores}
    assert found["chance/accuracy"].value == 25
    # Always b: F1 of b is 4/5, of a 0.
    assert found["majority/accuracy"].value == pytest.approx(200 / 3)
    assert found["majority/macro_f1"].value == pytest.approx(40)
    # The shots vote a, b, a: both F1s are 2/3.
    assert found["vote/accuracy"].value == pytest.approx(200 / 3)
    assert found["vote/macro_f1"].value == pytest.approx(200 / 3)
    assert {score.kind for score in scores} == {"baseline"}
    assert [score.n for score in scores] == [0, 3, 3, 3, 3]
    assert found["vote/accuracy"].signature == "accuracy|match:exact|ci:wilson"


def test_baselines_that_have_nothing_to_go_by_are_left_out():
    predictions = [shots("", id="0")]
    scores = baselines(INTENT, [Accuracy()], examples("a"), predictions, {}, [["a", "b"]])
    assert [score.name for score in scores] == ["chance/accuracy"]
    assert baselines(INTENT, [MacroF1()], examples("a"), predictions, {}, [["a", "b"]]) == []


def test_copy_is_the_baseline_of_translation():
    rows = [Example("0", {"source": "the same words"}, ("the same words",), {"target": "en"})]
    predictions = [Prediction("0", "other")]
    [scored] = baselines(TRANSLATION, [ChrF()], rows, predictions, {}, [[]])
    assert (scored.name, scored.kind, scored.n) == ("copy/chrf", "baseline", 1)
    assert scored.value == pytest.approx(100)


def test_baselines_over_no_rows():
    with pytest.raises(MetricError, match="^chance needs at least one label"):
        baselines(INTENT, [Accuracy()], [], [], {"a": 1}, [])
    task = replace(INTENT, baselines=("majority",))
    [one] = baselines(task, [Accuracy()], [], [], {"a": 1}, [])
    assert (one.name, one.value) == ("majority/accuracy", None)


def test_an_unknown_baseline_is_named():
    task = Task("t", CLASSIFY.kind, ("rank",), "label", ("accuracy",), ("majorty",))
    with pytest.raises(ConfigError, match="^unknown baseline 'majorty'. Did you mean 'majority'"):
        baselines(task, [Accuracy()], [], [], {}, [])


def test_counts():
    predictions = [
        Prediction("0", "a", finish="stop"),
        Prediction("1", None, "empty", finish="end"),
        Prediction("2", None, "no choice: 'x'", finish="length"),
        Prediction("3", None, "the reasoning did not end", finish="reasoning"),
    ]
    found = counts(predictions)
    assert {score.name: score.value for score in found} == {
        "unparsed": 75,
        "empty": 25,
        "over_length": 25,
        "unended": 25,
    }
    empty = found[1]
    assert {score.kind for score in found} == {"count"}
    # Wilson, 1 of 4: the share s solves |s - 1/4| = 1.96 sqrt(s (1 - s) / 4).
    assert (round(empty.low, 1), round(empty.high, 1)) == (4.6, 69.9)
    assert (empty.n, empty.signature) == (4, "share:empty|ci:wilson")


def test_counts_of_nothing():
    assert [(score.value, score.n) for score in counts([])] == [(None, 0)] * 4


def test_chance_where_each_row_has_its_own_choices():
    rows = [Example("0", {}, ("1",)), Example("1", {}, ("0", "3")), Example("2", {}, ("2",))]
    scored = chance(rows, [["0", "1"], ["0", "1", "2", "3"], ["0", "1", "2", "3"]])
    assert scored.value == pytest.approx(100 * (1 / 2 + 2 / 4 + 1 / 4) / 3)
    assert scored.signature == "chance|labels:2-4|ci:exact"


def test_lead_takes_the_first_three_sentences():
    row = Example("0", {"document": "A b. C d! E f?\n\nG h."}, ("x",))
    assert lead([row]) == [Prediction("0", "A b. C d! E f?")]
    assert lead([row], n=1) == [Prediction("0", "A b.")]
    with pytest.raises(MetricError) as caught:
        lead([Example("0", {"text": "A."})])
    assert str(caught.value) == (
        "the lead3 baseline reads the field 'document' as text, and example '0' has text: "
        "call the column of inputs 'document'"
    )


def test_counts_of_votes_and_cuts_where_there_are_any():
    predictions = [
        Prediction("0", "a", samples=4, votes=3, shortened=True),
        Prediction("1", "b", samples=4, votes=2, tied=True),
        Prediction("2", None, "empty", samples=4, votes=0),
        Prediction("3", "c", samples=4, votes=4),
    ]
    found = {score.name: (score.value, score.n) for score in counts(predictions)}
    assert found == {
        "unparsed": (25, 4),
        "empty": (25, 4),
        "over_length": (0, 4),
        "unended": (0, 4),
        "shortened": (25, 4),
        "tied": (25, 4),
        "agreement": (56.25, 4),
    }
