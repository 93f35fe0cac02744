"""What is drawn as a mark, and what stays as it is."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icl.core.safe_text import clean, is_clean

OVERRIDES = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"


@pytest.mark.parametrize(
    "code",
    [
        *range(0x20),
        *range(0x7F, 0xA0),
        *map(ord, OVERRIDES),
        0x200B,
        0x2060,
        0xFEFF,
        0xAD,
        0xE0041,
        0xFFFE,
        0xDC80,
    ],
)
def test_what_moves_or_hides_is_drawn(code: int) -> None:
    shown = clean(f"a{chr(code)}b")
    assert (shown == f"a{chr(code)}b") == (chr(code) in "\t\n")
    assert shown.startswith("a")
    assert shown.endswith("b")
    kinds = {unicodedata.category(char) for char in shown if char not in "\t\n"}
    assert not kinds & {"Cc", "Cf", "Cs", "Cn"}


@pytest.mark.parametrize(
    "text",
    [
        "نمی‌خواهم",
        "क्‍ष",
        "👩\u200d👩\u200d👧 ❤\ufe0f\u200d🔥",
        "日本\u3000語",
        "a\u00a0b",
        "Ωmega ЖЖ",
        "\tx\n",
    ],
)
def test_letters_of_all_scripts_stay(text: str) -> None:
    assert clean(text) == text
    assert is_clean(text)


def test_a_joiner_that_joins_nothing_is_drawn() -> None:
    assert clean("ad\u200dmin \u200cx") == "ad\\u200dmin \\u200cx"
    assert clean("\u202eab") == "\\u202eab"
    assert clean("\U000e0041") == "\\U000e0041"


@given(st.text())
def test_what_was_drawn_is_clean_and_stays(text: str) -> None:
    assert is_clean(clean(text))
    assert clean(clean(text)) == clean(text)
