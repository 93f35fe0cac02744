"""The task of intent classification: what a user wants from a voice assistant."""

from __future__ import annotations

from dataclasses import replace

from icl.tasks.generic import CLASSIFY

__all__ = ["INTENT"]


INTENT = replace(CLASSIFY, name="intent")
