"""A model's own window, and checks of windows and prompts against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from icl.core.errors import EngineError, ModelError, WindowError
from icl.core.types import Prompt

__all__ = ["find_causal_window", "check_room", "check_window", "pick_least", "count_positions"]


def find_causal_window(config: Any, tokenizer: Any) -> int:
    """Return the positions of a causal model, or the tokenizer's limit if lower; 0 if unknown."""
    text_config = config.get_text_config()
    names = ("max_position_embeddings", "max_seq_len", "seq_length")
    sizes = [getattr(text_config, name, None) for name in names]
    return pick_least([*sizes, tokenizer.model_max_length])


def count_positions(config: Any, side: str) -> int:
    """Return the positions of one side of an encoder-decoder model; 0 if they are relative."""
    config = getattr(config, side, config)
    config = getattr(config, "text_config", None) or config
    names = (f"max_{side}_position_embeddings", "max_position_embeddings")
    return next((size for name in names if (size := pick_least([getattr(config, name, None)]))), 0)


def pick_least(sizes: Sequence[object]) -> int:
    """Return the smallest of the sizes that are set; 0 if none is."""
    # Tokenizers without a limit of their own say 10 ** 30.
    return min((n for n in sizes if isinstance(n, int) and 0 < n < 10**9), default=0)


def check_window(source: str, asked: int | None, own: int, limit: int) -> None:
    """Check a window that is given; ``limit`` 0 means that all are possible.

    Raises:
        ModelError: naming the model and what is accepted.
    """
    if not own and not asked:
        raise ModelError(
            f"neither config nor tokenizer of {source!r} states its window; set window: N"
        )
    if asked and (asked < 0 or limit and asked > limit):
        raise ModelError(
            f"window {asked} is not possible for {source!r}; accepted: 1 to {limit or 'any'}"
        )


def check_room(prompt: Prompt, ids: Sequence[int], max_tokens: int, window: int) -> None:
    """Check that a prompt has a token, and leaves room for the longest answer.

    Raises:
        EngineError: no token at all.
        WindowError: naming the prompt, its tokens and the window.
    """
    if not ids:
        raise EngineError("an empty prompt needs a BOS or EOS token, which the tokenizer lacks")
    if len(ids) + max_tokens > window:
        name = f" {prompt.query_id!r}" if prompt.query_id else ""
        raise WindowError(
            f"prompt{name} has {len(ids)} tokens, which with max_tokens {max_tokens} is over "
            f"the window of {window}; use fewer or shorter shots, or fewer max_tokens"
        )
