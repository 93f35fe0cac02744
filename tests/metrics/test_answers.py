"""Exact match, token F1, item F1 and length ratio: known answers, edges, bad input."""

from __future__ import annotations

import pytest

from icl.core.errors import ConfigError, MetricError
from icl.core.stats import score
from icl.core.types import Example, Prediction
from icl.metrics import make_metric
from icl.metrics.exact_match import ExactMatch
from icl.metrics.item_f1 import ItemF1
from icl.metrics.length_ratio import LengthRatio
from icl.metrics.token_f1 import TokenF1

METRICS = [ExactMatch(), TokenF1(), ItemF1(), LengthRatio()]


def found(metric, *rows):
    predictions = [
        Prediction(str(i), said, None if said else "e") for i, (said, *_) in enumerate(rows)
    ]
    examples = [Example(str(i), {}, tuple(targets)) for i, (_, *targets) in enumerate(rows)]
    return score(metric.name, metric.stats(predictions, examples))


@pytest.mark.parametrize(
    ("metric", "rows", "value"),
    [
        (ExactMatch(), [("a  b", "a b"), ("e\u0301", "\u00e9"), ("A", "a"), (None, "a")], 50),
        (ExactMatch(ignore_case=True), [("STRASSE", "Straße", "x")], 100),
        # "the cat sat" against "a cat sat": 2 of 3 and 2 of 3.
        (TokenF1(), [("The cat sat.", "dog", "a cat sat")], 100 * 2 / 3),
        (TokenF1(), [(None, "a"), ("a", "a")], 50),
        (TokenF1(), [("东京", "东京都")], 100 * 2 * 1 * (2 / 3) / (1 + 2 / 3)),
        # Micro: 3 of 4 said, 3 of 5 wanted.
        (
            ItemF1(),
            [
                ('{"who": ["Ann", "Bo"]}', '{"who": ["ann"], "where": ["Rome"]}'),
                ('["x", "y"]', '["y", "x", "z"]'),
            ],
            100 * 6 / 9,
        ),
        (ItemF1(), [(None, '["x"]'), ('["x"]', '["x"]')], 100 * 2 / 3),
        (ItemF1(), [('["a", "b"]', '["c"]', '["a"]')], 100 * 2 / 3),
        (ItemF1(), [('["x"]', '["x", "x"]')], 100 * 2 / 3),
        (ItemF1(), [("[]", "[]")], None),
        (ItemF1(), [("[]", '["x"]', "[]"), ('["a"]', '["a"]')], 100.0),
        (LengthRatio(), [("a b c", "a b", "a b c d e f"), (None, "x y")], 100 * 3 / 4),
        (LengthRatio(), [("", "")], None),
    ],
)
def test_known_answers(metric, rows, value):
    assert found(metric, *rows).value == pytest.approx(value)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_edges(metric):
    none = score(metric.name, metric.stats([], []))
    assert (none.value, none.n) == (None, 0)
    with pytest.raises(MetricError, match="needs a target, and example '0' has none"):
        metric.stats([Prediction("0", "[]")], [Example("0", {})])
    same = '["one", "two"]'
    perfect = found(metric, *[(same, same)] * 10)
    assert (perfect.value, perfect.n) == (100, 10)
    assert (perfect.low is None) == (metric.name == "length_ratio")  # it may be above 100
    assert perfect.signature.startswith(metric.name)


def test_exact_match_has_wilsons_interval_and_the_others_the_jackknifes():
    rows = [('["one"]', '["one"]'), ('["one", "two"]', '["one"]')] * 5
    ends = {metric.name: found(metric, *rows).signature.split("ci:")[1] for metric in METRICS}
    assert ends == {
        "exact_match": "wilson",
        "token_f1": "jackknife-wilson",
        "item_f1": "jackknife-wilson",
        "length_ratio": "jackknife-log-t",
    }


@pytest.mark.parametrize(
    ("said", "target", "what"), [("x", "[]", "prediction"), ("[]", "3", "target")]
)
def test_item_f1_says_which_text_is_no_list(said, target, what):
    with pytest.raises(MetricError) as caught:
        found(ItemF1(), (said, target))
    assert str(caught.value).startswith(
        f"item_f1 compares JSON objects or lists, and the {what} of example '0' is "
    )


def test_entries_of_an_experiment():
    name, metric = make_metric({"metric": "chrf", "word_order": 0, "name": "chrf0"})
    assert (name, metric.label) == ("chrf0", "chrF")
    assert make_metric("bleu")[0] == "bleu"
    assert make_metric({"command": "python a/comet.py {hypothesis}"})[0] == "comet"
    named = make_metric({"command": "x {hypothesis}", "name": "mine"})
    assert named[0] == named[1].name == "mine"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("bluu", "unknown metric 'bluu'. Did you mean 'bleu'?"),
        ({"metric": "bleu", "tokenise": "char"}, "m: unknown option 'tokenise' of the metric"),
        (
            {"name": "x"},
            "m: a metric is a name, {metric: NAME, OPTION: …}, {command: …} or {judge: ",
        ),
        ({"metric": "bleu", "name": ""}, "m: a metric is a name,"),
        ({"metric": "command"}, "m: the metric 'command' needs 'command'"),
    ],
)
def test_wrong_entries(entry, message):
    with pytest.raises(ConfigError) as caught:
        make_metric(entry, "m")
    assert str(caught.value).startswith(message)
