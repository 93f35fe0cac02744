"""Citations of data sets: BibTeX of known ones, or the entry given in an experiment file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Protocol

from icl.core.errors import ConfigError
from icl.core.registry import did_you_mean

__all__ = ["CitableData", "find_citation", "find_citations", "list_citable"]


_TOGETHER = {"massive": ("massive", "slurp"), "flores200": ("nllb", "flores101")}
"""Data sets whose authors ask to cite the data set that they are built on, too."""
_OF_FORMAT = {"massive": "massive", "flores": "flores200", "ntrex": "ntrex"}
"""Formats that belong to one data set only."""
NONE = "none"


class CitableData(Protocol):
    """Interface of an entry under ``data:`` with a citation."""

    @property
    def format(self) -> str:
        """Name of a reader."""
        ...

    @property
    def cite(self) -> str | None:
        """The value of ``cite:``; None if it is not given."""
        ...


@cache
def _entries() -> dict[str, str]:
    """Read key -> BibTeX entry of ``citations.bib``, in its order."""
    text = (files("icl.data") / "citations.bib").read_text("utf-8")
    found = re.split(r"^(?=@)", text, flags=re.M)[1:]
    return {entry.partition("{")[2].partition(",")[0]: entry.strip() for entry in found}


def list_citable() -> list[str]:
    """List the names that ``cite:`` accepts."""
    grouped = {key for keys in _TOGETHER.values() for key in keys}
    return sorted((_entries().keys() - grouped) | _TOGETHER.keys())


def find_citation(name: str, format: str, cite: str | None, base: Path) -> str:
    r"""Return the BibTeX of a data set; empty if none is known, or if ``cite`` is ``none``.

    Args:
        name: the data set's name, for messages.
        format: a reader's name; MASSIVE, FLORES and NTREX are recognized by theirs.
        cite: the entry's value: a known name, BibTeX text, path of a ``.bib`` file, or ``none``.
        base: folder that the path starts from.

    >>> find_citation("mine", "jsonl", "xcopa", Path("."))[:21]
    '@inproceedings{xcopa,'

    Raises:
        ConfigError: neither a known name nor BibTeX, or a file that cannot be read.
    """
    if cite is None:
        cite = _OF_FORMAT.get(format, NONE)
    if cite == NONE:
        return ""
    if cite.lstrip().startswith("@"):
        return _checked(cite, f"data {name}: cite")
    if cite.endswith(".bib"):
        path = base / Path(cite).expanduser()
        try:
            return _checked(path.read_text("utf-8"), f"data {name}: cite: {path}")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or error
            raise ConfigError(f"data {name}: cite: {path} cannot be read: {why}") from error
    if cite not in list_citable():
        raise ConfigError(
            f"data {name}: cite: {cite!r} is no known data set, BibTeX (@…) or .bib file"
            f"{did_you_mean(cite, [*list_citable(), NONE])}"
        )
    return "\n".join(_entries()[key] for key in _TOGETHER.get(cite, (cite,)))


def find_citations(
    names: Iterable[str], data: Mapping[str, CitableData], base: Path
) -> dict[str, str]:
    """Return name -> BibTeX of those data sets that have one; see :func:`find_citation`."""
    made = {name: find_citation(name, data[name].format, data[name].cite, base) for name in names}
    return {name: text for name, text in made.items() if text}


def _checked(text: str, where: str) -> str:
    """Return the text if it looks like BibTeX: entries with balanced braces."""
    if not re.search(r"@\w+\s*\{\s*[^\s,{}]+\s*,", text) or text.count("{") != text.count("}"):
        raise ConfigError(
            f"{where}: no BibTeX; an entry is @article{{key, title = {{…}}, …}} with every brace "
            "closed"
        )
    return text.strip()
