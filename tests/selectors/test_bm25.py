import contextlib
import io
import math
import random
import time
from pathlib import Path

import bm25s
import pytest

from icl.core.errors import ConfigError
from icl.core.types import Example
from icl.data import DataSpec, load
from icl.selectors.bm25 import BM25

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def rows(texts):
    return [Example(f"{n:03}", {"t": text}) for n, text in enumerate(texts)]


def query(text):
    return Example("q", {"t": text})


def fitted(texts, **options):
    selector = BM25(**options)
    selector.fit(rows(texts))
    return selector


def ids(shots):
    return [shot.example.id for shot in shots]


def tokens(text, **options):
    return BM25(**options).tokens(query(text))


# --- tokens -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Niamshe saa 3, tafadhali!", ["niamshe", "saa", "3", "tafadhali"]),
        ("मुझे नौ बजे जगाओ।", ["मुझे", "नौ", "बजे", "जगाओ"]),  # vowel signs are Mn and Mc
        ("STRASSE Straße", ["strasse", "strasse"]),
        ("cafe\u0301 café", ["café", "café"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("TSCHÜSS tschu\u0308ss", ["tschüss", "tschüss"]),
        ("don't snake_case", ["don", "t", "snake_case"]),
        ("叫我起床,明天", ["叫我起床", "明天"]),
        ("?! …", []),
    ],
)
def test_words(text, words):
    assert tokens(text) == words


def test_char_ngrams_are_padded_within_tokens():
    assert tokens("ab C", ngrams="char", n=(2, 3)) == [
        *(" a", "ab", "b "),
        *(" ab", "ab "),
        *(" c", "c "),
        " c ",
    ]
    assert tokens("a", ngrams="char", n=(4, 5)) == [" a "]
    assert tokens("叫我", ngrams="char", n=[2, 2]) == [" 叫", "叫我", "我 "]


def test_only_string_inputs_are_compared():
    row = Example("1", {"t": "ask", "n": 3, "list": ["x"], "u": "me", "gold": "no"}, gold=("gold",))
    assert BM25().tokens(row) == ["ask", "me"]
    assert BM25(fields=["u"]).tokens(row) == ["me"]


# --- scores and order ---------------------------------------------------------------------------


def test_scores_are_lucene_bm25():
    texts = ["a b a", "b c", "c d e f"]
    selector = fitted(texts, k1=1.2, b=0.6)
    found = {shot.example.id: shot.score for shot in selector.select(query("a c c z"), 3)}

    def score(n, terms):  # Kamphuis et al. 2020, table 1, Lucene (accurate)
        total, mean = 0.0, 3.0
        document = texts[n].split()
        for term in terms:
            df = sum(term in text.split() for text in texts)
            tf = document.count(term)
            idf = math.log(1 + (3 - df + 0.5) / (df + 0.5))
            total += idf * tf / (1.2 * (1 - 0.6 + 0.6 * len(document) / mean) + tf)
        return total

    for n in range(3):
        assert found[f"{n:03}"] == pytest.approx(score(n, "acc"), rel=1e-6)


@pytest.mark.parametrize("options", [{}, {"ngrams": "char"}, {"k1": 0.9, "b": 0.4}])
def test_order_is_that_of_bm25s_on_the_same_tokens(options):
    words = [f"w{n}" for n in range(60)]
    numbers = random.Random("bm25")
    texts = [" ".join(numbers.choices(words, k=numbers.randint(3, 12))) for _ in range(300)]
    selector = fitted(texts, **options)
    known = {name: value for name, value in options.items() if name != "ngrams"}
    theirs = bm25s.BM25(**known)
    theirs.index([selector.tokens(row) for row in selector.pool], show_progress=False)
    for _ in range(20):
        ask = query(" ".join(numbers.choices(words, k=6)))
        found, scores = theirs.retrieve([selector.tokens(ask)], k=150, show_progress=False)
        ours = selector.select(ask, 150)
        assert [shot.score for shot in ours] == pytest.approx(list(scores[0]), rel=1e-5)
        by_theirs = dict(zip((f"{n:03}" for n in found[0]), scores[0], strict=True))
        for shot in ours:  # the same rows, unless they tie at the cut
            last = by_theirs.get(shot.example.id, scores[0][-1])
            assert shot.score == pytest.approx(float(last), rel=1e-5)


