"""A causal model as two functions, body and vocabulary projection, over a growing KV cache."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from icl.core.errors import ModelError, join_lines
from icl.engines.hf.causal.attention_masks import Given, Masks, clone
from icl.engines.hf.causal.projection import Projection, find_projection, make_probe
from icl.engines.hf.weights.memory import REFUSALS, is_out_of_memory, translate_out_of_memory
from icl.engines.hf.weights.placement import find_input_device

__all__ = ["CausalModel", "Steps", "Work", "count_bytes_per_token", "widen_cache"]


logger = logging.getLogger(__name__)

Steps: TypeAlias = Literal["slots", "padded", "whole"]
"""Way in which rows grow during generation: in slots of one buffer, as a padded cache, or whole."""
SHARED_TOKENS = 16
"""Fewest tokens of a prefix that is forwarded before its batch instead of with it."""
PROBE_TOKENS = 24
"""Tokens on which a cache is tested: three times the lengths of a clone."""
_FIRST = "original_inv_freq"
"""The attribute in transformers with the initial frequencies of a rotary embedding."""
_LENGTH_DEPENDENT_ROPE = {"dynamic", "longrope"}
"""Kinds of rotary embedding whose angles change with the length: wrong for a cached prefix."""


@dataclass(slots=True)
class Work:
    """Counts of calls and positions, for estimates and for tests."""

    calls: int = 0
    forwarded_tokens: int = 0
    """Positions that went through the model's body, including padding."""
    projected_positions: int = 0
    """Positions that went through the vocabulary projection."""


