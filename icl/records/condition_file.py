"""What a condition folder says of itself in ``condition.json``: read by attribute, hashed as it is.

The text is written by :meth:`icl.experiment.condition.Condition.about`, and its identity is what
the fingerprint hashes; so the JSON is kept whole beside what is read of it.
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

__all__ = ["ConditionFile", "Identity", "RowsIdentity", "read_condition"]


@dataclass(frozen=True, slots=True)
class RowsIdentity:
    """Where the rows of a condition are from."""

    data: str
    """Name of the data set in the experiment."""
    split: str | None
    lines: tuple[int, int] | None
    """First and last, from 1, both included; None for all."""
    locale: str | None
    pair: tuple[str, str] | None
    """Source and target language of parallel text."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What changes an answer, and so gives the condition's folder its name."""

    engine: Mapping[str, Any]
    """What the engine says of itself: weights, width, tokenizer, chat …"""
    rows: RowsIdentity
    label_draw: bool
    """Whether shots were shown with labels that were drawn for them."""
    json: Mapping[str, JSON]
    """All of it, as it was hashed."""

    @property
    def chat(self) -> Mapping[str, Any] | None:
        """How a chat template was used; None for flat text."""
        chat = self.engine.get("chat")
        return chat if isinstance(chat, Mapping) else None


@dataclass(frozen=True, slots=True)
class ConditionFile:
    """What was run, and how its prompts are made."""

    identity: Identity
    task: str
    method: Method
    sampling: Mapping[str, Any] | None
    """What changes generated text, as it was hashed; None where choices were ranked."""
    template: TemplateCopy
    bare_shots: bool
    """Whether shots were shown without their answers."""

    @property
    def max_tokens(self) -> int | None:
        """Of a generated answer; None where choices were ranked."""
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


def read_condition(path: Path) -> ConditionFile:
    """Read ``condition.json``; keys that a newer version added are left alone.

    Raises:
        StoreError: the file is missing, or lacks something that prompts are made with.
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
    )


def _rows(made: _Rows) -> RowsIdentity:
    """Rows as they are named; an empty list stands for none."""
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
