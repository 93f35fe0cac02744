"""How near is the token tree to the bare model: body and projection of the same rows, no more?"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from benchmarks.prompts import choices
from benchmarks.ranking import CASES
from benchmarks.results import Options, Result, command, logger, unique_tokens
from benchmarks.tools import Answers, clocks, folder_of, ours
from icl.core.errors import IclError
from icl.engines.hf.engine import HFEngine

__all__ = ["CHUNKS", "bare", "check", "run"]

CHUNKS = (64, 128, 256, 512)
"""Tokens that the bare model forwards at a time; its best chunking counts."""
LEAST = 0.6
"""Share of the time that the bare model must have of ours."""


def run(options: Options) -> list[Result]:
    """Time the tree, then the bare model on as many positions and projected rows."""
    n = 4 if options.quick else 20
    results = []
    with folder_of(options.model) as source:
        engine = HFEngine(source).load()
        for name, prompts in CASES.items():
            items = [(prompt, choice) for prompt in prompts(n) for choice in choices()]
            list(engine.score(items[: len(choices())]))
            work = engine.lm.work
            before = work.projected_positions
            mine = ours(engine, items)
            rows = work.projected_positions - before
            ids = engine.codec.encode([prompt.text + choice for prompt, choice in items])
            alone = {c: bare(engine, mine.forwarded_tokens, rows, c) for c in CHUNKS}
            for chunk, (seconds, _) in alone.items():
                logger.info("limit, %s: bare in chunks of %d: %.2f s", name, chunk, seconds)
            results.append(_result(f"{name}, {n}", n, mine, min(alone.values()), ids, engine))
    return results


@torch.inference_mode()
def bare(engine: HFEngine, n_tokens: int, n_rows: int, chunk: int) -> tuple[float, float]:
    """Seconds of the body over ``n_tokens`` in chunks, and of the projection of ``n_rows``."""
    lm = engine.lm
    vocabulary = lm.model.config.get_text_config().vocab_size
    ids = (torch.arange(n_tokens, device=lm.device) * 7 + 5) % vocabulary
    parts: list[torch.Tensor] = []
    began = clocks()
    for first in range(0, n_tokens, chunk):
        out = lm.body(input_ids=ids[None, first : first + chunk], use_cache=False)
        parts.append(out.last_hidden_state[0])
    states = torch.cat(parts)
    for first in range(0, n_rows, chunk):
        lm.projection.head(states[first : min(first + chunk, n_rows)])
    if lm.device.type == "cuda":
        torch.cuda.synchronize()
    seconds, cpu = (now - then for now, then in zip(clocks(), began, strict=True))
    return seconds, cpu


def _result(
    name: str,
    n: int,
    mine: Answers,
    bare: tuple[float, float],
    ids: Sequence[tuple[int, ...]],
    engine: HFEngine,
) -> Result:
    return Result(
        name=f"limit {name}",
        queries=n,
        requests=len(ids),
        ours_s=mine.seconds,
        theirs_queries=n,
        theirs_s=bare[0],
        ours_cpu_s=mine.cpu_seconds,
        theirs_cpu_s=bare[1],
        theirs_batch_size=1,
        max_abs_diff=None,
        argmax_equal=0,
        argmax_of=0,
        forwarded_tokens=mine.forwarded_tokens,
        unique_tokens=unique_tokens(ids),
        dtype=engine.formats.compute,
        device=str(engine.torch_device),
        other="bare model",
    )


def check(results: Sequence[Result]) -> None:
    """Refuse results in which a token was forwarded twice, or too much time was spent beside.

    Raises:
        IclError: names the result and its figures.
    """
    for result in results:
        if result.forwarded_tokens != result.unique_tokens:
            raise IclError(
                f"{result.name}: {result.forwarded_tokens} tokens were forwarded, "
                f"{result.unique_tokens} are unique; every token must be forwarded once"
            )
        if result.ratio < LEAST:
            raise IclError(
                f"{result.name}: the bare model takes {result.ratio:.0%} of the time, accepted is "
                f"{LEAST:.0%}; run again on an idle machine, then profile TreeScorer"
            )


if __name__ == "__main__":
    command(run, check)
