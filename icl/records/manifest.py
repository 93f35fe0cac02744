"""The manifest of a run, ``manifest.json``: its conditions, rows, versions and machine."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from icl.core.errors import StoreError
from icl.core.files import check_folders, check_plain, replace_file
from icl.core.strict_json import Count, ShapeError, read_json
from icl.core.types import JSON, Method, Ranking, digest
from icl.data import hash_data
from icl.data.citations import find_citations
from icl.experiment.condition import Condition
from icl.experiment.entries import ReportEntry
from icl.experiment.grid import Experiment
from icl.experiment.plugins import remember
from icl.experiment.renamed import rename_axis
from icl.metrics.command import place_command
from icl.records.paths import CALIBRATIONS, MANIFEST, SCORES, TABLE
from icl.tasks.label_sets import POOL

__all__ = [
    "ComparisonRequest",
    "ReportRequest",
    "ConditionEntry",
    "JudgeEntry",
    "Manifest",
    "Pool",
    "PluginsEntry",
    "check_folder",
    "condition_entry",
    "describe_machine",
    "read_manifest",
    "list_versions",
    "write_manifest",
]


Option = str | dict[str, Any]
"""A metric, calibrator or parser: a name, or a mapping with its options, as in the experiment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Size, hash and labels of the rows that shots were selected from."""

    n: Count = 0
    hash: str = ""
    left_out: Count = 0
    """Pool rows left out because they also appear in the test split."""
    labels: dict[str, Count] = field(default_factory=dict)
    """Label -> number of rows in which it is a right answer; earlier versions counted only the
    first one of each row."""
    labelled: Count | None = None
    """Rows that have an answer, unless this is the sum of ``labels``."""

    @property
    def answered(self) -> int:
        """Rows that have an answer."""
        return sum(self.labels.values()) if self.labelled is None else self.labelled


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeEntry:
    """The condition that holds a judge's verdicts on the outputs of another condition."""

    axes: dict[str, str]
    settings: dict[str, str] = field(default_factory=dict)
    fingerprint: str
    folder: str
    method: Method
    parser: Option
    hash: str
    """Hash of the judge's model and template; verdicts with equal hashes are comparable."""

    def condition(self) -> ConditionEntry:
        """Return the verdicts as an ordinary condition entry, to be read like any other."""
        return ConditionEntry(
            axes=self.axes,
            settings=self.settings,
            fingerprint=self.fingerprint,
            folder=self.folder,
            task="judge",
            method=self.method,
            parser=self.parser,
            metrics=(),
            rows="",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionEntry:
    """A condition's entry in the manifest; fields that older versions did not write are None."""

    axes: dict[str, str]
    """Its values on the grid's axes, as tables print them."""
    settings: dict[str, str] | None = None
    """Its settings by name, one word each: see :attr:`icl.experiment.grid.Point.settings`."""
    also: tuple[str, ...] = ()
    """Shots values of other grid points with the same prompts, which were run only once."""
    fingerprint: str
    folder: str
    """Name of its folder below ``conditions``."""
    task: str
    method: Method
    """``rank``, ``channel`` or ``generate``."""
    ranking: Ranking | None = None
    """Way in which a server ranked: see :attr:`icl.experiment.condition.Condition.ranking`."""
    parser: Option
    metrics: tuple[Option, ...]
    calibrate: tuple[Option, ...] = ()
    labels: Count = 0
    """Number of choices that all rows share; 0 if each row has its own, and for free text."""
    rows: str
    """Key of its example ids in the manifest's ``rows``."""
    cite: dict[str, str] = field(default_factory=dict)
    """Data set -> BibTeX entry."""
    rows_available: Count | None = None
    """Number of test rows before sampling."""
    rows_hash: str | None = None
    pool: Pool = field(default_factory=Pool)
    fallbacks: tuple[str, ...] = ()
    """Words and labels taken from the template's fallback language."""
    judges: dict[str, JudgeEntry] | None = None
    """Name of a metric -> the condition with the judge's verdicts."""
    take: str | int | float | None = None
    """Rule that selects the set of labels from a ranking; see :data:`icl.tasks.label_sets.Take`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginsEntry:
    """The plug-in modules that the run imported."""

    modules: tuple[str, ...]
    base: str
    """The experiment's folder, relative to the run folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRequest:
    """The comparison that the experiment file sets under ``compare:``."""

    by: str
    """Name of the setting to compare by."""
    baseline: str | int | float | bool | None = None


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """The slices that the experiment file sets under ``report:``."""

    by: tuple[str, ...] = ("locale",)
    """Properties of a locale, of :data:`icl.scoring.locale_slices.BY`."""
    reference: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The content of ``manifest.json``."""

    name: str
    finished: bool = True
    experiment: str = ""
    """Text of the experiment file."""
    command: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    conditions: tuple[ConditionEntry, ...]
    rows: dict[str, tuple[str, ...]]
    """Key -> ids of test rows; conditions with the same rows share a key."""
    compare: ComparisonRequest | None = None
    report: ReportRequest | None = None
    plugins: PluginsEntry | None = None


PACKAGES = (
    "icl-workbench", "torch", "transformers", "tokenizers", "accelerate", "bitsandbytes",
    "safetensors", "jinja2", "numpy", "sacrebleu", "bm25s",
    "datasets", "pyarrow",
)  # fmt: skip


@cache
def list_versions() -> dict[str, str]:
    """Return the versions of Python and of every package that can change an answer or a score."""
    found: dict[str, str] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def describe_machine() -> dict[str, JSON]:
    """Describe the machine's system and processors, without its name or its user's."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "processors": os.cpu_count(),
        "python": sys.implementation.name,
    }


