"""Axes for the keys in which entries of one task differ, so that table rows are distinguishable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from icl.core.types import canonicalize
from icl.experiment.entries import PoolEntry, TaskEntry

__all__ = ["find_differences", "is_difference", "is_own_axis", "name_place", "pick_telling"]


_AXES = ("task", "name", "prompt", "layouts", "prompt_language", "method", "constrain", "hints")
"""Keys of a task for which :func:`icl.experiment.grid.list_points` itself makes axes."""
_PLACES = ("rows.locale", "rows.pair")
"""Keys below ``rows`` for which it does, too."""
_SAME_RECORDS = ("rows.n", "rows.seed", "metrics", "calibrate")
"""Keys that make no new condition: the number of rows, and what is computed from their records. The
columns ``n`` and of the scores show them."""
_ALWAYS = ("rows.", "pool.data", "pool.split", "pool.lines", "label_language")
"""Keys that always have a column if they differ: data and language of the words. All others have
one only if no other column distinguishes two rows."""
_POOL = "pool."
_NO_POOL = "none"
WORD_CHARS = 40
"""Most characters of a word in a column."""


def is_difference(axis: str) -> bool:
    """Return whether an axis comes from :func:`find_differences`.

    >>> is_difference("pool.data"), is_difference("pool"), is_difference("locale")
    (True, False, False)
    """
    root, dot, _ = axis.partition(".")
    return root in TaskEntry.model_fields and (bool(dot) or root not in (*_AXES, "pool"))


def name_place(axis: str, word: str) -> str:
    """Name a value of an axis in a sentence, with the axis in front if it is a key of a task.

    >>> name_place("locale", "de"), name_place("pool.lines", "1-9")
    ('de', 'pool.lines 1-9')
    """
    return f"{axis} {word}" if word and is_difference(axis) else word


def pick_telling(axes: Sequence[str], rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Leave out the keys of a task that distinguish no rows which other axes do not distinguish.

    >>> rows = [{"locale": "de", "rows.lines": "1-9"}, {"locale": "en", "rows.lines": "10-19"}]
    >>> pick_telling(["locale", "rows.lines"], rows)
    ['locale']
    """
    kept = list(axes)

    def heads(names: Sequence[str]) -> int:
        return len({tuple(row.get(name, "") for name in names) for row in rows})

    whole = heads(kept)
    for axis in reversed([axis for axis in axes if is_difference(axis)]):
        rest = [name for name in kept if name != axis]
        if heads(rest) == whole:
            kept = rest
    return kept


def is_own_axis(key: str) -> bool:
    """Return whether a key always has a column if it differs, even if other columns differ as well.

    >>> is_own_axis("rows.lines"), is_own_axis("sampling.max_tokens")
    (True, False)
    """
    return key.startswith(_ALWAYS)


def find_differences(
    entries: Sequence[TaskEntry], shown: Sequence[str] = ()
) -> list[dict[str, str]]:
    """Return, for each entry of one task, its values of the keys in which the entries differ.

    A key is written as in the file, ``rows.lines`` or ``pool.data``. A key that an entry leaves
    out has its default; a pool has by default the data set of its rows.

    Args:
        entries: of one task.
        shown: keys that have an axis already, such as those that the grid sets.

    >>> rows = {"data": "sst2"}
    >>> made = [{"task": "intent", "prompt": "a", "rows": rows, "pool": {"lines": lines}}
    ...         for lines in ((1, 9), (10, 19))]
    >>> find_differences([TaskEntry.model_validate(one) for one in made])
    [{'pool.lines': '1-9'}, {'pool.lines': '10-19'}]
    """
    found = [_flatten_entry(entry) for entry in entries]
    keys = dict.fromkeys(key for one in found for key in one)
    wanted = []
    for key in keys:
        known = key in (*_AXES, *_SAME_RECORDS) or key.startswith(_PLACES)
        known = known or key.startswith(("constrain.", "hints."))
        known = known or any(key == axis or key.startswith(f"{axis}.") for axis in shown)
        values = {canonicalize(one.get(key)) for one in found}
        if not known and len(values) > 1:
            wanted.append(key)
    if all(one["pool.data"] in (one["rows.data"], _NO_POOL) for one in found):
        wanted = [key for key in wanted if key != "pool.data"]  # it says what rows.data says
    names = {key: _name_values(key, [one.get(key) for one in found]) for key in wanted}
    return [{key: names[key][place] for key in wanted} for place in range(len(found))]


def _flatten_entry(entry: TaskEntry) -> dict[str, Any]:
    """Map every key of an entry to its value; keys inside a block become ``block.key``."""
    made = entry.model_dump(mode="json")
    pool = made.pop("pool")
    flat = _flatten(made, "")
    blank = PoolEntry().model_dump(mode="json")
    flat |= _flatten(pool or blank, _POOL)
    own = pool["data"] or made["rows"]["data"] if pool else _NO_POOL
    return flat | {"pool.data": own}


def _flatten(values: Mapping[str, Any], before: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{before}{key}.")
        else:
            flat[before + key] = value
    return flat


def _name_values(key: str, values: Sequence[Any]) -> list[str]:
    """Return a word for each value; number them if different values shorten to the same word."""
    absent = "all" if key.endswith((".lines", ".split", ".n")) else "default"
    words = [absent if value is None else _word(value) for value in values]
    keys = [canonicalize(value) for value in values]
    if len(set(words)) == len(set(keys)):
        return words
    places = {key: number for number, key in enumerate(dict.fromkeys(keys), 1)}
    return [f"{word} ({places[key]})" for word, key in zip(words, keys, strict=True)]


def _word(value: Any) -> str:
    """Format a value for a column: ``1-9`` for lines, ``default`` for a value left open."""
    if value is None:
        return "default"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        if len(value) == 2 and all(isinstance(one, int) for one in value):
            return f"{value[0]}-{value[1]}"
        text = ",".join(map(_word, value)) or "none"
    elif isinstance(value, Mapping):
        text = " ".join(
            str(one) if isinstance(one, str) else f"{key} {_word(one)}"
            for key, one in value.items()
        )
    else:
        text = str(value)
    return text if len(text) <= WORD_CHARS else text[: WORD_CHARS - 1] + "…"
