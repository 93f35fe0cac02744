"""The versions of a template that were run on rows: those of each page, and the last ones on disk.

A run is kept as its screen alone. Its answers are found again by their requests, so nothing here
can claim an answer that was not given.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from icl.core.errors import StoreError
from icl.core.files import replace_file
from icl.core.strict_json import read_json
from icl.workbench.screen import Screen

__all__ = ["RunHistory", "ScreenRun"]


FOLDER = ".icl/rows"
_MOST_RUNS = 2
"""Different runs of a template on the same data that are stored: the last and the one before it."""
_MOST_TEMPLATES = 64
"""Most templates that are stored for a page."""
_MOST_BYTES = 1 << 20
"""Largest file of a template's runs that is read; a screen has some 70 KB at most."""


@dataclass(frozen=True)
class ScreenRun:
    """A screen that was run on rows."""

    screen: Screen
    n: int | None
    """Number of rows that were drawn; None for all rows."""
    version: int
    """Number of the template's version."""
    fingerprint: str
    """The identity of its condition."""

    @property
    def place(self) -> tuple[str | None, ...]:
        """Return what comparable runs have in common: the template's name, and the data."""
        one = self.screen
        return one.name, one.data, one.locale, one.source, one.target


class RunHistory:
    """The last different runs of every template.

    Args:
        base: the working folder; the runs of a template are kept under its ``.icl/rows``.
    """

    def __init__(self, base: Path) -> None:
        self._base = base
        self._pages: dict[str, OrderedDict[tuple[str | None, ...], list[ScreenRun]]] = {}
        self._lock = threading.Lock()

    def before(self, page: str, run: ScreenRun) -> ScreenRun | None:
        """Return the last run of the same template and data that sent something else.

        Those of the page come first, then those on disk.

        Raises:
            StoreError: the file of earlier runs is damaged.
        """
        with self._lock:
            known = self._pages.get(page)
            own = list(known.get(run.place, ())) if known else []
        return _last_other(own, run) or _last_other(self._read(run.screen.name), run)

    def add(self, page: str, run: ScreenRun) -> None:
        """Keep a run, for its page and on disk.

        Raises:
            StoreError: it cannot be written.
        """
        with self._lock:
            known = self._pages.setdefault(page, OrderedDict())
            known[run.place] = _with(known.get(run.place, ()), run)
            known.move_to_end(run.place)
            while len(known) > _MOST_TEMPLATES:
                known.popitem(last=False)
            try:
                stored = self._read(run.screen.name)
            except StoreError:  # damaged, which `before` has told: only the last runs matter
                stored = []
            others = [one for one in stored if one.place != run.place]
            same = [one for one in stored if one.place == run.place]
            kept = [*others[-_MOST_RUNS:], *_with(same, run)]
            text = json.dumps([asdict(one) for one in kept])
            replace_file(self._path(run.screen.name), text, self._base)

    def forget(self, page: str) -> None:
        """Forget the runs of a page that was closed; those on disk stay."""
        with self._lock:
            self._pages.pop(page, None)

    def _path(self, name: str) -> Path:
        return self._base / FOLDER / f"{name.removesuffix('.j2')}.json"

    def _read(self, name: str) -> list[ScreenRun]:
        path = self._path(name)
        if not path.is_file():
            return []
        repair = f"delete {path} and run the template twice"
        if (size := path.stat().st_size) > _MOST_BYTES:
            raise StoreError(f"{path} has {size:,} bytes, {_MOST_BYTES:,} are read; {repair}")
        return read_json(path, list[ScreenRun], repair)


def _last_other(found: Sequence[ScreenRun], run: ScreenRun) -> ScreenRun | None:
    others = [one for one in found if one.place == run.place and one.fingerprint != run.fingerprint]
    return others[-1] if others else None


def _with(found: Sequence[ScreenRun], run: ScreenRun) -> list[ScreenRun]:
    others = [one for one in found if one.fingerprint != run.fingerprint]
    return [*others, run][-_MOST_RUNS:]
