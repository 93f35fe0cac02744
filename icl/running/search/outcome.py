"""The result of a search in numbers and words: certainty of the choice, and its optimism."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from icl.core.errors import MetricError
from icl.core.number_text import format_interval, format_number, format_p, format_score
from icl.core.stats import score
from icl.core.types import Score
from icl.metrics import make_metric
from icl.records.results import ConditionResult
from icl.running.search.candidates import Candidate
from icl.running.search.halving import Rung
from icl.running.search.objective import Objective
from icl.running.search.state import CandidateTrial
from icl.scoring.significance import Difference, holm, measure_difference

__all__ = [
    "ScoreComparison",
    "SearchOutcome",
    "Optimism",
    "Rival",
    "FinalTest",
    "make_rungs_table",
    "measure_optimism",
    "render",
    "compare_rivals",
    "score_final",
]


if TYPE_CHECKING:
    from rich.console import RenderableType

SHOWN = 12
"""Most candidates in the table of rungs; ``search.jsonl`` lists all."""
SURE = 0.05
"""A difference counts as shown if its p (Holm-corrected for several) is below this."""


@dataclass(frozen=True)
class Rival:
    """A candidate that answered the same last rows as the winner."""

    name: str
    difference: Difference
    """Winner minus rival, paired, on development rows."""
    p: float | None
    """Corrected for the number of rivals (Holm)."""


@dataclass(frozen=True)
class ScoreComparison:
    """One score of winner and baseline on the test rows."""

    winner: Score
    baseline: Score
    """Score of the file's first condition."""
    difference: Difference
    """Winner minus baseline, paired."""
    p: float | None = None
    """Corrected for how many scores are tested (Holm)."""


@dataclass(frozen=True)
class Optimism:
    """The winner's score on the rows that chose it, compared with its score on the test rows."""

    value: float
    """Development minus test score; above 0 if the choice was too optimistic."""
    low: float | None
    high: float | None
    """Ends of the 95 % interval, from the intervals of the two scores (Zou and Donner 2008)."""


@dataclass(frozen=True)
class FinalTest:
    """The single test on untouched rows: the objective first, then the task's metrics."""

    scores: Sequence[ScoreComparison]
    optimism: Optimism | None
    """None if a score is undefined."""
    same: bool
    """Whether the winner is the file's first condition."""
    refused: Sequence[str] = ()
    """Metrics that are undefined for these rows, with the reason."""


@dataclass(frozen=True)
class SearchOutcome:
    """The complete result of a search."""

    name: str
    objective: Objective
    candidates: int
    rungs: Sequence[Rung]
    trials: Sequence[CandidateTrial]
    winner: Candidate
    dev: Score
    """The winner's objective on the development rows of its last rung."""
    rivals: Sequence[Rival]
    test: FinalTest | None
    """None if these test rows were already used for another winner."""
    opened: int
    """Number of winners that were tested on any of these test rows, by searches of this name."""
    stopped: str
    """Reason why the last rung was not reached; empty if it was."""
    best: Path
    """Experiment file of the winner, for ``icl run``."""
    shots: Path | None
    """The winner's shot file; None if its shots depend on the query or came from the file."""


def compare_rivals(
    objective: Objective,
    answered: Mapping[int, ConditionResult],
    winner: int,
    candidates: Sequence[Candidate],
) -> tuple[Rival, ...]:
    """Compare the winner with every other candidate of its last rung, on the same rows."""
    others = [number for number in answered if number != winner]
    found = [measure_difference(*objective.pair(answered[n], answered[winner])) for n in others]
    known = [one.p for one in found if one.p is not None]
    corrected = iter(holm(known))
    return tuple(
        Rival(candidates[n].name, one, None if one.p is None else next(corrected))
        for n, one in zip(others, found, strict=True)
    )


