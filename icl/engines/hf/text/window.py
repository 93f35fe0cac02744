"""How many tokens a model was made for, and whether a window that is asked for is possible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from icl.core.errors import EngineError, ModelError, WindowError
from icl.core.types import Prompt

__all__ = ["find_causal_window", "check_room", "check_window", "pick_least", "count_positions"]


def find_causal_window(config: Any, tokenizer: Any) -> int:
    """The positions of a causal model, or fewer where the tokenizer says so; 0 if none says."""
    text_config = config.get_text_config()
    names = ("max_position_embeddings", "max_seq_len", "seq_length")
    sizes = [getattr(text_config, name, None) for name in names]
    return pick_least([*sizes, tokenizer.model_max_length])


def count_positions(config: Any, side: str) -> int:
    """The positions of one side of an encoder-decoder model; 0 where they are relative."""
    config = getattr(config, side, config)
    config = getattr(config, "text_config", None) or config
    names = (f"max_{side}_position_embeddings", "max_position_embeddings")
    return next((size for name in names if (size := pick_least([getattr(config, name, None)]))), 0)


def pick_least(sizes: Sequence[object]) -> int:
    """The smallest of the sizes that say something; 0 if none does."""
    # Tokenizers without a limit of their own say 10 ** 30.
    return min((n for n in sizes if isinstance(n, int) and 0 < n < 10**9), default=0)


def check_window(source: str, asked: int | None, own: int, limit: int) -> None:
    """Refuse a window that is not known or not possible; ``limit`` 0 means that all are.

    Raises:
        ModelError: naming the model and what is accepted.
    """
    if not own and not asked:
        raise ModelError(
            f"neither config nor tokenizer of {source!r} tells its window; set window: N"
        )
    if asked and (asked < 0 or limit and asked > limit):
        raise ModelError(
            f"window {asked} is not possible for {source!r}; accepted: 1 to {limit or 'any'}"
        )


def check_room(prompt: Prompt, ids: Sequence[int], max_tokens: int, window: int) -> None:
    """Refuse a prompt that has no token, or no room behind it for the longest answer.

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
