"""Are log-likelihoods those of lm-evaluation-harness? In float32, within 0.001 nat a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.prompts import bm25_intents, choices, fixed_intents, long_texts, translations
from benchmarks.results import Options, Result, command, logger
from benchmarks.tools import Items, compared, opened
from icl.core.errors import IclError
from icl.core.types import Prompt

__all__ = ["check", "requests", "run"]


def requests(quick: bool) -> dict[str, Items]:
    """Name -> requests of one kind; 416 in all."""
    n = 1 if quick else 2
    labels = choices()

    def ranked(prompts: Sequence[Prompt]) -> Items:
        return [(prompt, label) for prompt in prompts for label in labels]

    zero = fixed_intents(n, k=0)
    space = [replace(prompt, query=prompt.query + " ") for prompt in zero[:1]]
    newline = [replace(prompt, query=prompt.query + "\n") for prompt in zero[:1]]
    bare = [(prompt, label.lstrip()) for prompt, label in ranked([*space, *newline])]
    return {
        "zero-shot": ranked(zero),
        "8 shots": ranked(bm25_intents(n, k=8)),
        "sw, hi, zh": translations(2 * n),
        "long": long_texts(n),
        "border": bare,
    }


def run(options: Options) -> list[Result]:
    """Score every request in both tools and compare."""
    results = []
    with opened(options.model, "fp32") as tools:
        for name, items in requests(options.quick).items():
            logger.info("parity, %s: %d requests", name, len(items))
            batch_size = max(tools.fitting(items, (1, 2, 4, 8)))
            theirs = tools.theirs(items, batch_size)
            ours = tools.ours(items)
            results.append(compared(f"parity {name}", tools, items, ours, theirs, batch_size))
    return results


def check(results: Sequence[Result]) -> None:
    """Refuse results that are further from the other tool than float32 explains.

    Raises:
        IclError: names the kind of request and how far it is off.
    """
    for result in results:
        if result.max_abs_diff is not None and not result.max_abs_diff <= result.limit:
            raise IclError(
                f"{result.name}: {result.max_abs_diff:.2g} nat from lm-evaluation-harness, "
                f"accepted is {result.limit:g}; compare HFEngine.score with HFEngine.score_plain"
            )


if __name__ == "__main__":
    command(run, check)
