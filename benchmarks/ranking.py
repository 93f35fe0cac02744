"""How long does it take to rank 60 intents, against lm-evaluation-harness?"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.prompts import bm25_intents, choices, fixed_intents
from benchmarks.results import Options, Result, command, logger
from benchmarks.tools import Items, Tools, compared, opened
from icl.core.types import Prompt

__all__ = ["run"]

SIZES = (1, 8, 32, 64)
"""Batch sizes of the other tool that are tried."""
SHARED = (20, 100)
"""Queries that this project answers by one call: the more, the more of them is shared."""
CASES: dict[str, Callable[[int], list[Prompt]]] = {
    "10 fixed": lambda n: fixed_intents(n, k=10),
    "8 BM25": lambda n: bm25_intents(n, k=8),
}


def run(options: Options) -> list[Result]:
    """Time both tools on the same queries, and this project on more of them."""
    n_tried, n = (1, 4) if options.quick else (4, 20)
    results = []
    with opened(options.model, "auto") as tools:
        for name, prompts in CASES.items():
            width = len(choices())
            items = [(prompt, choice) for prompt in prompts(max(SHARED)) for choice in choices()]
            tools.ours(items[:width])  # the first pass of a process is slower
            batch_size = fastest(tools, items[: n_tried * width])
            logger.info("ranking, %s: %d queries in lm-eval", name, n)
            theirs = tools.theirs(items[: n * width], batch_size)
            for n_ours in sorted({n, *SHARED}):
                logger.info("ranking, %s: %d queries here", name, n_ours)
                asked = items[: n_ours * width]
                ours = tools.ours(asked)
                title = f"{name}, {n_ours}"
                results.append(compared(title, tools, asked, ours, theirs, batch_size))
    return results


def fastest(tools: Tools, items: Items) -> int:
    """Find the batch size at which the other tool needs the least time."""
    seconds = {}
    for size in tools.fitting(items, SIZES):
        seconds[size] = tools.theirs(items, size).seconds
        logger.info("lm-eval, batch size %d: %.2f s", size, seconds[size])
    return min(seconds, key=seconds.__getitem__)


if __name__ == "__main__":
    command(run)
