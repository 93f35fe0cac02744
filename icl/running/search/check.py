"""Problems of a ``search:`` block, found before a model runs, for ``icl lint``."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from icl.core.errors import IclError, join_lines
from icl.core.strict_yaml import find_line
from icl.experiment.grid import Experiment
from icl.experiment.lint import (
    LocalLoader,
    Problem,
    find_condition_problems,
    find_template_problems,
)
from icl.running.search.candidates import collect_candidates, read_search_entry
from icl.running.search.objective import make_objective

__all__ = ["find_search_problems"]


def find_search_problems(experiment: Experiment, name: str) -> Iterator[Problem]:
    """Yield the problems of a search: candidates that cannot be built, and those of their prompts.

    Args:
        experiment: an experiment with a ``search:`` block.
        name: its file.
    """
    found = re.search(r"^[\"' {]*search\b", experiment.text, re.M)
    at = experiment.text.count("\n", 0, found.start()) + 1 if found else 1
    try:
        with tempfile.TemporaryDirectory(prefix="icl-lint-") as folder:
            made = collect_candidates(experiment, LocalLoader(experiment), Path(folder))
            first = {one.test.template.file.path: one for one in reversed(made.candidates)}
            make_objective(read_search_entry(experiment).objective, made.baseline.method)
            for path, candidate in first.items():
                for text in find_condition_problems(candidate.test):
                    yield Problem(name, name, at, f"search: {candidate.name}: {text}")
                for line, text in find_template_problems(candidate.test.template.file):
                    yield Problem(name, str(path), line, text)
    except IclError as error:
        text = join_lines(error)
        line = max(at, find_line(experiment.text, text) or at)
        yield Problem(name, name, line, text if "search" in text else f"search: {text}")
