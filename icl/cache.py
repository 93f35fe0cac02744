"""Where what was converted or fetched is kept."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_dir"]


def cache_dir() -> Path:
    """Where models and data are kept: ``$ICL_CACHE``, else ``~/.cache/icl-workbench``."""
    chosen = os.environ.get("ICL_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "icl-workbench"
