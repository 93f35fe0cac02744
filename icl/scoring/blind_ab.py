"""Blind A/B: a reader judges outputs of two conditions without knowing which is which.

Rows come in random order, and left and right are random for each row. A verdict is a line of JSON
with the origin of both outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from icl.core.errors import DataError
from icl.core.registry import did_you_mean
from icl.records import verdict_lines as kept_lines
from icl.records.results import ConditionResult
from icl.scoring.win_rate import Wins

__all__ = [
    "CHOICES",
    "Pair",
    "Preference",
    "append",
    "preference_rows",
    "read_verdicts",
    "tally_verdicts",
    "write",
]


CHOICES = ("left", "right", "tie")


@dataclass(frozen=True)
class Preference:
    """A reader's verdict on two outputs for one row, with their conditions and requests."""

    run: str
    id: str
    """Id of the example."""
    better: str | None
    """Fingerprint of the condition whose output is better; None for a tie."""
    left: str
    """Fingerprint of the condition shown on the left."""
    right: str
    fields: Mapping[str, Any]
    targets: Sequence[str]
    outputs: Mapping[str, str]
    """Fingerprint -> the text that the reader saw."""
    requests: Mapping[str, str]
    """Fingerprint -> hash of the request that was sent."""
    when: str = ""
    """Time of the verdict: UTC, ISO 8601."""

    @property
    def pair(self) -> frozenset[str]:
        """The two fingerprints, without order."""
        return frozenset((self.left, self.right))


@dataclass(frozen=True)
class Pair:
    """Two conditions of a run whose outputs a reader compares."""

    run: str
    a: ConditionResult
    b: ConditionResult

    def __post_init__(self) -> None:
        if self.names[0] == self.names[1]:
            raise DataError("choose two conditions: these are the same one")
        if not self.a.records.keys() & self.b.records.keys():
            raise DataError("the two conditions have answered no common row")

    @property
    def names(self) -> tuple[str, str]:
        """Fingerprints of the two conditions."""
        return self.a.entry.fingerprint, self.b.entry.fingerprint

    def rows(self, judged: Iterable[Preference] = ()) -> list[str]:
        """List the ids with different answers and no verdict yet, in random order."""
        done = {one.id for one in judged if one.pair == frozenset(self.names)}
        found = sorted(self.a.records.keys() & self.b.records.keys())
        Random(":".join(sorted(self.names))).shuffle(found)
        return [
            name
            for name in found
            if name not in done and self.output(self.a, name) != self.output(self.b, name)
        ]

    def sides(self, name: str) -> tuple[ConditionResult, ConditionResult]:
        """Return the conditions shown left and right for a row: random, but always the same."""
        first, second = sorted((self.a, self.b), key=lambda one: one.entry.fingerprint)
        swap = Random(f"{':'.join(sorted(self.names))}:{name}").random() < 0.5
        return (second, first) if swap else (first, second)

    def output(self, condition: ConditionResult, name: str) -> str:
        """Return the text that the reader sees: the generated text, or the label ranked first."""
        record = condition.record(name)
        if record.outputs:
            return record.outputs[0].text
        best = max(range(len(record.logprobs)), key=record.logprobs.__getitem__)
        return condition.choices(record)[best].label

    def judged(self, name: str, choice: str, when: str) -> Preference:
        """Make the verdict ``left``, ``right`` or ``tie`` on a row.

        Raises:
            DataError: another word.
            StoreError: there is no such row.
        """
        if choice not in CHOICES:
            raise DataError(f"unknown verdict {choice!r}{did_you_mean(choice, CHOICES)}")
        sides = self.sides(name)
        left, right = (one.entry.fingerprint for one in sides)
        example = sides[0].example(sides[0].record(name))
        return Preference(
            self.run,
            name,
            {"left": left, "right": right}.get(choice),
            left,
            right,
            dict(example.fields),
            list(sides[0].gold_example(sides[0].record(name)).targets),
            {one.entry.fingerprint: self.output(one, name) for one in sides},
            {one.entry.fingerprint: one.record(name).request for one in sides},
            when,
        )


def append(path: Path, made: Preference) -> None:
    """Append one verdict to a file, and sync it.

    Raises:
        StoreError: the disk is full, or the file cannot be written.
    """
    kept_lines.append(path, made)


def read_verdicts(path: Path) -> list[Preference]:
    """Read all verdicts of a file, in its order; empty if the file does not exist.

    Raises:
        DataError: a line is not a verdict (file:line).
    """
    return kept_lines.read(path, Preference, "verdict") if path.exists() else []


def tally_verdicts(verdicts: Iterable[Preference], a: str, b: str) -> Wins:
    """Count how often ``b`` is preferred to ``a``; the last verdict on a row counts.

    ``a`` and ``b`` are fingerprints of conditions, as in :attr:`Preference.pair`; verdicts on other
    pairs are ignored.
    """
    last = {one.id: one for one in verdicts if one.pair == {a, b}}
    better = [one.better for one in last.values()]
    return Wins(better.count(b), better.count(None), better.count(a))


def preference_rows(verdicts: Iterable[Preference]) -> list[dict[str, Any]]:
    """Make rows for preference tuning: fields, chosen and rejected output; ties are left out.

    Each row has the keys ``id``, ``fields``, ``chosen`` and ``rejected``; the last two are what
    direct preference optimization learns from (Rafailov et al. 2023, arXiv 2305.18290).

    >>> one = Preference("r", "7", "b", "a", "b", {"q": "2+2"}, (), {"a": "5", "b": "4"}, {})
    >>> preference_rows([one])
    [{'id': '7', 'fields': {'q': '2+2'}, 'chosen': '4', 'rejected': '5'}]
    """
    last = {(one.id, one.pair): one for one in verdicts}
    return [
        {
            "id": one.id,
            "fields": dict(one.fields),
            "chosen": one.outputs[one.better],
            "rejected": one.outputs[next(iter(one.pair - {one.better}))],
        }
        for one in last.values()
        if one.better is not None
    ]


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write preferences as JSON Lines; never overwrite an existing file.

    Raises:
        DataError: there are none yet.
        StoreError: the file exists, or cannot be written.
    """
    if not rows:
        raise DataError("no output was preferred to another yet, so there is nothing to export")
    refusal = f"{path.name} exists already; move it away, then export again"
    kept_lines.write_new(path, rows, refusal)
