"""The task of translating a sentence from one language into another."""

from __future__ import annotations

from dataclasses import replace

from icl.tasks.generic import GENERATE

__all__ = ["TRANSLATION"]


TRANSLATION = replace(GENERATE, name="translation", metrics=("chrf", "bleu"), baselines=("copy",))
