"""The sources of rows: the samples, the tasks of an experiment file, and an uploaded file.

A :class:`RowSource` is a task of an experiment file without its prompt, so that every screen can be
written as an experiment.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from icl.core.kinds import Kind
from icl.core.registry import lookup
from icl.core.types import METHODS, Method, narrow
from icl.experiment.entries import SAME
from icl.experiment.grid import Experiment, list_own_data
from icl.experiment.row_locales import LocaleFinder
from icl.experiment.samples import list_built_in_data, make_sample_task
from icl.experiment.table_split import POOL, TEST
from icl.tasks import Task
from icl.tasks.generic import GENERATE

__all__ = [
    "RowSource",
    "UPLOADED",
    "UploadedTable",
    "experiment_sources",
    "sample_sources",
    "upload_source",
    "wanted_or_first",
]


_FOLDERS = (
    "intent",
    "translation",
    "sentiment",
    "choose",
    "extract",
    "generate",
    "summarization",
    "slots",
)
UPLOADED = "uploaded"
"""Name of an uploaded data set in every experiment, whatever it holds."""


@dataclass(frozen=True)
class RowSource:
    """A task of an experiment file without its prompt; the user chooses its locale or pair."""

    name: str
    task: Mapping[str, Any]
    """Its entry; ``rows`` has no ``n``, so that all rows can be viewed."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Entries of data sets that do not ship with icl."""
    locales: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    """Languages to translate from."""
    targets: tuple[str, ...] = ()
    label_field: str | None = None
    """Field of the open template that holds the answer of a typed row."""
    prompt: str = ""
    """The first template of its experiment; empty if that names none."""
    own: Mapping[str, Any] = field(default_factory=dict)
    """``words:`` and ``labels:`` of its experiment."""
    lexicons: Mapping[str, Any] = field(default_factory=dict)
    """Entries of the dictionaries of its experiment."""

    @property
    def kind(self) -> Kind:
        """The kind of its task."""
        return self._task.kind

    @property
    def enriched(self) -> bool:
        """Return whether its task, or a dictionary, adds fields to every row."""
        return self._task.enricher is not None or "hints" in self.task

    @property
    def method(self) -> Method:
        """``rank``, ``channel`` or ``generate``."""
        own = self.task.get("method")
        return narrow(own, METHODS, "method") if own else self._task.methods[0]

    @property
    def _task(self) -> Task:
        found: Task = lookup("task", self.task["task"])
        return found

    @property
    def writes(self) -> bool:
        """Return whether the model generates text instead of ranking choices."""
        return self.method == "generate"

    @property
    def calibrators(self) -> tuple[str | Mapping[str, Any], ...]:
        """The task's entries under ``calibrate:``."""
        return tuple(self.task.get("calibrate") or ())

    @property
    def entry(self) -> Mapping[str, Any]:
        """The entry of its data set."""
        name = self.task["rows"]["data"]
        return self.data.get(name) or list_built_in_data()[name].model_dump(exclude_defaults=True)


def sample_sources() -> dict[str, RowSource]:
    """Return the data sets that ship with the project, by their names in an experiment file."""
    found = {}
    for folder in _FOLDERS:
        task = make_sample_task(f"{folder}/x", GENERATE.kind)
        name = f"samples/{folder}"
        tags = _languages(name)
        pairs = "pair" in task["rows"]
        found[name] = _source(
            name, task, {}, locales=() if pairs else tags, pairs=(tags, tags) if pairs else ((), ())
        )
    return found


def experiment_sources(experiment: Experiment) -> dict[str, RowSource]:
    """Return the tasks of an experiment file by name: task and data, numbered if that repeats."""
    found: dict[str, RowSource] = {}
    data = copy.deepcopy(dict(experiment.raw.get("data") or {}))
    own = {key: experiment.raw[key] for key in ("words", "labels") if experiment.raw.get(key)}
    known = {**list_built_in_data(), **list_own_data(experiment)}
    finder = LocaleFinder(experiment.base, known)
    for task in experiment.raw["tasks"]:
        name = base = f"{task['task']}: {task['rows']['data']}"
        number = 1
        while name in found:
            number += 1
            name = f"{base} ({number})"
        rows = task["rows"]
        pair = rows.get("pair") or {}
        source = _source(
            name,
            _pick_first(task, finder),
            data,
            finder.expand(_as_list(rows.get("locale")), rows["data"]),
            (_as_list(pair.get("from")), _as_list(pair.get("to"))),
        )
        lexicons = copy.deepcopy(dict(experiment.raw.get("lexicons") or {}))
        found[name] = replace(source, own=own, lexicons=lexicons)
    return found


