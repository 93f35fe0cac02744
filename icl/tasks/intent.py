"""The task of naming what a user wants of a voice assistant, as one of a set of labels."""

from __future__ import annotations

from dataclasses import replace

from icl.tasks.generic import CLASSIFY

__all__ = ["INTENT"]


INTENT = replace(CLASSIFY, name="intent")
