"""Batches of rows that grow by one token per step; rows can join and leave."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from icl.engines.hf.causal.attention_masks import Given, Masks, clone, list_candidates
from icl.engines.hf.causal.forward import SHARED_TOKENS, CausalModel, Steps
from icl.engines.hf.causal.score import find_common_prefix
from icl.engines.hf.text.form_tokens import TokenGuide
from icl.engines.hf.weights.memory import REFUSALS, is_out_of_memory
from icl.engines.protocol import TokenMask
from icl.engines.reasoning import ReasoningReader

__all__ = [
    "DecodeBatch",
    "BatchingModel",
    "DecodeRequest",
    "find_shared_prefix",
    "find_steps",
    "group_alike",
    "make_batch",
]


logger = logging.getLogger(__name__)


PREFILL_TOKENS = 4096
"""Prompt positions, with padding, that are forwarded at a time."""
LEAST_FILLED = 0.75
"""The shortest prompt of a forward pass has at least this share of the longest one's tokens."""
SPARE_TOKENS = 32
"""Columns reserved after the longest prompt at first; a full buffer grows by half."""


@dataclass(frozen=True, slots=True)
class DecodeRequest:
    """A tokenized prompt, with its stop strings, reasoning and mask."""

    index: int
    ids: tuple[int, ...]
    stops: tuple[str, ...]
    key: str
    """Determines the random numbers, together with seed and sample."""
    thinking: ReasoningReader | None = None
    """Reads and limits the reasoning of a reasoning model; None without reasoning."""
    mask: TokenMask | None = None
    """Restricts the answers; None: no restriction."""
    guide: TokenGuide | None = None
    """The form of the answers, at its beginning; None: no form."""


