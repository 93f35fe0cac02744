"""The files ``scores.json`` and ``calibrations.json`` of a run folder."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from icl.core.files import replace_file
from icl.core.strict_json import Count, read_json
from icl.core.types import Score
from icl.records.calibrated import Calibration
from icl.records.paths import CALIBRATIONS, SCORES

__all__ = ["read_calibrations", "read_scores", "write_calibrations", "write_scores"]


T = TypeVar("T")


class ScoreLine(msgspec.Struct, forbid_unknown_fields=True):
    """A score in ``scores.json``; see :class:`icl.core.types.Score`."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    n: Count
    signature: str
    kind: str = "model"
    tied: Count = 0


class CalibrationLine(msgspec.Struct, forbid_unknown_fields=True):
    """A calibrator's summary; see :class:`icl.records.calibrated.Calibration`."""

    name: str
    entry: dict[str, Any]
    changed: Count = 0
    tied: Count = 0
    fitted: str = ""
    notes: tuple[str, ...] = ()
    refused: str | None = None


class ScoreRow(msgspec.Struct, forbid_unknown_fields=True):
    """A score with the fingerprint of its condition."""

    condition: str
    score: ScoreLine


class CalibrationRow(msgspec.Struct, forbid_unknown_fields=True):
    """A calibrator's summary with the fingerprint of its condition."""

    condition: str
    calibration: CalibrationLine


def read_scores(folder: Path) -> dict[str, tuple[Score, ...]]:
    """Read the scores of a run by fingerprint; empty if it was not scored yet.

    Raises:
        StoreError: the file is malformed.
    """
    found: dict[str, list[Score]] = {}
    for row in _read(folder / SCORES, list[ScoreRow]):
        made = Score(**msgspec.structs.asdict(row.score))
        found.setdefault(row.condition, []).append(made)
    return {name: tuple(made) for name, made in found.items()}


def read_calibrations(folder: Path) -> dict[str, tuple[Calibration, ...]]:
    """Read the calibrators' summaries of a run by fingerprint; empty if there are none.

    Raises:
        StoreError: the file is malformed.
    """
    found: dict[str, list[Calibration]] = {}
    for row in _read(folder / CALIBRATIONS, list[CalibrationRow]):
        made = Calibration(**msgspec.structs.asdict(row.calibration))
        found.setdefault(row.condition, []).append(made)
    return {name: tuple(made) for name, made in found.items()}


def write_scores(folder: Path, scores: Iterable[tuple[str, Score]]) -> None:
    """Replace ``scores.json`` by (fingerprint, score) pairs; NaN and infinity are written as null.

    Raises:
        StoreError: it cannot be written.
    """
    rows = []
    for condition, one in scores:
        values = asdict(one) | {k: _finite(getattr(one, k)) for k in ("value", "low", "high")}
        if not one.tied:
            del values["tied"]  # earlier versions had no such key
        rows.append({"condition": condition, "score": values})
    _write(folder / SCORES, rows)


def write_calibrations(folder: Path, made: Iterable[tuple[str, Calibration]]) -> None:
    """Replace ``calibrations.json`` by (fingerprint, calibration) pairs.

    Raises:
        StoreError: it cannot be written.
    """
    rows = [{"condition": name, "calibration": asdict(one)} for name, one in made]
    _write(folder / CALIBRATIONS, rows)


def _read(path: Path, kind: type[T]) -> T:
    again = f"delete the file, then run: icl score {path.parent}"
    return read_json(path, kind, again) if path.exists() else kind()


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    body = ",\n".join(json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)
    replace_file(path, f"[\n{body}\n]\n", path.parent.parent)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
