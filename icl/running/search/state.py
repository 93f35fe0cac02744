"""What a search has done so far: one small file, replaced whole, from which it goes on.

``search.json`` of the run folder holds the state, ``search.jsonl`` the same trials a line each.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec

from icl.core.errors import BusyError
from icl.core.files import check_folders, check_plain, replace_file
from icl.core.strict_json import Amount, Count, read_json

__all__ = ["State", "CandidateTrial"]


@dataclass(frozen=True, slots=True)
class CandidateTrial:
    """One candidate on the first rows of the development split."""

    rung: int
    """From 1; 0 is what measured the pace, for a budget of minutes."""
    candidate: int
    """From 0."""
    name: str
    condition: str
    """Fingerprint of the condition that holds its records."""
    rows: int
    objective: str
    value: float | None
    low: float | None
    high: float | None
    tokens: int
    """Of the rows that the trial before had not; answers that were there already count too."""
    seconds: float
    """As the clock went: near 0 where the answers were there already."""


class TrialLine(msgspec.Struct, forbid_unknown_fields=True):
    """A trial in ``search.json``."""

    rung: Count
    candidate: Count
    name: str
    condition: str
    rows: Count
    objective: str
    value: float | None
    low: float | None
    high: float | None
    tokens: Count
    seconds: Amount


class WinnerLine(msgspec.Struct):
    """A winner that was asked the test rows."""

    rows: list[str]
    winner: Annotated[str, msgspec.Meta(min_length=1)]


class StateFile(msgspec.Struct):
    """What ``search.json`` holds."""

    key: str
    rows: Count | None
    pace: Amount | None
    opened: list[WinnerLine]
    written: dict[str, list[str]]
    trials: list[TrialLine]


@dataclass
class State:
    """The trials of a search, and which winners have been asked the test rows."""

    folder: Path
    key: str
    """Hash of everything that decides the search; another one begins anew."""
    names: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    """Candidate -> its settings, for ``search.jsonl``."""
    rows: int | None = None
    """Of the last rung, once it is decided."""
    pace: float | None = None
    """Seconds a token, measured for a budget of minutes."""
    trials: list[CandidateTrial] = field(default_factory=list)
    opened: list[dict[str, Any]] = field(default_factory=list)
    """``rows``: hashes of test rows, one each; ``winner``: who was asked them."""
    written: dict[str, list[str]] = field(default_factory=dict)
    """Shot file -> hashes of what this search wrote there."""
    fresh: bool = True
    """Whether nothing of this very search was there."""

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / "search.json"

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only search here, and take up what is there.

        Raises:
            BusyError: another process searches here.
            StoreError: the file cannot be read, or it or its folder is a link.
        """
        from filelock import FileLock, Timeout

        check_folders(self.folder, self.folder.parent)
        self.folder.mkdir(parents=True, exist_ok=True)
        check_plain(self.folder / ".search.lock")
        lock = FileLock(self.folder / ".search.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise BusyError(
                f"another process searches in {self.folder}; wait for it to end, or stop it"
            ) from error
        try:
            self._read()
            yield
        finally:
            lock.release()

    def _read(self) -> None:
        if not self.path.exists():
            return
        kept = read_json(self.path, StateFile, "delete it and search again")
        self.opened = [{"rows": mark.rows, "winner": mark.winner} for mark in kept.opened]
        self.written = kept.written
        if kept.key == self.key:
            self.rows, self.pace, self.fresh = kept.rows, kept.pace, False
            self.trials = [CandidateTrial(**msgspec.structs.asdict(row)) for row in kept.trials]

    def save(self) -> None:
        """Replace the files; a crash leaves the old ones whole."""
        kept = {
            "key": self.key,
            "rows": self.rows,
            "pace": self.pace,
            "opened": self.opened,
            "written": self.written,
            "trials": [asdict(trial) for trial in self.trials],
        }
        text = json.dumps(kept, ensure_ascii=False, indent=1) + "\n"
        replace_file(self.path, text, self.folder.parent)
        lines = [
            json.dumps(
                asdict(t) | {"settings": self.names.get(t.candidate, {})}, ensure_ascii=False
            )
            + "\n"
            for t in self.trials
        ]
        replace_file(self.folder / "search.jsonl", "".join(lines), self.folder.parent)

    def add(self, trial: CandidateTrial) -> None:
        """Keep a trial."""
        self.trials.append(trial)
        self.save()

    def find(self, rung: int, candidate: int) -> CandidateTrial | None:
        """The trial of a candidate on a rung."""
        return next((t for t in self.trials if t.rung == rung and t.candidate == candidate), None)

    def rows_of(self, candidate: int) -> int:
        """How many rows a candidate has been asked."""
        return max((t.rows for t in self.trials if t.candidate == candidate), default=0)

    def tokens_of(self, candidate: int) -> int:
        """What a candidate's rows came to."""
        return sum(t.tokens for t in self.trials if t.candidate == candidate)

    @property
    def tokens(self) -> int:
        """What all trials came to."""
        return sum(trial.tokens for trial in self.trials)

    @property
    def seconds(self) -> float:
        """How long all trials took."""
        return sum(trial.seconds for trial in self.trials)