class DecodeBatch(Protocol):
    """Rows that grow by tokens at every step. States are the input of the model's projection."""

    joins: bool
    """Whether rows may join while others run; otherwise all join at once."""
    pads: bool
    """Whether rows may grow by different numbers of tokens at a step."""

    def join(self, requests: Sequence[DecodeRequest], n: int) -> Tensor:
        """Forward prompts, the longest first, each for n rows; return states, (rows, features)."""
        ...

    def keep(self, kept: Sequence[int]) -> None:
        """Keep only these rows, in this order."""
        ...

    def step(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        """Append one or more tokens to each row; return states after the last (rows, features)."""
        ...


class BatchingModel(Protocol):
    """A model with its own kind of batch, such as one with an encoder."""

    rows: int

    @property
    def forwarded_tokens(self) -> int:
        """Positions forwarded so far, of encoder and decoder."""
        ...

    def batch(self, requests: Sequence[DecodeRequest]) -> DecodeBatch:
        """Make an empty batch for these requests."""
        ...

    def argmax(self, states: Tensor) -> list[int]:
        """Return the likeliest token of each row."""
        ...

    def project(self, states: Tensor) -> Tensor:
        """Return logits (rows, vocabulary)."""
        ...


def group_alike(lengths: Sequence[int]) -> list[slice]:
    """Group prompts, the longest first, into those that are forwarded together, padded.

    >>> group_alike([100, 90, 40, 39])
    [slice(0, 2, None), slice(2, 4, None)]
    """
    groups, first = [], 0
    while first < len(lengths):
        last = first + 1
        while last < len(lengths) and (
            lengths[first] * (last + 1 - first) <= PREFILL_TOKENS
            and lengths[last] >= LEAST_FILLED * lengths[first]
        ):
            last += 1
        groups.append(slice(first, last))
        first = last
    return groups


def find_shared_prefix(prompts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Return the tokens that all prompts begin with, if it is worth forwarding them by themselves.

    The last token of every prompt stays out, since its state is needed.
    """
    shared = min(find_common_prefix(prompts), min(map(len, prompts)) - 1)
    return prompts[0][: shared if shared >= SHARED_TOKENS else 0]


def make_batch(
    lm: CausalModel | BatchingModel, requests: Sequence[DecodeRequest], rows: int
) -> DecodeBatch:
    """Make the fastest kind of batch that the model supports, for at most ``rows`` rows."""
    if not isinstance(lm, CausalModel):
        return lm.batch(requests)
    if not lm.cached:
        return _WholeBatch(lm)
    ids = [request.ids for request in requests]
    if len(requests) == 1 or len(set(map(len, ids))) == 1 and lm.masks is None:
        return _PaddedBatch(lm)  # nothing is padded
    if lm.steps == "whole":
        return _WholeBatch(lm)
    if lm.masks is None or lm.steps == "padded":
        return _PaddedBatch(lm)
    return _SlotBatch(lm, find_shared_prefix(ids), rows)


@dataclass
class _SlotPosition:
    """The place that the next forward pass writes to, shared by all layers of the cache."""

    rows: slice
    columns: Tensor | slice
    """The columns of all rows, or those of each row, (rows, tokens)."""
    used: int
    """Columns that the pass reads, including those that it writes."""


class _SlotLayer(DynamicLayer):  # type: ignore[misc]
    """The keys and values of one layer: a buffer of rows and columns that is written in place.

    A cache that grows by concatenation copies everything at every token: a third of the time of
    48 rows of 220 tokens, measured with Gemma 3 270M on a CPU.
    """

    def __init__(self, place: _SlotPosition, n_rows: int, n_columns: int) -> None:
        super().__init__()
        self.place, self.size = place, (n_rows, n_columns)

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        super().lazy_initialization(key_states, value_states)
        self.keys, self.values = (
            given.new_zeros((self.size[0], given.shape[1], self.size[1], given.shape[3]))
            for given in (key_states, value_states)
        )

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write (rows, heads, tokens, features) into their place; return all of these rows."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        rows, columns, used = self.place.rows, self.place.columns, self.place.used
        for buffer, given in ((self.keys, key_states), (self.values, value_states)):
            if isinstance(columns, slice):
                buffer[rows, :, columns] = given
            else:
                buffer[torch.arange(len(columns))[:, None], :, columns] = given.transpose(1, 2)
        return self.keys[rows, :, :used], self.values[rows, :, :used]

    def get_seq_length(self) -> int:
        """Return the number of columns before those that are written."""
        columns = self.place.columns
        if isinstance(columns, slice):
            return int(columns.start)
        return self.place.used - columns.shape[1]

    def buffers(self) -> tuple[Tensor, Tensor]:
        """Return keys and values of all slots: (rows, heads, columns, features)."""
        return self.keys, self.values


class _SlotBatch:
    """Rows in slots of one buffer, with column = position, so that lengths may differ.

    The prefix that all share is forwarded once and copied into every slot once.
    """

    joins = True
    pads = True

    def __init__(self, lm: CausalModel, prefix: tuple[int, ...], rows: int) -> None:
        self.lm, self.prefix, self.most = lm, prefix, rows
        self.place = _SlotPosition(slice(0, 0), slice(0, 0), 0)
        self.cache = DynamicCache()
        self.lengths = np.empty(0, dtype=np.int64)  # (rows,), tokens in each slot in use
        self.columns = 0
        self.filled = 0
        """Slots that hold the prefix."""

    @torch.inference_mode()
    def join(self, requests: Sequence[DecodeRequest], n: int) -> Tensor:
        tails = [len(request.ids) - len(self.prefix) for request in requests]
        groups = group_alike(tails)
        return torch.cat([self._prefill(requests[group], n) for group in groups])

    def _prefill(self, requests: Sequence[DecodeRequest], n: int) -> Tensor:
        """Forward the prompts of one group into the slots after those in use."""
        at, m, n_shared = len(self.lengths), len(requests), len(self.prefix)
        lengths = np.array([len(request.ids) for request in requests])
        used = int(lengths.max())
        self._reserve(max(self.most, at + m * n), used + SPARE_TOKENS)
        self._fill(at + m * n)
        ids = np.zeros((m, used - n_shared), dtype=np.int64)
        for row, request in enumerate(requests):
            ids[row, : len(request.ids) - n_shared] = request.ids[n_shared:]
        keep = np.zeros(ids.shape, dtype=np.bool_)
        keep[np.arange(m), lengths - n_shared - 1] = True
        self._go(slice(at, at + m), slice(n_shared, used), used)
        places = np.arange(n_shared, used)[None]  # the padding behind a row is seen by none of it
        sees = np.tril(np.ones((1, used - n_shared, used), dtype=np.bool_), n_shared)
        states = self._forward(ids, keep, sees, np.broadcast_to(places, ids.shape))
        if n > 1:
            for buffer in self._buffers():
                copied = buffer[at : at + m, :, n_shared:used].repeat_interleave(n, 0)
                buffer[at : at + m * n, :, n_shared:used] = copied
        self.lengths = np.concatenate([self.lengths, lengths.repeat(n)])
        return states.repeat_interleave(n, 0)

    @torch.inference_mode()
    def keep(self, kept: Sequence[int]) -> None:
        moved = [(new, old) for new, old in enumerate(kept) if new != old]
        if moved:
            to, of = (
                torch.tensor(side, device=self.lm.device) for side in zip(*moved, strict=True)
            )
            used = int(self.lengths.max())
            for buffer in self._buffers():
                buffer[to, :, :used] = buffer[of, :, :used]
        self.lengths = self.lengths[list(kept)]

    @torch.inference_mode()
    def step(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        ids, counts = _pad(tokens)  # (rows, tokens), (rows,)
        width = ids.shape[1]
        used = int(self.lengths.max()) + width
        self._reserve(self.most, used)
        # What is behind a row's own tokens is written over by its next ones, and seen by none.
        columns = self.lengths[:, None] + np.arange(width)
        self._go(slice(0, len(ids)), torch.from_numpy(columns).to(self.lm.device), used)
        sees = np.arange(used) <= columns[:, :, None]
        places = self.lengths[:, None] + np.minimum(np.arange(width), counts[:, None] - 1)
        keep = np.arange(width) == counts[:, None] - 1
        states = self._forward(ids, keep, sees, places)
        self.lengths = self.lengths + counts
        return states

    def _go(self, rows: slice, columns: Tensor | slice, used: int) -> None:
        self.place.rows, self.place.columns, self.place.used = rows, columns, used

    def _forward(
        self,
        ids: npt.NDArray[np.int64],  # (rows, tokens)
        keep: npt.NDArray[np.bool_],  # (rows, tokens)
        sees: npt.NDArray[np.bool_],  # (rows or 1, tokens, columns)
        places: npt.NDArray[np.int64],  # (rows, tokens)
    ) -> Tensor:
        device = self.lm.device
        of_keys = np.broadcast_to(np.arange(self.place.used), (len(sees), self.place.used))
        return self.lm.states(
            torch.from_numpy(ids).to(device),
            torch.from_numpy(keep).to(device),
            self.cache,
            _for_rows(self.lm.tree_mask(sees, places[: len(sees)], of_keys), len(ids)),
            torch.from_numpy(places.copy()).to(device),
        )

    def _buffers(self) -> list[Tensor]:
        return [buffer for layer in self.cache.layers for buffer in layer.buffers()]

    def _reserve(self, rows: int, columns: int) -> None:
        """Enlarge the buffers, with a copy of their content, if they are too small."""
        have = self.cache.layers[0].size if self.cache.layers else (0, 0)
        if rows <= have[0] and columns <= have[1]:
            return
        size = (max(rows, have[0]), max(columns, have[1] * 3 // 2 if have[1] else columns))
        if not self.cache.layers:
            n_layers = self.lm.model.config.get_text_config().num_hidden_layers
            self.cache.layers = [_SlotLayer(self.place, *size) for _ in range(n_layers)]
            return
        for layer in self.cache.layers:
            layer.size = size
            if layer.is_initialized:
                layer.keys, layer.values = (_grown(buffer, size) for buffer in layer.buffers())

    def _fill(self, rows: int) -> None:
        """Copy the shared prefix into the slots that do not have it yet."""
        if not self.prefix or rows <= self.filled:
            return
        known = self.lm.prefix_cache(self.prefix)
        for layer, prefix in zip(self.cache.layers, known.layers, strict=True):
            if not layer.is_initialized:
                layer.lazy_initialization(prefix.keys, prefix.values)
            for buffer, given in zip(layer.buffers(), (prefix.keys, prefix.values), strict=True):
                buffer[self.filled : rows, :, : len(self.prefix)] = given
        self.filled = rows


def _for_rows(mask: Given, rows: int) -> Given:
    """Expand a mask to all rows; a shared one is not copied, but XGLM counts the rows."""
    if isinstance(mask, dict):
        return {kind: one.expand(rows, -1, -1, -1) for kind, one in mask.items()}
    return mask.expand(rows, -1, -1, -1)


def _grown(buffer: Tensor, size: tuple[int, int]) -> Tensor:
    rows, heads, columns, features = buffer.shape
    grown = buffer.new_zeros((size[0], heads, size[1], features))
    grown[:rows, :, :columns] = buffer
    return grown


def _pad(rows: Sequence[Sequence[int]]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return token ids padded at the right, (rows, tokens), and how many each row has, (rows,)."""
    counts = np.array([len(row) for row in rows], dtype=np.int64)
    ids = np.zeros((len(rows), int(counts.max())), dtype=np.int64)
    for at, row in enumerate(rows):
        ids[at, : len(row)] = row
    return ids, counts


class _PaddedBatch:
    """Rows of one KV cache, padded at the left; padding has no position."""

    joins = False
    pads = False

    def __init__(self, lm: CausalModel) -> None:
        self.lm = lm
        self.cache = DynamicCache()
        self.mask = torch.empty(0)  # (rows, cached tokens), 0 for padding
        self.lengths = torch.empty(0)  # (rows,), tokens without padding

    def join(self, requests: Sequence[DecodeRequest], n: int) -> Tensor:
        device, width = self.lm.device, max(len(request.ids) for request in requests)
        ids = torch.zeros((len(requests), width), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, request in enumerate(requests):
            ids[row, width - len(request.ids) :] = torch.tensor(request.ids)
            mask[row, width - len(request.ids) :] = 1
        keep = torch.zeros_like(ids, dtype=torch.bool)
        keep[:, -1] = True
        mask = mask.to(device)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        states = self.lm.states(
            ids.to(device), keep.to(device), self.cache, self._needed(mask), positions
        )
        if n > 1:
            self.cache.batch_repeat_interleave(n)
        self.mask = mask.repeat_interleave(n, 0)
        self.lengths = self.mask.sum(-1)
        return states.repeat_interleave(n, 0)

    def keep(self, kept: Sequence[int]) -> None:
        rows = torch.tensor(kept, dtype=torch.long, device=self.mask.device)
        self.cache.batch_select_indices(rows)
        self.mask, self.lengths = self.mask[rows], self.lengths[rows]

    def step(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        ids = torch.tensor(tokens, device=self.mask.device)  # (rows, tokens)
        self.mask = torch.cat([self.mask, torch.ones_like(ids)], dim=-1)
        keep = torch.zeros_like(ids, dtype=torch.bool)
        keep[:, -1] = True
        positions = self.lengths[:, None] + torch.arange(ids.shape[1], device=ids.device)
        states = self.lm.states(ids, keep, self.cache, self._needed(self.mask), positions)
        self.lengths = self.lengths + ids.shape[1]
        return states

    @staticmethod
    def _needed(mask: Tensor) -> Tensor | None:
        """Return the mask, or None without padding, as attention is faster without a mask."""
        return None if bool(mask.all()) else mask


class _WholeBatch:
    """Rows forwarded whole at every step, one by one, for models without a usable cache."""

    joins = True
    pads = True

    def __init__(self, lm: CausalModel) -> None:
        self.lm = lm
        self.texts: list[tuple[int, ...]] = []

    def join(self, requests: Sequence[DecodeRequest], n: int) -> Tensor:
        new = [request.ids for request in requests]
        self.texts += [ids for ids in new for _ in range(n)]
        return self._last(new).repeat_interleave(n, 0)

    def keep(self, kept: Sequence[int]) -> None:
        self.texts = [self.texts[i] for i in kept]

    def step(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        self.texts = [(*text, *more) for text, more in zip(self.texts, tokens, strict=True)]
        return self._last(self.texts)

    def _last(self, texts: Sequence[tuple[int, ...]]) -> Tensor:
        states = []
        for text in texts:
            ids = torch.tensor([text], device=self.lm.device)
            keep = torch.zeros_like(ids, dtype=torch.bool)
            keep[:, -1] = True
            states.append(self.lm.states(ids, keep))
        return torch.cat(states)


_TRIED = (
    ((1, *range(3, 23), 33, 34, 35, 36), (1, *range(3, 23), 31, 32), (1, *range(3, 23), 33)),
    ((1, *range(40, 59)), (1, *range(60, 71)), (1, 5, 9)),
)
"""Test prompts of several lengths, with a shared prefix and without, longer than a clone's
windows."""
_TOLERANCE = 1e-3


def find_steps(model: Any, masks: Masks | None) -> Steps:
    """Find the fastest way to extend rows of several lengths that gives the model's own logits.

    Tried on a clone, see :func:`icl.engines.hf.causal.attention_masks.clone`.
    """
    same = clone(model)
    if same is None:
        return "whole"
    config = model.config.get_text_config()
    lm = CausalModel(same).inspect(is_clone=True)
    if not lm.cached:
        return "whole"
    pairs = zip(list_candidates(same.config), list_candidates(config), strict=True)
    lm.masks = next((tried for tried, real in pairs if real == masks), None)
    ways: tuple[Steps, ...] = ("padded",) if masks is None else ("slots", "padded")
    for lm.steps in ways:
        try:
            if all(_gives_logits(lm, prompts) for prompts in _TRIED):
                return lm.steps
        except REFUSALS as error:
            if is_out_of_memory(error):
                raise
            logger.info("%s refuses rows that are %s: %s", type(model).__name__, lm.steps, error)
    logger.warning(
        "%s: prompts of several lengths cannot be generated together; every text is forwarded "
        "whole, slowly",
        type(model).__name__,
    )
    return "whole"


@torch.inference_mode()
def _gives_logits(lm: CausalModel, prompts: Sequence[tuple[int, ...]]) -> bool:
    """Return whether prompts and two tokens after them have the logits of the whole texts."""
    lm.kept = None
    requests = [DecodeRequest(i, ids, (), "") for i, ids in enumerate(prompts)]
    batch, texts = make_batch(lm, requests, len(requests)), list(prompts)
    found = lm.project(batch.join(requests, 1))
    several = ((11,), (12, 14, 15), (13, 16)) if batch.pads else ((11, 17), (12, 14), (13, 16))
    for tokens in (((7,), (8,), (9,)), several, None):
        whole = [lm.model(input_ids=torch.tensor([ids]), use_cache=False) for ids in texts]
        right = torch.stack([out.logits[0, -1] for out in whole]).log_softmax(-1)
        if not float((found.log_softmax(-1) - right).abs().max()) < _TOLERANCE:
            return False
        if tokens is None:
            break
        texts = [(*ids, *more) for ids, more in zip(texts, tokens, strict=True)]
        found = lm.project(batch.step(tokens))
    return True