def _pick_first(task: Mapping[str, Any], finder: LocaleFinder) -> dict[str, Any]:
    """Return a task with the first value of each list that would make several conditions of it."""
    made = copy.deepcopy(dict(task))
    for key in ("label_language", "layouts"):
        if isinstance(made.get(key), list):
            made[key] = made[key][0]
    if isinstance(made.get("layouts"), int):
        del made["layouts"]  # a number of them, of which the first is the default
    pool = made.get("pool") or {}
    if "locale" in pool:
        asked = [SAME if one == "row" else one for one in _as_list(pool["locale"])]
        pool["locale"] = finder.expand(asked, pool.get("data") or made["rows"]["data"])[0]
    return made


@dataclass(frozen=True)
class UploadedTable:
    """Format of the rows of an uploaded table, which are JSON Lines with a column ``id``."""

    name: str
    """The file's name."""
    answer: str | None = None
    """Field with the right answer; None if the template names it, or there is none."""
    gold: list[str] = field(default_factory=list)
    """Fields that give the answer away."""
    split: bool = False
    """Whether a column ``split`` names the test rows and those that may be shots."""
    task: str = ""
    """The task of its template; empty if any template may read it."""
    pair: tuple[str, str] | None = None
    """Languages to translate from and to."""


def upload_source(name: str, path: Path, table: UploadedTable, kind: Kind) -> RowSource:
    """Make a source of the rows of an uploaded table, as a task of the template's kind.

    Rows of the split ``test`` are asked, rows of ``train`` are the pool; without a split all are
    asked, and there is no pool.
    """
    fits = bool(table.task) and lookup("task", table.task).kind == kind
    rows: dict[str, Any] = {"data": UPLOADED}
    task: dict[str, Any] = {"task": table.task if fits else kind.name, "rows": rows}
    if table.split:
        rows["split"], task["pool"] = TEST, {"split": POOL}
    entry: dict[str, Any] = {"format": "jsonl", "path": str(path)}
    entry |= {"answer": table.answer} if table.answer else {}
    entry |= {"gold": list(table.gold)} if table.gold else {}
    one, other = table.pair if table.pair and fits else (None, None)
    pair = ((one,), (other,)) if one and other else ((), ())
    return RowSource(name, task, {UPLOADED: entry}, sources=pair[0], targets=pair[1])


def wanted_or_first(values: Sequence[str], wanted: str) -> str | None:
    """Return the wanted value if it is available, else the first; None if there are none."""
    return wanted if wanted in values else next(iter(values), None)


def _source(
    name: str,
    task: Mapping[str, Any],
    data: Mapping[str, Any],
    locales: Sequence[str],
    pairs: tuple[Sequence[str], Sequence[str]],
) -> RowSource:
    kept = copy.deepcopy({key: value for key, value in task.items() if key != "prompt"})
    kept["rows"] = {k: v for k, v in kept["rows"].items() if k not in ("n", "seed")}
    prompt = (*_as_list(task.get("prompt")), "")[0]
    return RowSource(
        name, kept, data, tuple(locales), tuple(pairs[0]), tuple(pairs[1]), prompt=prompt
    )


def _as_list(value: Any) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)


@cache
def _languages(data: str) -> tuple[str, ...]:
    """List the locales or languages of a sample data set by its files; empty if it has one file."""
    path = Path(list_built_in_data()[data].path)
    if "{lang}" in path.name:
        found = path.parent.glob(path.name.replace("{lang}", "*"))
    elif path.is_dir():
        found = path.glob("*.jsonl")
    else:
        return ()
    return tuple(sorted(file.stem for file in found))
