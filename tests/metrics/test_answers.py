"""Metrics of short answers, from exact match to valid JSON: known answers, edges, bad input."""

from __future__ import annotations

import pytest

from icl.core.errors import ConfigError, MetricError
from icl.core.stats import score
from icl.core.types import Example, Prediction
from icl.metrics import make_metric
from icl.metrics.contains import Contains
from icl.metrics.exact_match import ExactMatch
from icl.metrics.item_f1 import ItemF1
from icl.metrics.json_valid import ValidJSON
from icl.metrics.length_ratio import LengthRatio
from icl.metrics.number import NumberMatch
from icl.metrics.pattern import PatternMatch
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
        (
            Contains(),
            [("I know  it", "no"), ("Cafe\u0301!", "x", "Caf\u00e9"), ("A", "a"), (None, "a")],
            50,
        ),
        (Contains(whole_words=True), [("I know", "no"), ("no, sir", "no"), ("5 %", "%")], 200 / 3),
        (Contains(ignore_case=True), [("STRASSE", "Straße"), ("", ""), ("a", "")], 200 / 3),
        (NumberMatch(), [("so 1,200.", "1200.0"), ("7", "5", "7 pens"), (None, "1")], 200 / 3),
        (NumberMatch(), [("3 of 4", "4"), ("none", "4"), ("-4", "4")], 100 / 3),
        (NumberMatch(tolerance=0.01), [("101", "100"), ("102", "100"), ("-99", "-100")], 200 / 3),
        (NumberMatch(decimal=","), [("1.200,50 €", "1200,5")], 100),
        (PatternMatch(), [("it is a.b", "a.b"), ("it is axb", "a.b"), (None, "x")], 100 / 3),
        (PatternMatch(r"^{target}\b"), [("yes, sir", "no", "yes"), ("yesno", "yes")], 50),
        (PatternMatch("^y", ignore_case=True), [("Yes", "x"), ("no y", "x")], 50),
        (
            ValidJSON(),
            [('{"a": 1}', "x"), ("[NaN]", "x"), ('{"a": 1, "a": 2}', "x"), ("{", "x"), ("3", "x")],
            40,
        ),
        (ValidJSON(type="object"), [('{"a": 1}', "x"), ("[1]", "x"), (None, "x")], 100 / 3),
        (ValidJSON(), [("[" * 100_000, "x"), ("```json\n{}\n```", "x")], 0),
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


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        ({"metric": "number", "tolerance": -1}, "give a share from 0, such as 0.01"),
        ({"metric": "number", "tolerance": float("nan")}, "give a share from 0"),
        ({"metric": "number", "decimal": ";"}, "accepted"),
        ({"metric": "json_valid", "type": "dict"}, "accepted: object, list, any"),
        ({"metric": "regex", "pattern": "(["}, "is no regular expression"),
        ({"metric": "regex", "pattern": 3}, "a text of up to 2,000 characters is needed"),
    ],
)
def test_wrong_options_are_told(entry, error):
    with pytest.raises((ConfigError, MetricError), match=error):
        make_metric(entry)


def test_a_target_without_a_number_is_told():
    with pytest.raises(MetricError, match="the target 'many' of example '0' holds no number; "):
        found(NumberMatch(), ("5", "many"))


def test_a_slow_pattern_is_stopped(monkeypatch):
    monkeypatch.setattr("icl.core.bounded_regex.TIMEOUT_S", 0.1)
    with pytest.raises(ConfigError, match="worked for more than 0.1 s on one answer"):
        found(PatternMatch("(a|aa)+$"), ("a" * 80 + "b", "x"))
