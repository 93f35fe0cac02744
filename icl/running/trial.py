"""A trial: a few rows of one condition, answered again whenever one of its files changes."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from icl.core.errors import ConfigError, IclError, MetricError
from icl.core.languages import find_language
from icl.core.probabilities import label_shares
from icl.core.types import Record, Score
from icl.experiment.condition import Condition, build
from icl.experiment.grid import Experiment, Point, list_points
from icl.experiment.loader import Loader
from icl.prompts.template_file import find_library
from icl.records.results import ConditionResult
from icl.running.progress import Progress
from icl.running.run import run_condition
from icl.scoring.scores import score_run

__all__ = ["Outcome", "Trial", "TrialRow", "pick_condition", "watch"]


POLL_S = 0.3
"""Seconds between two checks of the files."""


def pick_condition(experiment: Experiment, number: int) -> Point:
    """Return the condition with this number, from 1 in the order of the grid.

    Raises:
        ConfigError: there are fewer.
    """
    found = list_points(experiment)
    if not 1 <= number <= len(found):
        raise ConfigError(f"--condition {number}: there are {len(found)}, counted from 1")
    return found[number - 1]


@dataclass(frozen=True)
class TrialRow:
    """One row: its prompt, its answer, and whether the answer is right."""

    id: str
    prompt: str
    targets: tuple[str, ...]
    answer: str | None
    """The parsed answer; None if it could not be parsed."""
    error: str | None
    right: bool
    output: str | None
    """The generated text; None for ranking."""
    shares: tuple[tuple[str, float], ...]
    """For ranking: (label, share of the choices' probability), most probable first."""
    prompt_tokens: int
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """The rows of a trial, and their scores."""

    rows: tuple[TrialRow, ...]
    scores: tuple[Score, ...] = ()
    note: str = ""
    """Reason why there are no scores; empty if there are."""


@dataclass
class Trial:
    """The first rows of a condition, answered again and again.

    The engine stays loaded from one call to the next, and so do rows and pool until the
    experiment changes.

    >>> trial = Trial(lambda: load_experiment("first/experiment.yaml"))   # doctest: +SKIP
    >>> trial.run().rows                                                  # doctest: +SKIP
    """

    read: Callable[[], Experiment]
    """Reads the experiment again."""
    number: int = 1
    """Number of the condition, from 1."""
    rows: int = 5
    _loader: Loader | None = field(default=None, init=False, repr=False)
    _point: Point | None = field(default=None, init=False, repr=False)

    def condition(self) -> Condition:
        """Read and build the condition again, except for its engine.

        Raises:
            IclError: everything that ``icl run`` would refuse.
        """
        if self.rows < 1:
            raise ConfigError(f"--rows {self.rows}: at least 1 is needed")
        experiment = self.read()
        if self._loader is None or self._loader.experiment.text != experiment.text:
            engines = self._loader.engines if self._loader else {}
            self._loader = Loader(experiment, engines=engines)
        self._point = pick_condition(experiment, self.number)
        made = build(self._point, self._loader)
        self._loader.only(made.engine)
        return replace(made, examples=made.examples[: self.rows])

    def run(self, progress: Progress | None = None) -> Outcome:
        """Answer the rows, and score them if they have right answers.

        Raises:
            IclError: everything that ``icl run`` would refuse.
        """
        condition = self.condition()
        with tempfile.TemporaryDirectory(prefix="icl-try-") as folder:
            shown = progress or Progress(quiet=True)
            assert self._loader is not None  # made by condition()
            base = self._loader.experiment.base
            run = run_condition(condition, Path(folder), shown, base)
            tried = tuple(_tried(run.conditions[0]))
            try:
                scores = score_run(run).scores
            except MetricError as error:
                return Outcome(tried, note=str(error))
        return Outcome(tried, tuple(score for score in scores if score.kind == "model"))

    def files(self, given: Path) -> list[Path]:
        """List the files that determine the prompts, whether they exist or not."""
        if self._point is None or self._loader is None:
            return [given]
        name = self._point.prompt
        own = name.endswith(".j2")
        root = self._loader.experiment.base if own else find_library()
        stem = name.removesuffix(".j2")
        spoken = self._point.prompt_language
        tags = {"en", self._point.row_language or "en"} if spoken == "row" else {spoken}
        variants = [root / f"{stem}.{find_language(tag).code}.j2" for tag in sorted(tags)]
        shots = self._point.shots.file
        more = [self._loader.experiment.base / shots] if shots else []
        return [given, *variants, root / f"{stem}.j2", *more]


def _tried(result: ConditionResult) -> Iterator[TrialRow]:
    unscored = (row.record for row in result.unscored.values())
    for record in (*result.records.values(), *unscored):
        example, made = result.example(record), result.predict(record)
        yield TrialRow(
            id=record.id,
            prompt=result.prompt(record).text,
            targets=example.targets,
            answer=made.value,
            error=made.error,
            right=made.value in example.targets,
            output=record.outputs[0].text if record.outputs else None,
            shares=_shares(record, result),
            prompt_tokens=record.prompt_tokens,
            dropped=record.dropped,
        )


def _shares(record: Record, result: ConditionResult) -> tuple[tuple[str, float], ...]:
    if not record.logprobs:
        return ()
    labels = [choice.label for choice in result.choices(record)]
    found = zip(labels, label_shares(record.logprobs), strict=True)
    return tuple(sorted(found, key=lambda pair: -pair[1]))


Stamp = dict[Path, tuple[int, int] | None]


def _stamp(files: Sequence[Path]) -> Stamp:
    """Return time and size of each file; None for a missing one (editors replace files)."""
    found: Stamp = {}
    for file in files:
        try:
            status = file.stat()
            found[file] = (status.st_mtime_ns, status.st_size)
        except FileNotFoundError:
            found[file] = None
    return found


def watch(
    trial: Trial,
    given: Path,
    tell: Callable[[Outcome | IclError], None],
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Run the trial now, and again after every change, until KeyboardInterrupt.

    An error is reported, and watching continues: the next save may repair it.

    Args:
        trial: the trial to run.
        given: the file that the user named.
        tell: receives the outcome or the error.
        wait: waits this many seconds between two checks of the files.
    """
    with contextlib.suppress(IclError):  # the run below tells it; now all files are known
        trial.condition()
    seen: Stamp = {}
    while True:
        now = _stamp(trial.files(given))
        if now != seen:
            try:
                told: Outcome | IclError = trial.run()
            except IclError as error:
                told = error
            # What was saved meanwhile differs from what stood before the run.
            later = _stamp(trial.files(given))
            seen = {file: now.get(file, stamp) for file, stamp in later.items()}
            tell(told)
        wait(POLL_S)
