"""Shots listed in a file: pool rows by id, or rows written by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from icl.core.errors import ConfigError, DataError
from icl.core.registry import did_you_mean
from icl.core.types import JSON, Example, digest
from icl.data import read_json_lines
from icl.selectors import Selector

__all__ = ["FixedShots"]


_GOLD = ("target", "label")
_KEYS = ("id", "fields", "targets", "target")


@dataclass
class FixedShots(Selector):
    """The shots of a JSON Lines file, in its order; :meth:`fit` makes them the pool.

    A line is ``{"id": "17"}``, which names a row of the pool, or a row written by hand::

        {"fields": {"utt": "niamshe saa tatu"}, "target": "alarm_set"}

    with ``targets`` instead for several right answers. Rows written by hand are named ``shot:1``,
    ``shot:2`` … by position, and copy the answer fields and languages of the pool's first row.
    """

    file: Path = field(kw_only=True)
    """The file; the fingerprint holds its rows, not its path."""
    _rows: list[tuple[int, dict[str, Any]]] = field(default_factory=list, init=False, repr=False)

    scores_are = None

    @property
    def same_for_all(self) -> bool:
        """Return True: every query has the file's shots."""
        return True

    def __post_init__(self) -> None:
        if not isinstance(self.file, str | Path):
            raise ConfigError(f"file is {self.file!r}; the path of a JSON Lines file is needed")
        self.file = Path(self.file).expanduser()

    def fit(self, pool: Sequence[Example]) -> None:
        """Read the file; ``pool`` may be empty if all rows are written by hand.

        Raises:
            DataError: a row is malformed, or an id is unknown or repeated (named as file:line).
        """
        self._rows = self._read()
        by_id = {example.id: example for example in pool}
        model = pool[0] if pool else Example("", {}, gold=_GOLD)
        shots: list[Example] = []
        lines: dict[str, int] = {}
        for place, (line, row) in enumerate(self._rows, start=1):
            where = f"{self.file}:{line}"
            shot = _by_hand(row, f"shot:{place}", model, where) if "id" not in row else None
            if shot is None:
                shot = _named(row, by_id, where)
                if shot.id in lines:
                    raise DataError(f"{where}: id {shot.id!r} is also on line {lines[shot.id]}")
                lines[shot.id] = line
            shots.append(shot)
        self.pool = shots

    def order(self, query: Example) -> Iterator[tuple[int, float | None]]:
        """Yield the shots in file order."""
        for index in range(len(self.pool)):
            yield index, None

    def identity(self) -> dict[str, JSON]:
        """Hash the file's rows; white space and the order of keys have no effect."""
        rows = self._rows or self._read()
        return {"rows": digest([row for _, row in rows])}

    def _read(self) -> list[tuple[int, dict[str, Any]]]:
        rows = list(read_json_lines(self.file))
        if not rows:
            raise DataError(f"{self.file}: no shots; write one JSON object per line")
        return rows


def _named(row: dict[str, Any], by_id: dict[str, Example], where: str) -> Example:
    """Return the pool row named by ``{"id": …}``."""
    if len(row) > 1 or not isinstance(row["id"], str):
        raise DataError(
            f'{where}: a row with an id holds a string and nothing else, like {{"id": "17"}}; '
            'a row written by hand has no id, only "fields" and "target"'
        )
    if row["id"] not in by_id:
        raise DataError(f"{where}: no pool row {row['id']!r}{did_you_mean(row['id'], by_id)}")
    return by_id[row["id"]]


def _by_hand(row: dict[str, Any], identity: str, model: Example, where: str) -> Example:
    """Build the example of a row written by hand, with languages and answer fields of ``model``."""
    unknown = next((key for key in row if key not in _KEYS), None)
    if unknown is not None:
        raise DataError(f"{where}: unknown key {unknown!r}{did_you_mean(unknown, _KEYS)}")
    fields = row.get("fields")
    if not isinstance(fields, dict) or not fields:
        raise DataError(f'{where}: "fields" must be an object, like {{"utt": "…"}}: {fields!r}')
    if ("target" in row) == ("targets" in row):
        raise DataError(f'{where}: either "target" (a string) or "targets" (a list) is needed')
    targets = row["targets"] if "targets" in row else [row["target"]]
    if not isinstance(targets, list) or not targets or not all(isinstance(t, str) for t in targets):
        given = row.get("targets", row.get("target"))
        raise DataError(f"{where}: the right answer must be text in quotes: {given!r}")
    meta = {name: value for name, value in model.meta.items() if name != "split"}
    return Example(identity, fields, tuple(targets), meta, model.gold)
