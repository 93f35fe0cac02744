"""The task of naming what a user wants of a voice assistant, as one of a set of labels."""

from __future__ import annotations

from icl.tasks import Task

__all__ = ["INTENT"]


INTENT = Task(
    name="intent",
    kind="classify",
    methods=("rank", "generate", "channel"),
    parser="label",
    metrics=("accuracy", "macro_f1"),
    baselines=("chance", "majority", "vote"),
)
