"""Rows that an engine cannot answer: how many a condition may have before its run ends."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from icl.core.errors import EngineError
from icl.core.types import Record, UnscoredRow

__all__ = ["FailureTally", "TooManyFailures"]


SHARE = 0.05
LEAST = 3
"""Largest share of rows that may fail by default, and the least number that always may."""


class TooManyFailures(EngineError):
    """Error for a condition in which more rows failed than may be left unscored."""


@dataclass
class FailureTally:
    """The rows of a condition that have no answer in this run.

    >>> [FailureTally("gpt", n_rows).limit for n_rows in (200, 20)]
    [10, 3]
    """

    model: str
    """Name of its model entry, for messages."""
    n_rows: int
    """Rows that the condition requests."""
    max_failures: int | None = None
    """The option of the model's entry."""
    rows: list[UnscoredRow] = field(default_factory=list)

    @property
    def limit(self) -> int:
        """Return how many rows may be left unscored."""
        if self.max_failures is not None:
            return self.max_failures
        return max(LEAST, math.ceil(SHARE * self.n_rows))

    def add(self, record: Record, message: str) -> None:
        """Count a row.

        Raises:
            TooManyFailures: it is one more than are allowed.
        """
        self.rows.append(UnscoredRow(record, message))
        if len(self.rows) > self.limit:
            raise TooManyFailures(
                f"{self.model}: {len(self.rows)} of {self.n_rows} rows could not be answered, and "
                f"max_failures allows {self.limit}; the last one: {message}; answered rows are "
                "kept: repair it, or raise max_failures in the model's entry, and run the same "
                "command again"
            )

    def check_any(self, n_answered: int) -> None:
        """Refuse a condition in which no row at all was answered.

        Raises:
            TooManyFailures: there is none.
        """
        if self.rows and not n_answered:
            raise TooManyFailures(
                f"{self.model}: none of {self.n_rows} rows could be answered; the last one: "
                f"{self.rows[-1].error}; repair it and run the same command again"
            )

    def describe(self) -> str:
        """Describe in one line the rows that failed."""
        first, several = self.rows[0], len(self.rows) > 1
        return (
            f"{len(self.rows)} of {self.n_rows} rows {'are' if several else 'is'} unscored, since "
            f"the model gave no answer ({first.id}: {first.error}); the next icl run tries "
            f"{'them' if several else 'it'} again"
        )
