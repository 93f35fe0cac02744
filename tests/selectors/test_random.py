import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icl.core.errors import ConfigError
from icl.core.types import Example
from icl.selectors.random import Random, draw

POOL = [Example(str(n), {"t": f"row {n}"}) for n in range(50)]
QUERY = Example("q", {"t": "query"})


def chosen(selector, pool, query=QUERY, k=8):
    selector.fit(pool)
    return [shot.example.id for shot in selector.select(query, k)]


def test_draw_is_fisher_yates():
    rows = list("abcdefgh")
    numbers = random.Random("0:q")
    for place in range(len(rows)):  # Durstenfeld 1964, from the front
        other = numbers.randrange(place, len(rows))
        rows[place], rows[other] = rows[other], rows[place]
    assert list(draw("abcdefgh", random.Random("0:q"))) == rows


def test_draw_reaches_every_order_about_as_often():
    counts = {}
    for seed in range(6000):
        order = "".join(draw("abc", random.Random(f"{seed}")))  # type: ignore[arg-type]
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 6
    assert all(850 < count < 1150 for count in counts.values())  # 1000 expected, sd 29


def test_same_shots_whatever_the_pool_order_and_the_other_queries():
    selector = Random(seed=5)
    first = chosen(selector, POOL)
    for other in range(20):
        selector.select(Example(f"other{other}", {"t": "x"}), 3)
    assert [shot.example.id for shot in selector.select(QUERY, 8)] == first
    assert chosen(Random(seed=5), POOL[::-1]) == first
    assert chosen(Random(seed=6), POOL) != first


def test_locales_with_equal_ids_do_not_depend_on_pool_order():
    pool = [
        Example(str(n), {"t": f"{locale} {n}"}, meta={"locale": locale})
        for locale in ("de", "sw")
        for n in range(10)
    ]
    selector, other = Random(seed=1), Random(seed=1)
    selector.fit(pool)
    other.fit(pool[::-1])
    assert selector.select(QUERY, 20) == other.select(QUERY, 20)


def test_scope():
    run, query = Random(seed=2, scope="run"), Random(seed=2)
    other = Example("other", {"t": "x"})
    assert chosen(run, POOL) == chosen(run, POOL, other)
    assert chosen(query, POOL) != chosen(query, POOL, other)


def test_the_query_is_left_out_by_id_and_by_content():
    query = Example("3", {"t": "ROW  4"})
    for scope in ("query", "run"):
        ids = chosen(Random(scope=scope), POOL, query, k=99)
        assert sorted(ids) == sorted({row.id for row in POOL} - {"3", "4"})


def test_no_shots():
    assert chosen(Random(), POOL, k=0) == []
    assert chosen(Random(), []) == []


def test_shots_have_no_score():
    selector = Random()
    selector.fit(POOL)
    assert {shot.score for shot in selector.select(QUERY, 5)} == {None}


class Counting(list):
    reads = 0

    def __getitem__(self, index):
        Counting.reads += 1
        return super().__getitem__(index)


def test_a_large_pool_is_not_shuffled_for_a_few_shots():
    indices = Counting(range(100_000))
    rows = draw(indices, random.Random("1"))
    assert len({next(rows) for _ in range(8)}) == 8
    assert Counting.reads == 8


@settings(deadline=None, database=None)
@given(
    st.integers(0, 60),
    st.integers(0, 60),
    st.integers(),
    st.sampled_from(["query", "run"]),
    st.integers(0, 50),
)
def test_a_larger_k_only_adds(few, more, seed, scope, size):
    few, more = sorted((few, more))
    selector = Random(seed, scope=scope)
    large = chosen(selector, POOL[:size], k=more)
    assert chosen(selector, POOL[:size], k=few) == large[:few]
    assert len(large) == len(set(large)) == min(more, size)


def test_identity_holds_seed_and_scope():
    assert Random(seed=3).identity() == {"seed": 3, "scope": "query"}


def test_unknown_scope():
    with pytest.raises(ConfigError) as caught:
        Random(scope="querry")
    assert str(caught.value) == (
        "unknown scope 'querry'. Did you mean 'query'? There are: query, run"
    )


@pytest.mark.parametrize("name", ["fixed", "random", "balanced", "bm25"])
def test_entry_points_name_selectors(name):
    import tomllib
    from importlib import import_module

    from icl.selectors import Selector

    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    points = tomllib.loads(text)["project"]["entry-points"]["icl.selector"]
    module, _, cls = points[name].partition(":")
    assert issubclass(getattr(import_module(module), cls), Selector)
