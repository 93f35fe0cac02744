"""Numbers as tables, messages and pages write them, so that one value reads alike everywhere."""

from __future__ import annotations

from typing import Protocol

__all__ = [
    "IntervalEstimate",
    "format_bounds",
    "format_interval",
    "format_number",
    "format_p",
    "format_percent",
    "format_score",
]


NONE = "–"
"""Stands where there is no value."""


class IntervalEstimate(Protocol):
    """A number with its interval: a score, or a difference of two."""

    @property
    def value(self) -> float | None:
        """The number; None where it is not defined."""
        ...

    @property
    def low(self) -> float | None:
        """Lower bound of the interval; None where there is none."""
        ...

    @property
    def high(self) -> float | None:
        """Upper bound of the interval; None where there is none."""
        ...


def format_number(value: float | None, digits: int = 1, sign: str = "") -> str:
    """Write a value with its decimals; an en dash where there is none.

    A value that rounds to zero has no minus. ``sign="+"`` writes the sign of the others too.

    >>> format_number(-0.04), format_number(2.25, 2, "+"), format_number(None)
    ('0.0', '+2.25', '–')
    """
    return NONE if value is None else f"{value:{sign}z.{digits}f}"


def format_bounds(low: float, high: float, digits: int = 1, sign: str = "") -> str:
    """Write the two bounds of an interval.

    >>> format_bounds(41.26, 60.6)
    '[41.3, 60.6]'
    """
    return f"[{format_number(low, digits, sign)}, {format_number(high, digits, sign)}]"


def format_interval(estimate: IntervalEstimate | None, digits: int = 1, sign: str = "") -> str:
    """Write the interval of a number, as ``[41.3, 60.6]``; nothing where there is none."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    return format_bounds(estimate.low, estimate.high, digits, sign)


def format_score(
    estimate: IntervalEstimate, digits: int = 1, sign: str = "", between: str = " "
) -> str:
    """Write a number and its interval, as ``50.0 [41.3, 60.6]``, with ``between`` in the middle."""
    value = format_number(estimate.value, digits, sign)
    return f"{value}{between}{format_interval(estimate, digits, sign)}".rstrip()


def format_p(p: float | None) -> str:
    """Write a p value with three decimals; what rounds to nothing is below 0.001.

    >>> format_p(0.0412), format_p(0.00001), format_p(None)
    ('0.041', '<0.001', '–')
    """
    if p is None:
        return NONE
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def format_percent(share: float, digits: int | None = None) -> str:
    """Write a share from 0 to 1 as percent: in three significant digits, or with so many decimals.

    >>> format_percent(0.12345), format_percent(0.5), format_percent(0.12345, 0)
    ('12.3 %', '50 %', '12 %')
    """
    return f"{100 * share:.3g} %" if digits is None else f"{100 * share:.{digits}f} %"
