"""Tables of slices for a terminal: a condition's score by label, length or field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from icl.core.errors import ConfigError
from icl.core.number_text import format_interval, format_number
from icl.core.registry import did_you_mean
from icl.experiment.settings import join_axes
from icl.records.results import Run
from icl.reports.axis_columns import FittedTable, make_axis_column, make_number_column
from icl.reports.comparison import render_plain
from icl.reports.groups import title_score
from icl.scoring.slices import Slice, list_slice_keys, slices

__all__ = ["render_slices"]


if TYPE_CHECKING:
    from rich.console import RenderableType

NOTE = "the intervals are not corrected for how many slices there are"


def render_slices(run: Run, by: str) -> str:
    """Write what ``icl show RUN --slices BY`` prints: a table for each condition, in 80 columns.

    Conditions whose rows have nothing of that name are left out.

    Raises:
        ConfigError: no condition's rows have it.
    """
    keys = [list_slice_keys(one) for one in run.conditions]
    if not any(by in known for known in keys):
        every = list(dict.fromkeys(key for known in keys for key in known))
        raise ConfigError(f"{run.called} cannot be sliced by {by!r}{did_you_mean(by, every)}")
    return render_plain(_parts(run, by, keys))


def _parts(run: Run, by: str, keys: Sequence[Sequence[str]]) -> Iterator[RenderableType]:
    from icl.core.safe_console import make_text

    for number, (condition, known) in enumerate(zip(run.conditions, keys, strict=True), 1):
        if by not in known:
            continue
        yield make_text(f"#{number} {join_axes(condition.axes, ' · ')}", style="bold")
        yield _table(slices(condition, by), by)
        yield make_text("")
    yield make_text(NOTE, style="dim")


def _table(found: Sequence[Slice], by: str) -> FittedTable:
    first = found[0].score
    return FittedTable(
        [
            make_axis_column(by, [one.name for one in found]),
            make_number_column(
                title_score(first.name, [first]), [format_number(one.score.value) for one in found]
            ),
            make_number_column(
                "95 % int.", [format_interval(one.score) for one in found], justify="left"
            ),
            make_number_column("n", [str(one.score.n) for one in found]),
        ]
    )
