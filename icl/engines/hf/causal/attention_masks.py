"""Ancestor masks for a model's own attention layers, and a small clone to test them on."""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from icl.engines.hf.weights.hashes import silence_libraries
from icl.engines.hf.weights.memory import REFUSALS

__all__ = ["Masks", "list_candidates", "clone", "shrink_config"]


logger = logging.getLogger(__name__)

Given: TypeAlias = Tensor | dict[str, Tensor]
CLONE_WINDOW = 8
"""Length of the clone's sliding windows and chunks, shorter than the texts of the test."""
_LENGTHS = re.compile(
    r"window|chunk|span|local|stride|topk|keep|recent|segment|bucket|block_size|threshold|until"
)
"""Parts of the name of a config's integer that may be a length in tokens for a mechanism."""
_NO_LENGTHS = re.compile(r"positions?(_|$)|_id$|_ids$|vocab|topk_group|num_|_chunks$|expert")


@dataclass(frozen=True)
class Masks:
    """The form in which a model takes attention masks, by kind of layer.

    A given 4-D mask replaces the model's own, so its sliding window or chunk must be in it.
    """

    windows: Mapping[str, tuple[int | None, int | None]]
    """Kind of layer -> (sliding window, chunk), in tokens; None if it has none."""
    named: bool
    """Whether the model takes a mapping from kind to mask; otherwise one mask for all layers."""

    def of(
        self,
        sees: npt.NDArray[np.bool_],  # (rows, nodes, keys)
        positions: npt.NDArray[np.int64],  # (rows, nodes)
        of_keys: npt.NDArray[np.int64],  # (rows, keys)
        dtype: torch.dtype,
        device: torch.device,
    ) -> Given:
        """Make additive masks (rows, 1, nodes, keys): 0 if a node sees a key, or the least number.

        ``positions`` and ``of_keys`` are positions in the text, which windows and chunks refer to.
        """
        made = {
            kind: _additive(_near(sees, positions, of_keys, *near), dtype, device)
            for kind, near in self.windows.items()
        }
        return made if self.named else next(iter(made.values()))


def _near(
    sees: npt.NDArray[np.bool_],
    positions: npt.NDArray[np.int64],
    of_keys: npt.NDArray[np.int64],
    window: int | None,
    chunk: int | None,
) -> npt.NDArray[np.bool_]:
    if window is not None:
        sees = sees & (positions[:, :, None] - of_keys[:, None] < window)
    if chunk is not None:
        sees = sees & (positions[:, :, None] // chunk == of_keys[:, None] // chunk)
    return sees


def _additive(
    sees: npt.NDArray[np.bool_], dtype: torch.dtype, device: torch.device
) -> Tensor:  # (rows, 1, nodes, keys)
    mask = torch.zeros(sees.shape, dtype=dtype, device=device)
    mask.masked_fill_(~torch.from_numpy(sees).to(device), torch.finfo(dtype).min)
    return mask[:, None]


def list_candidates(config: Any) -> Iterator[Masks]:
    """Yield the forms in which a model of this config may take its masks, the likeliest first.

    A test finds the right one: with a wrong one the model does not compute its own logits.
    """
    window = getattr(config, "sliding_window", None)
    chunk = getattr(config, "attention_chunk_size", None)
    near = {
        "full_attention": (None, None),
        "sliding_attention": (window, None),
        "chunked_attention": (None, chunk),
    }
    kinds = set(getattr(config, "layer_types", None) or ())
    if kinds and kinds <= near.keys():
        chosen = {kind: near[kind] for kind in sorted(kinds)}
        yield Masks(chosen, named=True)
        if len(kinds) == 1:
            yield Masks(chosen, named=False)
    elif not kinds:
        yield Masks({"all": (None, None)}, named=False)
        if window is not None:
            yield Masks({"all": (window, None)}, named=False)


def clone(model: Any) -> Any:
    """Make a small random float32 model of the same architecture; None if that is impossible.

    Correct half-precision or quantized code differs from other correct code by up to half a nat,
    and by more in rare entries, so the loaded weights cannot distinguish an error from rounding.
    """
    from transformers import AutoModelForCausalLM

    config = model.config.get_text_config()
    for head_dim in (16, None):  # of latent attention it is the rotary part alone, of sizes its own
        try:
            small = shrink_config(config, head_dim)
            small._attn_implementation = config._attn_implementation
            with torch.random.fork_rng(devices=[]), silence_libraries(), torch.inference_mode():
                torch.manual_seed(0)
                made = AutoModelForCausalLM.from_config(small, dtype=torch.float32)
                ids = torch.arange(3)[None] + 5
                made.eval()(input_ids=ids, use_cache=False)
            return made
        except REFUSALS as error:
            logger.info("%s: no clone to try it on: %s", type(model).__name__, error)
    return None


def shrink_config(config: Any, head_dim: int | None = 16) -> Any:
    """Make a config of the same architecture for a test in float32, with windows of 8 tokens.

    Every kind of layer stays, and so does ``head_dim`` where None is given. The field names are
    those that transformers maps for all families; of other integers those that sound like lengths
    are cut to 8, too, since what begins at a length would not show on a text shorter than it.
    """
    small = copy.deepcopy(config)
    n_layers = _layers_needed(config)
    for name, value in list(vars(small).items()):
        if isinstance(value, list) and len(value) == config.num_hidden_layers:
            setattr(small, name, value[:n_layers])
    heads = config.num_attention_heads
    groups = getattr(config, "num_key_value_heads", None) or heads
    changes: dict[str, Any] = {
        "num_hidden_layers": n_layers,
        "hidden_size": 64,
        "num_attention_heads": 4,
        "num_key_value_heads": 4 if groups == heads else 1 if groups == 1 else 2,
        "head_dim": head_dim,
        "intermediate_size": 64,
        "ffn_dim": 64,
        "ffn_hidden_size": 64,
        "moe_intermediate_size": 32,
        "intermediate_size_mlp": 32,
        "word_embed_proj_dim": 64,
        "num_local_experts": 4,
        "num_experts": 4,
        "sliding_window": CLONE_WINDOW,
        "attention_chunk_size": CLONE_WINDOW,
        "vocab_size": 128,
        "initializer_range": 0.3,
        "init_std": 0.3,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 1,
    }
    for name, value in vars(config).items():
        if isinstance(value, int) and value > CLONE_WINDOW and _is_length(name):
            changes.setdefault(name, CLONE_WINDOW)
    for name, value in changes.items():
        if value is None:
            continue
        derived = isinstance(getattr(type(config), name, None), property)
        if not derived and getattr(config, name, None) is not None:
            setattr(small, name, value)
    small.dtype = torch.float32
    small.quantization_config = None
    del small.quantization_config
    return small


def _is_length(name: str) -> bool:
    """Return whether a config's integer may be a number of tokens at which something begins.

    >>> [_is_length(name) for name in ("keep_window_size", "max_window_layers", "d_model")]
    [True, False, False]
    """
    if name.endswith("layers") or _NO_LENGTHS.search(name):
        return False
    return _LENGTHS.search(name) is not None


def _layers_needed(config: Any) -> int:
    """Return the number of layers that include every kind of layer, at least two."""
    kinds = list(getattr(config, "layer_types", None) or ())
    needed = max((kinds.index(kind) + 1 for kind in set(kinds)), default=1)
    return min(int(config.num_hidden_layers), max(2, needed))
