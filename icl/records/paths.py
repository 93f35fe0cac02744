"""Names and places of the files of runs and conditions, below the folder of all runs.

::

    runs/NAME/manifest.json       the content of a run; a folder with it is a run
    runs/NAME/scores.json         the scores of its records
    runs/NAME/calibrations.json   the records' calibrated scores
    runs/NAME/table.txt           its table as text
    runs/NAME/search.json         the state of a search; a folder with it is that of a search
    runs/conditions/FOLDER        records of one condition, which runs share
"""

from __future__ import annotations

from pathlib import Path

__all__ = [
    "CALIBRATIONS",
    "MANIFEST",
    "MODEL",
    "SCORES",
    "SEARCH",
    "TABLE",
    "CONDITIONS",
    "find_runs",
    "holds_run",
    "holds_search",
]


MANIFEST = "manifest.json"
SCORES = "scores.json"
CALIBRATIONS = "calibrations.json"
TABLE = "table.txt"
SEARCH = "search.json"
CONDITIONS = "conditions"
MODEL = "model.json"
"""File in a condition's folder: properties of the loaded model, as found by the engine."""


def holds_run(folder: Path) -> bool:
    """Return whether a folder is a run folder."""
    return (folder / MANIFEST).is_file()


def holds_search(folder: Path) -> bool:
    """Tell whether a folder is that of a search."""
    return (folder / SEARCH).is_file()


def find_runs(root: Path) -> list[Path]:
    """List all run folders directly below a folder, sorted by name."""
    return sorted(path.parent for path in root.glob(f"*/{MANIFEST}"))
