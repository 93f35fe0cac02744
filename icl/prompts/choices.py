"""Checks on the choices of a ranking task, and terminators for choices that begin another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from icl.core.errors import ChoiceError
from icl.core.types import Choice

__all__ = ["LABELS", "ROW", "Remedies", "check_choices", "end_choices"]


class Remedies(NamedTuple):
    """Texts that explain how to repair choices which cannot be distinguished."""

    few: str
    empty: str
    doubled: str


LABELS = Remedies(
    "list them under `labels:` in the template's front matter",
    "give it a word under `labels:`",
    "give each its own word",
)
"""Repairs for choices that are the labels of a template."""
ROW = Remedies(*["repair the row, or leave it out of the data"] * 3)
"""Repairs for choices that are in a row of the data."""


def check_choices(choices: Sequence[Choice], where: str, remedies: Remedies) -> list[Choice]:
    """Return the choices if there are at least two, all different and not empty.

    Raises:
        ChoiceError: fewer than two choices, or one is empty or equals another.
    """
    if len(choices) < 2:
        raise ChoiceError(
            f"{where}: ranking needs at least two labels, there are {len(choices)}; {remedies.few}"
        )
    seen: dict[str, str] = {}
    for choice in choices:
        if not choice.text.strip():
            raise ChoiceError(
                f"{where}: the choice for label {choice.label!r} is empty; {remedies.empty}"
            )
        if choice.text in seen:
            raise ChoiceError(
                f"{where}: labels {seen[choice.text]!r} and {choice.label!r} give the same "
                f"choice {choice.text!r}; {remedies.doubled}"
            )
        seen[choice.text] = choice.label
    return list(choices)


def end_choices(choices: Sequence[Choice], mode: str, terminator: str) -> list[Choice]:
    """Add the terminator to choices, which is scored after their text.

    A sum of log-probabilities can never prefer the longer of two choices when the shorter one
    begins it. Mode ``auto`` adds the terminator to just these shorter ones, so that no choice is
    the beginning of another: each sum is then the probability of an event that excludes all others.

    Args:
        choices: the choices of one row.
        mode: ``auto``, ``always`` or ``never``.
        terminator: text that ends a choice.
    """
    ordered = sorted(choice.text for choice in choices)
    begins = {
        shorter
        for shorter, longer in zip(ordered, ordered[1:], strict=False)
        if longer.startswith(shorter)
    }
    return [
        replace(choice, end=terminator)
        if mode == "always" or (mode == "auto" and choice.text in begins)
        else choice
        for choice in choices
    ]
