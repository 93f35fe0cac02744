"""The five kinds of answer as tasks: a data set then needs a template and no Python."""

from __future__ import annotations

from icl.core.kinds import Kind
from icl.tasks import Task

__all__ = ["CHOOSE", "CLASSIFY", "EXTRACT", "GENERATE", "LABELS"]


CLASSIFY = Task.of(
    Kind(
        name="classify",
        labels="shared",
        methods=("rank", "generate", "channel"),
        parser="label",
        metrics=("accuracy", "macro_f1"),
        baselines=("chance", "majority", "vote"),
        samples="intent",
        starter="intent/plain",
    )
)
"""One of the labels that all rows share: sentiment, topic, entailment."""

CHOOSE = Task.of(
    Kind(
        name="choose",
        labels="row",
        methods=("rank", "generate", "channel"),
        parser="label",
        metrics=("accuracy",),
        baselines=("chance", "majority"),
        samples="choose",
        starter="choose/instructed",
    )
)
"""One of the choices that a row brings along: COPA, multiple-choice questions."""

LABELS = Task.of(
    Kind(
        name="labels",
        labels="shared",
        gold="set",
        methods=("generate", "rank"),
        parser="label",
        metrics=("subset_accuracy", "jaccard", "label_micro_f1", "label_macro_f1"),
        baselines=("chance", "majority"),
        needs_stop=True,
        samples="emotions",
        starter="emotions/instructed",
    )
)
"""All labels that hold, any number of some that all rows share: emotions, topics, tags."""

GENERATE = Task.of(
    Kind(
        name="generate",
        parser="first_line",
        metrics=("exact_match", "token_f1", "chrf"),
        needs_stop=True,
        samples="translation",
        starter="generate/question",
    )
)
"""Free text: answers to questions, rewriting, correction."""

EXTRACT = Task.of(
    Kind(
        name="extract",
        gold="items",
        parser="fields",
        metrics=("item_f1", "exact_match"),
        samples="extract",
        starter="extract/json",
    )
)
"""Fields or items that a text names, written as JSON, ``key: value`` lines or a list."""