@dataclass
class CausalModel:
    """A loaded model with the properties that :meth:`inspect` finds by tests.

    The body is the model without its vocabulary projection, so that logits are computed only
    where they are read: at 262,144 entries a row the projection costs as much as the body.
    If body and head together do not give the model's own logits, the whole model is used.
    """

    model: Any
    work: Work = field(default_factory=Work)
    body: Any = None
    """The module that :meth:`states` calls; the whole model if the projection has no head."""
    projection: Projection = field(default_factory=Projection)
    rows: int = 64
    """Texts that are generated at a time; more of them wait until one ends."""
    cached: bool = False
    """Whether a :class:`DynamicCache` can hold a prefix; else texts are forwarded whole."""
    accepts: frozenset[str] = frozenset()
    """Names of the arguments that the body accepts."""
    masks: Masks | None = None
    """Form of ancestor masks that the model was found to read correctly."""
    steps: Steps = "slots"
    """Way in which rows of several lengths grow; slots need masks. Rows of one length need no
    padding."""
    kept: tuple[tuple[int, ...], DynamicCache] | None = None
    """The last shared prefix with its keys and values, for the next batch."""
    growing: tuple[tuple[Any, str], ...] = ()
    """Rotary embeddings that remember the longest text yet, see :meth:`forget_lengths`, each with
    the prefix of its attribute names for one kind of layer (``full_attention_``), or ``""``."""

    @property
    def forwarded_tokens(self) -> int:
        """Positions that went through the body so far, including padding."""
        return self.work.forwarded_tokens

    @property
    def device(self) -> torch.device:
        """The device that takes token ids."""
        return find_input_device(self.model)

    def inspect(self, is_clone: bool = False) -> CausalModel:
        """Find the body, the head and whether the cache is usable, by tests; return the model.

        ``is_clone`` says that this is a model of
        :func:`icl.engines.hf.causal.attention_masks.clone` already.

        Raises:
            ModelError: transformers cannot run it, or its tokens see those behind them.
        """
        self.model.eval()
        self.body = self.model
        for body in (self.model.base_model, self.model.get_decoder()):
            found = find_projection(self.model, body)
            if found is not None:
                self.projection, self.body = found, body
                break
        else:
            logger.warning(
                "%s: its logits are not body and head alone; all of them are computed",
                type(self.model).__name__,
            )
        self.growing = _growing_ropes(self.model)
        self.accepts = frozenset(inspect.signature(self.body.forward).parameters)
        self.cached = self._check_cache(is_clone)
        if not is_clone and not (self.cached and self.projection.head is not None):
            self._check_runs()
        if not is_clone:
            self._check_order()
        if not self.cached:
            logger.warning(
                "%s has no KV cache that can be shared; every text is forwarded whole, slowly",
                type(self.model).__name__,
            )
        self.work = Work()
        return self

    @torch.inference_mode()
    def states(
        self,
        ids: Tensor,  # (batch, tokens)
        keep: Tensor,  # bool (batch, tokens)
        cache: DynamicCache | None = None,
        mask: Given | None = None,  # (batch, cached + tokens), or 4-D masks
        positions: Tensor | None = None,  # (batch, tokens)
    ) -> Tensor:  # (kept, features)
        """Return the states at the kept positions, row by row, as input of :meth:`project`.

        ``cache`` grows by the tokens. ``mask`` is needed for left padding and for token trees.
        """
        given: dict[str, Any] = {"input_ids": ids, "use_cache": cache is not None}
        if cache is not None:
            given["past_key_values"] = cache
        if mask is not None:
            given["attention_mask"] = mask
        if positions is not None:
            given["position_ids"] = positions
        if cache is None:
            self.forget_lengths()
        self.work.calls += 1
        self.work.forwarded_tokens += ids.numel()
        out = self.body(**{name: value for name, value in given.items() if name in self.accepts})
        if self.projection.head is None:
            return out.logits[keep]  # type: ignore[no-any-return]
        return out.last_hidden_state[keep.to(out.last_hidden_state.device)]  # type: ignore[no-any-return]

    @torch.inference_mode()
    def layers(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:  # both (batch, tokens)
        """Return the states after the embeddings and each layer, each (batch, tokens, features).

        Padding, 0 in the mask, is at the right, where no token before it can see it.
        """
        self.forget_lengths()
        self.work.calls += 1
        self.work.forwarded_tokens += ids.numel()
        out = self.body(
            input_ids=ids, attention_mask=mask, use_cache=False, output_hidden_states=True
        )
        return tuple(out.hidden_states)

    def project(self, states: Tensor) -> Tensor:  # (rows, features) -> (rows, vocabulary)
        """Return logits of kept states; see :meth:`Projection.logits`."""
        self.work.projected_positions += len(states)
        return self.projection.logits(states)

    def argmax(self, states: Tensor) -> list[int]:  # (rows, features)
        """Return the likeliest token after each kept state; see :meth:`Projection.argmax`."""
        self.work.projected_positions += len(states)
        return self.projection.argmax(states)

    def logprobs(self, states: Tensor, wanted: Sequence[tuple[int, int]]) -> list[float]:
        """Return the log-probability of each wanted (row of the states, token), in float32."""
        if not wanted:
            return []
        self.work.projected_positions += len(states)
        return self.projection.logprobs(states, wanted)

    def prefix_cache(self, ids: tuple[int, ...]) -> DynamicCache:
        """Return keys and values of a prefix, forwarded alone unless they are still in memory.

        So a batch gives the same bytes whether its prefix was kept or not.
        """
        if not ids:
            return DynamicCache()
        if self.kept is None or self.kept[0] != ids:
            self.kept = None
            cache = DynamicCache()
            tokens = torch.tensor([ids], device=self.device)  # (1, tokens)
            with translate_out_of_memory(f"a shared prefix of {len(ids)} tokens"):
                self.states(tokens, torch.zeros_like(tokens, dtype=torch.bool), cache)
            self.kept = (ids, cache)
        return self.kept[1]

    def tree_mask(
        self,
        sees: npt.NDArray[np.bool_],
        positions: npt.NDArray[np.int64],
        of_keys: npt.NDArray[np.int64],
    ) -> Given:
        """Make the ancestor mask in the form that the model takes."""
        assert self.masks is not None
        return self.masks.of(sees, positions, of_keys, self.model.dtype, self.device)

    def forget_lengths(self) -> None:
        """Reset ``dynamic`` rotary embeddings, whose angles otherwise depend on earlier texts."""
        for rope, kind in self.growing:
            known = getattr(rope, f"{kind}inv_freq")
            setattr(rope, f"{kind}max_seq_len_cached", rope.original_max_seq_len)
            setattr(rope, f"{kind}inv_freq", getattr(rope, f"{kind}{_FIRST}").to(known.device))

    def _check_cache(self, is_clone: bool) -> bool:
        """Return whether a shared prefix in a cache gives the logits of the whole text."""
        if not _has_plain_cache(self.model, self.accepts):
            return False
        # Longer than the lengths of a clone, before and behind the border.
        ids = make_probe(self.model, PROBE_TOKENS)
        half = PROBE_TOKENS // 2
        keep = torch.zeros_like(ids, dtype=torch.bool)
        keep[:, -4:] = True
        try:
            whole = self.states(ids, keep)
            cache = DynamicCache()
            self.states(ids[:, :half], keep[:, :half], cache)
            if cache.get_seq_length() != half:
                return False
            rest = ids[:, half:].expand(2, -1)
            positions = torch.arange(half, PROBE_TOKENS, device=ids.device).expand(2, -1)
            parts = self.states(
                rest, keep[:, half:].expand(2, -1), widen_cache(cache, 2), positions=positions
            )
        except REFUSALS as error:
            if is_out_of_memory(error):
                raise
            logger.info("%s refuses the cache: %s", type(self.model).__name__, error)
            return False
        # A clone tells by few logits, and without rounding, which moves rare entries of a large
        # vocabulary by whole nats.
        if not is_clone and (same := clone(self.model)) is not None:
            return self._try_clone(same)
        apart = self.project(parts).float().log_softmax(-1)
        apart = apart - self.project(whole).repeat(2, 1).float().log_softmax(-1)
        return bool(apart.abs().max() < 1e-3)

    def _try_clone(self, same: Any) -> bool:
        """Return whether a clone's cache gives its own logits; False if the clone cannot be run."""
        try:
            return CausalModel(same).inspect(is_clone=True).cached
        except REFUSALS as error:
            if is_out_of_memory(error):
                raise
            logger.info("%s: its clone cannot be run: %s", type(self.model).__name__, error)
            return False

    @torch.inference_mode()
    def _check_runs(self) -> None:
        """Refuse a model that needs more inputs than text.

        Raises:
            ModelError: with what transformers says.
        """
        try:
            self.model(input_ids=make_probe(self.model, 4), use_cache=False)
        except REFUSALS as error:
            if is_out_of_memory(error):
                raise
            raise ModelError(
                f"{type(self.model).__name__} cannot be run on text alone: transformers says "
                f"{join_lines(error)!r}; name a causal language model"
            ) from error

    @torch.inference_mode()
    def _check_order(self) -> None:
        """Refuse a model whose tokens see those behind them, as BERT's do, or random numbers.

        Tried on a clone: rounding moves logits, too.

        Raises:
            ModelError: with what to name instead.
        """
        model = clone(self.model)
        if model is None:
            if self.model.dtype != torch.float32:
                return
            model = self.model
        ids = make_probe(model, PROBE_TOKENS)
        other = ids.clone()
        other[:, -1] += 1  # one that the vocabulary has, since no probe ends it
        try:
            one, again, two = (
                model.eval()(input_ids=given, use_cache=False).logits[:, :-1]
                for given in (ids, ids, other)
            )
        except REFUSALS as error:
            if is_out_of_memory(error):
                raise
            logger.info("%s: its order cannot be tried: %s", type(model).__name__, error)
            return
        limit = 1e-2 * float(one.abs().max())
        if float((one - again).abs().max()) > limit:
            raise ModelError(
                f"{type(model).__name__} draws random numbers while it reads, so that one text has "
                "another probability each time; name another model"
            )
        if float((one - two).abs().max()) > limit:
            raise ModelError(
                f"{type(model).__name__} reads text in both directions, so it gives no probability "
                "of a continuation; name a model that writes from left to right (of a BERT "
                "trained to do so, set is_decoder: true in its config.json)"
            )


def _rope_kinds(config: Any) -> set[str]:
    ropes = getattr(config, "rope_parameters", None) or {}
    parts = [ropes, *(part for part in ropes.values() if isinstance(part, dict))]
    return {part["rope_type"] for part in parts if "rope_type" in part}


def _growing_ropes(model: Any) -> tuple[tuple[Any, str], ...]:
    config = model.config.get_text_config()
    if "dynamic" not in _rope_kinds(config):
        return ()
    kinds = ["", *(f"{kind}_" for kind in sorted(set(getattr(config, "layer_types", None) or ())))]
    return tuple(
        (m, kind) for m in model.modules() for kind in kinds if hasattr(m, f"{kind}{_FIRST}")
    )


def _has_plain_cache(model: Any, accepts: frozenset[str]) -> bool:
    """Return whether every layer keeps keys and values of all tokens, and angles are constant."""
    config = model.config.get_text_config()
    if "past_key_values" not in accepts or getattr(model, "_is_stateful", False):
        return False
    try:
        layers = DynamicCache(config=config).layers
    except REFUSALS:  # a family whose config does not tell its layers, such as BLT
        return False
    if any(type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers):
        return False
    return not _rope_kinds(config) & _LENGTH_DEPENDENT_ROPE


def widen_cache(cache: DynamicCache, rows: int) -> DynamicCache:
    """Make a cache for ``rows`` continuations of the one text in ``cache``, without a copy.

    The next forward pass concatenates its tokens, and so makes the only copy.
    """
    wide = DynamicCache()
    for layer in cache.layers:
        copy = DynamicLayer()
        copy.lazy_initialization(layer.keys, layer.values)
        copy.keys = layer.keys.expand(rows, *layer.keys.shape[1:])
        copy.values = layer.values.expand(rows, *layer.values.shape[1:])
        wide.layers.append(copy)
    return wide


def count_bytes_per_token(cache: DynamicCache) -> int:
    """Return the bytes of keys and values that one token of one text takes in all layers."""
    tensors: list[Tensor] = [
        tensor for layer in cache.layers for tensor in (layer.keys, layer.values)
    ]
    n_bytes = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    n_tokens: int = cache.get_seq_length()
    return max(1, n_bytes // (len(tensors[0]) * n_tokens))
