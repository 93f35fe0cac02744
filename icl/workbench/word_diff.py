"""A word-by-word comparison of two texts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

__all__ = ["LEFT", "DiffPiece", "RIGHT", "word_diff"]


LEFT, RIGHT = "only left", "only right"
_WORD = re.compile(r"\s+|\w+|[^\w\s]")
_MOST = 1_000_000
"""Most pairs of words to compare; longer stretches count as different as a whole."""

DiffPiece = tuple[str, str | None]
"""A text, and the side that has it: :data:`LEFT`, :data:`RIGHT`, or None for both."""


def word_diff(left: str, right: str) -> list[DiffPiece]:
    """Merge both texts into one sequence of pieces, by lines, then by words of changed lines.

    The pieces without :data:`RIGHT` joined are the left text, those without :data:`LEFT` the
    right one; no two that follow each other are of one kind.

    >>> word_diff("Name the intent.", "Name its intent.")
    [('Name ', None), ('the', 'only left'), ('its', 'only right'), (' intent.', None)]
    """
    found: list[DiffPiece] = []
    for a, b in _stretches(left.splitlines(keepends=True), right.splitlines(keepends=True)):
        if a == b:
            found.append((a, None))
            continue
        for one, other in _stretches(_WORD.findall(a), _WORD.findall(b)):
            found += [(one, None)] if one == other else [(one, LEFT), (other, RIGHT)]
    return _join(found)


def _stretches(left: Sequence[str], right: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield stretches of the two sequences, equal and different ones in turn."""
    start = 0
    while start < min(len(left), len(right)) and left[start] == right[start]:
        start += 1
    end = 0
    while end < min(len(left), len(right)) - start and left[-1 - end] == right[-1 - end]:
        end += 1
    same = "".join(left[:start])
    yield same, same
    a, b = left[start : len(left) - end], right[start : len(right) - end]
    if len(a) * len(b) > _MOST:
        yield "".join(a), "".join(b)
    else:
        for _, i, j, k, m in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
            yield "".join(a[i:j]), "".join(b[k:m])
    same = "".join(left[len(left) - end :])
    yield same, same


def _join(pieces: Sequence[DiffPiece]) -> list[DiffPiece]:
    """Join neighbouring words of one kind; in a changed stretch the left side comes first."""
    made: list[DiffPiece] = []
    waiting = {LEFT: "", RIGHT: ""}

    def flush() -> None:
        made.extend((waiting[kind], kind) for kind in (LEFT, RIGHT) if waiting[kind])
        waiting.update({LEFT: "", RIGHT: ""})

    for text, kind in pieces:
        if not text:
            continue
        if kind is not None:
            waiting[kind] += text
            continue
        flush()
        if made and made[-1][1] is None:
            made[-1] = (made[-1][0] + text, None)
        else:
            made.append((text, None))
    flush()
    return made
