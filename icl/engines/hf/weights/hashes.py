"""The cache folder, hashes of large files, and quiet calls of the model libraries."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from icl.core.errors import StoreError
from icl.core.files import find_cache_dir, replace_file
from icl.core.types import JSON

__all__ = [
    "find_cache_dir",
    "hash_file",
    "read_file_state",
    "hash_files",
    "recall_hash",
    "silence_libraries",
    "recall",
    "remember",
]


T = TypeVar("T")


def remember(kind: str, name: str, state: JSON, make: Callable[[], T]) -> T:
    """Return the result of ``make``, cached as long as ``state`` is the same.

    An unreadable cache file is written again; a cache that cannot be written costs only time.

    Args:
        kind: subfolder of the cache.
        name: what the result is about: a path, or the whole of a config.
        state: what the result depends on: size and time of a file, versions of libraries.
        make: computes the result, which must be JSON.
    """
    known = recall(kind, name, state)
    if known is not None:
        found: T = known
        return found
    made = make()
    with suppress(StoreError):
        replace_file(_note(kind, name), json.dumps({"of": [name, state], "found": made}))
    return made


def recall(kind: str, name: str, state: JSON) -> Any:
    """Return what :func:`remember` cached for this state; None if there is nothing."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(_note(kind, name).read_text("utf-8"))
        return kept["found"] if kept["of"] == [name, state] else None
    return None


def _note(kind: str, name: str) -> Path:
    return find_cache_dir() / kind / f"{hashlib.sha256(name.encode()).hexdigest()}.json"


def read_file_state(path: Path) -> JSON:
    """Return size in bytes and time of change in nanoseconds, which change with the content."""
    state = path.stat()
    return [state.st_size, state.st_mtime_ns]


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, cached as long as its size and time stay the same."""
    path = path.resolve()

    def read() -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    return remember("hashes", str(path), read_file_state(path), read)


def recall_hash(path: Path) -> str | None:
    """Return the cached hash of a file, or None; nothing is hashed."""
    path = path.resolve()
    found: str | None = recall("hashes", str(path), read_file_state(path))
    return found


def hash_files(paths: Iterable[Path]) -> str:
    """Return one SHA-256 over the names and contents of several files, in any order."""
    lines = sorted(f"{path.name} {hash_file(path)}\n" for path in paths)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@contextmanager
def silence_libraries() -> Iterator[None]:
    """Silence progress bars and log messages of the model libraries within the block."""
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
