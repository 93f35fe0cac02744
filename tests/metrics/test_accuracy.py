import pytest

from icl.core.errors import MetricError
from icl.core.stats import score
from icl.core.types import Example, Prediction
from icl.metrics.accuracy import Accuracy


def rows(*pairs):
    """Predictions and examples of (value, targets) pairs."""
    predictions = [
        Prediction(str(index), value, None if value is not None else "no choice")
        for index, (value, _) in enumerate(pairs)
    ]
    examples = [Example(str(index), {}, targets) for index, (_, targets) in enumerate(pairs)]
    return predictions, examples


@pytest.mark.parametrize(
    ("pairs", "value"),
    [
        ([("a", ("a",)), ("b", ("b",))], 100.0),
        ([("a", ("b",)), ("b", ("a",))], 0.0),
        ([("a", ("a",)), ("b", ("a",)), ("a", ("a",)), ("a", ("b",))], 50.0),
        ([("b", ("a", "b")), ("c", ("a", "b"))], 50.0),  # any target counts
        ([("A", ("a",)), (" a", ("a",)), ("", ("a",))], 0.0),  # character for character
        ([("a", ("a",)), (None, ("a",)), (None, ("a",)), (None, ("a",))], 25.0),  # unparsed stay
    ],
)
def test_accuracy(pairs, value):
    scored = score("accuracy", Accuracy().stats(*rows(*pairs)))
    assert scored.value == value
    assert scored.n == len(pairs)
    assert scored.low <= value <= scored.high


def test_interval_is_wilsons():
    pairs = [("a", ("a",))] * 81 + [("b", ("a",))] * 182
    scored = score("accuracy", Accuracy().stats(*rows(*pairs)))
    # Newcombe 1998: 81 of 263.
    assert (round(scored.low, 2), round(scored.high, 2)) == (25.53, 36.62)
    assert scored.signature == "accuracy|match:exact|ci:wilson"


def test_no_rows():
    scored = score("accuracy", Accuracy().stats([], []))
    assert (scored.value, scored.n) == (None, 0)


def test_name_and_title():
    assert (Accuracy().name, Accuracy().label) == ("accuracy", "acc")


def test_refuses_rows_without_targets():
    predictions, examples = rows(("a", ("a",)), ("a", ()))
    with pytest.raises(MetricError, match="^acc needs a target, and example '1' has none: score"):
        Accuracy().stats(predictions, examples)


def test_refuses_rows_that_are_not_parallel():
    predictions, examples = rows(("a", ("a",)), ("b", ("b",)))
    with pytest.raises(MetricError, match="^acc got 1 predictions for 2 examples: give one"):
        Accuracy().stats(predictions[:1], examples)
    with pytest.raises(MetricError, match="^acc got prediction '1' for example '0': give both"):
        Accuracy().stats(predictions[::-1], examples)
