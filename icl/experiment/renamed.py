"""Old names of keys and settings, and their new names.

Hashed JSON, ``condition.json`` and requests use the old names, so that old records are found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from icl.core.registry import did_you_mean

__all__ = ["check_keys", "describe_unknown_setting", "rename_axis"]


RENAMED_SETTINGS = {"format": "layout", "labels": "shown_labels"}
"""Axes and settings of a run, as in tables and manifests: old name -> new name."""
RENAMED_KEYS = {
    ("a task", "formats"): "layouts",
    ("shots", "labels"): "shown_labels",
    ("the grid", "format"): "layout",
}
"""(the mapping that holds a key of the experiment file, its old name) -> its new name."""


def check_keys(holder: str, keys: Iterable[Any]) -> None:
    """Refuse an old key with one line that names the new one.

    Args:
        holder: the mapping that holds the keys, as in :data:`RENAMED_KEYS`.
        keys: the keys in the file.

    Raises:
        ValueError: one of them is an old name.

    >>> check_keys("a task", ["formats"])
    Traceback (most recent call last):
    ValueError: 'formats' of a task is called 'layouts' now; rename it
    """
    for key in keys:
        if new := RENAMED_KEYS.get((holder, key)):
            raise ValueError(f"{key!r} of {holder} is called {new!r} now; rename it")


def rename_axis(axis: str) -> str:
    """Return the new name of an axis such as ``format``, or of a task's ``formats`` after its dots.

    >>> rename_axis("format"), rename_axis("tasks.intent.formats"), rename_axis("shots")
    ('layout', 'tasks.intent.layouts', 'shots')
    """
    root, _, last = axis.rpartition(".")
    if root.startswith("tasks."):
        return f"{root}.{RENAMED_KEYS.get(('a task', last), last)}"
    return RENAMED_SETTINGS.get(axis, axis)


def describe_unknown_setting(name: str, known: Mapping[str, Any]) -> str:
    """Write the error for a setting that a run does not have.

    >>> describe_unknown_setting("format", {"layout": ["f0"], "k": ["8"]})
    "no setting 'format'; it is called 'layout' now"
    """
    new = rename_axis(name)
    if new != name and new in known:
        return f"no setting {name!r}; it is called {new!r} now"
    return f"no setting {name!r}{did_you_mean(name, known)}"
