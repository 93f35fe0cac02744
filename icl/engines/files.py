"""The cache directory, hashes of large files, and quiet calls into the model libraries."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from icl.cache import cache_dir

__all__ = ["cache_dir", "file_sha256", "files_sha256", "quiet"]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file; remembered in the cache for as long as size and time stay the same."""
    path = path.resolve()
    state = path.stat()
    known = [str(path), state.st_size, state.st_mtime_ns]
    note = cache_dir() / "hashes" / f"{hashlib.sha256(str(path).encode()).hexdigest()}.json"
    if note.is_file():
        saved = json.loads(note.read_text(encoding="utf-8"))
        if saved["file"] == known:
            return str(saved["sha256"])
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    note.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=note.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as file_out:
        json.dump({"file": known, "sha256": sha256}, file_out)
    os.replace(name, note)
    return sha256


def files_sha256(paths: Iterable[Path]) -> str:
    """One SHA-256 over the names and contents of several files, whatever their order."""
    lines = sorted(f"{path.name} {file_sha256(path)}\n" for path in paths)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@contextmanager
def quiet() -> Iterator[None]:
    """Silence progress bars and advice of the model libraries for the time of a call."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )
    from transformers.utils import logging as chatter

    level, bars = chatter.get_verbosity(), chatter.is_progress_bar_enabled()
    chatter.set_verbosity(chatter.CRITICAL)
    others = {name: logging.getLogger(name).level for name in ("accelerate", "bitsandbytes")}
    for name in others:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    hub_bars = not are_progress_bars_disabled()
    chatter.disable_progress_bar()  # those of the hub, too
    disable_progress_bars()
    try:
        yield
    finally:
        chatter.set_verbosity(level)
        for name, was in others.items():
            logging.getLogger(name).setLevel(was)
        if bars:
            chatter.enable_progress_bar()
        if hub_bars:
            enable_progress_bars()
        else:
            disable_progress_bars()
