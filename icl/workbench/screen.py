"""The playground's settings, and the experiment file that they represent."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import yaml

from icl.calibrators import make_calibrator, make_calibrators
from icl.core.errors import ConfigError, DataError, StoreError
from icl.core.files import replace_file
from icl.core.registry import lookup
from icl.core.types import Shot, digest
from icl.scoring.scores import parse_calibrator_entry
from icl.workbench.row_sources import RowSource

__all__ = [
    "FilesInMemory",
    "Files",
    "ShotEdits",
    "PrivateFiles",
    "Screen",
    "arrange_shots",
    "shot_file",
    "as_yaml",
    "experiment",
]


OWN = "own_row"
"""Name of the data set that holds a row typed by hand."""


@dataclass(frozen=True)
class ShotEdits:
    """The user's changes to the selected shots, as ids of pool rows."""

    pinned: tuple[str, ...] = ()
    """Shots that are always sent, whatever the selector chooses."""
    removed: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    """Ids that come first, in this order."""

    @classmethod
    def of(cls, given: Any) -> ShotEdits:
        """Read the changes that a browser sent; malformed ones count as none."""
        if not isinstance(given, Mapping):
            return cls()
        parts = {name: given.get(name) or () for name in ("pinned", "removed", "order")}
        if not all(
            isinstance(ids, list | tuple) and all(isinstance(i, str) for i in ids)
            for ids in parts.values()
        ):
            return cls()
        return cls(**{name: tuple(ids) for name, ids in parts.items()})

    def as_json(self) -> dict[str, list[str]]:
        """Return the lists as plain JSON."""
        return {name: list(ids) for name, ids in vars(self).items()}

    def __bool__(self) -> bool:
        return bool(self.pinned or self.removed or self.order)

    def move(self, shots: Sequence[str], name: str, by: int) -> ShotEdits:
        """Move a shot one place up (-1) or down (1)."""
        order = list(shots)
        at = order.index(name)
        to = max(0, min(len(order) - 1, at + by))
        order.insert(to, order.pop(at))
        return ShotEdits(self.pinned, self.removed, tuple(order))

    def remove(self, name: str) -> ShotEdits:
        """Remove a shot, and unpin it."""
        kept = tuple(one for one in self.pinned if one != name)
        return ShotEdits(
            kept, (*self.removed, name), tuple(one for one in self.order if one != name)
        )

    def toggle_pin(self, name: str) -> ShotEdits:
        """Pin a shot, or unpin one that is pinned."""
        removed = tuple(one for one in self.removed if one != name)
        if name in self.pinned:
            return ShotEdits(tuple(one for one in self.pinned if one != name), removed, self.order)
        return ShotEdits((*self.pinned, name), removed, self.order)


def arrange_shots(picks: Iterable[str], hand: ShotEdits, k: int) -> list[str]:
    """Return the ids of the shots to send: pinned and selected ones, in the user's order.

    >>> arrange_shots(["a", "b", "c"], ShotEdits(pinned=("z",), removed=("a",), order=("b",)), 2)
    ['b', 'z']
    """
    gone = {*hand.removed, *hand.pinned}
    found = [*hand.pinned, *(name for name in picks if name not in gone)]
    found = found[: max(k, len(hand.pinned))]
    place = {name: at for at, name in enumerate(hand.order)}
    return sorted(found, key=lambda name: place.get(name, len(place)))


@dataclass(frozen=True)
class Screen:
    """All settings of the playground."""

    name: str
    """Library name, or the path of a file that ends in ``.j2``."""
    text: str
    """The template's text in the editor, saved or not."""
    data: str = "samples/intent"
    """Name of a :class:`~icl.workbench.row_sources.RowSource`."""
    locale: str | None = "en-US"
    source: str | None = "eng_Latn"
    target: str | None = "deu_Latn"
    words: str = "en"
    """Prompt language: ``en``, or ``row`` for the language of the row."""
    row: int = 1
    """Counted from 1 in the order of the file."""
    select: str = "random"
    k: int = 3
    seed: int = 0
    max_tokens: int = 64
    hand: ShotEdits = ShotEdits()
    own: Mapping[str, str] = field(default_factory=dict)
    """Fields of a row typed by hand; empty to use a row of the data."""
    answer: str = ""
    """The right answer of a row typed by hand, if any."""
    model: str = ""
    """Name of a model that the app was started with, or a source; empty for the first one."""
    width: str = ""
    """Number format of the weights; empty to use the model entry's."""
    chat: str = ""
    """``never``, ``auto`` or ``always``; empty to use the model entry's."""
    calibrator: str = ""
    """Name of a calibrator, or its entry ``{calibrator: …}`` on one line; empty for none."""


