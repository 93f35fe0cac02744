"""Fields that are added to rows between data and template, such as hints from a dictionary."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Protocol, runtime_checkable

from icl.core.errors import DataError
from icl.core.types import JSON, Example, canonicalize

__all__ = ["Enricher", "enrich_row"]


@runtime_checkable
class Enricher(Protocol):
    """What adds fields to a row, of a query and of a shot alike; :attr:`icl.tasks.Task.enricher`.

    The same row must always get the same fields. What is added is stored with the example, so that
    its prompt renders again without the enricher.
    """

    def identity(self) -> JSON:
        """Return what changes the fields that are added; goes into the fingerprint."""
        ...

    def enrich(self, example: Example) -> Example:
        """Return the example with more fields; it is given without its answer.

        A row that has the fields already, such as a shot saved from a prompt, is to get the same.
        """
        ...


def enrich_row(enricher: Enricher, example: Example, hidden: Collection[str]) -> Example:
    """Return the row with what the enricher adds to its fields, and nothing else changed.

    Args:
        enricher: sees the id, the languages, and the fields that an input may read.
        example: the row with its answer.
        hidden: names that give the answer away; they are shown to no enricher, and none may add
            one.

    Raises:
        DataError: a field is changed, left out or among the hidden ones, or something that is no
            field was changed.
    """
    shown = {name: value for name, value in example.fields.items() if name not in hidden}
    given = Example(example.id, shown, (), example.meta)
    made = enricher.enrich(given)
    where = f"example {example.id!r}: the enricher {type(enricher).__name__}"
    if not isinstance(made, Example) or replace(made, fields=shown) != given:
        raise DataError(
            f"{where} may add fields and nothing else; return "
            "dataclasses.replace(example, fields={**example.fields, ...})"
        )
    for name, value in shown.items():
        if name not in made.fields or made.fields[name] != value:
            raise DataError(
                f"{where} changes the field {name!r}, which the data holds; add a field of "
                "another name"
            )
    added = {name: value for name, value in made.fields.items() if name not in shown}
    for name in added:
        if name in hidden:
            raise DataError(
                f"{where} adds the field {name!r}, which holds the answer and is hidden from "
                "inputs; add a field of another name"
            )
    try:
        canonicalize(added)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where} adds what is no plain JSON value: {error}") from error
    return replace(example, fields={**example.fields, **added})
