"""The vocabulary projection, computed only for the logits that are read, in chunks.

At 262,144 entries a row the projection costs as much as a small model's body; so it runs only
on chosen states, never on a whole text, and no float32 copy of all logits is made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from icl.core.errors import EngineError
from icl.engines.hf.weights.memory import REFUSALS, is_out_of_memory
from icl.engines.hf.weights.placement import find_input_device

__all__ = ["Projection", "find_projection", "make_probe"]


Adjust: TypeAlias = Callable[[Tensor], Tensor]

CHUNK_CELLS = 1 << 22
"""Logits computed at a time if only their sum or maximum is needed: 16 MB in float32."""
LEAST_CHUNK = 1024
"""The least vocabulary entries in a chunk, for any number of rows."""
CACHED_CHUNK = 8192
"""Entries in a chunk on a CPU: the products are still in its cache when they are summed.
Measured, 2 cores, 48 rows of 262,144 entries: product and argmax 168 ms, not chunked 250."""


def _same(logits: Tensor) -> Tensor:
    return logits


def _nan(dtype: torch.dtype) -> EngineError:
    return EngineError(f"the model computed NaN in {dtype}; load it with width: fp32 or bf16")


@dataclass
class Projection:
    """States -> logits, their log-probabilities, or the likeliest token.

    If ``head`` is None, the states are logits already.
    """

    head: Any = None
    """The model's own projection, if body and head together give the model's own logits."""
    adjust: Adjust = _same
    """The model's change of its logits after the projection."""

    @torch.inference_mode()
    def logits(self, states: Tensor) -> Tensor:  # (rows, features) -> (rows, vocabulary)
        """Return logits in the model's own precision.

        Raises:
            EngineError: the model computed NaN.
        """
        logits = states if self.head is None else self.adjust(self.head(states))
        if torch.isnan(logits.amax(-1)).any():
            raise _nan(logits.dtype)
        return logits

    @torch.inference_mode()
    def argmax(self, states: Tensor) -> list[int]:  # (rows, features)
        """Return the likeliest token of each row; of equal ones the first.

        Raises:
            EngineError: the model computed NaN.
        """
        best = torch.full((len(states),), -torch.inf, device=states.device)
        at = torch.zeros(len(states), dtype=torch.long, device=states.device)
        for first, logits in self._chunks(states):  # (rows, chunk)
            value, place = logits.max(-1)
            if torch.isnan(value).any():
                raise _nan(states.dtype)
            better = value.float() > best
            best = torch.where(better, value.float(), best)
            at = torch.where(better, place + first, at)
        return [int(token) for token in at]

    @torch.inference_mode()
    def logprobs(
        self,
        states: Tensor,  # (rows, features)
        wanted: Sequence[tuple[int, int]],
    ) -> list[float]:
        """Return the log-probability of each wanted (row, token), in float32.

        The log-sum-exp is carried from chunk to chunk. torch's float32 ``log_softmax`` would be
        off by 1e-4 a token over 262,144 entries; this is off by 1e-6.

        Raises:
            EngineError: the model computed NaN.
        """
        if not wanted:
            return []
        rows = torch.tensor([row for row, _ in wanted], device=states.device)
        tokens = torch.tensor([token for _, token in wanted], device=states.device)
        found = torch.empty(len(wanted), dtype=torch.float32, device=states.device)
        norms = torch.full((len(states),), -torch.inf, device=states.device)
        for first, logits in self._chunks(states):  # (rows, chunk)
            chunk = logits.float()
            norms = torch.logaddexp(norms, chunk.logsumexp(-1))
            here = (tokens >= first) & (tokens < first + chunk.shape[-1])
            found[here] = chunk[rows[here], tokens[here] - first]
        values: list[float] = (found - norms[rows]).tolist()
        if any(math.isnan(value) for value in values):
            raise _nan(states.dtype)
        return values

    def _chunks(self, states: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Yield (first token, logits of the chunk that begins there)."""
        head = self.head
        # A head may be quantized, on another device, on disk, or no part of its own.
        if type(head) is not torch.nn.Linear or head.weight.device != states.device:
            yield 0, states if head is None else self.adjust(head(states)).to(states.device)
            return
        width = max(LEAST_CHUNK, CHUNK_CELLS // max(1, len(states)))
        on_cpu = states.device.type == "cpu"
        if on_cpu:
            width = min(width, CACHED_CHUNK)
        for first in range(0, head.out_features, width):
            part = slice(first, first + width)
            bias = None if head.bias is None else head.bias[part]
            if on_cpu and states.dtype == torch.float32:
                # The same product with the tall matrix in front, up to four times faster in MKL
                # for 4 to 64 rows: 44 against 167 ms for 4 rows of 262,144 entries.
                logits = (head.weight[part] @ states.T).T
                logits = logits if bias is None else logits + bias
            else:
                logits = torch.nn.functional.linear(states, head.weight[part], bias)
            yield first, self.adjust(logits)


def make_probe(model: Any, n_tokens: int) -> Tensor:  # (1, tokens)
    """Make token ids to test a model on, always the same."""
    vocabulary = model.config.get_text_config().vocab_size
    assert isinstance(vocabulary, int)
    return (torch.arange(n_tokens, device=find_input_device(model)) * 7 + 5)[None] % vocabulary


@torch.inference_mode()
def find_projection(model: Any, body: Any) -> Projection | None:
    """Find how the body's states become the model's own logits; return None if unknown.

    The body's output is scaled until the logits reach 100, so that a soft cap or a factor shows.
    One token is enough: it gives as many logits as the vocabulary has entries.
    """
    projection = model.get_output_embeddings()
    if body is model or projection is None:
        return None
    seen: list[Tensor] = []

    def hook(module: Any, given: Any, out: Any) -> Any:
        scale = 100.0 / max(float(projection(out.last_hidden_state).float().abs().max()), 1e-6)
        out.last_hidden_state = out.last_hidden_state * scale
        seen.append(out.last_hidden_state)
        return out

    handle = body.register_forward_hook(hook)
    try:
        logits = model(input_ids=make_probe(model, 1), use_cache=False).logits.float()
    except REFUSALS as error:  # the body gives a tuple, or states that the head does not take
        if is_out_of_memory(error):
            raise
        return None
    finally:
        handle.remove()
    if not seen:  # the model calls a part of this body only, as OPT does
        return None
    limit = (1e-4 if model.dtype == torch.float32 else 1e-2) * float(logits.abs().max())
    for adjust in _adjustments(model.config.get_text_config()):
        if float((adjust(projection(seen[0])).float() - logits).abs().max()) <= limit:
            return Projection(projection, adjust)
    return None


def _adjustments(config: Any) -> Iterator[Adjust]:
    """Yield possible changes of the logits, by the config fields that define them."""
    yield _same
    cap = getattr(config, "final_logit_softcapping", None)
    if cap:  # Gemma 2
        yield lambda logits: torch.tanh(logits / cap) * cap
    for name in ("logit_scale", "lm_head_multiplier"):  # Cohere, Falcon-H1
        factor = getattr(config, name, None)
        if isinstance(factor, int | float):
            yield partial(torch.mul, other=factor)
    divisor = getattr(config, "logits_scaling", None)
    if divisor:  # Granite
        yield lambda logits: logits / divisor