RESULTS = (MANIFEST, SCORES, CALIBRATIONS, TABLE)
"""Files of a run folder, checked before the run starts: hours later would be too late."""


def check_folder(folder: Path) -> None:
    """Refuse a run folder that is a link, or in which one of its files is a link.

    Raises:
        StoreError: names the link.
    """
    check_folders(folder, folder.parent)
    for name in RESULTS:
        check_plain(folder / name)


def write_manifest(
    folder: Path,
    experiment: Experiment,
    entries: Sequence[ConditionEntry],
    rows: Mapping[str, Sequence[str]],
    finished: bool,
) -> Manifest:
    """Replace the manifest, and remember that this user ran the experiment's plug-ins.

    Args:
        folder: the run folder.
        experiment: the experiment that runs.
        entries: its conditions.
        rows: key -> ids of test rows.
        finished: whether all conditions are computed.

    Raises:
        StoreError: it cannot be written.
    """
    plugins = None
    if experiment.plugins:
        base = os.path.relpath(experiment.base.resolve(), folder.resolve())
        plugins = PluginsEntry(modules=tuple(experiment.plugins), base=base)
        remember(experiment.plugins, experiment.base)
    asked = experiment.raw.get("compare")
    made = Manifest(
        name=experiment.name,
        finished=finished,
        experiment=experiment.text,
        command=(Path(sys.argv[0]).name, *sys.argv[1:]),
        versions=list_versions(),
        machine=describe_machine(),
        conditions=tuple(entries),
        rows={key: tuple(ids) for key, ids in rows.items()},
        compare=None if asked is None else ComparisonRequest(**asked),
        report=_find_report(experiment),
        plugins=plugins,
    )
    replace_file(folder / MANIFEST, _text(made), folder.parent)
    return made


def _find_report(experiment: Experiment) -> ReportRequest | None:
    """Return the slices that an experiment file asks for; None if it names none."""
    given = experiment.raw.get("report")
    if given is None:
        return None
    entry = ReportEntry.model_validate(given)
    return ReportRequest(tuple(entry.by), entry.reference)


def _text(manifest: Manifest) -> str:
    made = _without(asdict(manifest), ("plugins", "report"))
    made["conditions"] = [
        _without(one, _SINCE) | {"pool": _without(one["pool"], ("labelled",))}
        for one in made["conditions"]
    ]
    made["compare"] = made["compare"] and _without(made["compare"], ("baseline",))
    return json.dumps(made, ensure_ascii=False, indent=1) + "\n"


_SINCE = ("settings", "rows_available", "rows_hash", "judges", "take")
"""Keys that are left out if they are empty, since earlier versions did not write them."""


def _without(values: dict[str, Any], optional: Sequence[str]) -> dict[str, Any]:
    return {k: v for k, v in values.items() if v is not None or k not in optional}


