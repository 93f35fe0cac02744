import math

import pytest

from icl.core.errors import ConfigError, ParseError
from icl.core.types import Choice, Output, Record
from icl.tasks.label_sets import SetRule, choose_threshold, count_mean_labels, make_rule
from icl.tasks.predict import predict

CHOICES = [Choice("joy", " great joy"), Choice("anger", " anger"), Choice("fear", " fear")]
LABELS = ["joy", "anger", "fear"]
POOL = {'["joy"]': 1, '["anger","joy"]': 2, "[]": 1}


@pytest.mark.parametrize(
    ("output", "value"),
    [
        (" Great joy, anger.\nText: more, of it", '["anger","joy"]'),
        ("anger,anger, ANGER", '["anger"]'),
        ('"Fear"', '["fear"]'),
        ("None.", "[]"),
        ("\n anger", '["anger"]'),
    ],
)
def test_an_output_is_split_and_each_piece_read(output, value):
    assert SetRule().read(output, "label", CHOICES) == value


def test_lines_may_separate_labels():
    assert SetRule("\n").read("anger\nfear\n", "label", CHOICES) == '["anger","fear"]'


@pytest.mark.parametrize(
    ("output", "reason"), [("  ", "empty"), ("anger, happiness", "no choice: 'happiness'")]
)
def test_a_piece_that_is_no_label_leaves_the_answer_unparsed(output, reason):
    with pytest.raises(ParseError, match=reason):
        SetRule().read(output, "label", CHOICES)
    record = Record("0", "c", "r", outputs=(Output(output, "stop", 1, 1),))
    made = predict(record, CHOICES, "label", SetRule())
    assert made.value is None and reason in made.error


def logs(*shares):
    return [math.log(share) for share in shares]


@pytest.mark.parametrize(
    ("rule", "shares", "value"),
    [
        (SetRule(most=1), (0.2, 0.5, 0.3), '["anger"]'),
        (SetRule(most=2), (0.2, 0.5, 0.3), '["anger","fear"]'),
        (SetRule(most=2), (0.25, 0.5, 0.25), '["anger","joy"]'),  # of equals the first
        (SetRule(most=9), (0.2, 0.5, 0.3), '["anger","fear","joy"]'),
        (SetRule(above=0.25), (0.2, 0.5, 0.3), '["anger","fear"]'),
        (SetRule(above=0.6), (0.2, 0.5, 0.3), "[]"),
    ],
)
def test_a_ranking_takes_the_likeliest_or_all_above_a_share(rule, shares, value):
    record = Record("0", "c", "r", logprobs=tuple(logs(*shares)))
    assert predict(record, CHOICES, "label", rule).value == value


def test_the_pool_chooses_the_threshold_by_how_many_labels_its_rows_have():
    assert count_mean_labels(POOL) == 1.25
    rows = [logs(0.6, 0.3, 0.1), logs(0.5, 0.45, 0.05), logs(0.98, 0.01, 0.01), logs(0.4, 0.4, 0.2)]
    cut = choose_threshold(rows, POOL)  # 5 labels for 4 rows: .98 .6 .5 .45 .4 | .4 …
    assert cut == pytest.approx(0.4)
    cut = choose_threshold(rows[:3], {'["joy"]': 2, '["anger","joy"]': 1})  # 4 labels for 3 rows
    assert cut == pytest.approx((0.45 + 0.3) / 2)
    rule = make_rule(", ", "none", "pool", rows[:3], {'["joy"]': 2, '["anger","joy"]': 1})
    assert [rule.take(row, LABELS) for row in rows[:3]] == ['["joy"]', '["anger","joy"]', '["joy"]']
    assert choose_threshold(rows, {"[]": 3}) > 0.98
    assert choose_threshold(rows, {'["anger","fear","joy"]': 1}) < 0.01


def test_the_rule_of_a_condition():
    rows = [logs(0.6, 0.3, 0.1)]
    assert make_rule("; ", "no", "pool", rows, POOL) == SetRule("; ", "no", most=1), "one row alone"
    assert make_rule(", ", "none", 2, rows, {}) == SetRule(most=2)
    assert make_rule(", ", "none", 0.25, rows, {}) == SetRule(above=0.25)
    assert make_rule(", ", "none", "pool", [()], {}) == SetRule(), "written, not ranked"
    with pytest.raises(ConfigError, match="there are none; give the task a pool .* as in take: 2"):
        make_rule(", ", "none", "pool", rows * 2, {})
