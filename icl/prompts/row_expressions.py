"""Expressions of a data set's own keys, evaluated for batches of rows in a bounded process.

``where:``, ``answer:`` and the values of ``fields:`` may be a Jinja expression in ``{{ }}``. It is
evaluated where a stranger's template is rendered: :mod:`icl.prompts.child_process`.
"""

from __future__ import annotations

import atexit
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from icl.core.errors import DataError, TemplateError
from icl.core.types import JSON
from icl.prompts.child_process import Sandbox, SandboxLimits
from icl.prompts.jinja_sandbox import ROW

__all__ = ["BATCH_BYTES", "RowExpressions"]


BATCH_BYTES = 1 << 20
"""Most JSON bytes of rows in one message; a longer row is sent alone."""
_LIMITS = SandboxLimits(cpu_s=5.0)
"""Limits for a batch: five times those of a template for all prompts of a screen."""
_OFFERED = 100
"""Most columns of the first row that messages name."""


@cache
def _sandbox() -> Sandbox:
    """Start one process for the expressions of all data sets, at the first call."""
    made = Sandbox(_LIMITS)
    atexit.register(made.close)
    return made


class RowExpressions:
    """An evaluator of the expressions of a :class:`icl.data.DataSpec`.

    >>> RowExpressions().evaluate(["{{ a | upper }}"], [("row 1", {"a": "x"})])
    [['X']]
    """

    def find_columns(self, expressions: Sequence[str]) -> list[frozenset[str]]:
        """Return the columns that each expression reads; ``row`` among them means all.

        Raises:
            DataError: an expression is malformed.
        """
        try:
            return [frozenset(found) for found in _sandbox().find_columns(expressions)]
        except TemplateError as error:
            raise DataError(str(error)) from error

    def evaluate(
        self, expressions: Sequence[str], rows: Sequence[tuple[str, Mapping[str, JSON]]]
    ) -> list[list[JSON]]:
        """Return the value of each expression for each row (its place, column -> value).

        Raises:
            DataError: an expression fails on a row, which the message names, or works too long.
        """
        columns = frozenset[str]().union(*self.find_columns(expressions))
        offered = list(rows[0][1])[:_OFFERED] if rows else []
        found: list[list[JSON]] = []
        try:
            for batch in _batches(rows, None if ROW in columns else columns):
                found += _sandbox().evaluate(expressions, batch, offered)
        except TemplateError as error:
            raise DataError(str(error)) from error
        return found


def _batches(
    rows: Sequence[tuple[str, Mapping[str, JSON]]], columns: frozenset[str] | None
) -> Iterator[list[tuple[str, Mapping[str, JSON]]]]:
    """Split rows into batches of bounded size, with only the columns that are read."""
    batch: list[tuple[str, Mapping[str, JSON]]] = []
    size = 0
    for place, row in rows:
        read = (
            row if columns is None else {n: v for n, v in row.items() if n in columns or n == ROW}
        )
        own = len(json.dumps(read))
        if batch and size + own > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append((place, read))
        size += own
    if batch:
        yield batch
