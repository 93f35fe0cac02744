"""The locales of rows and pools that an experiment names: ``all``, a pattern, or any spelling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from icl.core.errors import DataError
from icl.data.locales import is_pattern, list_locales, pick_locales
from icl.experiment.entries import SAME, DataEntry

__all__ = ["LocaleFinder"]


@dataclass
class LocaleFinder:
    """Finder of the locales that names mean; the files of a data set are listed once."""

    base: Path
    """Folder that relative paths start from."""
    data: Mapping[str, DataEntry]
    """Data sets by name."""
    _listed: dict[str, list[str]] = field(default_factory=dict)

    def expand(self, names: Sequence[str], data: str) -> list[str]:
        """Return the locales that names mean in a data set, each once; ``same`` stays.

        Names are left as they are where the data set is not there: who reads it says so.

        Raises:
            ConfigError: a pattern fits no locale, or a language has several.
            DataError: a pattern is asked for, and there is no file to list.
        """
        entry = self.data[data]
        if data not in self._listed:
            try:
                self._listed[data] = list_locales(entry.spec(self.base))
            except DataError:
                if any(map(is_pattern, names)):
                    raise
                return list(names)
        known = self._listed[data]
        made: dict[str, None] = {}
        for name in names:
            some = [SAME] if name == SAME else pick_locales([name], known, f"data {data!r}")
            made.update(dict.fromkeys(some))
        return list(made)
