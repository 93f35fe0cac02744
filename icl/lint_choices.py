"""Choices that a model could not tell apart, or would never give, by their text alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from icl.errors import ChoiceError, TemplateError, one_line
from icl.prompts import Template
from icl.types import Choice

__all__ = ["choice_problems", "faults_of"]


def choice_problems(template: Template, ended: bool = True) -> Iterator[str]:
    """What is wrong with the choices, by their text.

    Args:
        template: with its labels.
        ended: whether the experiment scores the terminators (``choice_end``).
    """
    try:
        choices = template.choices()
    except (ChoiceError, TemplateError) as error:
        yield one_line(error).removeprefix(f"{template.name}: ")
        return
    yield from faults_of(choices, template.file.stop, ended)


def faults_of(choices: Sequence[Choice], stops: Sequence[str], ended: bool) -> Iterator[str]:
    """What is wrong with choices that stand together: too alike, or cut by a stop."""
    seen: dict[str, str] = {}
    for choice in choices:
        folded = " ".join(choice.text.casefold().split())
        if folded in seen:
            yield (
                f"the labels {seen[folded]!r} and {choice.label!r} differ in case or space only "
                f"({choice.text!r}); give each a word of its own"
            )
        seen[folded] = choice.label
        for stop in stops:
            if stop in choice.text:
                yield f"the choice {choice.text!r} holds the stop {stop!r}; choose another word"
    yield from _beginnings(choices, ended)


def _beginnings(choices: Sequence[Choice], ended: bool) -> Iterator[str]:
    ordered = sorted(choices, key=lambda choice: choice.text)
    for short, long in zip(ordered, ordered[1:], strict=False):
        if long.text.startswith(short.text) and not (ended and short.end):
            yield (
                f"the choice {short.text!r} begins {long.text!r}, which can then never be the "
                "likelier one; write `choice_end: auto`"
            )
