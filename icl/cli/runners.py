"""Runners of ``icl run``: one for each block that makes a file more than a grid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from icl.cli.run_grid import run_grid
from icl.cli.run_search import lint_search, run_search
from icl.core.errors import ConfigError

if TYPE_CHECKING:
    from icl.cli.run_options import RunOptions
    from icl.experiment.grid import Experiment
    from icl.experiment.lint import Problem

__all__ = ["GRID", "RUNNERS", "Runner", "find_block", "pick_runner"]


@dataclass(frozen=True)
class Runner:
    """The functions that run and check a file with a certain block."""

    run: Callable[[Experiment, RunOptions], None]
    """Runs it, or tells its cost, and prints what came out."""
    lint: Callable[[Experiment, str], Iterable[Problem]] = lambda experiment, name: ()
    """Finds problems of the block, for ``icl lint``, in addition to those of the grid."""


RUNNERS = {"search": Runner(run_search, lint_search)}
"""Block of an experiment file -> what is done with it; a file with none is a grid."""
GRID = Runner(run_grid)


def find_block(raw: Mapping[str, Any], where: object) -> str | None:
    """Return the block that decides how a file is run; None for a grid.

    >>> find_block({"models": {}, "search": {}}, "small.yaml")
    'search'

    Raises:
        ConfigError: the file has several of them.
    """
    found = [block for block in RUNNERS if raw.get(block) is not None]
    if len(found) > 1:
        raise ConfigError(
            f"{where}: one file is one run, and it has {' and '.join(f'{b}:' for b in found)}; "
            "give each a file of its own"
        )
    return found[0] if found else None


def pick_runner(experiment: Experiment, where: object) -> Runner:
    """Return what runs an experiment: its grid, or the block that it has."""
    block = find_block(experiment.raw, where)
    return GRID if block is None else RUNNERS[block]
