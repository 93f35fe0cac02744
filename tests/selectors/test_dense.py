import logging
import random

import numpy as np
import pytest

from icl.core.errors import ConfigError, DataError
from icl.core.types import Example
from icl.selectors import vectors as kept
from icl.selectors.dense import Dense
from icl.selectors.vectors import Vectors
from tests.selectors.vectors import Letters, fitted, ids, query, rows


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("ICL_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("scaled", [True, False])
def test_the_order_is_that_of_all_cosines(scaled):
    numbers = random.Random("dense")
    texts = ["".join(numbers.choices("abcdefgh", k=12)) for _ in range(200)]
    asked = [query("".join(numbers.choices("abcdefgh", k=12))) for _ in range(20)]
    selector = fitted(Dense(standardize=scaled), rows(*texts))
    embed = Letters().embed
    pool = embed(texts).astype(np.float64)
    mean, spread = (pool.mean(0), pool.std(0)) if scaled else (0.0, 1.0)
    for ask in asked:
        vector = (embed([ask.fields["t"]])[0] - mean) / spread
        apart = (pool - mean) / spread
        cosines = apart @ vector / np.linalg.norm(apart, axis=1) / np.linalg.norm(vector)
        best = sorted(range(200), key=lambda i: (-round(cosines[i], 5), str(i)))
        shots = selector.select(ask, 200)
        assert [shot.score for shot in shots] == pytest.approx(cosines[best], abs=2e-5)
        # The same rows, unless rounding parts two that tie.
        assert [int(shot.example.id) for shot in shots[:5]] == pytest.approx(best[:5])


def test_equal_rows_go_by_id_and_a_text_without_a_vector_is_as_near_as_none():
    pool = rows("ab", "zz", "ab", "cc")[::-1]
    selector = fitted(Dense(standardize=False), pool)
    assert [(s.example.id, s.score) for s in selector.select(query("abab"), 9)] == [
        ("0", 1.0),
        ("2", 1.0),
        ("1", 0.0),
        ("3", 0.0),
    ]
    assert ids(selector, "zzz") == ["0", "1", "2", "3"]


@pytest.mark.parametrize("texts", [(), ("ab",)])
def test_pools_of_no_and_of_one_row(texts):
    assert ids(fitted(Dense(), rows(*texts)), "abc") == [str(n) for n in range(len(texts))]


def test_the_query_is_left_out_by_id_and_by_content():
    selector = fitted(Dense(standardize=False), rows("ab", "abc", "d"))
    assert [s.example.id for s in selector.select(query("AB "), 9)] == ["1", "2"]
    assert [s.example.id for s in selector.select(query("aab", "1"), 9)] == ["0", "2"]


def test_the_pool_is_embedded_at_the_first_query_and_once_for_ever():
    letters = Letters()
    selector = fitted(Dense(), rows("ab", "cd"), letters)
    assert letters.asked == []
    ids(selector, "a"), ids(selector, "a"), ids(selector, "b")
    assert letters.asked == [["ab", "cd"], ["a"], ["b"]]
    later = Letters()
    assert ids(fitted(Dense(), rows("ab", "cd"), later), "a") == ids(selector, "a")
    assert later.asked == [["a"]], "the pool's vectors were read from disk"
    other = Letters()
    ids(fitted(Dense(), rows("ab", "cd", "e"), other), "a")
    assert other.asked[0] == ["ab", "cd", "e"], "another pool is embedded anew"
    another = Vectors(Letters().embed, {"name": "others"})
    assert another.find_file(["ab"]) != Vectors(Letters().embed, {"name": "letters"}).find_file(
        ["ab"]
    )


def test_expected_queries_are_embedded_in_blocks_that_outlive_the_process(monkeypatch):
    monkeypatch.setattr(kept, "BLOCK", 2)
    letters, asked = Letters(), [query(text) for text in "abcde"]
    selector = fitted(Dense(), rows("ab", "cd"), letters)
    selector.expect(asked)
    selector.expect(asked[:3])
    assert letters.asked == [], "nothing is embedded before it is asked for"
    for one in asked[:3]:
        selector.select(one, 1)
    assert letters.asked == [["ab", "cd"], ["a", "b"], ["c", "d"]]
    again = Letters()
    selector = fitted(Dense(), rows("ab", "cd"), again)
    selector.expect(asked)
    for one in asked[:4]:
        selector.select(one, 1)
    assert again.asked == []


def test_a_damaged_file_is_made_again(caplog):
    made = Vectors(Letters().embed, {"name": "letters"})
    first = made.of(["a", "b"])
    path = made.find_file(["a", "b"])
    path.write_bytes(path.read_bytes()[:40])
    with caplog.at_level(logging.WARNING):
        assert (made.of(["a", "b"]) == first).all()
    assert "is damaged and computed again" in caplog.text
    assert not list(path.parent.glob("*.partial*"))


@pytest.mark.parametrize("wrong", [np.zeros((1, 3)), np.zeros(2), np.full((2, 2), np.nan)])
def test_what_is_no_array_of_vectors_is_refused(wrong):
    with pytest.raises(DataError, match=r"for 2 texts; \(texts, features\) of finite numbers"):
        Vectors(lambda texts: wrong, {}).of(["a", "b"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": ""}, "encoder is ''; a folder or hub id of sentence-transformers is needed"),
        ({"encoder": 3}, "encoder is 3; a folder or hub id"),
        ({"layer": "middle"}, "layer is 'middle'; a whole number is needed, such as 6 or -1"),
        ({"layer": True}, "layer is True; a whole number"),
        ({"encoder": "x", "layer": 3}, "layer is of the model's own states; leave it out"),
        ({"standardize": "yes"}, "standardize is 'yes'; true or false is needed"),
        ({"fields": "t"}, "fields is 't'; a list of names is needed"),
    ],
)
def test_invalid_options(options, message):
    with pytest.raises(ConfigError) as caught:
        Dense(**options)
    assert str(caught.value).startswith(message)


def test_fields_are_checked_before_anything_is_embedded():
    letters = Letters()
    with pytest.raises(ConfigError, match="dense: row '0' has no input field 'u'"):
        fitted(Dense(fields=["u"]), rows("a"), letters)
    with pytest.raises(ConfigError, match="dense compares text, but row 'x' has no text input"):
        fitted(Dense(), [Example("x", {"n": 1})], letters)
    assert letters.asked == []


def test_identity_names_the_vectors_and_not_the_path():
    made = fitted(Dense(encoder="/some/where", seed=3), rows("a"))
    assert made.identity() == {"fields": [], "standardize": False, "vectors": {"name": "letters"}}
    assert fitted(Dense(), rows("a")).identity()["standardize"] is True
