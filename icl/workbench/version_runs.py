"""A version of a template run on many rows, and what flipped since the version that was run before.

Records lie under ``runs/`` like those of ``icl run``, which shares them: asking the same rows again
computes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from icl.core.errors import ConfigError, IclError, MetricError, StoppedError, join_lines
from icl.core.number_text import format_number, format_p, format_percent, format_score
from icl.core.safe_text import clean
from icl.core.stats import score
from icl.experiment.condition import Condition
from icl.reports.comparison import describe_comparison
from icl.running.run import read_condition, run_condition
from icl.scoring.compare import Comparison, compare_sides, correct_comparisons
from icl.scoring.pairs import make_side, pick_metrics
from icl.scoring.win_rate import count_wins
from icl.workbench.browse_runs import OpenCondition, RecordQuery
from icl.workbench.jobs import JobProgress
from icl.workbench.run_history import RunHistory, ScreenRun
from icl.workbench.run_tables import TextTable
from icl.workbench.screen import Screen
from icl.workbench.template_files import keep_version, versions
from icl.workbench.workbench import Workbench

__all__ = ["SHOWN", "RowFlip", "VersionPage", "VersionRun", "find_row", "run_version"]


RUNS = "runs"
DRAW_SEED = 0
"""Seed of the drawn rows, that of ``n:`` in an experiment file which names none."""
SHOWN = ("all", "wrong", "changed", "unparsed")
"""Filters of the table of a run."""
_FILTERS = {"changed": "different"}
HEAD = ("id", "row", "right answer", "answer", "", "sure", "before")
_SIGNS = {"right": "✓", "wrong": "✗", "off target": "✗"}
_CELL_CHARS = 300
_SETTINGS = {
    "select": "shots",
    "k": "k",
    "seed": "seed",
    "model": "model",
    "width": "width",
    "chat": "chat template",
    "words": "prompt language",
    "max_tokens": "longest answer",
}
"""Settings of a screen besides its template that change what is sent -> their names."""


@dataclass(frozen=True)
class RowFlip:
    """Counts of the rows that a version answers better and worse than the one before."""

    better: int
    worse: int
    hits: bool
    """Whether a row is either right or wrong by the metric."""

    def __str__(self) -> str:
        if self.hits:
            return f"{self.better} flipped right, {self.worse} flipped wrong"
        return f"{self.better} better, {self.worse} worse"


@dataclass(frozen=True)
class VersionPage:
    """One page of the rows of a run."""

    table: TextTable
    """The whole id comes first, so that it names the row."""
    verdicts: tuple[str, ...]
    """``right``, ``wrong``, ``unparsed``, ``off target`` or ``–``, one for each row."""
    number: int
    pages: int
    found: int
    """Rows that the filter found, on all pages."""


@dataclass(frozen=True)
class VersionRun:
    """The answers of one version to its rows, and those of the version before, if there are any."""

    run: ScreenRun
    now: OpenCondition
    asked: int
    """Number of rows of the run; after a stop, fewer have answers."""
    earlier: ScreenRun | None = None
    before: OpenCondition | None = None
    notes: tuple[str, ...] = field(default=())
    """Other facts that the user has to know, a line each."""

    @property
    def screen(self) -> Screen:
        """The screen that was run."""
        return self.run.screen

    @cached_property
    def comparison(self) -> Comparison | None:
        """The paired comparison with the version before, by the task's first metric."""
        if self.before is None or self.earlier is None:
            return None
        name, metric = pick_metrics(self.now.condition)[0]
        a = make_side(self.before.condition, f"version {self.earlier.version}")
        b = make_side(self.now.condition, f"version {self.run.version}")
        return correct_comparisons([compare_sides(a, b, name, metric, {})])[0]

    @cached_property
    def flips(self) -> RowFlip | None:
        """Count the flipped rows; None without a version before, or if better is undefined."""
        found = self.comparison
        if found is None or found.sides is None:
            return None
        try:
            wins = count_wins(found)
        except MetricError:  # neither more nor less of the metric is better
            return None
        values = [stats.value(row) for stats, _ in found.sides for row in stats.rows]
        return RowFlip(wins.wins, wins.losses, {*values} <= {0.0, 100.0})

    def headline(self) -> str:
        """Say the score, and how many rows flipped: ``20 rows · acc 70.0 [48.1, 85.5] · …``."""
        return " · ".join(self._headline())

    def _headline(self) -> Iterator[str]:
        done = len(self.now.answers)
        yield f"{done:,} of {self.asked:,} rows" if done < self.asked else f"{done:,} rows"
        if unscored := len(self.now.condition.unscored):
            yield f"{unscored:,} unscored"
        try:
            name, metric = pick_metrics(self.now.condition)[0]
            condition = self.now.condition
            made = score(name, metric.stats(condition.predictions(), condition.examples))
            yield f"{metric.label} {format_score(made)}"
        except (ConfigError, MetricError) as error:
            yield f"no score: {join_lines(error)}"
            return
        found = self.comparison
        if found is None:
            yield "no other version was run on these rows yet"
        elif found.problem:
            yield f"against {found.a}: {found.problem}"
        else:
            rows = "" if found.n == done else f" on {found.n:,} of them"
            yield f"{found.a}{rows}: {format_number(found.value_a)}"
            if self.flips is not None:
                yield f"{self.flips}, p = {format_p(found.difference.p)}".replace("= <", "< ")

    def details(self) -> list[str]:
        """Say what was compared with what, in the words of ``icl compare``, and all notes."""
        lines = []
        if self.comparison is not None and self.earlier is not None:
            lines.append(describe_comparison(self.comparison))
            changed = list(self._changes(self.earlier))
            if changed != ["template"]:
                lines.append(f"changed since then: {', '.join(changed) or 'the data or model'}")
        return [*lines, *self.notes]

    def _changes(self, earlier: ScreenRun) -> Iterator[str]:
        now, then = self.screen, earlier.screen
        if now.text != then.text:
            yield "template"
        for name, said in _SETTINGS.items():
            one, two = getattr(then, name), getattr(now, name)
            if one != two:
                words = ["as given" if value == "" else value for value in (one, two)]
                yield f"{said} {words[0]} → {words[1]}"
        if now.hand != then.hand:
            yield "shots by hand"

    def page(self, show: str = "all", number: int = 1) -> VersionPage:
        """Return a page of the rows that a filter shows; see :data:`SHOWN`.

        Raises:
            ConfigError: an unknown filter, or ``changed`` without a version before.
        """
        if show not in SHOWN:
            raise ConfigError(f"{show!r}: must be one of {', '.join(SHOWN)}")
        if show == "changed" and self.before is None:
            raise ConfigError(
                "nothing to compare with yet: run another version of this template on these rows"
            )
        query = RecordQuery(_FILTERS.get(show, show))
        found = self.now.page(query, number, self.before)
        verdicts = tuple(line.verdict for line in found.lines)
        rows = tuple(
            (
                clean(line.id),
                _cell(line.text),
                _cell(line.right),
                "–" if line.answer is None else _cell(line.answer),
                _SIGNS.get(line.verdict, line.verdict),
                "" if line.confidence is None else format_percent(line.confidence, 0),
                self._before(line.id),
            )
            for line in found.lines
        )
        return VersionPage(TextTable(HEAD, rows), verdicts, found.number, found.pages, found.found)

    def _before(self, key: str) -> str:
        """Say what the version before answered to a row, if that is something else."""
        if self.before is None or key not in self._common:
            return ""
        then, now = (one.answers[key].prediction.value for one in (self.before, self.now))
        if then == now:
            return ""
        was, right = (one.verdict(key) == "right" for one in (self.before, self.now))
        flip = "" if was == right else f" ← flipped {'right' if right else 'wrong'}"
        return f"was {'unparsed' if then is None else _cell(then)}{flip}"

    @cached_property
    def _common(self) -> frozenset[str]:
        found = self.comparison
        return frozenset() if found is None or found.sides is None else frozenset(found.sides[0][1])


