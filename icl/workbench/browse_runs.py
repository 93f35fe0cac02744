"""The runs in a folder to browse: the records of a condition, filtered, searched and paged.

What was read is cached until its files change, so that turning pages reads nothing again.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from threading import RLock
from typing import Any

from icl.core.errors import ConfigError, StoreError
from icl.core.registry import did_you_mean
from icl.core.safe_text import clean
from icl.core.types import Choice, Example
from icl.prompts.render_again import HERE, Rendering
from icl.records.condition_file import ConditionFile
from icl.records.paths import MANIFEST, SCORES, find_runs, holds_run
from icl.records.results import ConditionResult, Run, load_run
from icl.records.store import UNSCORED, ConditionStore
from icl.reports.card import make_card
from icl.reports.errors import ScoredAnswer, score_answers
from icl.scoring.checks.answers import strays
from icl.scoring.pairs import Side, find_common
from icl.workbench.feedback import write_card
from icl.workbench.row_cache import summary

__all__ = [
    "RunBrowser",
    "RecordRow",
    "ORDERS",
    "OpenCondition",
    "PAGE_ROWS",
    "RecordPage",
    "RecordQuery",
    "FILTERS",
    "copy_run",
    "natural_key",
    "save_card",
]


FILTERS = ("all", "wrong", "right", "unparsed", "off-target", "different")
"""Accepted filters of a query; ``different`` needs another condition."""
ORDERS = ("as run", "worst first", "surest first", "least sure first", "longest first", "by id")
_VERDICTS = {"wrong": ("wrong", "off target"), "off-target": ("off target",)}
PAGE_ROWS = 25
"""Number of records on a page."""
_MOST_RUNS, _MOST_OPEN = 8, 6
"""Most runs and conditions in memory; a condition of ten thousand records takes some 50 MB."""


@dataclass(frozen=True, slots=True)
class RecordQuery:
    """A filter, a search text and an order of records."""

    show: str = "all"
    text: str = ""
    """Words that must all occur in the row, its targets or its answer, in any case."""
    order: str = "as run"


@dataclass(frozen=True, slots=True)
class RecordRow:
    """A record as a row of a table."""

    id: str
    right: str
    """The right answers, joined."""
    answer: str | None
    other: str | None
    """The other condition's answer; None without one, or if it could not be parsed."""
    verdict: str
    """``right``, ``wrong``, ``unparsed``, ``off target``, or ``–`` without a right answer."""
    value: float | None
    """The first metric of only this row, 0 to 100."""
    confidence: float | None
    """The answer's share of the probability of all choices, 0 to 1."""
    text: str
    """The row's inputs on one line."""


@dataclass(frozen=True, slots=True)
class RecordPage:
    """One page of the records that a query found."""

    lines: tuple[RecordRow, ...]
    number: int
    """Counted from 1."""
    pages: int
    found: int
    """Number of records that the query found, on all pages."""
    of: int
    """Number of records of the condition."""


class _CachedConditionStore(ConditionStore):
    """A condition folder that reads each of its files only once."""

    @cached_property
    def _examples(self) -> dict[str, Example]:
        return super().examples()

    @cached_property
    def _shots(self) -> dict[str, Example]:
        return super().shots()

    @cached_property
    def _condition(self) -> ConditionFile:
        return super().condition()

    @cached_property
    def _choices(self) -> list[Choice]:
        return super().choices()

    def examples(self) -> dict[str, Example]:
        return self._examples

    def shots(self) -> dict[str, Example]:
        return self._shots

    def condition(self) -> ConditionFile:
        return self._condition

    def choices(self) -> list[Choice]:
        return self._choices


