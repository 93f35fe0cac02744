"""The search of a file with ``search:``: best prompt and shots within a budget, then one test."""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from icl.core.errors import ConfigError
from icl.core.files import check_folders, check_plain, replace_file
from icl.core.stats import score
from icl.core.types import Example, digest
from icl.data import hash_data
from icl.experiment.condition import Condition
from icl.experiment.entries import SearchEntry
from icl.experiment.file import load_experiment
from icl.experiment.grid import Experiment
from icl.experiment.loader import Loader
from icl.records.results import ConditionResult
from icl.records.store import ConditionStore
from icl.running.estimate import count_answer_tokens, is_priced
from icl.running.progress import Progress
from icl.running.run import count_spent, run_condition
from icl.running.search.candidates import (
    Candidate,
    CandidateSet,
    collect_candidates,
    pin_candidate,
    read_search_entry,
)
from icl.running.search.halving import LEAST, Rung, find_largest, pick_best, plan_rungs, price_rungs
from icl.running.search.objective import Objective, make_objective
from icl.running.search.outcome import SearchOutcome, compare_rivals, score_final
from icl.running.search.state import CandidateTrial, State

__all__ = ["SearchPlan", "plan", "search"]


PACE_ROWS = 8
"""Rows that measure the speed for a budget of minutes, and from which tokens are estimated."""


def search(
    experiment: str | Path | Experiment,
    out: str | Path = "runs",
    progress: Progress | None = None,
    again: bool = False,
) -> SearchOutcome:
    """Find the best candidate of the file's ``search:`` block, and test it once.

    A search that was killed continues where it stopped. The test rows are used last, and only for
    the winner and the file's first condition; a later search in the same folder that finds another
    winner does not use them again.

    Args:
        experiment: a YAML file with a ``search:`` block, or a loaded experiment.
        out: folder of all runs; the search shares their records.
        progress: display of the progress; none by default.
        again: use the test rows for another winner, too; each use is counted.

    Raises:
        IclError: anything wrong with the file, data, template, model or disk, or a budget that is
            too small for one rung.

    >>> search("experiments/search.yaml").winner.name                   # doctest: +SKIP
    """
    with progress or Progress(quiet=True) as shown:
        made = _Search.make(experiment, Path(out), shown)
        with made.state.writing():
            return made.run(again)


@dataclass(frozen=True)
class SearchPlan:
    """The candidates, schedule and estimated cost of a search."""

    field: CandidateSet
    rungs: Sequence[Rung]
    tokens: Sequence[float]
    """Most tokens of each rung."""
    test_tokens: int
    """Tokens of testing winner and baseline, if the winner is the most expensive candidate."""
    pace: float | None
    """Seconds for each token, from earlier batches or a few rows; None if the model costs money."""
    budget: str
    """The budget in words; empty if there is none."""


def plan(
    experiment: str | Path | Experiment, out: str | Path = "runs", progress: Progress | None = None
) -> SearchPlan:
    """Estimate candidates, rungs and cost; answer a few rows to measure the speed, and drop them.

    Raises:
        IclError: everything that :func:`search` would refuse before it computes.
    """
    with (
        tempfile.TemporaryDirectory(prefix="icl-search-") as folder,
        progress or Progress(quiet=True) as shown,
    ):
        made = _Search.make(experiment, Path(out), shown, Path(folder))
        pace = made.known_pace()
        if pace is None and not is_priced(made.field.baseline):
            made.out = Path(folder)
            pace = made.measured_pace()
        budget, a_row = made.entry.budget, made.tokens_a_row()
        limit = 60 * budget.minutes / pace if budget and budget.minutes and pace else math.inf
        schedule = plan_rungs(len(a_row), made.affordable(a_row, limit), made.entry.eta)
        base = made.field.baseline
        test = round(max(a_row) * len(base.examples)) + _tokens(base, base.examples)
        return SearchPlan(
            made.field, schedule, price_rungs(schedule, a_row), test, pace, made.budget
        )


