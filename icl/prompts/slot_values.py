"""Slots in a template: the answer that a row has, and what a target half reads of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from icl.core.errors import DataError
from icl.core.slot_answers import (
    SlotAnswer,
    SlotSource,
    read_slot_answer,
    read_slot_source,
    read_slot_tags,
    write_slot_answer,
)
from icl.core.types import JSON, Example
from icl.prompts.frontmatter import FrontMatter

__all__ = [
    "SLOT_VALUES",
    "answer_slots",
    "check_slots",
    "find_source",
    "read_answer",
    "write_slot_values",
]


SLOT_VALUES = frozenset({"marked", "slots", "value", "intent"})
"""Variables of a target half that hold a row's slots."""


def find_source(head: FrontMatter, where: str, example: Example) -> SlotSource:
    """Read the text and tokens of a row.

    Raises:
        DataError: it has none; the message begins with ``where``.
    """
    assert head.text_field is not None
    try:
        locale = example.meta.get("locale")
        return read_slot_source(example.fields, head.text_field, head.label_field, locale)
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error


def check_slots(head: FrontMatter, example: Example, where: str = "") -> SlotAnswer | None:
    """Read the slots of a row strictly, and its intent if the template asks for it; None without.

    Raises:
        DataError: they do not fit the text; the message begins with ``where`` and says what helps.
    """
    assert head.label_field is not None
    value = example.fields.get(head.label_field)
    if value is None:
        return None
    source = find_source(head, where, example)
    try:
        tags = read_slot_tags(value, source)
    except ValueError as error:
        raise DataError(
            f"{where}: {error}; correct the field {head.label_field!r}, or leave the row out by "
            "`where:` of the data"
        ) from error
    intent = None
    if head.intent_field is not None:
        found = example.fields.get(head.intent_field)
        if not isinstance(found, str) or not found.strip():
            raise DataError(
                f"{where}: the intent in {head.intent_field!r} is {found!r}, and a text is needed; "
                "correct `intent_field:`, or leave it out to ask for slots alone"
            )
        intent = found
    return SlotAnswer(tuple(tags), intent)


def answer_slots(head: FrontMatter, where: str, example: Example) -> Example:
    """Return the row with its slots as its one target, in normal form, and their fields hidden.

    Raises:
        DataError: see :func:`check_slots`.
    """
    answer = check_slots(head, example, where)
    targets = () if answer is None else (write_slot_answer(answer),)
    named = {head.label_field, head.intent_field} & example.fields.keys()
    gold = {**dict.fromkeys(example.gold), **dict.fromkeys(sorted(filter(None, named)))}
    return replace(example, targets=targets, gold=tuple(gold))


def read_answer(head: FrontMatter, where: str, example: Example) -> SlotAnswer:
    """Return the answer of a row: its first target, or the slots in its fields.

    A shot written by hand has targets in its own spelling.

    Raises:
        DataError: it has none, or it does not fit the text; the message begins with ``where``.
    """
    try:
        return read_slot_answer(example.targets[0])
    except (ValueError, IndexError):
        answer = check_slots(head, example, where)
        if answer is None:
            raise DataError(
                f"{where}: no slots; give them in the field {head.label_field!r}, as a text with "
                "[name : words], or leave the row out"
            ) from None
        return answer


def write_slot_values(
    head: FrontMatter,
    where: str,
    example: Example,
    labels: Mapping[str, str],
    slot: str,
) -> dict[str, JSON]:
    """Return what the target half of a row reads of its slots: its first answer.

    ``marked`` is the text with marks, ``slots`` an object of name -> values, ``value`` the values
    of the slot that is asked about in one text, and ``intent`` the intent.
    """
    answer = read_answer(head, where, example)
    source = find_source(head, where, example)
    shown = [
        tag if tag == "O" else f"{tag[:2]}{labels.get(tag[2:], tag[2:])}" for tag in answer.tags
    ]
    found = source.values(shown)
    own = found.get(labels.get(slot, slot), [])
    return {
        "marked": source.mark(shown),
        "slots": found,
        "value": head.label_separator.join(own) or head.no_labels,
        "intent": answer.intent,
    }
