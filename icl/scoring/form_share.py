"""Shares of steps and rows at which a form changed the model's choice, from records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from icl.core.types import Record

__all__ = ["FormShare", "measure_forms"]


@dataclass(frozen=True, slots=True)
class FormShare:
    """Counts over the answers of a condition that forms held."""

    steps: int
    """Tokens that the model chose."""
    changed: int
    """Of these, those where its likeliest token was not allowed."""
    forced: int
    """Tokens that the form left no choice about."""
    outputs: int
    """Answers that a form held; a server that keeps forms tells no counts, and has none here."""
    outputs_changed: int
    """Of these, those with a changed step."""

    def __str__(self) -> str:
        """Write the counts as one sentence.

        >>> str(FormShare(steps=40, changed=3, forced=25, outputs=5, outputs_changed=2))
        'the form changed 3 of 40 choices (7.5 %), in 2 of 5 answers, and fixed 25 tokens more'
        """
        share = 100 * self.changed / self.steps if self.steps else 0.0
        return (
            f"the form changed {self.changed} of {self.steps} choices ({share:.1f} %), in "
            f"{self.outputs_changed} of {self.outputs} answers, and fixed {self.forced} tokens more"
        )


def measure_forms(records: Iterable[Record]) -> FormShare | None:
    """Sum up what forms did to the outputs of records; None if no form held any."""
    uses = [output.form for record in records for output in record.outputs if output.form]
    if not uses:
        return None
    return FormShare(
        sum(use.steps for use in uses),
        sum(use.changed for use in uses),
        sum(use.forced for use in uses),
        len(uses),
        sum(use.changed > 0 for use in uses),
    )
