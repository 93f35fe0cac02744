import pytest
from sacrebleu import corpus_ter

from icl.core.stats import score
from icl.core.types import Example, Prediction
from icl.metrics.ter import TER

# The example of Snover et al. 2006, section 2: 4 edits (a shift among them) of 13 words.
HYPOTHESIS = "THIS WEEK THE SAUDIS denied information published in the new york times"
REFERENCE = "SAUDI ARABIA denied THIS WEEK information published in the AMERICAN new york times"


def stats(metric, *rows):
    predictions = [Prediction(str(i), said) for i, (said, *_) in enumerate(rows)]
    examples = [Example(str(i), {}, tuple(targets)) for i, (_, *targets) in enumerate(rows)]
    return metric.stats(predictions, examples)


def test_the_example_of_the_paper():
    found = stats(TER(), (HYPOTHESIS, REFERENCE))
    assert found.rows.tolist() == [[4, 13]]
    assert score("ter", found).value == pytest.approx(100 * 4 / 13)


def test_equal_to_sacrebleu_over_rows():
    rows = [(HYPOTHESIS, REFERENCE), ("a b c", "a c b"), ("", "one two"), ("x", "x")]
    expected = corpus_ter([row[0] for row in rows], [[row[1] for row in rows]])
    found = score("ter", stats(TER(), *rows))
    assert found.value == pytest.approx(expected.score)
    assert found.signature.startswith("nrefs:1|case:lc|tok:tercom|norm:no|punct:yes|asian:no")


def test_a_row_may_need_more_edits_than_it_has_words():
    assert score("ter", stats(TER(), ("a b c d", "x"))).value == 400


def test_options_reach_the_signature():
    assert "case:mixed" in stats(TER(case_sensitive=True), ("a", "A")).signature
    assert score("ter", stats(TER(case_sensitive=True), ("a", "A"))).value == 100
