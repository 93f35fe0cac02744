"""Numbers in a text, with separators of thousands, as exact decimals."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import cache

__all__ = ["find_numbers", "plain_number"]


_APART = "'’\u00a0\u202f\u2009٬"
"""Separators of thousands in every language: apostrophes, no-break spaces, the Arabic mark."""
_MINUS = "-\u2212\u2012\u2013"
"""Signs for minus: hyphen, minus, figure dash, en dash."""


@cache
def _number(decimal: str) -> re.Pattern[str]:
    thousands = "," if decimal == "." else "."
    apart = f"[{re.escape(thousands + _APART)}]"
    point = "[.٫]" if decimal == "." else "[,٫]"
    whole = (
        rf"\d{{1,3}}(?P<apart>{apart})\d{{3}}(?:(?P=apart)\d{{3}})*(?!\d)"
        rf"|\d{{1,2}}(?:{re.escape(thousands)}\d{{2}})+{re.escape(thousands)}\d{{3}}(?!\d)"
        r"|\d+"
    )
    return re.compile(
        rf"(?P<sign>(?<![\w)\]])[{_MINUS}])?[+$€£¥₹]*"
        rf"(?P<number>(?P<whole>{whole})(?:{point}(?P<part>\d+))?|(?<![\d.,]){point}(?P<bare>\d+))"
        r"(?P<exponent>[eE][+-]?\d{1,2}(?![\d\w]))?"
    )


def find_numbers(text: str, decimal: str = ".") -> list[Decimal]:
    """Return the numbers of a text in their order.

    A hyphen behind a letter, digit or bracket is none of the number: ``3-5`` is 3 and 5.

    Args:
        text: the text to read.
        decimal: the sign before a fraction, ``.`` or ``,``; the other one separates thousands.

    >>> find_numbers("-1,200.50 of 1,00,000, or 7%")
    [Decimal('-1200.50'), Decimal('100000'), Decimal('7')]
    """
    found = []
    for match in _number(decimal).finditer(text):
        whole = re.sub(r"\D", "", match["whole"] or "0")
        part = match["part"] or match["bare"]
        written = whole + (f".{part}" if part else "") + (match["exponent"] or "")
        found.append(-Decimal(written) if match["sign"] else Decimal(written))
    return found


def plain_number(value: Decimal) -> str:
    """Write a number in plain digits, without zeros at the end of its fraction.

    >>> plain_number(Decimal("1200.50")), plain_number(Decimal("-0")), plain_number(Decimal("1E3"))
    ('1200.5', '0', '1000')
    """
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text
