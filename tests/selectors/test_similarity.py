"""mmr, balanced_knn: what they make of a likeness, against slow plain references."""

import random

import numpy as np
import pytest

from icl.core.errors import ConfigError, DataError
from icl.core.types import Example
from icl.selectors.balanced_knn import BalancedKNN
from icl.selectors.bm25 import BM25
from icl.selectors.dense import Dense
from icl.selectors.mmr import MMR
from tests.selectors.vectors import Letters, fitted, ids, query, rows

WORDS = ["set", "alarm", "play", "jazz", "rain", "today", "nine", "am", "loud", "off"]


def texts(n, seed="likeness"):
    numbers = random.Random(seed)
    return [" ".join(numbers.choices(WORDS, k=numbers.randint(2, 6))) for _ in range(n)]


# --- mmr ----------------------------------------------------------------------------------------


def plain_mmr(relevance, between, trade, ids_of):
    """The greedy definition, one row after the other (Carbonell and Goldstein 1998, formula 2)."""
    most = max(max(relevance), 1e-12)
    relevance = [value / most for value in relevance]
    twins = [between(j) / max(between(j)) for j in range(len(relevance))]
    chosen, left = [], sorted(range(len(relevance)), key=lambda i: (-relevance[i], ids_of[i]))
    while left:

        def worth(i):
            twin = max((twins[j][i] for j in chosen), default=None)
            return relevance[i] if twin is None else trade * relevance[i] - (1 - trade) * twin

        best = max(left, key=lambda i: (round(worth(i), 6), -left.index(i)))
        chosen.append(best)
        left.remove(best)
    return chosen


@pytest.mark.parametrize("by", ["bm25", "dense"])
@pytest.mark.parametrize("trade", [0.0, 0.3, 0.7, 1.0])
def test_mmr_is_the_greedy_definition(by, trade):
    pool = rows(*dict.fromkeys(texts(40)))
    selector = fitted(MMR(by=by, lambda_=trade), pool)
    plain = fitted(Dense() if by == "dense" else BM25(), pool)
    for text in texts(8, "queries"):
        ask = query(text + " zzz")
        relevance = [float(value) for value in plain.scores(ask)]
        expected = plain_mmr(relevance, plain.between, trade, [row.id for row in pool])
        shots = selector.select(ask, 8)
        assert [int(shot.example.id) for shot in shots] == expected[:8]
        assert [shot.score for shot in shots] == pytest.approx([relevance[i] for i in expected[:8]])


def test_lambda_1_is_plain_retrieval_and_less_avoids_twins():
    pool = rows("set alarm", "set alarm now", "set the alarm", "play jazz alarm")
    plain = ids(fitted(BM25(), pool), "please set alarm zz")
    assert ids(fitted(MMR(lambda_=1), pool), "please set alarm zz") == plain
    assert ids(fitted(MMR(lambda_=0.3), pool), "please set alarm zz")[1] == "3"


def test_rows_beyond_the_candidates_follow_in_their_order():
    pool = rows(*dict.fromkeys(texts(30)))
    found = ids(fitted(MMR(lambda_=0.1, candidates=4), pool), "set alarm today")
    plain = ids(fitted(BM25(), pool), "set alarm today")
    assert set(found[:4]) == set(plain[:4]) and found[4:] == plain[4:]


def test_the_query_itself_makes_no_shot_redundant():
    pool = rows("set alarm", "set alarm now", "play jazz")
    twin = fitted(MMR(), [*pool, Example("q", {"t": "set alarm"})])
    assert ids(twin, "set alarm") == ids(fitted(MMR(), pool), "set alarm") == ["1", "2"]


@pytest.mark.parametrize("kind", [MMR, BalancedKNN])
def test_small_pools_and_large_k(kind):
    assert ids(fitted(kind(), []), "a") == []
    assert ids(fitted(kind(by="dense"), rows("a b", labels="x")), "a", 8) == ["0"]
    assert sorted(ids(fitted(kind(), rows("a", "b", labels="xy")), "c", 8)) == ["0", "1"]


# --- balanced_knn -------------------------------------------------------------------------------


def test_labels_take_turns_the_nearest_first():
    pool = rows("set alarm", "alarm", "play jazz", "rain", "set alarm now", labels="aabca")
    assert ids(fitted(BalancedKNN(), pool), "set an alarm and jazz") == ["0", "2", "3", "4", "1"]


@pytest.mark.parametrize("by", ["bm25", {"select": "dense", "standardize": False}])
def test_every_round_holds_the_nearest_of_each_label(by):
    found_labels = "".join(random.Random("labels").choices("abc", k=30))
    pool = rows(*texts(30), labels=found_labels)
    selector = fitted(BalancedKNN(by=by), pool)
    plain = fitted(BM25() if by == "bm25" else Dense(standardize=False), pool)
    for text in texts(5, "queries"):
        ask = query(text + " zzz")
        near = plain.select(ask, 99)
        turns = {c: [s for s in near if s.example.targets == (c,)] for c in "abc"}
        shots = selector.select(ask, 9)
        first = list(dict.fromkeys(s.example.targets[0] for s in near))
        expected = [turns[c][n] for n in range(3) for c in first]
        assert shots == expected


def test_a_pool_row_without_a_label_is_refused():
    with pytest.raises(DataError, match="the pool row '1' has no target, but balanced shots need"):
        fitted(BalancedKNN(), rows("a", "b", labels="x"))


# --- options ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: MMR(lambda_=1.5), "lambda is 1.5; a number from 0 to 1 is needed"),
        (lambda: MMR(lambda_="a"), "lambda is 'a'; a number from 0 to 1"),
        (lambda: MMR(candidates=0), "candidates is 0; 1 or more is needed, like 100"),
        (lambda: MMR(by="bm52"), "mmr: by is 'bm52'; a selector that compares rows is needed. Did"),
        (lambda: MMR(by="random"), "mmr: by is 'random'; a selector that compares rows is needed"),
        (lambda: MMR(by={"ngrams": "char"}), "mmr: by is {'ngrams': 'char'}; a selector that"),
        (lambda: BalancedKNN(by={"select": "bm25", "gram": 2}),
         "balanced_knn: by: unknown option 'gram' of the selector 'bm25'"),
    ],
)  # fmt: skip
def test_invalid_options(made, message):
    with pytest.raises(ConfigError) as caught:
        made()
    assert str(caught.value).startswith(message)


def test_identity_holds_the_likeness_with_its_options():
    words = {"ngrams": "word", "fields": (), "k1": 1.5, "b": 0.75}
    assert MMR(seed=3).identity() == {"lambda": 0.5, "candidates": 100, "by": ["bm25", words]}
    assert BalancedKNN(by={"select": "bm25"}).identity() == {"by": ["bm25", words]}
    made = fitted(BalancedKNN(by="dense"), rows("a", labels="x"))
    assert made.identity()["by"][1]["vectors"] == {"name": "letters"}


def test_vectors_pass_through_and_pool_rows_are_embedded_once():
    letters = Letters()
    selector = fitted(MMR(by="dense"), rows("ab", "cd", "ae"), letters)
    selector.expect([query("a"), query("b")])
    ids(selector, "a"), ids(selector, "b")
    asked = [text for one in letters.asked for text in one]
    assert sorted(asked) == sorted(set(asked))
    assert np.isfinite([shot.score for shot in selector.select(query("zz"), 3)]).all()
