"""New places of modules that plug-ins imported before the package was divided into folders."""

from __future__ import annotations

import ast
import traceback
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

__all__ = ["MOVED", "RENAMED", "new_import"]


MOVED = {
    "icl.blind": "icl.scoring.blind_ab",
    "icl.checks": "icl.scoring.checks",
    "icl.compare": "icl.scoring.compare",
    "icl.config": "icl.experiment.grid",
    "icl.ensembles": "icl.scoring.ensembles",
    "icl.errors": "icl.core.errors",
    "icl.export": "icl.reports.export_python",
    "icl.items": "icl.core.extraction",
    "icl.languages": "icl.core.languages",
    "icl.ledger": "icl.engines.ledger",
    "icl.paired": "icl.scoring.significance",
    "icl.predicting": "icl.tasks.predict",
    "icl.prompts": "icl.prompts.template",
    "icl.registry": "icl.core.registry",
    "icl.reliability": "icl.scoring.reliability",
    "icl.results": "icl.records.results",
    "icl.run": "icl.running.run",
    "icl.scoring": "icl.scoring.scores",
    "icl.search": "icl.running.search.search",
    "icl.segments": "icl.core.segmentation",
    "icl.spread": "icl.scoring.sensitivity",
    "icl.stats": "icl.core.stats",
    "icl.store": "icl.records.store",
    "icl.templates": "icl.prompts.template_file",
    "icl.testing": "icl.engines.contract",
    "icl.types": "icl.core.types",
    "icl.wins": "icl.scoring.win_rate",
}
"""Old module -> new module; public names are imported from ``icl`` itself."""
RENAMED = {
    ("icl.blind", "preferences"): "preference_rows",
    ("icl.blind", "read"): "read_verdicts",
    ("icl.blind", "tally"): "tally_verdicts",
}
"""(old module, old name) -> new name, if the old one is too vague in ``icl``."""


def new_import(error: ImportError) -> str | None:
    """Return the new form of an import that failed; None if it is not of an old module.

    The imported names are read from the failed statement.
    """
    old = error.name
    if old not in MOVED:
        return None
    statements = [f"`{one}`" for one in _statements(old, _imported_names(old, error))]
    if statements:
        return f"{old} has moved: write {' and '.join(statements)}"
    return f"{old} has moved: import what is public from icl, the rest from {MOVED[old]}"


def _statements(old: str, names: Iterable[str]) -> list[str]:
    face = import_module("icl").__all__  # by name: a room that imports the face imports all rooms
    new = [RENAMED.get((old, name), name) for name in names]
    public = sorted(name for name in new if name in face)
    other = sorted(name for name in new if name not in face)
    found = [("icl", public), (MOVED[old], other)]
    return [f"from {module} import {', '.join(part)}" for module, part in found if part]


def _imported_names(module: str, error: ImportError) -> list[str]:
    """Return the names in the failed ``from MODULE import``; empty for any other statement."""
    *_, frame = traceback.extract_tb(error.__traceback__)
    path = Path(frame.filename)
    if frame.lineno is None or not path.is_file():
        return []
    return [
        alias.name
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.ImportFrom) and node.module == module
        if node.lineno <= frame.lineno <= (node.end_lineno or node.lineno)
        for alias in node.names
    ]
