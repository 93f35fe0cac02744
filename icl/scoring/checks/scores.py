"""Checks of a condition's primary score: against baselines, and its precision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from icl.core.registry import lookup, names
from icl.core.score_name import ScoreName
from icl.core.types import Better, Score
from icl.metrics import find_direction, make_metric, starts_program
from icl.records.results import ConditionResult
from icl.scoring.checks.base import ConditionAnswers, Found
from icl.tasks.baselines import describe_tie, vote

__all__ = ["baseline", "find_score_direction", "few_rows", "retrieval"]


WIDE = 20.0
"""Width of an interval, in points, above which it says little."""


def find_score_direction(condition: ConditionResult, name: str) -> Better:
    """Return the better direction of a score: ``higher``, ``lower`` or ``none``.

    ``name`` is the score's name, which may include a parser or a calibrator.
    """
    plain = ScoreName.of(name, "model").metric
    own = dict(make_metric(entry) for entry in condition.entry.metrics)
    if plain in own and not (starts_program(own[plain]) and plain in names("metric")):
        return find_direction(own[plain])
    return find_direction(lookup("metric", plain)) if plain in names("metric") else "none"


def _below(seen: ConditionAnswers) -> Iterator[tuple[str, Score, Score]]:
    """Yield the baselines that the primary score is not shown to be better than."""
    score = seen.primary
    if score is None or score.value is None:
        return
    way = find_score_direction(seen.condition, score.name)
    for other in seen.condition.scores:
        if other.kind != "baseline" or other.value is None:
            continue
        named = ScoreName.of_score(other)
        if named.metric != score.name:
            continue
        reached = score.low if way == "higher" else score.high
        reached = score.value if reached is None else reached
        if way == "higher" and reached <= other.value or way == "lower" and reached >= other.value:
            yield named.role, score, other


def retrieval(seen: ConditionAnswers) -> Iterator[Found]:
    """Find a score that the vote of retrieved shots reaches without a model."""
    for score, other in ((s, o) for name, s, o in _below(seen) if name == "vote"):
        if not _retrieved(seen, other):
            continue
        right = {
            e.id
            for e, p in zip(seen.examples, seen.predictions, strict=True)
            if p.value in e.targets
        }
        voted = vote(seen.predictions) or []
        # Where labels tie, the vote is right by the share of them that are.
        same = round(
            sum(
                sum(one.value in e.targets for one in tied) / len(tied)
                for e, tied in zip(seen.examples, voted, strict=True)
                if e.id in right
            )
        )
        text = f"{score.name} {score.value:.1f} is {_how(seen, score, other)} the vote of its own "
        text += f"shots, {_told(other)}: retrieval does most of the work"
        if right:
            text += f" ({same} of {len(right)} right answers are the vote's too)"
        yield same if right else seen.n, len(right) or seen.n, text


def _retrieved(seen: ConditionAnswers, voted: Score) -> bool:
    """Tell whether the shots were retrieved and their vote beats the trivial baselines."""
    vote_name = ScoreName.of_score(voted)
    trivial = [str(replace(vote_name, role=one)) for one in ("majority", "chance")]
    least = [s.value for s in seen.condition.scores if s.name in trivial and s.value is not None]
    scored = any(shot[2] is not None for record in seen.records for shot in record.shots)
    return scored and (voted.value or 0.0) > max(least, default=0.0)


def baseline(seen: ConditionAnswers) -> Iterator[Found]:
    """Find a score that another baseline reaches, or may reach within its interval."""
    told: dict[str, list[str]] = {}
    for name, score, other in _below(seen):
        if name != "vote" or not _retrieved(seen, other):
            told.setdefault(_how(seen, score, other), []).append(f"{name} {_told(other)}")
    primary = seen.primary
    if told and primary is not None:
        parts = " and ".join(f"{how} {', '.join(others)}" for how, others in told.items())
        yield seen.n, seen.n, f"{primary.name} {primary.value:.1f} is {parts}"


def _told(other: Score) -> str:
    tied = describe_tie(other)
    return f"{other.value:.1f}" + (f" ({tied})" if tied else "")


def _how(seen: ConditionAnswers, score: Score, other: Score) -> str:
    return "worse than" if _worse(seen, score, other) else "not shown to be better than"


def _worse(seen: ConditionAnswers, score: Score, other: Score) -> bool:
    value, beside = score.value or 0.0, other.value or 0.0
    return (
        value < beside
        if find_score_direction(seen.condition, score.name) == "higher"
        else value > beside
    )


def few_rows(seen: ConditionAnswers) -> Iterator[Found]:
    """Find an interval that is too wide to say much."""
    score = seen.primary
    if score is None or score.low is None or score.high is None:
        return
    if (width := score.high - score.low) > WIDE:
        yield (
            seen.n,
            max(seen.n, seen.condition.entry.rows_available or 0),
            f"few rows: the interval of {score.name} is {width:.0f} points wide with n = "
            f"{score.n}; about {4 * score.n} rows would halve it",
        )