@dataclass
class _Search:
    """The state and steps of one search."""

    experiment: Experiment
    entry: SearchEntry
    field: CandidateSet
    objective: Objective
    out: Path
    progress: Progress
    state: State

    @classmethod
    def make(
        cls, given: str | Path | Experiment, out: Path, progress: Progress, sets: Path | None = None
    ) -> _Search:
        """Load and check everything; write sets of shots to the run folder, or to ``sets``."""
        loaded = given if isinstance(given, Experiment) else load_experiment(given)
        entry = read_search_entry(loaded)
        folder = out / loaded.name
        if sets is None:
            check_folders(folder / "shot_sets", out)
        found = collect_candidates(loaded, Loader(loaded), sets or folder / "shot_sets")
        for note in found.notes:
            progress.note(note)
        asked = entry.objective
        if isinstance(asked, dict) and "command" in asked:
            asked = {"folder": str(loaded.base.resolve()), **asked}
        wanted = make_objective(asked, found.candidates[0].test.method)
        key = digest(
            {
                "candidates": [candidate.dev.fingerprint for candidate in found.candidates],
                "rows": hash_data(found.candidates[0].dev.examples),
                "search": entry.model_dump(mode="json", exclude={"write", "over", "dev"}),
            }
        )
        names = {
            number: candidate.test.point.settings | {"name": candidate.name}
            for number, candidate in enumerate(found.candidates)
        }
        state = State(folder, key, names)
        return cls(loaded, entry, found, wanted, out, progress, state)

    def run(self, again: bool) -> SearchOutcome:
        """Run the whole search, from planning to the test."""
        self._may_write()
        count_spent([candidate.dev for candidate in self.field.candidates], self.out)
        if self.state.rows is None:
            self.state.rows = self._rows()
            self.state.save()
        schedule = plan_rungs(len(self.field.candidates), self.state.rows, self.entry.eta)
        number, place, stopped = self._climb(schedule)
        winner = self.field.candidates[number]
        last = {t.candidate: t.rows for t in self.state.trials if t.rung == place}
        answered = {one: self._answered(one, rows) for one, rows in last.items()}
        shots, best_file = self._write(winner)
        test = self._test(winner, again)
        dev = score(self.objective.name, self.objective.stats(answered[number]))
        return SearchOutcome(
            name=self.experiment.name,
            objective=self.objective,
            candidates=len(self.field.candidates),
            rungs=schedule,
            trials=tuple(self.state.trials),
            winner=winner,
            dev=dev,
            rivals=compare_rivals(self.objective, answered, number, self.field.candidates),
            test=score_final(self.objective, dev, *test) if test else None,
            opened=len(self._winners()),
            stopped=stopped,
            best=best_file,
            shots=shots,
        )

    @property
    def budget(self) -> str:
        """The budget in words; empty if there is none."""
        given = self.entry.budget
        if given is None:
            return ""
        return f"{given.tokens:,} tokens" if given.tokens else f"{given.minutes:g} minutes"

    def tokens_a_row(self) -> list[float]:
        """Estimate each candidate's tokens for a development row, from its first rows."""
        found = []
        for candidate in self.field.candidates:
            rows = candidate.dev.examples[:PACE_ROWS]
            found.append(_tokens(candidate.dev, rows) / len(rows))
        return found

    def affordable(self, a_row: Sequence[float], tokens: float | None) -> int:
        """Return the rows of the last rung: all development rows, or as many as the budget allows.

        Raises:
            ConfigError: even the shortest schedule exceeds the budget.
        """
        rows = len(self.field.candidates[0].dev.examples)
        given = self.entry.budget
        if given is None:
            return rows
        limit = given.tokens if given.tokens is not None else tokens
        assert limit is not None  # a budget has one of the two
        found = find_largest(a_row, rows, self.entry.eta, limit)
        if found is None:
            least = sum(
                price_rungs(plan_rungs(len(a_row), min(LEAST, rows), self.entry.eta), a_row)
            )
            needed = f"about {least:,.0f} tokens"
            if given.minutes is not None:
                needed = f"about {given.minutes * least / max(limit, 1e-9):.2g} minutes as measured"
            raise ConfigError(
                f"search: a budget of {self.budget} is too small: {len(a_row)} candidates on "
                f"{min(LEAST, rows)} rows and more for the better ones need {needed}; raise it, "
                "or name fewer candidates"
            )
        return found

    def _rows(self) -> int:
        a_row = self.tokens_a_row()
        given = self.entry.budget
        if given is None or given.minutes is None:
            return self.affordable(a_row, None)
        self.progress.say(f"measuring the pace on {PACE_ROWS} rows of two candidates")
        for number in (0, 1):
            self._trial(0, number, min(PACE_ROWS, len(self.field.candidates[number].dev.examples)))
        self.state.pace = self.known_pace() or 1e-9
        left = (60 * given.minutes - self.state.seconds) / self.state.pace
        return self.affordable(a_row, left)

    def measured_pace(self) -> float | None:
        """Measure seconds for each token on two candidates; the first one loads the model."""
        for candidate in self.field.candidates[:2]:
            self._asked(replace(candidate.dev, examples=candidate.dev.examples[:PACE_ROWS]))
        return self.known_pace()

    def known_pace(self) -> float | None:
        """Return seconds for each token from stored timings; None if there are none."""
        paces = []
        for candidate in self.field.candidates[:2]:
            timing = ConditionStore.of(self.out, candidate.dev.folder).timing()
            if timing.get("tokens"):
                paces.append(timing["seconds"] / timing["tokens"])
        return min(paces, default=None)

    def _climb(self, schedule: Sequence[Rung]) -> tuple[int, int, str]:
        """Run the rungs; return the winner, its rung, and why that is not the last one."""
        alive = list(range(len(self.field.candidates)))
        for place, rung in enumerate(schedule, 1):
            self.progress.say(
                f"rung {place} of {len(schedule)}: {len(alive)} candidates on {rung.rows} rows"
            )
            values: dict[int, float | None] = {}
            for number in alive:
                trial = self._trial(place, number, rung.rows)
                if trial is None:
                    return self._stopped(place, rung, alive, values)
                values[number] = trial.value
            keep = schedule[place].candidates if place < len(schedule) else 1
            alive = pick_best(values, keep, self.objective.sign)
        return alive[0], len(schedule), ""

    def _stopped(
        self, place: int, rung: Rung, alive: list[int], values: dict[int, float | None]
    ) -> tuple[int, int, str]:
        """Choose a winner when the budget ends in the middle of a rung.

        Raises:
            ConfigError: no candidate was answered at all.
        """
        why = (
            f"the budget of {self.budget} ended on rung {place}: {len(values)} of {len(alive)} "
            f"candidates answered {rung.rows} rows; "
        )
        if place > 1:
            return alive[0], place - 1, f"{why}the best of rung {place - 1} is taken"
        if not values:
            raise ConfigError(f"search: {why}raise the budget, or name fewer candidates")
        return pick_best(values, 1, self.objective.sign)[0], 1, f"{why}the best of these is taken"

    def _trial(self, rung: int, number: int, rows: int) -> CandidateTrial | None:
        """Answer a candidate's first rows unless they are; None if the budget is too small."""
        if found := self.state.find(rung, number):
            return found
        candidate = self.field.candidates[number]
        if not self._affords(candidate.dev.examples[self.state.rows_of(number) : rows], candidate):
            return None
        began = time.perf_counter()
        result = self._answered(number, rows)
        made = score(self.objective.name, self.objective.stats(result))
        trial = CandidateTrial(
            rung=rung,
            candidate=number,
            name=candidate.name,
            condition=candidate.dev.fingerprint,
            rows=rows,
            objective=self.objective.name,
            value=made.value,
            low=made.low,
            high=made.high,
            tokens=max(0, result.tokens - self.state.tokens_of(number)),
            seconds=round(time.perf_counter() - began, 3),
        )
        self.state.add(trial)
        return trial

    def _affords(self, rows: Sequence[Example], candidate: Candidate) -> bool:
        given = self.entry.budget
        if given is None:
            return True
        need = _tokens(candidate.dev, rows)
        if given.tokens is not None:
            return self.state.tokens + need <= given.tokens
        assert given.minutes is not None  # a budget has one of the two
        return self.state.seconds + need * (self.state.pace or 0) <= 60 * given.minutes

    def _answered(self, number: int, rows: int) -> ConditionResult:
        dev = self.field.candidates[number].dev
        return self._asked(replace(dev, examples=dev.examples[:rows]))

    def _asked(self, condition: Condition) -> ConditionResult:
        return run_condition(condition, self.out, self.progress, self.experiment.base).conditions[0]

    def _target(self) -> Path:
        """Return the path of the winner's shot file."""
        if self.entry.write:
            return (self.experiment.base / Path(self.entry.write).expanduser()).resolve()
        return self.state.folder.resolve() / "shots.jsonl"

    def _may_write(self) -> None:
        """Refuse early to overwrite a file of somebody else, or to write to a link or folder."""
        target = self._target()
        if target.is_dir():
            raise ConfigError(f"search: write: {target} is a folder; name a file in it")
        for file in (target, self.state.folder / "search.jsonl", self.state.folder / "best.yaml"):
            check_plain(file)
        if target.exists() and _hash(target) not in self.state.written.get(str(target), ()):
            raise ConfigError(
                f"search: write: {target} exists already and was not written by this search; name "
                "another file, or move it away"
            )

    def _write(self, winner: Candidate) -> tuple[Path | None, Path]:
        """Write the winner's experiment, and its shots if they are the same for all queries."""
        shots, target = winner.shots, None
        base, folder = self.experiment.base.resolve(), self.state.folder.resolve()
        if winner.drawn is not None:
            target = self._target()
            known = self.state.written.setdefault(str(target), [])
            known += {_hash(winner.drawn)} - {*known}
            self.state.save()
            replace_file(target, winner.drawn.read_text("utf-8"))
            shots = {**shots, "file": os.path.relpath(target, base)}
        point = winner.point
        raw = pin_candidate(
            self.experiment, point, self.entry, point.prompt, point.prompt_language, shots
        )
        name = f"{self.experiment.name}-best"
        head = f"# {winner.name}: the winner of icl search {self.experiment.name}\n"
        body = {"name": name, "base": os.path.relpath(base, folder), **raw}
        text = yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=100)
        replace_file(folder / "best.yaml", head + text)
        return target, self.state.folder / "best.yaml"

    def _winners(self) -> set[str]:
        """Return the fingerprints of the winners that were tested on any of these test rows."""
        rows = {*_marks(self.field.baseline.examples)}
        return {mark["winner"] for mark in self.state.opened if not rows.isdisjoint(mark["rows"])}

    def _test(
        self, winner: Candidate, again: bool
    ) -> tuple[ConditionResult, ConditionResult] | None:
        """Answer the test rows; None if another winner was tested on some of them before."""
        rows = _marks(self.field.baseline.examples)
        mark = {"rows": rows, "winner": winner.test.fingerprint}
        if mark not in self.state.opened:
            if self._winners() - {winner.test.fingerprint} and not again:
                return None
            self.state.opened.append(mark)
            self.state.save()  # before the first of them is asked: a kill does not close them again
        self.progress.say(
            f"test: the winner and the file's first condition on {len(winner.test.examples)} rows"
        )
        return self._asked(winner.test), self._asked(self.field.baseline)


def _tokens(condition: Condition, rows: Sequence[Example]) -> int:
    """Count the tokens of prompts and answers in advance; for generated text at most."""
    requests = [condition.request(example) for example in rows]
    return sum(request.tokens for request in requests) + count_answer_tokens(condition, requests)


def _marks(rows: Sequence[Example]) -> list[str]:
    """Hash each row separately, so that used rows are recognized among others."""
    return [hash_data([row])[:16] for row in rows]


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
