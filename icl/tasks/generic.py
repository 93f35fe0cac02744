"""The four kinds of answer as tasks of their own: a data set needs a template and no Python."""

from __future__ import annotations

from icl.tasks import Task

__all__ = ["CHOOSE", "CLASSIFY", "EXTRACT", "GENERATE"]


CLASSIFY = Task(
    name="classify",
    kind="classify",
    methods=("rank", "generate", "channel"),
    parser="label",
    metrics=("accuracy", "macro_f1"),
    baselines=("chance", "majority", "vote"),
)
"""One of some labels that all rows share: sentiment, topic, entailment."""

CHOOSE = Task(
    name="choose",
    kind="choose",
    methods=("rank", "generate", "channel"),
    parser="label",
    metrics=("accuracy",),
    baselines=("chance", "majority"),
)
"""One of the choices that a row brings along: COPA, multiple-choice questions."""

GENERATE = Task(
    name="generate",
    kind="generate",
    methods=("generate",),
    parser="first_line",
    metrics=("exact_match", "token_f1", "chrf"),
    baselines=(),
)
"""Free text: answers to questions, rewriting, correction."""

EXTRACT = Task(
    name="extract",
    kind="extract",
    methods=("generate",),
    parser="fields",
    metrics=("item_f1", "exact_match"),
    baselines=(),
)
"""Fields or items that a text names, written as JSON, ``key: value`` lines or a list."""
