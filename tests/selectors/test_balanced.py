from collections import Counter
from itertools import pairwise

import pytest

from icl.core.errors import ConfigError, DataError
from icl.core.types import Example
from icl.selectors.balanced import BalancedShots


def rows(sizes):
    """A pool with ``sizes[label]`` rows of each label, and the label as gold."""
    return [
        Example(f"{label}{n}", {"t": f"text {label} {n}", "label": label}, (label,), {}, ("label",))
        for label, size in sizes.items()
        for n in range(size)
    ]


QUERY = Example("q", {"t": "query"})


def chosen(selector, pool, query=QUERY, k=99):
    selector.fit(pool)
    return selector.select(query, k)


def labels(shots):
    return [shot.example.targets[0] for shot in shots]


@pytest.mark.parametrize("scope", ["query", "run"])
@pytest.mark.parametrize("seed", range(5))
def test_round_robin_until_the_pool_is_used_up(scope, seed):
    found = labels(chosen(BalancedShots(seed, scope=scope), rows({"a": 1, "b": 3, "c": 2})))
    assert sorted(found[:3]) == ["a", "b", "c"]
    first = found[:3]
    assert found[3:] == [label for label in first if label != "a"] + ["b"]


@pytest.mark.parametrize("seed", range(20))
def test_fewer_shots_than_labels_are_of_different_labels(seed):
    pool = rows(dict.fromkeys("abcdefgh", 5))
    for k in (1, 5, 8):
        assert len(set(labels(chosen(BalancedShots(seed), pool, k=k)))) == k


def test_the_query_takes_no_turn():
    pool = rows(dict.fromkeys("abcd", 2))
    for row in pool:
        by_id = Example(row.id, {"t": "new"}, (), {}, ("label",))
        by_content = Example("new", {"t": row.fields["t"].upper()}, (), {}, ("label",))
        for query in (by_id, by_content):
            shots = chosen(BalancedShots(seed=1), pool, query, k=4)
            assert sorted(labels(shots)) == list("abcd")
            assert row.id not in [shot.example.id for shot in shots]


def test_same_shots_whatever_the_pool_order_limit_and_batch():
    pool = rows({"a": 9, "b": 9, "c": 9})
    selector = BalancedShots(seed=4)
    first = chosen(selector, pool, k=6)
    selector.select(Example("other", {"t": "x"}), 27)
    assert selector.select(QUERY, 6) == first
    assert selector.select(QUERY, 4) == first[:4]
    assert chosen(BalancedShots(seed=4), pool[::-1], k=6) == first
    assert chosen(BalancedShots(seed=5), pool, k=6) != first


def test_scope():
    pool = rows({"a": 20, "b": 20})
    other = Example("other", {"t": "x"})
    run, query = BalancedShots(scope="run"), BalancedShots()
    assert chosen(run, pool, k=6) == chosen(run, pool, other, k=6)
    assert chosen(query, pool, k=6) != chosen(query, pool, other, k=6)


def test_label_order_and_rows_within_a_label_vary_with_the_query():
    selector = BalancedShots()
    selector.fit(rows({"a": 3, "b": 3}))
    firsts = Counter()
    for number in range(200):
        firsts[selector.select(Example(f"q{number}", {"t": "x"}), 1)[0].example.id] += 1
    assert len(firsts) == 6
    assert min(firsts.values()) > 15  # 33 expected, sd 5.3


def test_no_two_neighbours_of_one_label_while_all_last():
    found = labels(chosen(BalancedShots(seed=9), rows({"a": 4, "b": 4}), k=8))
    assert all(one != other for one, other in pairwise(found))


def test_row_without_label():
    with pytest.raises(DataError) as caught:
        BalancedShots().fit([*rows({"a": 1}), Example("x", {"t": "?"})])
    assert str(caught.value) == (
        "the pool row 'x' has no target, but balanced shots need a label in every row; "
        "give answer: in the pool's data, or select: random"
    )


def test_unknown_scope():
    with pytest.raises(ConfigError, match="unknown scope 'runs'. Did you mean 'run'"):
        BalancedShots(scope="runs")


def test_identity_holds_seed_and_scope():
    assert BalancedShots(3, scope="run").identity() == {"seed": 3, "scope": "run"}


def test_empty_pool():
    assert chosen(BalancedShots(), []) == []