def test_ties_go_by_id_also_over_the_first_block():
    pool = rows(["same text"] * 150 + ["same text here"])
    pool = pool[::-1]
    selector = BM25()
    selector.fit(pool)
    asked = Example("q", {"t": "text"})
    found = ids(selector.select(asked, 151))
    assert found == [f"{n:03}" for n in range(151)]


@pytest.mark.parametrize("size", [1, 63, 64, 65, 200])
def test_every_row_comes_once_and_scores_fall(size):
    selector = fitted([f"w{n % 7} w{n % 3}" for n in range(size)])
    ordered = list(selector.order(query("w1 w5")))
    assert sorted(index for index, _ in ordered) == list(range(size))
    scores = [score for _, score in ordered]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("text", ["unknown words", "?!", ""])
def test_without_a_known_token_the_order_is_by_id(text):
    pool = rows(["b a", "a b", "c"])[::-1]
    selector = BM25()
    selector.fit(pool)
    shots = selector.select(query(text), 3)
    assert [(shot.example.id, shot.score) for shot in shots] == [
        ("000", 0.0),
        ("001", 0.0),
        ("002", 0.0),
    ]


def test_pool_without_tokens_and_empty_pool():
    assert ids(fitted(["?", "!"]).select(query("a"), 2)) == ["000", "001"]
    assert fitted([]).select(query("a"), 2) == []


def test_a_row_without_tokens_scores_zero():
    shots = fitted(["?", "a b"]).select(query("a"), 2)
    assert ids(shots) == ["001", "000"]
    assert shots[1].score == 0.0


def test_the_query_is_left_out_by_id_and_by_content():
    selector = fitted(["play some jazz", "play jazz", "set an alarm"])
    assert ids(selector.select(Example("001", {"t": "play some more jazz"}), 3)) == ["000", "002"]
    assert ids(selector.select(Example("q", {"t": "Play  some JAZZ"}), 3)) == ["001", "002"]


def test_same_shots_and_scores_whatever_the_pool_order_limit_and_batch():
    numbers = random.Random("order")
    pool = rows([" ".join(numbers.choices("abcdefghij", k=5)) for _ in range(200)])
    mixed = list(pool)
    numbers.shuffle(mixed)
    one, other = BM25(), BM25(seed=9)
    one.fit(pool)
    other.fit(mixed)
    asked = [query(" ".join(numbers.choices("abcdefghij", k=4))) for _ in range(10)]
    shots = [one.select(ask, 8) for ask in asked]
    assert [other.select(ask, 8) for ask in reversed(asked)] == shots[::-1]
    assert [one.select(ask, 3) for ask in asked] == [found[:3] for found in shots]


@pytest.mark.parametrize(
    ("texts", "asked", "best"),
    [
        (["नौ बजे जगाओ", "गाना बजाओ", "मौसम कैसा है"], "दस बजे मुझे जगाओ", "000"),
        (["niamshe saa tatu", "cheza muziki", "hali ya hewa"], "tafadhali cheza wimbo", "001"),
    ],
)
def test_scripts_by_words(texts, asked, best):
    assert ids(fitted(texts).select(query(asked), 1)) == [best]


def test_chinese_needs_characters():
    texts = ["今天天气怎么样", "明天早上叫我起床", "播放音乐"]
    asked = query("请叫我起床")
    by_words = fitted(texts).select(asked, 1)
    by_chars = fitted(texts, ngrams="char").select(asked, 1)
    assert (ids(by_words), by_words[0].score) == (["000"], 0.0)
    assert ids(by_chars) == ["001"]


