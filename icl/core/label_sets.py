"""A set of labels as an answer, in one normal form, so that order and repetition do not count."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from icl.core.types import canonicalize

__all__ = ["gather_labels", "list_right_labels", "read_labels", "split_labels", "write_labels"]


def write_labels(labels: Iterable[str]) -> str:
    """Return the text for a set of labels: a sorted list in canonical JSON.

    >>> write_labels(["joy", "anger", "joy"])
    '["anger","joy"]'
    """
    return canonicalize(sorted({*labels}))


def read_labels(answer: str) -> frozenset[str]:
    """Parse a text that :func:`write_labels` wrote into its set of labels.

    Raises:
        ValueError: it is something else.
    """
    found = json.loads(answer)
    if not isinstance(found, list) or not all(isinstance(label, str) for label in found):
        raise ValueError(f"{answer[:40]!r} is no JSON list of labels")
    return frozenset(found)


def list_right_labels(targets: Sequence[str], are_sets: bool) -> tuple[str, ...]:
    """Return the right labels: the targets themselves, or each label of targets that are sets.

    >>> list_right_labels(['["anger","joy"]'], True)
    ('anger', 'joy')
    """
    if not are_sets:
        return tuple(targets)
    return tuple(sorted({label for target in targets for label in read_labels(target)}))


def split_labels(text: str, separator: str) -> list[str]:
    """Split a text at a separator; strip white space and drop empty pieces.

    White space around the separator itself does not count, unless it is nothing else.

    >>> split_labels("joy,anger , ", ", ")
    ['joy', 'anger']
    """
    pieces = text.split(separator.strip() or separator)
    return [piece.strip() for piece in pieces if piece.strip()]


def gather_labels(targets: Sequence[str], separator: str) -> str:
    """Convert a row's right labels, a list or one text, to the normal form of a set.

    Args:
        targets: the labels, one a text; or one text that holds all of them.
        separator: what separates them there.

    >>> gather_labels(("joy, anger",), ", ") == gather_labels(("anger", "joy"), ", ")
    True
    """
    if len(targets) != 1:
        return write_labels(targets)
    try:
        return write_labels(read_labels(targets[0]))
    except ValueError:
        return write_labels(split_labels(targets[0], separator))
