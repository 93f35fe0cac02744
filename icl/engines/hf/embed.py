"""Texts as vectors: the mean of one layer's hidden states over a text's own tokens.

Pires et al. 2019 (arXiv 1906.01502) pool so, and find languages nearest to each other in the
middle layers: the lowest represent words, the last ones the next word.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from icl.core.errors import EngineError
from icl.engines.hf.causal.forward import CausalModel
from icl.engines.hf.weights.memory import translate_out_of_memory
from icl.engines.tokenizer import Codec

__all__ = ["embed", "pick_layer"]


if TYPE_CHECKING:
    from icl.engines.hf.seq2seq.forward import Seq2SeqModel

logger = logging.getLogger(__name__)

_TOKENS = 2048
"""Positions forwarded at a time, with padding: the states of all layers are in memory."""


def pick_layer(config: Any, layer: int | None, source: str) -> int:
    """Return the number of the layer to read, from 0 (the embeddings); by default the middle one.

    Of an encoder-decoder model the layers of the encoder are counted.

    Raises:
        EngineError: there is no such layer.
    """
    if config.is_encoder_decoder:
        encoder = getattr(config, "encoder", None) or config
        encoder = getattr(encoder, "text_config", None) or encoder
        n = int(getattr(encoder, "encoder_layers", None) or encoder.num_hidden_layers)
    else:
        n = int(config.get_text_config().num_hidden_layers)
    if layer is None:
        return n // 2
    if not -n - 1 <= layer <= n:
        raise EngineError(
            f"model {source!r} has no layer {layer}; there are 0 (embeddings) to {n}, or -1 for "
            "the last; leave layer out for the middle one"
        )
    return layer if layer >= 0 else n + 1 + layer


def embed(
    lm: CausalModel | Seq2SeqModel, codec: Codec, texts: Sequence[str], layer: int, window: int
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return vectors of texts, computed in batches of similar length padded at the right.

    Special tokens are forwarded but left out of the mean; a text longer than the window is cut
    at its end, with a warning. The vector of a text without tokens is all zeros.

    Returns:
        (texts, features), float32.

    Raises:
        OutOfMemory: the states of a batch do not fit the device.
    """
    front, back = len(codec.front), len(getattr(codec, "back", ()))
    rows: list[tuple[int, ...]] = codec.encode(texts) if texts else []
    long = [i for i, ids in enumerate(rows) if window and len(ids) > window]
    for i in long:
        rows[i] = rows[i][: window - back] + rows[i][len(rows[i]) - back :]
    if long:
        logger.warning(
            "%d texts are longer than the window of %d tokens; their vectors are "
            "those of their beginning",
            len(long),
            window,
        )
    full = [i for i, ids in enumerate(rows) if len(ids) > front + back]
    made: np.ndarray[Any, np.dtype[np.float32]] | None = None
    for batch in _batches(full, rows, together=lm.cached):
        ids = [rows[i] for i in batch]
        with translate_out_of_memory(f"embedding {len(ids)} texts of up to {len(ids[0])} tokens"):
            means = _means(lm, ids, layer, front, back)
        if made is None:
            made = np.zeros((len(rows), means.shape[1]), dtype=np.float32)
        made[batch] = means
    if made is None:
        return np.zeros((len(rows), 1), dtype=np.float32)
    return made


def _batches(
    full: Sequence[int], rows: Sequence[tuple[int, ...]], together: bool
) -> Iterator[list[int]]:
    """Yield indices of rows of similar length, longest first; one by one if padding is wrong."""
    batch: list[int] = []
    for i in sorted(full, key=lambda i: (-len(rows[i]), i)):
        if batch and (not together or len(rows[batch[0]]) * (len(batch) + 1) > _TOKENS):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


@torch.inference_mode()
def _means(
    lm: CausalModel | Seq2SeqModel,
    rows: Sequence[tuple[int, ...]],
    layer: int,
    front: int,
    back: int,
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return means over the own tokens of each row: (rows, features)."""
    width = len(rows[0])
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    real, own = torch.zeros_like(ids), torch.zeros_like(ids)
    for row, tokens in enumerate(rows):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        real[row, : len(tokens)] = 1
        own[row, front : len(tokens) - back] = 1
    states = lm.layers(ids.to(lm.device), real.to(lm.device))[layer].float()
    weights = own.to(states.device)[..., None]  # (rows, tokens, 1)
    # Padding may hold anything, infinities too, and 0 times that is no number.
    kept = torch.where(weights > 0, states, torch.zeros_like(states))
    means = kept.sum(1) / weights.sum(1)
    made: np.ndarray[Any, np.dtype[np.float32]] = means.cpu().numpy()
    return made