class Files(Protocol):
    """Interface of a place for the files that an experiment names."""

    def keep(self, name: str, content: bytes) -> str:
        """Store a file; return the path to write into the experiment."""
        ...


@dataclass
class PrivateFiles:
    """Files in a private folder; names hold a hash of the content, so none is overwritten."""

    folder: Path

    def keep(self, name: str, content: bytes) -> str:
        """Write the file unless it exists; return its absolute path."""
        path = self.folder / name
        if not path.is_file():
            replace_file(path, content.decode("utf-8", "surrogatepass"))
        return str(path)


@dataclass
class FilesInMemory:
    """Files collected in memory, to be written next to the experiment."""

    files: dict[str, bytes] = field(default_factory=dict)

    def keep(self, name: str, content: bytes) -> str:
        """Collect the file; return its path from the experiment's folder."""
        self.files[name] = content
        return name

    def write(self, base: Path) -> list[Path]:
        """Write all files under ``base``; overwrite none.

        Raises:
            StoreError: a file of that name has other content.
        """
        for name, content in self.files.items():
            path = base / name
            if path.exists() and path.read_bytes() != content:
                raise StoreError(f"{name} exists already with other content; choose another name")
        for name, content in self.files.items():
            if not (base / name).exists():
                replace_file(base / name, content.decode("utf-8"))
        return [base / name for name in self.files]


