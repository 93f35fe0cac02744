"""The task of saying in a few sentences what a document says."""

from __future__ import annotations

from icl.tasks import Task

__all__ = ["SUMMARIZATION"]


SUMMARIZATION = Task(
    name="summarization",
    kind="generate",
    methods=("generate",),
    parser="text",
    metrics=("rougeL", "rouge1", "rouge2", "rougeLsum", "length_ratio"),
    baselines=("lead3",),
)
