"""The normal form of what was extracted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icl.core.extraction import count_items, normalise_value
from icl.core.types import canonicalize


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ({"b": "x", "a": ["z", " y  y "]}, {"a": ["y y", "z"], "b": ["x"]}),
        ({"n": 3, "t": True, "f": 1.5}, {"f": ["1.5"], "n": ["3"], "t": ["true"]}),
        ({"a": None, "b": [], "c": " ", "d": [None, ["x"]]}, {"d": ["x"]}),
        ([{"t": "PER", "v": "Ann"}], [{"t": ["PER"], "v": ["Ann"]}]),
        (["e\u0301"], ["\u00e9"]),
        ({}, []),
        ({"a": {}}, []),
        ([], []),
    ],
)
def test_normal(value: object, form: object) -> None:
    assert normalise_value(value) == form


@pytest.mark.parametrize("value", ["x", 3, None, True])
def test_a_scalar_is_no_answer(value: object) -> None:
    with pytest.raises(TypeError, match="is neither an object nor a list"):
        normalise_value(value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(st.lists(json_values, max_size=3) | st.dictionaries(st.text(max_size=3), json_values))
def test_the_normal_form_is_its_own(value: object) -> None:
    once = normalise_value(value)
    assert normalise_value(once) == once
    assert count_items(canonicalize(value)) == count_items(canonicalize(once))


def test_items_fold_case_and_count() -> None:
    found = count_items('{"Who": ["Ann", "ANN"], "where": "Rome"}')
    assert found == {("who", "ann"): 2, ("where", "rome"): 1}
    assert count_items('["a"]') == {("", "a"): 1}
