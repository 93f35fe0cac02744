"""The content of ``condition.json``: a condition's identity, template and method.

The text is written by :meth:`icl.experiment.condition.Condition.about`, and its identity is what
the fingerprint hashes; so the whole JSON is stored in addition to the fields read from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from icl.core.errors import StoreError
from icl.core.strict_json import Count, ShapeError, convert, read_json
from icl.core.types import JSON, Method
from icl.prompts.template import TemplateCopy
from icl.tasks.constraints import Constraint

__all__ = ["ConditionFile", "Identity", "RowsIdentity", "read_condition"]


@dataclass(frozen=True, slots=True)
class RowsIdentity:
    """The source of a condition's rows: data set, split, line range, languages."""

    data: str
    """Name of the data set in the experiment file."""
    split: str | None
    lines: tuple[int, int] | None
    """First and last line, from 1, both included; None for all."""
    locale: str | None
    pair: tuple[str, str] | None
    """Source and target language of parallel text; None for other data."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Everything that changes an answer; its hash names the condition's folder."""

    engine: Mapping[str, Any]
    """The engine's own identity: weights, width, tokenizer, chat template …"""
    rows: RowsIdentity
    label_draw: bool
    """Whether shots were shown with random labels."""
    json: Mapping[str, JSON]
    """The whole identity, as it was hashed."""

    @property
    def chat(self) -> Mapping[str, Any] | None:
        """The chat template and its options; None for flat text."""
        chat = self.engine.get("chat")
        return chat if isinstance(chat, Mapping) else None


@dataclass(frozen=True, slots=True)
class ConditionFile:
    """The condition as it was run, with the template that renders its prompts."""

    identity: Identity
    task: str
    method: Method
    sampling: Mapping[str, Any] | None
    """The generation settings that were hashed; None if choices were ranked."""
    template: TemplateCopy
    bare_shots: bool
    """Whether shots were shown without their answers."""
    constraint: Constraint | None = None
    """Constraint on generated answers; None: free text."""

    @property
    def max_tokens(self) -> int | None:
        """Most tokens of a generated answer; None if choices were ranked."""
        return None if self.sampling is None else int(self.sampling["max_tokens"])


class _Rows(msgspec.Struct, array_like=True):
    data: str
    split: str | None
    lines: list[Count]
    locale: str | None
    pair: list[str]


class _Identity(msgspec.Struct):
    engine: dict[str, Any]
    rows: _Rows
    shots: dict[str, Any] | None = None


class _Template(msgspec.Struct):
    name: str
    text: str
    language: str
    words: dict[str, str]
    labels: dict[str, str]
    fallbacks: tuple[str, ...]
    format: str = "f0"


class _Sampling(msgspec.Struct):
    max_tokens: Count


class _ConditionFile(msgspec.Struct):
    identity: _Identity
    task: str
    method: Method
    sampling: _Sampling | None
    template: _Template
    labels: str | None = None
    constrain: Constraint | None = None


def read_condition(path: Path) -> ConditionFile:
    """Read ``condition.json``; unknown keys, written by a newer version, are ignored.

    Raises:
        StoreError: the file is missing, malformed, or lacks a part that prompts are rendered from.
    """
    repair = (
        f"put the file back as it was, or delete the folder {path.parent} and run the experiment "
        "again"
    )
    values = read_json(path, dict[str, Any], repair, "run the experiment again to write it")
    try:
        made = convert(values, _ConditionFile)
        rows = _rows(made.identity.rows)
    except ShapeError as error:
        raise StoreError(f"{path}: {error}; {repair}") from error
    kept = made.template
    return ConditionFile(
        Identity(
            made.identity.engine,
            rows,
            "label_draw" in (made.identity.shots or {}),
            values["identity"],
        ),
        made.task,
        made.method,
        values["sampling"],
        TemplateCopy(
            kept.name,
            kept.text,
            kept.language,
            kept.words,
            kept.labels,
            kept.fallbacks,
            kept.format,
        ),
        made.labels == "none",
        made.constrain,
    )


def _rows(made: _Rows) -> RowsIdentity:
    """Name the positional values of the rows' identity; an empty list becomes None."""
    lines, pair = made.lines, made.pair
    if len(lines) not in (0, 2) or len(pair) not in (0, 2):
        raise ShapeError("identity.rows: expected no lines or two, and no languages or two")
    return RowsIdentity(
        made.data,
        made.split,
        (lines[0], lines[1]) if lines else None,
        made.locale,
        (pair[0], pair[1]) if pair else None,
    )