class OpenCondition:
    """A condition of a run with all of its records in memory."""

    def __init__(self, run: Run, number: int) -> None:
        self.run, self.number = run, number
        found = run.conditions[number - 1]
        # Of its own, so that its records are given back with it.
        self.condition: ConditionResult = replace(
            found, store=_CachedConditionStore(found.store.folder)
        )

    @property
    def fingerprint(self) -> str:
        """The condition's name in permalinks and in :meth:`icl.records.results.Run.condition`."""
        return self.condition.entry.fingerprint

    @cached_property
    def answers(self) -> dict[str, ScoredAnswer]:
        """Every record with its prediction and row score, by id in the run's order."""
        return {one.example.id: one for one in score_answers(self.condition)}

    @cached_property
    def _astray(self) -> frozenset[str]:
        found = self.answers.items()
        return frozenset(key for key, one in found if strays(one.prediction.value, one.example))

    @cached_property
    def _texts(self) -> dict[str, str]:
        """The lower-case text of every record in which a search looks."""
        return {
            key: "\n".join(
                [
                    key,
                    *map(str, one.example.fields.values()),
                    *one.example.targets,
                    one.prediction.value or "",
                    *(output.text for output in one.record.outputs),
                ]
            ).casefold()
            for key, one in self.answers.items()
        }

    @cached_property
    def side(self) -> Side:
        """The condition as one side of a comparison."""
        found = self.answers.items()
        return Side(
            self.fingerprint,
            {key: one.example for key, one in found},
            {key: one.prediction for key, one in found},
            self.condition,
        )

    def key(self, text: str) -> str:
        """Return a record's id from its text in a table, which shows control characters as signs.

        Raises:
            StoreError: the condition has no such record, or the row has no answer.
        """
        if text not in self.answers:
            text = next((key for key in self.answers if clean(key) == text), text)
        if (row := self.condition.unscored.get(text)) is not None:
            raise StoreError(
                f"row {text!r} is unscored: {row.error}; the next icl run tries it again, and "
                f"icl show {self.run.called}#{self.number}/{text} shows its prompt"
            )
        return self.condition.record(text).id

    def verdict(self, key: str) -> str:
        """Return the verdict on a record; see :attr:`RecordRow.verdict`."""
        one = self.answers[key]
        if one.prediction.value is None:
            return "unparsed"
        if key in self._astray:
            return "off target"
        if not one.example.targets:
            return "–"
        return "right" if one.right or one.value == 100 else "wrong"

    def page(
        self, query: RecordQuery, number: int = 1, other: OpenCondition | None = None
    ) -> RecordPage:
        """Return a page of the records that a query finds; a number too high gives the last page.

        Raises:
            ConfigError: an unknown filter or order, or ``different`` without another condition.
        """
        found = self.find(query, other)
        pages = max(1, -(-len(found) // PAGE_ROWS))
        number = max(1, min(number, pages))
        keys = found[(number - 1) * PAGE_ROWS : number * PAGE_ROWS]
        return RecordPage(
            tuple(self._line(key, other) for key in keys),
            number,
            pages,
            len(found),
            len(self.answers),
        )

    def find(self, query: RecordQuery, other: OpenCondition | None = None) -> list[str]:
        """Return the ids of the records that a query finds; see :meth:`page`."""
        for value, known in ((query.show, FILTERS), (query.order, ORDERS)):
            if value not in known:
                raise ConfigError(f"{value!r}: must be one of {', '.join(known)}")
        words = query.text.casefold().split()
        found = [
            key
            for key in self._matching(query.show, other)
            if all(word in self._texts[key] for word in words)
        ]
        return found if query.order == "as run" else self._sort(found, query.order)

    def _matching(self, show: str, other: OpenCondition | None) -> Iterator[str]:
        if show == "all":
            yield from self.answers
            return
        if show == "different":
            if other is None:
                raise ConfigError("name another condition to see where the two differ")
            same = set(find_common(self.side, other.side)[0])
            for key, one in self.answers.items():
                if key in same and one.prediction.value != other.answers[key].prediction.value:
                    yield key
            return
        wanted = _VERDICTS.get(show, (show,))
        for key in self.answers:
            if self.verdict(key) in wanted:
                yield key

    def _sort(self, found: Sequence[str], order: str) -> list[str]:
        def worst(key: str) -> tuple[float, float]:
            value = self.answers[key].value
            return (101.0 if value is None else value, -(self.answers[key].confidence or 0.0))

        def surest(key: str) -> float:
            return -(self.answers[key].confidence or 0.0)

        def longest(key: str) -> int:
            return -sum(len(str(value)) for value in self.answers[key].example.inputs.values())

        if order == "by id":
            return sorted(found, key=natural_key)
        if order == "least sure first":
            return sorted(found, key=surest, reverse=True)
        keys: dict[str, Callable[[str], Any]] = {"worst first": worst, "longest first": longest}
        return sorted(found, key=keys.get(order, surest))

    def _shown(self, one: ScoredAnswer) -> str | None:
        said = one.prediction.value
        return None if said is None else self.condition.show_answer(one.example, said)

    def _line(self, key: str, other: OpenCondition | None) -> RecordRow:
        one = self.answers[key]
        against = other.answers.get(key) if other is not None else None
        return RecordRow(
            key,
            " | ".join(self.condition.show_answer(one.example, t) for t in one.example.targets),
            self._shown(one),
            None if against is None else self._shown(against),
            self.verdict(key),
            one.value,
            one.confidence,
            summary(one.example, 90),
        )


def natural_key(text: str) -> list[tuple[bool, int, str]]:
    """Return a key that sorts numbers within texts by value: ``r9`` before ``r10``.

    >>> sorted(["r10", "r9"], key=natural_key)
    ['r9', 'r10']
    """
    parts = re.split(r"([0-9]{1,18})", text)
    return [
        (part.isascii() and part.isdigit(), int(part) if place % 2 else 0, part)
        for place, part in enumerate(parts)
    ]


class RunBrowser:
    """The runs in some folders, read when first needed; safe for several threads.

    Args:
        roots: folders that hold runs, in order of precedence; missing ones count as empty.
        rendering: how the stored templates are rendered again.
    """

    def __init__(self, roots: Sequence[Path], rendering: Rendering = HERE) -> None:
        self.roots, self.rendering = tuple(roots), rendering
        self._runs: OrderedDict[Path, tuple[object, Run]] = OrderedDict()
        self._open: OrderedDict[tuple[Path, str], tuple[object, OpenCondition]] = OrderedDict()
        self._lock = RLock()

    def names(self) -> list[str]:
        """List the names of the runs, newest first; the first root wins where two share a name."""
        found: dict[str, float] = {}
        for root in self.roots:
            for folder in find_runs(root):
                found.setdefault(folder.name, (folder / MANIFEST).stat().st_mtime)
        return sorted(found, key=lambda name: (-found[name], name))

    def run(self, name: str) -> Run:
        """Return a run by its name in the list.

        Raises:
            StoreError: no run has that name, or it cannot be read.
        """
        known = self.names()
        if name not in known:  # also keeps what a browser sends from being a path
            where = " or ".join(map(str, self.roots))
            raise StoreError(f"no run {name!r} in {where}{did_you_mean(name, known)}")
        folder = next(r / name for r in self.roots if holds_run(r / name))
        stamp = _stamps(folder / MANIFEST, folder / SCORES)
        with self._lock:
            held = self._runs.get(folder)
            if held is None or held[0] != stamp:
                held = self._runs[folder] = stamp, load_run(folder, rendering=self.rendering)
            self._runs.move_to_end(folder)
            while len(self._runs) > _MOST_RUNS:
                self._runs.popitem(last=False)
        return held[1]

    def open(self, name: str, condition: str) -> OpenCondition:
        """Return a condition with its records; ``condition`` as in
        :meth:`icl.records.results.Run.condition`.

        Raises:
            StoreError: there is none, or its folder is corrupt.
        """
        run = self.run(name)
        wanted = run.condition(condition)
        number = next(at for at, one in enumerate(run.conditions, 1) if one is wanted)
        key = (run.folder, wanted.entry.fingerprint)
        folder = wanted.store.folder
        files = ("records.jsonl", "condition.json", UNSCORED)
        stamp = _stamps(*(folder / name for name in files))
        with self._lock:
            held = self._open.get(key)
            if held is None or held[0] != stamp or held[1].run is not run:
                held = self._open[key] = stamp, OpenCondition(run, number)
            self._open.move_to_end(key)
            while len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)
            _ = held[1].answers  # read once, whoever asks at the same time
        return held[1]

    def resolve(self, text: str, run: str) -> OpenCondition:
        """Return the condition that a text names: ``RUN#CONDITION``, or a condition of ``run``.

        Raises:
            StoreError: there is none.
        """
        name, mark, condition = text.rpartition("#")
        return self.open(name if mark else run, condition)


def copy_run(run: Run) -> Run:
    """Copy a run, so that the records read for the copy are freed with it."""
    return replace(run, conditions=tuple(replace(one) for one in run.conditions))


def _stamps(*paths: Path) -> tuple[tuple[int, int] | None, ...]:
    """Return time of change and size of each file; None for a missing one."""
    states = [path.stat() if path.is_file() else None for path in paths]
    return tuple(None if state is None else (state.st_mtime_ns, state.st_size) for state in states)


def save_card(base: Path, opened: OpenCondition, key: str) -> Path:
    """Write a record as one HTML page under ``base``, the same as ``icl show RUN#ID --html``.

    Raises:
        StoreError: there is no such record, or the file cannot be written.
    """
    return write_card(base, make_card(opened.condition, opened.condition.record(key)))
