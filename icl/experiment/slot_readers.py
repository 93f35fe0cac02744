"""Readers of slots: the outputs of a row become its slots, by the template and the row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from icl.core.slot_answers import SlotOutput
from icl.core.types import Example
from icl.prompts.frontmatter import FrontMatter
from icl.prompts.slot_values import find_source
from icl.tasks.slots import SlotReader

__all__ = ["make_slot_reader"]


def make_slot_reader(
    head: FrontMatter, labels: Mapping[str, str], example: Example, where: str = ""
) -> SlotReader:
    """Make the reader of the outputs about one row.

    Args:
        head: the template's front matter.
        labels: slot -> its name in the prompt.
        example: the row.
        where: what a message begins with, by default the row's id.

    Raises:
        DataError: the row has no text where the template says.
    """
    return SlotReader(
        find_source(head, where or f"example {example.id!r}", example),
        cast(SlotOutput, head.output),
        dict(labels),
        head.intent_field is not None,
        head.label_separator,
        head.no_labels,
    )
