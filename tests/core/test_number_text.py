"""Numbers as text: signs, zeros, absent values and intervals."""

from __future__ import annotations

import pytest

from icl.core.number_text import (
    format_interval,
    format_number,
    format_p,
    format_percent,
    format_score,
)
from icl.core.types import Score


@pytest.mark.parametrize(
    ("value", "sign", "text"),
    [
        (None, "", "–"),
        (None, "+", "–"),
        (0.0, "", "0.0"),
        (-0.04, "", "0.0"),
        (-0.04, "+", "+0.0"),
        (-0.06, "+", "-0.1"),
        (12.34, "+", "+12.3"),
        (100.0, "", "100.0"),
    ],
)
def test_a_number_has_its_sign_and_no_minus_before_a_zero(
    value: float | None, sign: str, text: str
) -> None:
    assert format_number(value, sign=sign) == text


def test_an_interval_needs_both_bounds() -> None:
    whole, half = Score("a", 50.0, 41.26, 60.6, 9, ""), Score("a", 50.0, None, 60.6, 9, "")
    assert format_interval(whole) == "[41.3, 60.6]"
    assert format_interval(whole, 2, "+") == "[+41.26, +60.60]"
    assert format_interval(half) == format_interval(None) == ""
    assert format_score(whole, between="\n") == "50.0\n[41.3, 60.6]"
    assert format_score(half) == "50.0"


@pytest.mark.parametrize(
    ("p", "text"), [(None, "–"), (0.0, "<0.001"), (0.001, "0.001"), (0.9996, "1.000")]
)
def test_a_p_value_is_never_zero(p: float | None, text: str) -> None:
    assert format_p(p) == text


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [(1.0, None, "100 %"), (0.00123456, None, "0.123 %"), (0.999, 0, "100 %"), (0.0, 1, "0.0 %")],
)
def test_a_share_is_written_in_percent(share: float, digits: int | None, text: str) -> None:
    assert format_percent(share, digits) == text