def run_version(
    work: Workbench,
    history: RunHistory,
    page: str,
    screen: Screen,
    n: int | None,
    progress: JobProgress,
) -> VersionRun:
    """Ask the rows of a screen's data, and compare with the version of its template run before.

    If the user stops it, what is answered already is returned, with a note.

    Args:
        work: the workbench.
        history: what was run before; this run is added.
        page: hash of the page's session.
        screen: the screen; its row does not count.
        n: number of rows to draw; None asks all.
        progress: shows how far it is, and stops it.

    Raises:
        ConfigError: the row is typed by hand, so there are no others.
        StoppedError: it was stopped before any row was answered.
        IclError: everything that ``icl run`` would refuse.
    """
    if screen.own:
        raise ConfigError(
            "a row typed by hand is alone; take the tick from Type a row of my own to run on the "
            "rows of the data"
        )
    condition = work.sample(screen, n, DRAW_SEED)
    keep_version(work.base, screen.name, screen.text)
    run = ScreenRun(screen, n, _version(work, screen), condition.fingerprint)
    notes = []
    if screen.calibrator:
        notes.append("answers are as the model gives them; icl run calibrates those of many rows")
    try:
        work.release_others(condition)
        run_condition(condition, work.base / RUNS, progress, work.base)
    except StoppedError as error:
        notes.append(str(error))
        if not _open(work, condition).answers:
            raise
    made = VersionRun(run, _open(work, condition), len(condition.examples), notes=tuple(notes))
    return _beside_earlier(work, history, page, made)


