"""All benchmarks, one table."""

from __future__ import annotations

from benchmarks import parity, ranking
from benchmarks.results import Options, Result, command


def run(options: Options) -> list[Result]:
    """Every benchmark's results, one after the other."""
    return [*parity.run(options), *ranking.run(options)]


if __name__ == "__main__":
    command(run, parity.check)
