import pytest

from icl.core.errors import MetricError
from icl.core.stats import score
from icl.core.types import Example, Prediction
from icl.metrics.macro_f1 import MacroF1


def macro_f1(golds, guesses):
    examples = [
        Example(str(index), {}, gold if isinstance(gold, tuple) else (gold,))
        for index, gold in enumerate(golds)
    ]
    predictions = [Prediction(str(index), guess) for index, guess in enumerate(guesses)]
    return score("macro_f1", MacroF1().stats(predictions, examples))


@pytest.mark.parametrize(
    ("golds", "guesses", "f1s"),
    [
        # The example in scikit-learn's documentation of f1_score: macro 0.26...
        ("012012", "021001", [4 / 5, 0, 0]),
        # precision_recall_fscore_support's documentation, y_true cat dog pig cat dog pig and
        # y_pred cat pig dog cat cat dog: the same confusion under other names.
        ("cdpcdp", "cpdccd", [4 / 5, 0, 0]),
        ("aabb", "aabb", [1, 1]),
        ("aabb", "bbaa", [0, 0]),
        # One label is always right: no other label occurs, none is averaged in.
        ("aaa", "aaa", [1]),
        # a: tp 1 fp 0 fn 1; b: tp 1 fp 0 fn 0; c is only ever predicted: fp 1.
        ("aab", "acb", [2 / 3, 1, 0]),
        # a: tp 2 fp 0 fn 1; b: tp 1 fp 1 fn 1; c: fp 1, and fn 1 of the unparsed row.
        ("aaabbc", ["a", "a", "b", "b", "c", None], [4 / 5, 1 / 2, 0]),
        # Nothing parsed: both labels are missed, and there is no third.
        ("ab", [None, None], [0, 0]),
        # The second target is right too; where no target was predicted the first is gold.
        ([("a", "b"), ("a", "b"), "c"], "bcc", [0, 1, 2 / 3]),
    ],
)
def test_macro_f1_is_the_mean_over_labels_that_occur(golds, guesses, f1s):
    scored = macro_f1(golds, guesses)
    assert scored.value == pytest.approx(100 * sum(f1s) / len(f1s))
    assert scored.n == len(golds)


def test_interval_is_around_the_value():
    scored = macro_f1("aabb" * 20, "aaba" * 20)
    assert 0 < scored.low < scored.value < scored.high < 100
    assert scored.signature == "macro_f1|labels:occurring|ci:jackknife-wilson"


@pytest.mark.parametrize(
    ("golds", "guesses", "made"),
    [
        ("abcdefgh", "abcdefgh", "none (needs about 40 rows, 5 of each label)"),
        ("a" * 16 + "bbbb", "a" * 20, "none (needs about 25 rows, 5 of each label)"),
        ("a" * 20, "a" * 19 + "c", "none (needs 5 gold rows of each label)"),
        ("aaaa" + "bbbb", "abab" + "abab", "none (needs about 10 rows, 5 of each label)"),
    ],
)
def test_labels_with_few_gold_rows_leave_no_interval_and_say_how_many_would(golds, guesses, made):
    scored = macro_f1(golds, guesses)
    assert (scored.low, scored.high, scored.interval) == (None, None, made)


def test_all_right_has_a_lower_end_as_a_proportion_has():
    scored = macro_f1("ab" * 15, "ab" * 15)
    assert scored.value == scored.high == 100 and 80 < scored.low < 92


def test_one_row_and_none():
    assert macro_f1("a", "b").value == 0
    assert (macro_f1("", "").value, macro_f1("", "").n) == (None, 0)


def test_name_and_title():
    assert (MacroF1().name, MacroF1().label) == ("macro_f1", "macro-F1")


def test_refuses_rows_without_targets():
    with pytest.raises(MetricError, match="^macro-F1 needs a target, and example '0' has none"):
        macro_f1([()], "a")