def experiment(
    screen: Screen,
    source: RowSource,
    model: Mapping[str, Any],
    files: Files,
    shots: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Make the experiment file of a screen; running it sends the screen's one prompt.

    Args:
        screen: the settings.
        source: the rows' source.
        model: the model's whole entry.
        files: stores shot files and rows typed by hand.
        shots: ids of the shots if the user changed them; None lets the selector choose.

    Raises:
        DataError: the row does not exist, or a typed one has line breaks that parallel text
            forbids.
    """
    task = copy.deepcopy(dict(source.task))
    data = copy.deepcopy(dict(source.data))
    rows = task["rows"] = _rows(screen, source)
    whole: dict[str, Any] = {"name": "playground", "models": {"model": dict(model)}}
    if screen.own:
        _use_typed_row(screen, source, task, data, files)
    first = {"task": task.pop("task"), "prompt": screen.name, "rows": task.pop("rows")}
    task = first | task
    if not screen.own:
        rows["lines"] = _line(screen, source)
    if source.writes:
        sampling = dict(task.get("sampling") or {})
        task["sampling"] = (
            sampling
            | {"max_tokens": screen.max_tokens}
            | ({"n": 1} if sampling.get("n", 1) > 1 else {})
        )
    if screen.calibrator and source.method == "rank":
        task["calibrate"] = _calibrate_entries(screen, source)
    task.pop("prompt_language", None)
    if screen.words != "en":
        task["prompt_language"] = screen.words
    used = {rows["data"], (task.get("pool") or {}).get("data")}
    whole |= source.own
    whole |= {"data": kept} if (kept := {n: e for n, e in data.items() if n in used}) else {}
    whole |= {"lexicons": lexicons} if (lexicons := dict(source.lexicons)) else {}
    return whole | {"tasks": [task], "grid": {"shots": [_shots(screen, files, shots)]}}


def _calibrate_entries(screen: Screen, source: RowSource) -> list[Any]:
    """Return the source's calibrators, with the chosen one added."""
    entries, entry = list(source.calibrators), parse_calibrator_entry(screen.calibrator)
    if isinstance(entry, str) and entry in make_calibrators(entries):
        return entries
    name, _ = make_calibrator(entry)
    return [*(one for one in entries if make_calibrator(one)[0] != name), entry]


def _rows(screen: Screen, source: RowSource) -> dict[str, Any]:
    rows = copy.deepcopy(dict(source.task["rows"]))
    if source.locales:
        rows["locale"] = screen.locale
    if source.sources:
        rows["pair"] = {"from": screen.source, "to": screen.target}
    return rows


def _line(screen: Screen, source: RowSource) -> list[int]:
    """Return the screen's row as the value of ``lines`` of the data set."""
    first, last = source.task["rows"].get("lines") or (1, None)
    if last is not None and not 1 <= screen.row <= last - first + 1:
        raise DataError(f"row {screen.row}: {source.name} has the rows 1 to {last - first + 1}")
    return [first + screen.row - 1] * 2


def _shots(screen: Screen, files: Files, shots: Sequence[str] | None) -> dict[str, Any] | int:
    if shots is not None:
        lines = "".join(json.dumps({"id": name}, ensure_ascii=False) + "\n" for name in shots)
        if not lines:
            return 0
        return {"file": files.keep(f"shots/{digest(lines)[:8]}.jsonl", lines.encode())}
    if not screen.k:
        return 0
    made: dict[str, Any] = {"k": screen.k, "select": screen.select}
    if lookup("selector", screen.select).seeded:
        made["seed"] = screen.seed
    return made


def _use_typed_row(
    screen: Screen, source: RowSource, task: dict[str, Any], data: dict[str, Any], files: Files
) -> None:
    """Replace the task's rows by the typed one; shots still come from the source."""
    name = task["rows"]["data"]
    rows, pool = task["rows"], task.get("pool")
    if pool is not None:
        pool.setdefault("data", name)
    rows.pop("split", None)
    rows.pop("lines", None)
    rows["data"] = OWN
    if source.sources:
        data[OWN] = _store_parallel_row(screen, files)
        return
    # The page offers every field that the template reads; those left empty an enricher adds.
    own = {key: text for key, text in screen.own.items() if text or not source.enriched}
    row: dict[str, Any] = {"id": OWN, **{key: _parse_value(text) for key, text in own.items()}}
    entry: dict[str, Any] = {"format": "jsonl"}
    if screen.answer and source.label_field:
        plain = source.kind.gold != "items"
        row[source.label_field] = screen.answer if plain else _parse_value(screen.answer)
    elif screen.answer:
        entry["answer"] = source.entry.get("answer") or "answer"
        row[entry["answer"]] = screen.answer
    text = json.dumps(row, ensure_ascii=False) + "\n"
    entry["path"] = files.keep(f"data/row-{digest(text)[:8]}.jsonl", text.encode())
    data[OWN] = entry


def _store_parallel_row(screen: Screen, files: Files) -> dict[str, Any]:
    """Store a typed row of parallel text as a file of one line for each language."""
    texts = {screen.source: screen.own.get("source", ""), screen.target: screen.answer}
    for text in texts.values():
        if "\n" in text or "\r" in text:
            raise DataError("a row of parallel text is one line; take the line breaks out")
    stem = f"data/row-{digest([screen.source, screen.target, *texts.values()])[:8]}"
    path = ""
    for tag, text in texts.items():
        kept = files.keep(f"{stem}.{tag}.txt", f"{text}\n".encode())
        path = kept.removesuffix(f"{tag}.txt") + "{lang}.txt"
    return {"format": "lines", "path": path}


def _parse_value(text: str) -> Any:
    """Parse a typed value: lists and objects are JSON, anything else is text."""
    if text.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


class _Dumper(yaml.SafeDumper):
    """A YAML writer without anchors, which experiment files do not accept."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def as_yaml(whole: Mapping[str, Any]) -> str:
    """Write an experiment as YAML."""
    return yaml.dump(
        dict(whole), Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None
    )


def shot_file(name: str, shots: Sequence[Shot]) -> tuple[str, bytes]:
    """Make a shot file of whole rows; return its path under the working folder and its content.

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
