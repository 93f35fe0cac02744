"""The task of translating a sentence from one language into another."""

from __future__ import annotations

from icl.tasks import Task

__all__ = ["TRANSLATION"]


TRANSLATION = Task(
    name="translation",
    kind="generate",
    methods=("generate",),
    parser="first_line",
    metrics=("chrf", "bleu"),
    baselines=("copy",),
)
