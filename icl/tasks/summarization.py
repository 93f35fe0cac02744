"""The task of saying in a few sentences what a document says."""

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
