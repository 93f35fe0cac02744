import pytest

from icl.core.errors import ConfigError, MetricError
from icl.core.types import Example, Prediction
from icl.metrics.accuracy import Accuracy
from icl.metrics.chrf import ChrF
from icl.metrics.macro_f1 import MacroF1
from icl.tasks import Task
from icl.tasks.baselines import baselines, chance, copy, counts, lead, majority, vote
from icl.tasks.generic import CLASSIFY
from icl.tasks.intent import INTENT
from icl.tasks.translation import TRANSLATION


def shots(labels, scores=(), id="0"):
    return Prediction(id, "x", None, tuple(labels), tuple(scores))


def examples(targets):
    return [Example(str(index), {}, (target,)) for index, target in enumerate(targets)]


def test_chance_is_exact():
    scored = chance(60)
    assert scored.value == 100 / 60
    assert (scored.name, scored.low, scored.high, scored.n) == ("chance/accuracy", None, None, 0)
    assert (scored.signature, scored.kind) == ("chance|labels:60|ci:exact", "baseline")


def test_chance_needs_labels():
    with pytest.raises(MetricError, match="^chance needs at least one label, got 0: give the"):
        chance(0)


@pytest.mark.parametrize(
    ("pool", "answer"),
    [({"a": 1, "b": 3, "c": 2}, "b"), ({"b": 2, "a": 2, "c": 1}, "a"), ({"z": 1}, "z")],
)
def test_majority(pool, answer):
    assert majority(examples("xy"), pool) == [Prediction("0", answer), Prediction("1", answer)]


def test_majority_needs_a_pool():
    with pytest.raises(MetricError, match="^majority needs labels to count: give the task a pool"):
        majority(examples("x"), {})


@pytest.mark.parametrize(
    ("labels", "scores", "answer"),
    [
        ("abb", (), "b"),
        ("abb", (9.0, 1.0, 1.0), "b"),  # frequency before score
        ("abba", (1.0, 3.0, 3.0, 4.0), "b"),  # equals: 5 against 6
        ("abba", (1.0, 3.0, 1.0, 4.0), "a"),
        ("ba", (), "b"),  # equals without scores: the first
        ("ba", (None, None), "b"),
        ("ba", (2.0, 2.0), "b"),
        ("ba", (None, 0.5), "a"),
        ("ab", (-2.0, -1.0), "b"),
        ("a", (0.0,), "a"),
    ],
)
def test_vote(labels, scores, answer):
    assert vote([shots(labels, scores)]) == [Prediction("0", answer)]


def test_vote_without_shots():
    assert vote([shots(""), shots("", id="1")]) is None
    assert vote([]) is None
    assert vote([shots("a"), shots("", id="1")]) == [
        Prediction("0", "a"),
        Prediction("1", None, "no shots"),
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
        INTENT, [Accuracy(), MacroF1()], examples("abb"), predictions, {"a": 1, "b": 5}, 4
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
    scores = baselines(INTENT, [Accuracy()], examples("a"), predictions, {}, 2)
    assert [score.name for score in scores] == ["chance/accuracy"]
    assert baselines(INTENT, [MacroF1()], examples("a"), predictions, {}, 2) == []


def test_copy_is_the_baseline_of_translation():
    rows = [Example("0", {"source": "the same words"}, ("the same words",), {"target": "en"})]
    predictions = [Prediction("0", "other")]
    [scored] = baselines(TRANSLATION, [ChrF()], rows, predictions, {}, 0)
    assert (scored.name, scored.kind, scored.n) == ("copy/chrf", "baseline", 1)
    assert scored.value == pytest.approx(100)


def test_baselines_over_no_rows():
    scores = baselines(INTENT, [Accuracy()], [], [], {"a": 1}, 2)
    assert [(score.name, score.value) for score in scores] == [
        ("chance/accuracy", 50),
        ("majority/accuracy", None),
    ]


def test_an_unknown_baseline_is_named():
    task = Task("t", CLASSIFY.kind, ("rank",), "label", ("accuracy",), ("majorty",))
    with pytest.raises(ConfigError, match="^unknown baseline 'majorty'. Did you mean 'majority'"):
        baselines(task, [Accuracy()], [], [], {}, 2)


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
    scored = chance([2, 4, 4])
    assert scored.value == pytest.approx(100 * (1 / 2 + 1 / 4 + 1 / 4) / 3)
    assert scored.signature == "chance|labels:2-4|ci:exact"
    with pytest.raises(MetricError, match=r"chance needs at least one label, got \[\]"):
        chance([])


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
