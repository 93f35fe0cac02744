"""Checks of the prompts: tokens across the border to the answer, lost shots, repeated inputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from icl.scoring.checks.base import ConditionAnswers, Found

__all__ = ["duplicates", "gold_missing", "lost_shots", "spanning"]


def spanning(seen: ConditionAnswers) -> Iterator[Found]:
    """Find prompts whose last token also contains the beginning of a choice."""
    count = sum(record.spanning > 0 for record in seen.records)
    if count:
        yield (
            count,
            seen.n,
            f"{count} of {seen.n} prompts end inside a token of their choices (spanning tokens); "
            "write the space behind ||| and not before it",
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
