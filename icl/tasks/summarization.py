"""The task of summarizing a document in a few sentences."""

from __future__ import annotations

from dataclasses import replace

from icl.tasks.generic import GENERATE

__all__ = ["SUMMARIZATION"]


SUMMARIZATION = replace(
    GENERATE,
    name="summarization",
    parser="text",
    metrics=("rougeL", "rouge1", "rouge2", "rougeLsum", "length_ratio"),
    baselines=("lead3",),
)