def _beside_earlier(
    work: Workbench, history: RunHistory, page: str, made: VersionRun
) -> VersionRun:
    """Add the answers of the version before, and keep the run."""
    notes, earlier, before = list(made.notes), None, None
    try:
        earlier = history.before(page, made.run)
        if earlier is not None:
            opened = _open(work, work.sample(earlier.screen, earlier.n, DRAW_SEED))
            before = opened if opened.answers else None
    except IclError as error:
        notes.append(f"the run before cannot be compared: {join_lines(error)}")
    history.add(page, made.run)
    return VersionRun(made.run, made.now, made.asked, earlier, before, tuple(notes))


def _open(work: Workbench, condition: Condition) -> OpenCondition:
    return OpenCondition(read_condition(condition, work.base / RUNS, work.base), 1)


def _version(work: Workbench, screen: Screen) -> int:
    """Return the number of the newest version, whose text is the screen's."""
    return versions(work.base, screen.name)[0].number


def _cell(text: str) -> str:
    line = clean(" ".join(text.split()))
    return line if len(line) <= _CELL_CHARS else line[: _CELL_CHARS - 1] + "…"


def find_row(work: Workbench, screen: Screen, made: VersionRun, text: str) -> int:
    """Return the number, from 1, of the row that a table's first cell names.

    Args:
        work: the workbench.
        screen: what is set now.
        made: the run that the table shows.
        text: the cell.

    Raises:
        ConfigError: the screen shows other data than those that were run, or the row is no longer
            in them.
        StoreError: the run has no such row.
    """
    key = made.now.key(text)
    ran = made.screen
    here, there = ((one.data, one.locale, one.source, one.target) for one in (screen, ran))
    if here != there:
        known = work.source(ran)
        words = [ran.locale] * bool(known.locales) + [ran.source, ran.target] * bool(known.sources)
        where = " ".join(filter(None, (ran.data, *words)))
        raise ConfigError(f"this row is of {where}; choose that data again, or run on these rows")
    ids = [row.id for row in work.rows(ran)]
    if key not in ids:
        raise ConfigError(f"row {key!r} is no longer in {ran.data}; run on these rows again")
    return ids.index(key) + 1
