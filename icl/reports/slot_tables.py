"""Slots one by one in the terminal: how well each is found, and what it is taken for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from icl.core.number_text import format_interval, format_number
from icl.records.results import ConditionResult
from icl.reports.axis_columns import FittedTable, make_axis_column, make_number_column
from icl.scoring.slot_scores import SlotConfusion, confuse_slots, score_slots

__all__ = ["describe_slot_confusion", "list_slot_confusions", "make_slot_tables"]


if TYPE_CHECKING:
    from rich.console import RenderableType

MOST = 60
"""Most slots of a table."""
MIXED = 10
"""Most pairs of slots that are listed as mixed up."""


def make_slot_tables(rows: Sequence[ConditionResult]) -> Iterator[RenderableType]:
    """Make the table of slots of the condition that scores best, and lines on its errors.

    Yields nothing where answers are no slots.

    Args:
        rows: conditions of one task.
    """
    from icl.core.safe_console import make_text

    if rows[0].task.kind.gold != "spans" or (best := _find_best(rows)) is None:
        return
    found = score_slots(best)
    if not found:
        return
    shown = found[:MOST]
    columns = [
        make_axis_column("slot", [one.name for one in shown]),
        make_number_column("support", [str(one.support) for one in shown]),
        make_number_column("answered", [str(one.answered) for one in shown], "count"),
        make_number_column("prec.", [format_number(one.precision.value) for one in shown]),
        make_number_column("recall", [format_number(one.recall.value) for one in shown]),
        make_number_column("F1", [format_number(one.f1.value) for one in shown]),
        make_number_column("95 % int.", [format_interval(one.f1) for one in shown], justify="left"),
    ]
    name = " · ".join(value for value in best.axes.values() if value)
    yield make_text(f"slots one by one: {name}", style="bold")
    yield FittedTable(columns, [one for one in columns if one.kind])
    lines = [f"{len(found) - MOST} more slots are left out"] if len(found) > MOST else []
    lines += describe_slot_confusion(confuse_slots(best))
    yield make_text("\n".join(lines) + "\n", style="dim")


def _find_best(rows: Sequence[ConditionResult]) -> ConditionResult | None:
    """Return the condition with records whose first score is highest; of equal ones the first."""
    scored = [
        (row.scores[0].value, row)
        for row in rows
        if row.records and row.scores and row.scores[0].value is not None
    ]
    return max(scored, key=lambda pair: pair[0] or 0.0)[1] if scored else None


def list_slot_confusions(
    found: SlotConfusion, most: int = MIXED
) -> list[tuple[str | None, str | None, int]]:
    """List (right, answered, spans) of pairs that differ, the most frequent first.

    None stands for no slot.
    """
    wrong = [(gold, said, n) for (gold, said), n in found.counts.items() if gold != said]
    wrong.sort(key=lambda pair: (-pair[2], pair[0] or "", pair[1] or ""))
    return wrong[:most]


def describe_slot_confusion(found: SlotConfusion) -> list[str]:
    """Say in lines what became of the spans, and which slots are taken for which."""
    told = found.verdicts
    gold = sum(n for verdict, n in told.items() if verdict not in ("extra", "invented"))
    lines = [
        f"of {gold} spans {told.get('right', 0)} are right, {told.get('boundary', 0)} have other "
        f"words, {told.get('name', 0)} another name, {told.get('missing', 0)} are missing; "
        f"{told.get('extra', 0)} are answered where there is none, {told.get('invented', 0)} are "
        "not in the text"
    ]
    mixed = [
        f"{gold} as {said} {n}"
        for gold, said, n in list_slot_confusions(found, len(found.counts))
        if gold is not None and said is not None
    ]
    if mixed:
        lines.append("mixed up: " + ", ".join(mixed[:MIXED]))
    return lines
