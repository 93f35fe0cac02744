"""Options of ``icl run`` that apply to every kind of file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from icl.running.progress import Progress

__all__ = ["RunOptions"]


@dataclass(frozen=True)
class RunOptions:
    """The options of ``icl run`` that every kind of run obeys."""

    out: Path
    """Folder of all runs; what is run has a folder of its name in it."""
    progress: Progress
    dry_run: bool = False
    """Whether to print only the cost."""
    again: bool = False
    """Whether a search may use its test rows for another winner, too."""
