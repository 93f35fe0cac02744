"""The verdict on one answer in a line: what was answered, whether it is right, and what is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from icl.core.label_sets import list_right_labels, read_labels
from icl.core.number_text import format_percent
from icl.workbench.answer import ModelAnswer

__all__ = ["AnswerVerdict", "answer_verdict", "ordinal", "right_labels"]


MOST_CHARACTERS = 100
"""Most characters of a text in the line."""


@dataclass(frozen=True, slots=True)
class AnswerVerdict:
    """A verdict on an answer, in words."""

    kind: Literal["right", "wrong", "open"]
    """``open`` if nothing says that it is right or wrong: a text with a score between."""
    given: str
    """The answer: a label, or the beginning of a text."""
    more: str
    """Its share, or its score."""
    right: str = ""
    """The right answer if another one was given."""
    right_more: str = ""
    """The place and share of the right answer in a ranking."""


def answer_verdict(answer: ModelAnswer) -> AnswerVerdict:
    """Judge an answer by the row's right answers, if it has any."""
    return _ranking_verdict(answer) if answer.ranking else _text_verdict(answer)


def right_labels(answer: ModelAnswer) -> tuple[str, ...]:
    """List the labels of a ranking that are right."""
    return list_right_labels(answer.request.example.targets, _is_set(answer))


def ordinal(place: int) -> str:
    """Write a place: ``1st``.

    >>> [ordinal(n) for n in (1, 2, 3, 4, 11, 22, 113)]
    ['1st', '2nd', '3rd', '4th', '11th', '22nd', '113th']
    """
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{place}{'th' if place % 100 in (11, 12, 13) else ends.get(place % 10, 'th')}"


def _is_set(answer: ModelAnswer) -> bool:
    return answer.condition.task.kind.gold == "set"


def _ranking_verdict(answer: ModelAnswer) -> AnswerVerdict:
    ranking, right = answer.ranking, right_labels(answer)
    kind: Literal["right", "wrong", "open"] = "open"
    if answer.targets:
        kind = "right" if answer.right else "wrong"
    if _is_set(answer):
        given = ", ".join(sorted(read_labels(answer.prediction.value or "[]"))) or "no label"
        wanted = ", ".join(right) if kind == "wrong" else ""
        return AnswerVerdict(kind, given, "", wanted or "")
    best, share = ranking[0]
    labels = [label for label, _ in ranking]
    known = next((label for label in right if label in labels), None)
    if kind != "wrong" or known is None:
        more = next(iter(right), "") if kind == "wrong" else ""
        return AnswerVerdict(kind, best, format_percent(share), more)
    place = labels.index(known)
    return AnswerVerdict(
        kind,
        best,
        format_percent(share),
        known,
        f"{ordinal(place + 1)}, {format_percent(ranking[place][1])}",
    )


def _text_verdict(answer: ModelAnswer) -> AnswerVerdict:
    """Judge a generated text: by its parsed value, else by the task's first score."""
    value, error = answer.prediction.value, answer.prediction.error
    if error is not None:
        return AnswerVerdict("wrong" if answer.targets else "open", "not read", error)
    given = _begin(answer.describe(value or ""))
    if not answer.targets:
        return AnswerVerdict("open", given, "")
    if answer.right:
        return AnswerVerdict("right", given, "")
    name, score = next(iter(answer.scores()[0].items()), ("", None))
    said = "" if score is None else f"{name} {score:.1f}"
    if score is not None and score >= 100:
        return AnswerVerdict("right", given, said)
    if score is None or score > 0:
        return AnswerVerdict("open", given, said)
    return AnswerVerdict("wrong", given, said, _begin(answer.describe(answer.targets[0])))


def _begin(text: str) -> str:
    """Return the beginning of a text, in one line."""
    line = " ".join(text.split())
    return line if len(line) <= MOST_CHARACTERS else f"{line[: MOST_CHARACTERS - 1]}…"
