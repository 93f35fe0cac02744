"""Slot F1, exact match of rows and intent accuracy: known answers, and seqeval beside them."""

from __future__ import annotations

import random
import warnings

import pytest
from seqeval.metrics import f1_score, performance_measure

from icl.core.errors import MetricError
from icl.core.slot_answers import SlotAnswer, write_slot_answer
from icl.core.stats import Stats, score
from icl.core.types import Example, Prediction
from icl.metrics.slot_f1 import IntentAccuracy, SlotF1, SlotMatch

KINDS = ("O", "O", "B-a", "I-a", "B-b", "I-b")


def rows(*pairs: tuple[SlotAnswer | None, SlotAnswer]) -> tuple[list[Prediction], list[Example]]:
    made = [
        Prediction(str(n), None, "empty")
        if said is None
        else Prediction(str(n), write_slot_answer(said))
        for n, (said, _) in enumerate(pairs)
    ]
    return made, [Example(str(n), {}, (write_slot_answer(g),)) for n, (_, g) in enumerate(pairs)]


def tags(text: str, intent: str | None = None, *invented: str) -> SlotAnswer:
    return SlotAnswer(tuple(text.split()), intent, tuple(invented))


def value(stats: Stats) -> float | None:
    return score("m", stats).value


@pytest.mark.parametrize(
    ("pairs", "f1", "match"),
    [
        ([(tags("O B-a I-a"), tags("O B-a I-a"))], 100, 100),
        ([(tags("O B-a O"), tags("O B-a I-a"))], 0, 0),  # a shorter span is another one
        ([(tags("B-a O B-b"), tags("B-a O B-a"))], 50, 0),
        ([(tags("O O"), tags("O O"))], None, 100),  # nothing to find, and nothing found
        ([(tags("O O"), tags("O O")), (tags("O O"), tags("B-a O"))], 0, 50),
        ([(None, tags("B-a"))], 0, 0),
        ([(None, tags("O")), (tags("B-a"), tags("B-a"))], 100, 50),
        ([(tags("B-a", None, "b"), tags("B-a"))], 200 / 3, 0),  # invented is one too many
        ([(tags("B-a", None, "a", "a"), tags("B-a"))], 50, 0),
        ([(tags("B-a"), tags("B-a O"))], 100, 100),  # padded with O
        ([(tags("B-a O B-b"), tags("B-a O"))], 100, 100),  # cut
        ([(tags("I-a I-a"), tags("B-a I-a"))], 100, 0),  # the same chunk by seqeval, other tags
    ],
)
def test_known_answers(pairs, f1, match):
    made = rows(*pairs)
    found = value(SlotF1().stats(*made))
    assert found is None if f1 is None else found == pytest.approx(f1)
    assert value(SlotMatch().stats(*made)) == pytest.approx(match)


def test_the_micro_f1_is_that_of_seqeval_on_random_sequences():
    drawn = random.Random(0)
    for _ in range(1000):
        sizes = [drawn.randint(1, 8) for _ in range(drawn.randint(1, 4))]
        gold = [[drawn.choice(KINDS) for _ in range(size)] for size in sizes]
        said = [[t if drawn.random() < 0.7 else drawn.choice(KINDS) for t in row] for row in gold]
        pairs = [
            (SlotAnswer(tuple(a)), SlotAnswer(tuple(b))) for a, b in zip(said, gold, strict=True)
        ]
        found = value(SlotF1().stats(*rows(*pairs)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of sequences without a slot
            wanted = 100 * f1_score(gold, said, average="micro", mode=None)
        assert (found or 0.0) == pytest.approx(wanted)
    assert performance_measure([["B-a"]], [["B-a"]])["TP"] == 1


def test_a_row_is_right_with_its_intent_only():
    made = rows(
        (tags("B-a", "x"), tags("B-a", "x")),
        (tags("B-a", "y"), tags("B-a", "x")),
        (tags("B-a"), tags("B-a", "x")),
        (tags("O", "x"), tags("B-a", "x")),
    )
    stats = SlotMatch().stats(*made)
    assert value(stats) == 25 and stats.signature == "slot_match|intent:asked"
    assert value(IntentAccuracy().stats(*made)) == 50
    assert SlotMatch().stats(*rows((tags("O"), tags("O")))).signature == "slot_match|intent:no"


def test_intents_are_undefined_where_none_is_asked_for():
    assert value(IntentAccuracy().stats(*rows((tags("O"), tags("O"))))) is None
    mixed = rows((tags("O"), tags("O")), (tags("O", "x"), tags("O", "x")))
    assert value(IntentAccuracy().stats(*mixed)) == 100


def test_intervals_come_from_the_rows():
    drawn = random.Random(1)
    pairs = []
    for _ in range(60):
        gold = [drawn.choice(KINDS) for _ in range(5)]
        said = gold if drawn.random() < 0.6 else ["O"] * 5
        pairs.append((SlotAnswer(tuple(said)), SlotAnswer(tuple(gold))))
    made = score("slot_f1", SlotF1().stats(*rows(*pairs)))
    assert made.low is not None and made.high is not None
    assert made.low < made.value < made.high and made.interval == "jackknife-wilson"
    assert score("m", SlotMatch().stats(*rows(*pairs))).interval == "wilson"


@pytest.mark.parametrize("metric", [SlotF1(), SlotMatch(), IntentAccuracy()])
def test_other_answers_are_told_in_one_line(metric):
    with pytest.raises(MetricError) as caught:
        metric.stats([Prediction("1", "alarm")], [Example("1", {}, ("alarm",))])
    assert "compares slots, and an answer of example '1' is 'alarm'; use the task slots" in str(
        caught.value
    )
