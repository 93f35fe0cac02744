"""Checks of the prompts: tokens across the border to the answer, shots, repeated inputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from icl.scoring.checks.base import ConditionAnswers, Found

__all__ = ["duplicates", "gold_missing", "lost_shots", "nothing_found", "spanning"]


SOME = 0.05
"""Smallest share of rows for which a failed retrieval is reported."""


def spanning(seen: ConditionAnswers) -> Iterator[Found]:
    """Find prompts whose last token also contains the beginning of a choice."""
    count = sum(record.spanning > 0 for record in seen.records)
    if count:
        yield (
            count,
            seen.n,
            f"{count} of {seen.n} prompts end inside a token of their choices (spanning tokens); "
            "write the space after ||| and not before it",
        )


def nothing_found(seen: ConditionAnswers) -> Iterator[Found]:
    """Find rows whose retrieved shots have nothing in common with them: every score is 0."""
    found = [
        [score for _, _, score in record.shots if score is not None] for record in seen.records
    ]
    retrieved = [scores for scores in found if scores]
    count = sum(not any(scores) for scores in retrieved)
    if count and count >= SOME * len(retrieved):
        yield (
            count,
            len(retrieved),
            f"retrieval found nothing for {count} of {len(retrieved)} rows: all scores of their "
            "shots are 0.000, as no word is shared; try ngrams: char, or other fields",
        )


def lost_shots(seen: ConditionAnswers) -> Iterator[Found]:
    """Find prompts from which shots were dropped to fit the window."""
    count = sum(bool(record.dropped) for record in seen.records)
    if count:
        shots = sum(len(record.dropped) for record in seen.records)
        yield (
            count,
            seen.n,
            f"{count} of {seen.n} prompts lost shots to fit the window ({shots} shots)",
        )


def gold_missing(seen: ConditionAnswers) -> Iterator[Found]:
    """Find rows whose right label is not among their shots, if these are half of the rows."""
    told = [
        (prediction, example)
        for prediction, example in zip(seen.predictions, seen.examples, strict=True)
        if prediction.shot_labels and example.targets
    ]
    count = 0
    for prediction, example in told:
        shown = {label for answer in prediction.shot_labels for label in seen.labels(answer)}
        right = {label for target in example.targets for label in seen.labels(target)}
        count += bool(right) and not shown & right
    if told and 2 * count >= len(told):
        yield (
            count,
            len(told),
            f"the right label is missing among the shots of {count} of {len(told)} rows",
        )


def duplicates(seen: ConditionAnswers) -> Iterator[Found]:
    """Find test inputs that are equal except for case and white space."""
    contents = Counter(example.content for example in seen.examples)
    count = sum(times - 1 for times in contents.values())
    if count:
        yield count, seen.n, f"{count} of {seen.n} test inputs repeat another one of them"
