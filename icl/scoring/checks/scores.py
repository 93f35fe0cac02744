"""Checks of a condition's first score: its precision, and a paired test against baselines."""

from __future__ import annotations

from collections.abc import Iterator

from icl.core.registry import lookup, names
from icl.core.score_name import ScoreName
from icl.core.types import Better
from icl.metrics import find_direction, make_metric, starts_program
from icl.records.results import ConditionResult
from icl.scoring.checks.base import ConditionAnswers, Found
from icl.scoring.compare import Comparison
from icl.scoring.slot_scores import vote_rows
from icl.tasks.baselines import describe_tie

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


def _below(seen: ConditionAnswers) -> Iterator[Comparison]:
    """Yield the baselines that the first score is not shown to be better than, by a paired test."""
    for one in seen.margins:
        if one.better != "none" and not one.problem and not (one.shown and not _is_worse(one)):
            yield one


def retrieval(seen: ConditionAnswers) -> Iterator[Found]:
    """Find a score that the vote of retrieved shots reaches without a model."""
    for one in _below(seen):
        if one.a != "vote" or not _retrieved(seen, one):
            continue
        right = {
            e.id
            for e, p in zip(seen.examples, seen.predictions, strict=True)
            if p.value in e.targets
        }
        voted = vote_rows(seen.condition, seen.predictions) or []
        # Where labels tie, the vote is right by the share of them that are.
        same = round(
            sum(
                sum(one.value in e.targets for one in tied) / len(tied)
                for e, tied in zip(seen.examples, voted, strict=True)
                if e.id in right
            )
        )
        text = f"{one.metric} {one.value_b:.1f} is {_how(one)} the vote of its own "
        text += f"shots, {_describe_vote(seen, one)}: retrieval does most of the work"
        if right:
            text += f" ({same} of {len(right)} right answers are the vote's too)"
        yield same if right else seen.n, len(right) or seen.n, text


def _retrieved(seen: ConditionAnswers, voted: Comparison) -> bool:
    """Return whether the shots were retrieved and their vote beats the trivial baselines."""
    trivial = [one.value_a for one in seen.margins if one.a in ("majority", "chance")]
    least = max((value for value in trivial if value is not None), default=0.0)
    scored = any(shot[2] is not None for record in seen.records for shot in record.shots)
    return scored and (voted.value_a or 0.0) > least


def baseline(seen: ConditionAnswers) -> Iterator[Found]:
    """Find a score that is worse than another baseline, or not shown to be better."""
    told: dict[str, list[str]] = {}
    for one in _below(seen):
        if one.a != "vote" or not _retrieved(seen, one):
            told.setdefault(_how(one), []).append(f"{one.a} {_describe_vote(seen, one)}")
    if told:
        first = seen.margins[0]
        parts = " and ".join(f"{how} {', '.join(others)}" for how, others in told.items())
        yield seen.n, seen.n, f"{first.metric} {first.value_b:.1f} is {parts}"


def _describe_vote(seen: ConditionAnswers, one: Comparison) -> str:
    """Write the score of a baseline, and the ties behind it."""
    name = str(ScoreName(ScoreName.of(one.metric, "model").metric, role=one.a))
    tied = [describe_tie(score) for score in seen.condition.scores if score.name == name]
    return f"{one.value_a:.1f}" + (f" ({tied[0]})" if any(tied) else "")


def _how(one: Comparison) -> str:
    return "worse than" if one.shown and _is_worse(one) else "not shown to be better than"


def _is_worse(one: Comparison) -> bool:
    """Return whether the condition scores worse than the baseline, significantly or not."""
    value = one.difference.value or 0.0
    return value > 0 if one.better == "lower" else value < 0


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
