"""Reading and checking of experiment files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from icl.core.errors import ConfigError
from icl.core.files import find_shipped_file
from icl.core.registry import did_you_mean
from icl.core.strict_yaml import find_odd_value, load_yaml
from icl.data.locales import pick_locales
from icl.experiment.entries import (
    ExperimentEntry,
    ReportEntry,
    validate,
)
from icl.experiment.grid import Experiment, Point, list_points
from icl.experiment.plugins import load_plugin
from icl.experiment.settings import collect_values, pick_baseline
from icl.experiment.user_config import read_user_config

__all__ = ["load_experiment", "parse_experiment"]


def load_experiment(path: str | Path) -> Experiment:
    """Read and check an experiment file; ``experiments/quickstart.yaml`` ships with the package.

    Raises:
        ConfigError: it is missing, not YAML, or has an unknown key or name, or a wrong value.
    """
    file = find_shipped_file(path)
    if file.is_dir():
        held = sorted(path.name for path in file.glob("*.yaml"))
        raise ConfigError(
            f"{file} is a folder, an experiment file is needed{did_you_mean(file.name, held)}"
        )
    if not file.is_file():
        beside = sorted(p.name for p in file.parent.glob("*.yaml")) if file.parent.is_dir() else []
        raise ConfigError(f"no experiment file {file}{did_you_mean(file.name, beside)}")
    try:
        text = file.read_text("utf-8")
    except (UnicodeDecodeError, OSError) as error:
        raise ConfigError(
            f"{file}: cannot be read as UTF-8 text: {error}; an experiment is a YAML file"
        ) from error
    return parse_experiment(text, str(file), file.parent, file.stem)


def parse_experiment(text: str, where: str, base: Path, name: str) -> Experiment:
    """Check experiment text; see :func:`load_experiment`."""
    try:
        raw = load_yaml(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or error
        raise ConfigError(f"{where}{at}: not YAML: {problem}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{where}: an experiment is `key: value` lines with models and tasks")
    if odd := find_odd_value(raw):
        raise ConfigError(f"{where}: {odd}")
    entry = validate(ExperimentEntry, raw, where)
    base = base / Path(entry.base).expanduser() if entry.base else base
    config = read_user_config()
    size = config.batch_size if entry.batch_size is None else entry.batch_size
    experiment = Experiment(entry.name or name, raw, text, base, size, tuple(entry.plugins), config)
    for plugin in entry.plugins:
        load_plugin(plugin, base, where)
    found = list_points(experiment, where)
    if (asked := entry.compare) is not None:
        values = collect_values(point.settings for point in found)
        pick_baseline(values, asked.by, asked.baseline, f"{where}: compare")
    if entry.report is not None:
        _check_report(entry.report, found, f"{where}: report")
    return experiment


def _check_report(asked: ReportEntry, found: Sequence[Point], where: str) -> None:
    """Refuse slices of rows that have no two locales, and a reference that is none of them.

    Raises:
        ConfigError: with what is accepted.
    """
    locales = list(dict.fromkeys(point.axes["locale"] for point in found if point.axes["locale"]))
    if len(locales) < 2:
        raise ConfigError(
            f"{where}: by: {', '.join(asked.by)} groups locales, and the rows have "
            f"{locales[0] if locales else 'none'}; name several under `rows:`, as in `locale: all`"
        )
    if asked.reference is not None:
        picked = pick_locales([asked.reference], locales, "the rows")
        if picked[0] not in locales:
            guess = did_you_mean(asked.reference, locales)
            raise ConfigError(f"{where}: no locale {asked.reference!r}{guess}")