def read_manifest(folder: Path) -> Manifest:
    """Read ``manifest.json``; unknown keys, written by a newer version, are ignored.

    Raises:
        StoreError: it is missing or malformed; the message names the place in the file.
    """
    path = folder / MANIFEST
    repair = "put the file back as it was, or run the experiment again to write it"
    made = read_json(path, Manifest, repair, "run the experiment again to write it")
    try:
        _check(made)
    except ShapeError as error:
        raise StoreError(f"{path}: {error}; {repair}") from error
    return _renamed(made)


def _renamed(made: Manifest) -> Manifest:
    """Replace names of axes and settings of earlier versions by today's; the file is unchanged.

    Old and new runs can then be compared setting by setting.
    """
    # A run of this version has the axis `layout`, and its selectors may have options of any name.
    if any("layout" in entry.axes for entry in made.conditions):
        return made
    conditions = tuple(
        replace(
            entry,
            axes=_rename_all(entry.axes),
            settings=None if entry.settings is None else _rename_all(entry.settings),
        )
        for entry in made.conditions
    )
    asked = made.compare and replace(made.compare, by=rename_axis(made.compare.by))
    return replace(made, conditions=conditions, compare=asked)


def _rename_all(names: Mapping[str, str]) -> dict[str, str]:
    return {rename_axis(name): value for name, value in names.items()}


def _check(made: Manifest) -> None:
    """Refuse impossible values of the right type: paths outside the run, rows that do not exist."""
    for key, ids in made.rows.items():
        if len({*ids}) < len(ids):
            raise ShapeError(f"rows.{key}: an id appears twice")
    for place, entry in enumerate(made.conditions):
        for folder in [entry.folder, *(one.folder for one in (entry.judges or {}).values())]:
            if not _FOLDER.fullmatch(folder) or len(folder.encode()) > _LONGEST_NAME:
                raise ShapeError(
                    f"conditions[{place}].folder: {folder[:80]!r} is no name of a folder inside "
                    "conditions"
                )
        for axis in ("model", "shots"):
            if axis not in entry.axes:
                raise ShapeError(f"conditions[{place}].axes.{axis} is missing")
        if entry.take is not None and not _is_take(entry.take):
            raise ShapeError(
                f"conditions[{place}].take: {str(entry.take)[:80]!r} is none of: pool, a number of "
                "labels, a share between 0 and 1"
            )
        if entry.rows not in made.rows:
            raise ShapeError(f"conditions[{place}].rows: {entry.rows[:80]!r} is none of rows")
    names = [entry.fingerprint for entry in made.conditions]
    if len({*names}) < len(names):
        raise ShapeError("conditions: a fingerprint appears twice")
    if made.plugins is not None and "\0" in made.plugins.base:
        raise ShapeError("plugins.base: no path")


def _is_take(take: str | int | float) -> bool:
    if isinstance(take, str):
        return take == POOL
    return take >= 1 if isinstance(take, int) else 0 < take < 1


_FOLDER = re.compile(r"(?!\.)[^\x00-\x1f\x7f/\\:\ud800-\udfff]+")
_LONGEST_NAME = 200
"""Most bytes of a name; file systems allow 255, and temporary files have longer names than the
folder."""


def condition_entry(
    condition: Condition, same: Sequence[str], rows: dict[str, list[str]], base: Path
) -> ConditionEntry:
    """Build the manifest's entry of a condition, and add its example ids to ``rows``."""
    ids = [example.id for example in condition.examples]
    key = digest(ids)[:12]
    rows[key] = ids
    entry = condition.point.task
    answered = sum(bool(example.targets) for example in condition.pool)
    return ConditionEntry(
        axes=dict(condition.point.axes),
        settings=condition.point.settings,
        also=tuple(same),
        fingerprint=condition.fingerprint,
        folder=condition.folder,
        task=condition.task.name,
        method=condition.method,
        ranking=condition.ranking,
        parser=entry.parser or condition.task.parser,
        metrics=tuple(place_command(metric, base) for metric in condition.metrics),
        calibrate=tuple(entry.calibrate),
        take=entry.take,
        labels=len(condition.choices),
        rows=key,
        cite=find_citations(entry.data_sets, condition.point.data, base),
        rows_available=condition.available,
        rows_hash=hash_data(condition.examples),
        pool=Pool(
            n=len(condition.pool),
            hash=hash_data(condition.pool),
            left_out=condition.left_out,
            labels=dict(condition.labels),
            labelled=None if answered == sum(condition.labels.values()) else answered,
        ),
        fallbacks=tuple(condition.template.fallbacks),
    )
