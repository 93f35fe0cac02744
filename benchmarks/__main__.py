"""All benchmarks, one table."""

from __future__ import annotations

from benchmarks import generation, limit, memory, parity, ranking
from benchmarks.results import Options, Result, command


def run(options: Options) -> list[Result]:
    """Every benchmark's results, one after the other."""
    return [
        result
        for benchmark in (parity, ranking, generation, limit, memory)
        for result in benchmark.run(options)
    ]


if __name__ == "__main__":
    command(run, parity.check)
