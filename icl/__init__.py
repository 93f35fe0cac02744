"""A workbench for in-context learning: few-shot prompts on your own models, scored.

>>> from icl import run
>>> run("experiments/quickstart.yaml").frame()                          # doctest: +SKIP
"""

from __future__ import annotations

from icl.config import Experiment, load_experiment
from icl.errors import IclError
from icl.registry import register
from icl.results import Run, load_run
from icl.run import run
from icl.scoring import score_run
from icl.search import search

__all__ = [
    "Experiment",
    "IclError",
    "Run",
    "load_experiment",
    "load_run",
    "register",
    "run",
    "score_run",
    "search",
]