def test_no_progress_bars():
    text = io.StringIO()
    with contextlib.redirect_stderr(text), contextlib.redirect_stdout(text):
        fitted(["a b", "c"]).select(query("a"), 1)
    assert text.getvalue() == ""


def test_a_query_to_a_large_pool_is_fast():
    numbers = random.Random("large")
    words = [f"w{n}" for n in range(5000)]
    selector = fitted([" ".join(numbers.choices(words, k=8)) for _ in range(12_000)])
    asked = [query(" ".join(numbers.choices(words, k=8))) for _ in range(100)]
    start = time.process_time()
    for ask in asked:
        selector.select(ask, 8)
    assert time.process_time() - start < 2.0  # 20 ms a query; 1 ms on an idle core


# --- options ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"ngrams": "chars"}, "unknown ngrams 'chars'. Did you mean 'char'?"),
        ({"n": (4, 2)}, "n is (4, 2); two sizes are needed, shortest first, like [2, 4]"),
        ({"n": (0, 2)}, "n is (0, 2); two sizes"),
        ({"n": (2,)}, "n is (2,); two sizes"),
        ({"n": 3}, "n is 3; two sizes"),
        ({"n": "24"}, "n is '24'; two sizes"),
        ({"n": (True, 2)}, "n is (True, 2); two sizes"),
        ({"fields": "utt"}, "fields is 'utt'; a list of names is needed, like [utt]"),
        ({"fields": [1]}, "fields is [1]; a list of names"),
        ({"k1": -1}, "k1 is -1; a number of 0 or more is needed"),
        ({"k1": "1.5"}, "k1 is '1.5'; a number"),
        ({"k1": math.nan}, "k1 is nan; a number"),
        ({"b": 1.1}, "b is 1.1; a number from 0 to 1 is needed"),
        ({"b": True}, "b is True; a number from 0 to 1"),
    ],
)
def test_invalid_options(options, error):
    with pytest.raises(ConfigError) as caught:
        BM25(**options)
    assert str(caught.value).startswith(error)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        (["txt"], "BM25: row 'r' has no input field 'txt'. Did you mean 'text'?"),
        (["label"], "BM25: row 'r' has no input field 'label' (it gives the answer away). There"),
        (["n"], "BM25 compares text, but field 'n' of row 'r' is 3; leave it out of fields:"),
    ],
)
def test_wrong_fields(fields, error):
    row = Example("r", {"text": "a", "label": "b", "n": 3}, ("b",), {}, ("label",))
    with pytest.raises(ConfigError) as caught:
        BM25(fields=fields).fit([row])
    assert str(caught.value).startswith(error)


def test_row_without_text():
    with pytest.raises(ConfigError, match="BM25 compares text, but row 'r' has no text input"):
        BM25().fit([Example("r", {"n": 1})])


def test_identity_leaves_out_what_is_inert():
    words = {"ngrams": "word", "fields": (), "k1": 1.5, "b": 0.75}
    assert BM25(seed=4).identity() == words
    assert BM25(ngrams="char").identity() == words | {"ngrams": "char", "n": (2, 4)}


# --- real data ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("locale", "ngrams", "least"),
    [("sw-KE", "word", 0.45), ("hi-IN", "word", 0.45), ("zh-CN", "char", 0.45)],
)
def test_nearest_shots_of_massive_often_have_the_right_intent(locale, ngrams, least):
    folder = SHARED / "massive"
    if not folder.is_dir():
        pytest.skip("no massive beside the checkout")
    pool = load(DataSpec("massive", folder, locale=locale, split="train"))
    test = load(DataSpec("massive", folder, locale=locale, split="test"))
    selector = BM25(ngrams=ngrams)
    selector.fit(pool)
    right = sum(selector.select(row, 1)[0].example.targets == row.targets for row in test)
    assert right / len(test) > least, f"{right} of {len(test)}"