def score_final(
    objective: Objective, dev: Score, winner: ConditionResult, baseline: ConditionResult
) -> FinalTest:
    """Score winner and baseline on the test rows, and measure the search's optimism."""
    wanted = [objective]
    for entry in winner.entry.metrics:
        name, metric = make_metric(entry)
        if name != objective.name:
            wanted.append(Objective(name, metric))
    scores: list[ScoreComparison] = []
    refused: list[str] = []
    for one in wanted:
        try:
            own, other = one.pair(baseline, winner)
        except MetricError as error:
            if one is objective:
                raise
            refused.append(f"{one.name}: {error}")
            continue
        scores.append(
            ScoreComparison(
                score(one.name, other), score(one.name, own), measure_difference(own, other)
            )
        )
    ps = [one.difference.p for one in scores if one.difference.p is not None]
    corrected = iter(holm(ps))
    scores = [
        one if one.difference.p is None else replace(one, p=next(corrected)) for one in scores
    ]
    same = winner.entry.fingerprint == baseline.entry.fingerprint
    made = measure_optimism(dev, scores[0].winner, objective.sign)
    return FinalTest(tuple(scores), made, same, tuple(refused))


def measure_optimism(dev: Score, test: Score, sign: int) -> Optimism | None:
    """Subtract the test score from the development score; the sign is flipped if lower is better.

    Returns None if either score is undefined. The interval combines those of two independent scores
    by MOVER. Source: Zou and Donner 2008, Statistics in Medicine 27:1693-1702; for Wilson's
    intervals
    it is method 10 of Newcombe 1998, Statistics in Medicine 17:873-890.
    """
    if dev.value is None or test.value is None:
        return None
    value = dev.value - test.value
    if None in (dev.low, dev.high, test.low, test.high):
        return Optimism(sign * value, None, None)
    assert dev.low is not None and dev.high is not None
    assert test.low is not None and test.high is not None
    low = value - math.hypot(dev.value - dev.low, test.high - test.value)
    high = value + math.hypot(dev.high - dev.value, test.value - test.low)
    ends = sorted((sign * low, sign * high))
    return Optimism(sign * value, ends[0], ends[1])


def render(found: SearchOutcome, width: int = 80) -> str:
    """Render rungs, test and words as plain text of at most ``width`` columns."""
    from icl.core.safe_console import SafeConsole

    console = SafeConsole(file=io.StringIO(), width=width, color_system=None, force_terminal=False)
    for part in _parts(found):
        console.print(part)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def _parts(found: SearchOutcome) -> Iterator[RenderableType]:
    guess = ""
    if found.objective.metric is None and found.winner.test.choices:
        value = -math.log(len(found.winner.test.choices))
        guess = f"; all choices alike would have {format_number(value, found.objective.digits)}"
    yield f"{found.objective.name} on development rows, {found.candidates} candidates{guess}"
    yield make_rungs_table(
        found.trials,
        [rung.rows for rung in found.rungs],
        found.objective.digits,
        found.objective.sign,
        found.winner.dev.fingerprint,
    )
    if found.test:
        yield "\nthe test"
        yield _test_table(found)
    yield "\n" + "\n".join(describe_outcome(found))


def make_rungs_table(
    trials: Sequence[CandidateTrial],
    rows: Sequence[int],
    digits: int = 1,
    sign: int = 1,
    winner: str | None = None,
) -> RenderableType:
    """Make the table of candidates, those that came furthest first.

    Args:
        trials: the trials of the search so far.
        rows: the rows of each rung.
        digits: decimals of the objective.
        sign: 1 if more of it is better, else -1.
        winner: the condition of the winner on development rows; None if there is none yet.
    """
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("candidate", overflow="fold")
    for n in rows:
        table.add_column(f"{n} rows", justify="right", no_wrap=True)
    table.add_column("95 % interval", no_wrap=True)
    table.add_column("tokens", justify="right", no_wrap=True)
    values: dict[int, dict[int, CandidateTrial]] = {}
    for trial in trials:
        if trial.rung:
            values.setdefault(trial.candidate, {})[trial.rung] = trial

    def place(number: int) -> tuple[float, ...]:
        last = values[number][max(values[number])]
        worst = -math.inf if last.value is None else sign * last.value
        return last.condition != winner, -last.rung, -worst, number

    ordered = sorted(values, key=place)
    for number in ordered[:SHOWN]:
        tried = values[number]
        last = tried[max(tried)]
        cells = [("▸ " if last.condition == winner else "  ") + last.name]
        cells += [
            format_number(tried[place].value, digits) if place in tried else ""
            for place in range(1, len(rows) + 1)
        ]
        tokens = sum(t.tokens for t in trials if t.candidate == number)
        table.add_row(*cells, format_interval(last, digits), f"{tokens:,}")
    if len(ordered) > SHOWN:
        table.add_row(f"  … and {len(ordered) - SHOWN} more in search.jsonl")
    return table


