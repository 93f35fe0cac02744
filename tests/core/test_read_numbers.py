"""Numbers in texts, with what different countries part their thousands by."""

from __future__ import annotations

import pytest

from icl.core.read_numbers import find_numbers, plain_number


@pytest.mark.parametrize(
    ("text", "point", "comma"),
    [
        ("It is 1,200.", ["1200"], ["1.2"]),
        ("1.200,5 €", ["1.2", "5"], ["1200.5"]),
        ("-$5.50", ["-5.5"], ["-5", "50"]),
        ("\u22123 and (\u20134)", ["-3", "-4"], ["-3", "-4"]),
        ("3-5", ["3", "5"], ["3", "5"]),
        ("1,00,000", ["100000"], ["1", "0"]),
        ("1,2345", ["1", "2345"], ["1.2345"]),
        ("x = .5", ["0.5"], ["5"]),
        ("1e5", ["100000"], ["100000"]),
        ("\u0663\u066b\u0665", ["3.5"], ["3.5"]),
        ("2020 300", ["2020", "300"], ["2020", "300"]),
        ("5.", ["5"], ["5"]),
        ("1\u2019000 1\u202f000 1'000", ["1000"] * 3, ["1000"] * 3),
        ("1,200,000.00", ["1200000"], ["1.2", "0", "0"]),
        ("none", [], []),
    ],
)
def test_numbers_are_found(text, point, comma):
    assert [plain_number(one) for one in find_numbers(text)] == point
    assert [plain_number(one) for one in find_numbers(text, ",")] == comma
