"""Enrichers: they add fields to rows before the template reads them, such as dictionary hints."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Protocol, runtime_checkable

from icl.core.errors import DataError
from icl.core.types import JSON, Example, canonicalize

__all__ = ["Enricher", "enrich_row"]


@runtime_checkable
class Enricher(Protocol):
    """Interface of an object that adds fields to rows, of queries and shots alike.

    The same row must always get the same fields. Added fields are stored with the example, so that
    its prompt can be rendered again without the enricher.
    """

    def identity(self) -> JSON:
        """Return everything that changes the added fields; part of the fingerprint."""
        ...

    def enrich(self, example: Example) -> Example:
        """Return the example with more fields; its answer is not included.

        A row that already has the fields, such as a shot saved from a prompt, must get the same
        ones.
        """
        ...


def enrich_row(enricher: Enricher, example: Example, hidden: Collection[str]) -> Example:
    """Return a row with the fields that the enricher adds, and nothing else changed.

    Args:
        enricher: sees the id, the languages, and the fields that an input may read.
        example: the row with its answer.
        hidden: names that give the answer away; an enricher neither sees nor may add them.

    Raises:
        DataError: the enricher changed, removed or added something that it may not.
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
