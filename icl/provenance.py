"""What a number was made with: versions, machine, command."""

from __future__ import annotations

import os
import platform
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from icl.types import JSON

__all__ = ["machine", "versions"]

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
