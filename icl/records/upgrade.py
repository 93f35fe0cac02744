"""Manifests of earlier versions, read with the names of this one.

Old and new runs then compare setting by setting; the file itself stays as it was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from icl.experiment.renamed import rename_axis

__all__ = ["upgrade"]


def upgrade(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest whose axes and settings have the names of this version.

    >>> old = {"conditions": [{"axes": {"format": "f1"}, "settings": {"labels": "gold"}}]}
    >>> upgrade(old)["conditions"]
    [{'axes': {'layout': 'f1'}, 'settings': {'shown_labels': 'gold'}}]
    """
    found = dict(manifest)
    # A run of this version has the axis `layout`, and its selectors may have options of any name.
    if any("layout" in entry["axes"] for entry in found["conditions"]):
        return found
    found["conditions"] = [
        {**entry, **{part: _renamed(entry[part]) for part in ("axes", "settings") if part in entry}}
        for entry in found["conditions"]
    ]
    if asked := found.get("compare"):
        found["compare"] = {**asked, "by": rename_axis(asked["by"])}
    return found


def _renamed(names: Mapping[str, str]) -> dict[str, str]:
    return {rename_axis(name): value for name, value in names.items()}
