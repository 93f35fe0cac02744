"""The progress of a search in one small file, from which an interrupted search continues.

``search.json`` in the run folder holds the state, ``search.jsonl`` the same trials line by line.
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
from icl.records.paths import SEARCH

__all__ = ["CandidateTrial", "State", "StateFile", "read_state"]


@dataclass(frozen=True, slots=True)
class CandidateTrial:
    """One candidate's result on the first rows of the development split."""

    rung: int
    """Counted from 1; 0 is the measurement of speed for a budget of minutes."""
    candidate: int
    """Counted from 0."""
    name: str
    condition: str
    """Fingerprint of the condition that holds its records."""
    rows: int
    objective: str
    value: float | None
    low: float | None
    high: float | None
    tokens: int
    """Tokens of the rows that its previous trial did not have; reused answers count too."""
    seconds: float
    """Wall time; near 0 if the answers were reused."""


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
    """A winner that was tested on the test rows, in ``search.json``."""

    rows: list[str]
    winner: Annotated[str, msgspec.Meta(min_length=1)]


class StateFile(msgspec.Struct):
    """The content of ``search.json``."""

    key: str
    rows: Count | None
    pace: Amount | None
    opened: list[WinnerLine]
    written: dict[str, list[str]]
    trials: list[TrialLine]

    def list_trials(self) -> list[CandidateTrial]:
        """Return the trials, in the order in which they ended."""
        return [CandidateTrial(**msgspec.structs.asdict(row)) for row in self.trials]


def read_state(folder: Path) -> StateFile:
    """Read the state of a search from its folder.

    Raises:
        StoreError: it is missing, or cannot be read.
    """
    return read_json(folder / SEARCH, StateFile, "delete it and search again")


@dataclass
class State:
    """The trials of a search, and the winners that were tested on the test rows."""

    folder: Path
    key: str
    """Hash of everything that determines the search; with another one the search starts anew."""
    names: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    """Candidate number -> its settings, for ``search.jsonl``."""
    rows: int | None = None
    """Rows of the last rung, once decided."""
    pace: float | None = None
    """Seconds for each token, measured for a budget of minutes."""
    trials: list[CandidateTrial] = field(default_factory=list)
    opened: list[dict[str, Any]] = field(default_factory=list)
    """``rows``: a hash of each test row; ``winner``: the condition that was tested on them."""
    written: dict[str, list[str]] = field(default_factory=dict)
    """Shot file -> hashes of what this search wrote there."""
    fresh: bool = True
    """Whether no earlier state of the same search was found."""

    @property
    def path(self) -> Path:
        """Path of ``search.json``."""
        return self.folder / SEARCH

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Lock the folder for one search, and read the stored state.

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
        kept = read_state(self.folder)
        self.opened = [{"rows": mark.rows, "winner": mark.winner} for mark in kept.opened]
        self.written = kept.written
        if kept.key == self.key:
            self.rows, self.pace, self.fresh = kept.rows, kept.pace, False
            self.trials = kept.list_trials()

    def save(self) -> None:
        """Replace the files; a crash leaves the old ones intact."""
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
        """Add a trial and save."""
        self.trials.append(trial)
        self.save()

    def find(self, rung: int, candidate: int) -> CandidateTrial | None:
        """Return the trial of a candidate on a rung; None if there is none."""
        return next((t for t in self.trials if t.rung == rung and t.candidate == candidate), None)

    def rows_of(self, candidate: int) -> int:
        """Return the number of rows that a candidate has answered."""
        return max((t.rows for t in self.trials if t.candidate == candidate), default=0)

    def tokens_of(self, candidate: int) -> int:
        """Return the tokens used by a candidate."""
        return sum(t.tokens for t in self.trials if t.candidate == candidate)

    @property
    def tokens(self) -> int:
        """Tokens used by all trials."""
        return sum(trial.tokens for trial in self.trials)

    @property
    def seconds(self) -> float:
        """Wall time of all trials, in seconds."""
        return sum(trial.seconds for trial in self.trials)
