"""One normal form of extracted fields and items, so that values are compared, not spellings.

An answer is an object (field -> values) or a list of items. In the normal form every value is a
text, every field holds a sorted list, and empty fields are left out.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from typing import Any

from icl.core.types import JSON, canonicalize

__all__ = ["count_items", "normalise_value"]


def normalise_value(value: Any) -> dict[str, JSON] | list[JSON]:
    """Return the normal form of a JSON object or list; its canonical JSON is the answer's text.

    >>> normalise_value({"who": "Ann", "age": 41, "where": None})
    {'age': ['41'], 'who': ['Ann']}
    >>> normalise_value(["b", "a", ""])
    ['a', 'b']

    Raises:
        TypeError: neither an object nor a list.
    """
    if isinstance(value, dict):
        held: dict[str, list[Any]] = {}
        for name, one in value.items():  # names that differ in space only are one
            held.setdefault(" ".join(str(name).split()), []).append(one)
        fields: dict[str, JSON] = {name: _values(many) for name, many in held.items()}
        kept = {name: fields[name] for name in sorted(fields) if fields[name]}
        return kept if kept else []  # nothing was found, in whichever form it is said
    if isinstance(value, list | tuple):
        return _values(value)
    raise TypeError(f"{value!r} is neither an object nor a list")


def _values(value: Any) -> list[JSON]:
    many = value if isinstance(value, list | tuple) else [value]
    flat: list[JSON] = []
    for one in many:
        if isinstance(one, list | tuple):
            flat += _values(one)
        elif isinstance(one, dict):
            flat.append(normalise_value(one))
        elif text := _text(one):
            flat.append(text)
    return sorted((one for one in flat if one), key=canonicalize)


def _text(value: Any) -> str:
    if value is None:
        return ""
    shown = value if isinstance(value, str) else json.dumps(value)
    return " ".join(unicodedata.normalize("NFC", shown).split())


def count_items(answer: str) -> Counter[tuple[str, str]]:
    """Count the (field, value) pairs of an answer's text; the field of a list's values is empty.

    Fields and values are case-folded.

    >>> sorted(count_items('{"who": ["Ann", "Bo"]}'))
    [('who', 'ann'), ('who', 'bo')]

    Raises:
        ValueError: the text is no JSON.
        TypeError: it is neither an object nor a list.
    """
    found = normalise_value(json.loads(answer))
    pairs = found.items() if isinstance(found, dict) else [("", found)]
    return Counter(
        (name.casefold(), (one if isinstance(one, str) else canonicalize(one)).casefold())
        for name, many in pairs
        for one in many  # type: ignore[union-attr]
    )
