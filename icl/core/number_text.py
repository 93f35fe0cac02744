"""The one text form of numbers, intervals and percentages in tables, messages and pages."""

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
"""Text in tables if there is no value."""


class IntervalEstimate(Protocol):
    """A number with an interval: a score, or the difference of two scores."""

    @property
    def value(self) -> float | None:
        """The number; None if it is undefined."""
        ...

    @property
    def low(self) -> float | None:
        """Lower bound of the interval; None if there is none."""
        ...

    @property
    def high(self) -> float | None:
        """Upper bound of the interval; None if there is none."""
        ...


def format_number(value: float | None, digits: int = 1, sign: str = "") -> str:
    """Format a value with ``digits`` decimals; an en dash if it is None.

    A value that rounds to zero has no minus. ``sign="+"`` writes the sign of the others too.

    >>> format_number(-0.04), format_number(2.25, 2, "+"), format_number(None)
    ('0.0', '+2.25', '–')
    """
    return NONE if value is None else f"{value:{sign}z.{digits}f}"


def format_bounds(low: float, high: float, digits: int = 1, sign: str = "") -> str:
    """Format the two bounds of an interval.

    >>> format_bounds(41.26, 60.6)
    '[41.3, 60.6]'
    """
    return f"[{format_number(low, digits, sign)}, {format_number(high, digits, sign)}]"


def format_interval(estimate: IntervalEstimate | None, digits: int = 1, sign: str = "") -> str:
    """Format the interval of an estimate, as ``[41.3, 60.6]``; empty if it has none."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    return format_bounds(estimate.low, estimate.high, digits, sign)


def format_score(
    estimate: IntervalEstimate, digits: int = 1, sign: str = "", between: str = " "
) -> str:
    """Format an estimate and its interval, as ``50.0 [41.3, 60.6]``, joined by ``between``."""
    value = format_number(estimate.value, digits, sign)
    return f"{value}{between}{format_interval(estimate, digits, sign)}".rstrip()


def format_p(p: float | None) -> str:
    """Format a p value with three decimals; a smaller one as ``<0.001``.

    >>> format_p(0.0412), format_p(0.00001), format_p(None)
    ('0.041', '<0.001', '–')
    """
    if p is None:
        return NONE
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def format_percent(share: float, digits: int | None = None) -> str:
    """Format a share (0 to 1) as percent, with ``digits`` decimals or three significant digits.

    A share that three digits would write with an exponent is only said to be smaller.

    >>> format_percent(0.12345), format_percent(0.5), format_percent(0.12345, 0)
    ('12.3 %', '50 %', '12 %')
    >>> format_percent(1.1e-8), format_percent(0.0)
    ('<0.001 %', '0 %')
    """
    if digits is None and 0 < share < 1e-5:
        return "<0.001 %"
    return f"{100 * share:.3g} %" if digits is None else f"{100 * share:.{digits}f} %"
