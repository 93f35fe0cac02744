"""A survey of a data set: rows, splits, locales and languages, as far as cheap to count."""

from __future__ import annotations

import glob
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from icl.core.errors import DataError
from icl.core.registry import lookup
from icl.data.flores_ntrex import list_folder_languages
from icl.data.hub import read_split_sizes
from icl.data.spec import DataSpec, find_path
from icl.data.tables import list_massive_locales

__all__ = ["Survey", "list_path_values", "survey"]


CHEAP_BYTES = 20_000_000
"""Largest size of a file that is read just to count its rows: about a second."""


@dataclass(frozen=True, slots=True)
class Survey:
    """The result of a survey."""

    values: Mapping[str, list[str]] = field(default_factory=dict)
    """Placeholder, or another property that selects a file -> its values."""
    splits: Mapping[str, int] = field(default_factory=dict)
    """Split (empty if there are none) -> number of rows."""
    of: str = ""
    """The locale, language or split whose rows were counted: the first one."""
    note: str = ""
    """Reason why there are no rows (on the hub, too large to count, or an error), or a guess about
    the file."""

    def text(self) -> str:
        """Describe the survey in one line.

        >>> Survey({"locale": ["de", "sw"]}, {"test": 60, "train": 90}, "de").text()
        '150 rows in de (test 60, train 90); 2 locales: de, sw'
        """
        parts = [self.note] if self.note else []
        if self.splits:
            counted = f"{sum(self.splits.values()):,} rows" + (f" in {self.of}" if self.of else "")
            named = ", ".join(f"{name} {n:,}" for name, n in self.splits.items())
            parts.append(counted + (f" ({named})" if len(self.splits) > 1 else ""))
        for name, values in self.values.items():
            shown = ", ".join(values[:12]) + (", …" if len(values) > 12 else "")
            parts.append(f"{len(values)} {name}{'s' if len(values) > 1 else ''}: {shown}")
        return "; ".join(parts)


def survey(spec: DataSpec) -> Survey:
    """Survey the files of a spec with unfilled placeholders; an error becomes a note."""
    try:
        if spec.format == "hf":
            return _hub(spec)
        values, first = _values(spec)
        path = find_path(first, first.source)
        size = path.stat().st_size if path.is_file() else 0
        if size > CHEAP_BYTES:
            return Survey(values, note=f"{size / 1e6:,.0f} MB, not counted")
        notes: dict[str, None] = {}
        counted = replace(first, tell=notes.setdefault)
        if first.source is None and any("{" in name for name in first.fields.values()):
            counted = replace(counted, fields={}, answer=None, gold=())  # of no pair in particular
        rows = lookup("format", first.format)(counted)
        splits = Counter(row.meta.get("split", "") for row in rows)
    except DataError as error:
        return Survey(note=f"not there: {error}")
    picked = [first.source if name == "language" else getattr(first, name) for name in values]
    return Survey(values, splits, ", ".join(filter(None, picked)), "; ".join(notes))


def _hub(spec: DataSpec) -> Survey:
    if not find_path(spec).exists():
        return Survey(note="on the hub" + (f" at {spec.revision[:8]}" if spec.revision else ""))
    return Survey(splits=read_split_sizes(spec))


def list_path_values(spec: DataSpec) -> dict[str, list[str]]:
    """List what divides a data set into files: its locales, languages or splits, with their values.

    Returns nothing where one file holds all rows, and for a data set of the hub.

    Raises:
        DataError: no file of the data set exists.
    """
    return {} if spec.format == "hf" else _values(spec)[0]


def _values(spec: DataSpec) -> tuple[dict[str, list[str]], DataSpec]:
    """Return the values of the path's placeholders in the files, and the spec of the first one."""
    if spec.format == "massive":
        locales = list_massive_locales(find_path(spec))
        return {"locale": locales}, replace(spec, locale=locales[0])
    if spec.format in ("flores", "ntrex"):
        splits = list_folder_languages(spec)
        name, languages = next(iter(splits.items()))
        made = {"language": languages} | ({"split": list(splits)} if name else {})
        return made, replace(spec, source=languages[0], split=name or None)
    names = re.findall(r"\{(\w+)\}", str(spec.path))
    found = _spelled(spec.path.expanduser())
    values = {name: sorted({one[name] for one in found}) for name in dict.fromkeys(names)}
    one = found[0] if found else {}
    first = replace(
        spec,
        locale=one.get("locale"),
        split=one.get("split"),
        source=one.get("source", one.get("lang")),
        target=one.get("target"),
    )
    return {"language" if name == "lang" else name: there for name, there in values.items()}, first


def _spelled(path: Path) -> list[dict[str, str]]:
    """Return the placeholders' values of each file that the path can name, in the files' order."""
    text = str(path)
    if "{" not in text:
        return []
    parts = re.split(r"\{(\w+)\}", text)
    pattern, seen = "", set[str]()
    for place, part in enumerate(parts):
        if place % 2 == 0:
            pattern += re.escape(part).replace(r"\*", "[^/]*")
        else:
            pattern += f"(?P={part})" if part in seen else f"(?P<{part}>[^/]+?)"
            seen.add(part)
    # A placeholder matches as a star does, so only folders that it can name are looked into.
    literal = [glob.escape(part).replace("[*]", "*") for part in parts]
    shape = "".join("*" if place % 2 else part for place, part in enumerate(literal))
    files = sorted({*glob.glob(shape), *glob.glob(f"{shape}.gz")})
    matches = (re.fullmatch(pattern + r"(\.gz)?", file) for file in files)
    found = [match.groupdict() for match in matches if match]
    if not found:
        raise DataError(f"no file is called like {text}")
    return found
