"""The manifest of a run: conditions, rows, versions and machine."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from icl.core.files import check_folders, check_plain, replace_file
from icl.core.types import JSON, digest
from icl.data import data_hash
from icl.data.citations import citations
from icl.experiment.condition import Condition
from icl.experiment.grid import Experiment
from icl.experiment.plugins import remember
from icl.metrics.command import placed
from icl.records.paths import CALIBRATIONS, MANIFEST, SCORES, TABLE

__all__ = ["check_folder", "machine", "versions", "write_manifest"]


PACKAGES = (
    "icl-workbench", "torch", "transformers", "tokenizers", "accelerate", "bitsandbytes",
    "safetensors", "jinja2", "numpy", "sacrebleu", "bm25s",
    "datasets", "pyarrow",
)  # fmt: skip


@cache
def versions() -> dict[str, JSON]:
    """Versions of Python and of every package that can change an answer or a score."""
    found: dict[str, JSON] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, JSON]:
    """Kind of machine, without its name or its user's."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "processors": os.cpu_count(),
        "python": sys.implementation.name,
    }


RESULTS = (MANIFEST, SCORES, CALIBRATIONS, TABLE)
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
    folder: Path,
    experiment: Experiment,
    entries: Sequence[dict[str, Any]],
    rows: dict[str, list[str]],
    finished: bool,
) -> dict[str, Any]:
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
    replace_file(folder / MANIFEST, text, folder.parent)
    return dict(json.loads(text))


def condition_entry(
    condition: Condition, same: Sequence[str], rows: dict[str, list[str]], base: Path
) -> dict[str, Any]:
    """What the manifest says of a condition."""
    ids = [example.id for example in condition.examples]
    key = digest(ids)[:12]
    rows[key] = ids
    entry = condition.point.task
    return {
        "axes": dict(condition.point.axes),
        "settings": condition.point.settings,
        "also": list(same),
        "fingerprint": condition.fingerprint,
        "folder": condition.folder,
        "task": condition.task.name,
        "method": condition.method,
        "ranking": condition.ranking,
        "parser": entry.parser or condition.task.parser,
        "metrics": [placed(metric, base) for metric in entry.metrics or condition.task.metrics],
        "calibrate": list(entry.calibrate),
        "labels": len(condition.choices),
        "rows": key,
        "cite": citations(entry.data_sets, condition.point.data, base),
        "rows_available": condition.available,
        "rows_hash": data_hash(condition.examples),
        "pool": {
            "n": len(condition.pool),
            "hash": data_hash(condition.pool),
            "left_out": condition.left_out,
            "labels": dict(condition.labels),
        },
        "fallbacks": list(condition.template.fallbacks),
    }
