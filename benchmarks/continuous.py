"""The continuous batching of transformers itself, on the weights that this project has loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from icl.core.errors import IclError
from icl.core.types import Prompt
from icl.engines.hf.engine import HFEngine
from icl.engines.hf.weights.hashes import silence_libraries

__all__ = ["continuous", "line_ends"]

PAGE = 64
"""Tokens of a page; prompts that begin alike share whole pages."""


def continuous(engine: HFEngine, prompts: Sequence[Prompt], max_tokens: int) -> list[str]:
    """Greedy texts up to the end of the line, by ``model.generate_batch``.

    The cache has room for all prompts at once, and their common pages are shared, so nothing waits.

    Raises:
        IclError: it does not answer every prompt.
    """
    from transformers import ContinuousBatchingConfig, GenerationConfig

    codec, model = engine.codec, engine.lm.model
    ids = [list(found) for found in codec.encode([prompt.text for prompt in prompts])]
    each = (max(map(len, ids)) + max_tokens) // PAGE + 2
    settings: Any = ContinuousBatchingConfig(
        page_size=PAGE,
        num_blocks=each * len(ids),
        max_batch_tokens=512,
        use_cuda_graph=False,
        use_async_batching=False,
        max_requests_per_batch=len(ids),
    )
    greedy = GenerationConfig(
        max_new_tokens=max_tokens,
        do_sample=False,
        eos_token_id=line_ends(codec.tokenizer),
        pad_token_id=0,
    )
    with silence_libraries():
        found = model.generate_batch(
            ids, generation_config=greedy, continuous_batching_config=settings
        )
    made = list(found.values())
    if len(made) != len(ids) or any(one.error for one in made):
        raise IclError(
            f"transformers' continuous batching answered {len(made)} of {len(ids)} prompts; free "
            "some memory and run the benchmark again"
        )
    return [codec.decode(one.generated_tokens).split("\n")[0] for one in made]


def line_ends(tokenizer: Any) -> list[int]:
    """List the token that ends a text, and every token with a line break in it."""
    pieces = tokenizer.get_vocab().items()
    lines = {token for piece, token in pieces if "\n" in piece or "\u010a" in piece}
    return sorted(lines | ({tokenizer.eos_token_id} - {None}))
