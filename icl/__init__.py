"""A workbench for in-context learning: few-shot prompts on your own models, scored.

>>> from icl import run
>>> run("experiments/quickstart.yaml").frame()                          # doctest: +SKIP
"""

from __future__ import annotations

from icl.core.errors import IclError
from icl.core.registry import register
from icl.experiment.file import load_experiment
from icl.experiment.grid import Experiment
from icl.records.results import Run, load_run
from icl.running.run import run
from icl.running.search.search import search
from icl.scoring.scores import score_run

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
