"""The manifest of a run folder: what was run, with what, and where its conditions lie."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from icl.config import Experiment
from icl.plain_files import check_folders, check_plain, replace_file
from icl.plugins import remember
from icl.provenance import machine, versions
from icl.types import JSON

__all__ = ["check_folder", "write_manifest"]

RESULTS = ("manifest.json", "scores.json", "calibrations.json", "table.txt")
"""Files of a run folder, looked at before hours are spent on what could not be written there."""


def check_folder(folder: Path) -> None:
    """Refuse a run folder that is a link, or has one in the place of a file.

    Raises:
        StoreError: names it.
    """
    check_folders(folder, folder.parent)
    for name in RESULTS:
        check_plain(folder / name)


def write_manifest(
    folder: Path, experiment: Experiment, entries: Sequence[dict[str, Any]],
    rows: dict[str, list[str]], finished: bool,
) -> dict[str, Any]:  # fmt: skip
    """Replace the manifest, and remember that this user ran the experiment's plug-ins.

    Returns it as whoever reads the file will find it.

    Raises:
        StoreError: it cannot be written.
    """
    manifest: dict[str, JSON] = {
        "name": experiment.name,
        "finished": finished,
        "experiment": experiment.text,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "versions": versions(),
        "machine": machine(),
        "conditions": list(entries),
        "rows": dict(rows),
        "compare": experiment.raw.get("compare"),
    }
    if experiment.plugins:
        base = os.path.relpath(experiment.base.resolve(), folder.resolve())
        manifest["plugins"] = {"modules": list(experiment.plugins), "base": base}
        remember(experiment.plugins, experiment.base)
    text = json.dumps(manifest, ensure_ascii=False, indent=1) + "\n"
    replace_file(folder / "manifest.json", text, folder.parent)
    return dict(json.loads(text))
