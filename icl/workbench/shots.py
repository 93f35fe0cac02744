"""Shots as a file that experiments name: see :mod:`icl.selectors.fixed`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from icl.errors import ConfigError, DataError
from icl.types import Shot

__all__ = ["as_file"]


def as_file(name: str, shots: Sequence[Shot]) -> tuple[str, bytes]:
    """Path under the working folder and content of a shot file; whole rows, so it stands alone.

    Raises:
        ConfigError: a name that is no plain file name.
        DataError: there are no shots.
    """
    stem = name.strip().removesuffix(".jsonl")
    if not re.fullmatch(r"\w[\w-]{0,63}", stem):
        raise ConfigError(f"{name!r} cannot name a shot file; accepted: letters, digits, - and _")
    if not shots:
        raise DataError("no shots are sent, so there are none to save; set k, or add some")
    lines = [
        json.dumps(
            {"fields": dict(shot.example.fields), "targets": list(shot.example.targets)},
            ensure_ascii=False,
        )
        for shot in shots
    ]
    return f"shots/{stem}.jsonl", "".join(f"{line}\n" for line in lines).encode()