def _test_table(found: SearchOutcome) -> RenderableType:
    from rich import box
    from rich.table import Table

    assert found.test is not None
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    p = "p (Holm)" if len(found.test.scores) > 1 else "p"
    for title in ("score", "winner", "file's first", "difference", p):
        table.add_column(title, justify="left" if title == "score" else "right", no_wrap=True)
    for one in found.test.scores:
        digits = found.objective.digits if one.winner.name == found.objective.name else 1
        made = one.difference
        table.add_row(
            one.winner.name,
            format_score(one.winner, digits, between="\n"),
            format_score(one.baseline, digits, between="\n"),
            format_score(made, digits, "+", between="\n"),
            format_p(one.p),
        )
    return table


def describe_outcome(found: SearchOutcome) -> Iterator[str]:
    """Yield sentences about the search's result, and about which differences are significant."""
    digits = found.objective.digits
    where = f"{found.dev.n} development rows"
    yield (
        f"winner: {found.winner.name}, {found.objective.name} {format_score(found.dev, digits)} on "
        f"{where}, the best of {found.candidates} by successive halving"
    )
    if found.stopped:
        yield f"early: {found.stopped}"
    beaten = [one for one in found.rivals if one.p is not None and one.p < SURE]
    if found.rivals:
        left = len(found.rivals) - len(beaten)
        yield (
            f"choice: better than {len(beaten)} of its {len(found.rivals)} last rivals (paired, p "
            f"below {SURE} after Holm)"
            + (f"; from the other {left} these rows cannot tell it" if left else "")
        )
    yield from _test_words(found)
    tokens, seconds = sum(t.tokens for t in found.trials), sum(t.seconds for t in found.trials)
    trials = f"{len(found.trials)} trials"
    yield f"cost: {tokens:,} tokens in {trials}, {seconds:.0f} s, without the test"


def _test_words(found: SearchOutcome) -> Iterator[str]:
    if found.test is None:
        yield (
            f"test: not repeated: its rows were used to test {found.opened} other winner"
            f"{'s' * (found.opened != 1)} before, so they are no longer untouched; --again uses "
            "them anyway, and counts it"
        )
        return
    first, digits = found.test.scores[0], found.objective.digits
    n = first.winner.n
    if found.test.same:
        yield f"test: on {n} rows used once; the winner is the file's first condition itself"
    elif first.p is not None and first.difference.value is not None:
        ahead = found.objective.sign * first.difference.value > 0
        shown = first.p < SURE
        verdict = (
            f"on {n} rows no difference is shown between the winner and the file's first condition"
        )
        if shown:
            is_ = "better" if ahead else "WORSE"
            verdict = f"on {n} rows the winner is {is_} than the file's first condition"
        yield f"test: {verdict} ({first.difference.test.partition('|')[0]})"
    if made := found.test.optimism:
        yield (
            f"optimism: development minus test {format_score(made, digits, '+')}: "
            + ("believe the test" if made.value > 0 else "none seen")
        )
    if found.opened > 1:
        yield (
            f"care: these test rows were used to test {found.opened} winners; the best of them "
            "looks better than it is"
        )
    for line in found.test.refused:
        yield f"left out: {line}"
