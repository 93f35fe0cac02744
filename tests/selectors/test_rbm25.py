"""R-BM25 (Agrawal et al. 2022) against a slow plain reference."""

import math
import random

import pytest

from icl.core.errors import ConfigError
from icl.selectors.bm25 import BM25
from icl.selectors.rbm25 import RBM25
from tests.selectors.vectors import fitted, ids, query, rows

WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "dog", "ran", "far"]


def texts(n, k, seed):
    numbers = random.Random(seed)
    return [" ".join(numbers.choices(WORDS, k=numbers.randint(3, k))) for _ in range(n)]


def occurrences(words, n):
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def reference(asked, candidates, discount, threshold):
    """The algorithm as written down: every score anew, every n-gram counted by a loop."""
    words = asked.split()
    left = dict(candidates)
    covered = {}  # n-gram -> how often a chosen row had it
    chosen = []
    while left:
        scores = {}
        for name, text in left.items():
            recalls = []
            for n in (1, 2, 3, 4):
                of_query, of_row = occurrences(words, n), occurrences(text.split(), n)
                if not of_query:
                    continue
                matched = 0.0
                for gram in set(of_query):
                    if gram in of_row:
                        count = of_query.count(gram) * discount ** covered.get(gram, 0)
                        matched += min(count, of_row.count(gram))
                if n == 1 and matched == 0:
                    recalls = [0.0]
                    break
                recalls.append(max(matched, 0.01) / len(of_query))
            scores[name] = round(100 * math.prod(recalls) ** (1 / len(recalls)), 9)
        best = max(left, key=lambda name: scores[name])
        if scores[best] < threshold:
            break
        chosen.append((best, scores[best]))
        for n in (1, 2, 3, 4):
            for gram in set(occurrences(left[best].split(), n)) & set(occurrences(words, n)):
                covered[gram] = covered.get(gram, 0) + 1
        del left[best]
    return chosen


@pytest.mark.parametrize(
    "options",
    [{}, {"discount": 0.0}, {"discount": 1.0, "threshold": 5.0}, {"candidates": 5, "threshold": 0}],
)
def test_order_and_scores_are_those_of_the_reference(options):
    pool = rows(*dict.fromkeys(texts(60, 9, "pool")))
    selector = fitted(RBM25(**options), pool)
    plain = fitted(BM25(), pool)
    used = {"candidates": 100, "discount": 0.1, "threshold": 1.0} | options
    for text in texts(15, 10, "queries"):
        near = plain.select(query(text), used["candidates"])
        candidates = {shot.example.id: shot.example.fields["t"] for shot in near}
        expected = reference(text, candidates, used["discount"], used["threshold"])
        shots = selector.select(query(text), len(expected) or 1)
        if not expected:
            assert shots == []
            continue
        assert [shot.example.id for shot in shots] == [name for name, _ in expected]
        assert [shot.score for shot in shots] == pytest.approx([score for _, score in expected])


def test_a_second_row_covers_what_the_first_one_left():
    pool = rows("the cat sat on", "the cat sat too", "dog ran far away", "no word")
    assert ids(fitted(RBM25(), pool), "the cat sat on and dog ran far", 2) == ["0", "2"]


def test_scores_fall_and_stop_at_the_threshold():
    pool = rows(*dict.fromkeys(texts(60, 9, "pool")))
    for text in texts(10, 10, "queries"):
        shots = fitted(RBM25(threshold=3.0), pool).select(query(text), 99)
        scores = [shot.score for shot in shots]
        assert scores == sorted(scores, reverse=True) and min(scores, default=3.0) >= 3.0
        everything = fitted(RBM25(threshold=0, candidates=10), pool).select(query(text), 99)
        assert len(everything) >= len(pool) - 1
        assert [s.score for s in everything] == sorted((s.score for s in everything), reverse=True)


def test_the_query_itself_covers_nothing():
    pool = rows("the cat sat", "the cat ran", "a dog")
    selector = fitted(RBM25(), [*pool, query("the cat sat")])
    assert ids(selector, "the cat sat") == ids(fitted(RBM25(), pool), "the cat sat") == ["1"]


def test_scripts_without_spaces_are_covered_by_characters():
    pool = rows("今天天气怎么样", "明天早上叫我起床", "播放音乐")
    assert ids(fitted(RBM25(), pool), "请叫我起床") == []
    assert ids(fitted(RBM25(ngrams="char"), pool), "请叫我起床") == ["1"]


@pytest.mark.parametrize("text", ["", "?!", "unknown"])
def test_without_a_common_word_there_is_no_shot(text):
    pool = rows("the cat", "a dog")
    assert ids(fitted(RBM25(), pool), text) == []
    assert len(ids(fitted(RBM25(threshold=0), pool), text)) == 2
    assert ids(fitted(RBM25(), []), text) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"candidates": 0}, "candidates is 0; 1 or more is needed, like 100"),
        ({"discount": 2}, "discount is 2; a number from 0 to 1 is needed"),
        ({"discount": "x"}, "discount is 'x'; a number is needed"),
        ({"threshold": -1}, "threshold is -1; a number from 0 to 100 is needed"),
        ({"threshold": True}, "threshold is True; a number is needed"),
        ({"ngrams": "words"}, "unknown ngrams 'words'. Did you mean 'word'?"),
    ],
)
def test_invalid_options(options, message):
    with pytest.raises(ConfigError) as caught:
        RBM25(**options)
    assert str(caught.value).startswith(message)
