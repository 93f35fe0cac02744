"""Where the files of runs and of their conditions lie below the folder of all runs.

::

    runs/NAME/manifest.json       what a run asked; a folder with it is a run
    runs/NAME/scores.json         the numbers made of its records
    runs/NAME/calibrations.json   what calibrators made of them
    runs/NAME/table.txt           its table as text
    runs/conditions/FOLDER        records of one condition, which runs share
"""

from __future__ import annotations

from pathlib import Path

__all__ = [
    "CALIBRATIONS",
    "MANIFEST",
    "MODEL",
    "SCORES",
    "TABLE",
    "CONDITIONS",
    "find_runs",
    "holds_run",
]


MANIFEST = "manifest.json"
SCORES = "scores.json"
CALIBRATIONS = "calibrations.json"
TABLE = "table.txt"
CONDITIONS = "conditions"
MODEL = "model.json"
"""In a condition's folder: what the engine found in memory."""


def holds_run(folder: Path) -> bool:
    """Tell whether a folder is that of a run."""
    return (folder / MANIFEST).is_file()


def find_runs(root: Path) -> list[Path]:
    """List the folders of all runs below a folder, in the order of their names."""
    return sorted(path.parent for path in root.glob(f"*/{MANIFEST}"))
