"""An encoder-decoder model as two functions: encode prompts once, decode rows after a cache.

T5 and similar models have no position argument and count positions by the cache, so that choices
cannot be packed into one sequence under a mask: every row of the decoder is one text without gaps.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache
from transformers.cache_utils import DynamicLayer
from transformers.modeling_outputs import BaseModelOutput

from icl.core.errors import EngineError, ModelError, join_lines
from icl.engines.hf.causal.decode_batches import DecodeRequest
from icl.engines.hf.causal.forward import Work
from icl.engines.hf.weights.memory import REFUSALS, is_out_of_memory

__all__ = ["Memory", "PairBatch", "PairRequest", "Seq2SeqModel", "continue_cache", "make_cache"]


logger = logging.getLogger(__name__)

Ids: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Memory:
    """The encoder's states of some prompts, padded at the right."""

    states: Tensor  # (prompts, tokens, features)
    mask: Tensor | None  # (prompts, tokens), 0 for padding; None where nothing is padded

    def rows(self, index: Sequence[int]) -> Memory:
        """Return the prompts of some rows of the decoder; a single prompt is not copied."""
        mask = None if self.mask is None else _taken(self.mask, index)
        return Memory(_taken(self.states, index), mask)


def _taken(tensor: Tensor, index: Sequence[int]) -> Tensor:
    """Return rows of a tensor; copy them only if they differ and are not all of it in order."""
    if len(set(index)) == 1:
        return tensor[index[0] : index[0] + 1].expand(len(index), *tensor.shape[1:])
    if list(index) == list(range(len(tensor))):
        return tensor
    return tensor[torch.tensor(index, device=tensor.device)]


def make_cache() -> EncoderDecoderCache:
    """Make an empty cache. With ``config=`` sliding layers would drop keys that masks still see."""
    return EncoderDecoderCache(DynamicCache(), DynamicCache())


def _rows(cache: DynamicCache, index: Sequence[int]) -> DynamicCache:
    made = DynamicCache()
    for layer in cache.layers:
        copy = DynamicLayer()
        copy.lazy_initialization(layer.keys, layer.values)
        copy.keys, copy.values = _taken(layer.keys, index), _taken(layer.values, index)
        made.layers.append(copy)
    return made


def continue_cache(
    grown: EncoderDecoderCache,
    parents: Sequence[int],
    base: EncoderDecoderCache,
    prompts: Sequence[int],
) -> EncoderDecoderCache:
    """Make a cache for rows that continue ``parents`` of one cache, with prompts of another."""
    return EncoderDecoderCache(
        _rows(grown.self_attention_cache, parents), _rows(base.cross_attention_cache, prompts)
    )


@dataclass
class Seq2SeqModel:
    """A loaded model with the properties that :meth:`inspect` finds by tests."""

    model: Any
    rows: int = 1 << 30
    """Rows that may be generated at a time: all that are given, see :class:`PairBatch`."""
    never: tuple[int, ...] = ()
    """Tokens that the generation config never allows, such as Marian's padding."""
    work: Work = field(default_factory=Work)
    """Decoder positions, calls and projections; the encoder's are in ``encoded``."""
    encoded: Work = field(default_factory=Work)
    selects: bool = False
    """Whether the vocabulary projection can run on only the wanted positions."""
    cached: bool = False
    """Whether padded prompts and a cache give the same logits as whole texts; if not, none are
    used."""
    _lock: Any = field(default_factory=threading.RLock, repr=False)

    @property
    def forwarded_tokens(self) -> int:
        """Positions that went through encoder and decoder so far, including padding."""
        return self.encoded.forwarded_tokens + self.work.forwarded_tokens

    @property
    def device(self) -> torch.device:
        """The device that takes token ids."""
        device = self.model.device
        assert isinstance(device, torch.device)
        return device

    @property
    def vocabulary(self) -> int:
        """The number of logits per row."""
        return len(self.model.get_output_embeddings().weight)

    def inspect(self) -> Seq2SeqModel:
        """Find by tests whether projection, cache and padding are right for the model.

        Raises:
            ModelError: transformers cannot run it.
        """
        self.model.eval()
        self._check_runs()
        self.selects = self._check_projection()
        if not self.selects:
            logger.warning("%s: all its logits are computed, wanted or not", self._name)
        self.cached = self._check_cache()
        if not self.cached:
            logger.warning("%s: every text is forwarded whole and alone, slowly", self._name)
        self.work, self.encoded = Work(), Work()
        return self

    @torch.inference_mode()
    def encode(self, sources: Sequence[Ids]) -> Memory:
        """Forward prompts through the encoder, as one batch padded at the right."""
        width = max(map(len, sources))
        ids = torch.zeros((len(sources), width), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, source in enumerate(sources):
            ids[row, : len(source)] = torch.tensor(source)
            mask[row, : len(source)] = 1
        self.encoded.calls += 1
        self.encoded.forwarded_tokens += ids.numel()
        ids, mask = ids.to(self.device), mask.to(self.device)
        needed = None if bool(mask.all()) else mask
        # T5Gemma masks padding by itself where no mask is given, even if the token is a real one.
        out = self.model.get_encoder()(input_ids=ids, attention_mask=mask)
        return Memory(out.last_hidden_state, needed)

    @torch.inference_mode()
    def layers(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:  # both (batch, tokens)
        """Return the encoder's states after embeddings and each layer: (batch, tokens, width)."""
        self.encoded.calls += 1
        self.encoded.forwarded_tokens += ids.numel()
        encoder = self.model.get_encoder()
        out = encoder(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        return tuple(out.hidden_states)

    @torch.inference_mode()
    def decode(
        self,
        memory: Memory,
        ids: Tensor,  # (rows, tokens)
        keep: Tensor,  # bool (rows, tokens)
        cache: EncoderDecoderCache | None = None,
    ) -> Tensor:  # (kept, vocabulary)
        """Return logits at the kept positions, row by row; ``cache`` grows by the tokens.

        Raises:
            EngineError: the model computed NaN.
        """
        self.work.calls += 1
        self.work.forwarded_tokens += ids.numel()
        kept = int(keep.sum())
        self.work.projected_positions += kept if self.selects else keep.numel()
        with self._lock, self._projecting(keep if self.selects else None):
            out = self.model(
                encoder_outputs=BaseModelOutput(last_hidden_state=memory.states),
                attention_mask=memory.mask,
                decoder_input_ids=ids.to(self.device),
                past_key_values=cache,
                use_cache=cache is not None,
            )
        logits = out.logits
        logits = logits[0] if self.selects else logits[keep.to(logits.device)]
        if len(logits) != kept:
            raise ValueError(f"{self._name} projects elsewhere")
        if torch.isnan(logits.amax(-1)).any():
            raise EngineError(
                f"the model computed NaN in {logits.dtype}; load it with width: fp32 or bf16"
            )
        return logits  # type: ignore[no-any-return]

    @torch.inference_mode()
    def whole(self, source: Ids, target: Ids) -> Tensor:  # (target tokens, vocabulary)
        """Return the model's own logits after every token of one text, computed without a cache."""
        self.encoded.calls += 1
        self.encoded.forwarded_tokens += len(source)
        self.work.calls += 1
        self.work.forwarded_tokens += len(target)
        self.work.projected_positions += len(target)
        given = torch.tensor([source], device=self.device)
        out = self.model(
            input_ids=given,
            attention_mask=torch.ones_like(given),
            decoder_input_ids=torch.tensor([target], device=self.device),
            use_cache=False,
        )
        if torch.isnan(out.logits.amax(-1)).any():
            raise EngineError(
                f"the model computed NaN in {out.logits.dtype}; load it with width: fp32 or bf16, "
                "or name another model"
            )
        return out.logits[0]  # type: ignore[no-any-return]

    def batch(self, requests: Sequence[DecodeRequest]) -> PairBatch:
        """Make a batch for :func:`icl.engines.hf.causal.decode.generate`, with logits as states."""
        return PairBatch(self)

    def argmax(self, states: Tensor) -> list[int]:
        """Return the likeliest token of each row of logits."""
        found: list[int] = states.argmax(-1).tolist()
        return found

    def project(self, states: Tensor) -> Tensor:
        """Return the states unchanged, since they are logits."""
        return states

    @property
    def _name(self) -> str:
        return type(self.model).__name__

    @contextmanager
    def _projecting(self, keep: Tensor | None) -> Iterator[None]:
        """Run the vocabulary projection on only the kept positions, as a batch of one text."""
        if keep is None:
            yield
            return

        def pick(module: Any, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            states = given[0]  # (rows, tokens, features)
            return (states[keep.to(states.device)][None],)

        handle = self.model.get_output_embeddings().register_forward_pre_hook(pick)
        try:
            yield
        finally:
            handle.remove()

    def _probe(self) -> tuple[list[Ids], Ids]:
        embeddings = self.model.get_input_embeddings().num_embeddings
        size = min(embeddings, self.vocabulary)
        texts = [tuple((7 * i + 5) % size for i in range(n)) for n in (9, 5)]
        return texts, tuple((11 * i + 3) % size for i in range(6))

    def _check_runs(self) -> None:
        sources, target = self._probe()
        try:
            self.whole(sources[0], target)
        except REFUSALS as error:
            if is_out_of_memory(error):
                raise
            raise ModelError(
                f"{self._name} cannot be run on text alone: transformers says "
                f"{join_lines(error)!r}; name an encoder-decoder language model"
            ) from error

    def _check_projection(self) -> bool:
        sources, target = self._probe()
        keep = torch.tensor([[False, True, False, True, True, False]])
        try:
            plain = self.whole(sources[0], target)[keep[0].to(self.device)]
            self.selects = True
            memory = self.encode(sources[:1])
            return self._same(self.decode(memory, torch.tensor([target]), keep), plain)
        except REFUSALS as error:
            return self._refused("a part of the projection", error)

    def _check_cache(self) -> bool:
        """Return whether two padded prompts, a step and two rows after it equal the whole texts."""
        sources, target = self._probe()
        try:
            plain = [self.whole(source, target)[2:] for source in sources]
            memory, cache = self.encode(sources), make_cache()
            keep = torch.zeros((2, 2), dtype=torch.bool)
            keep[:, -1] = True
            self.decode(memory, torch.tensor([target[:2]] * 2), keep, cache)
            if cache.get_seq_length() != 2:
                return False
            for prompt in (1, 0):
                rows = [prompt, prompt]
                rest = torch.tensor([target[2:]] * 2)
                found = self.decode(
                    memory.rows(rows),
                    rest,
                    torch.ones_like(rest, dtype=torch.bool),
                    continue_cache(cache, rows, cache, rows),
                )
                if not self._same(found, plain[prompt].repeat(2, 1)):
                    return False
        except REFUSALS as error:
            return self._refused("the cache", error)
        return True

    def _refused(self, what: str, error: BaseException) -> bool:
        if is_out_of_memory(error):
            raise error
        logger.info("%s refuses %s: %s", self._name, what, error)
        return False

    @staticmethod
    def _same(found: Tensor, plain: Tensor) -> bool:
        # Half precision rounds the two ways differently; a wrong mask is off by whole nats.
        limit = 1e-3 if plain.dtype == torch.float32 else 1.0
        apart = found.float().log_softmax(-1) - plain.float().log_softmax(-1)
        return bool(apart.abs().max() < limit)


@dataclass(frozen=True, slots=True)
class PairRequest(DecodeRequest):
    """A prompt for the encoder; ``ids`` are the tokens that the decoder begins with."""

    source: Ids = ()


class PairBatch:
    """Rows of the decoder that grow by as many tokens at a step; each prompt is encoded once.

    All join at once: rows of other lengths would need gaps, which count as positions here.
    """

    joins = False
    pads = False

    def __init__(self, lm: Seq2SeqModel) -> None:
        self.lm = lm
        self.cache = make_cache()
        self.memory = Memory(torch.empty(0), None)
        self.texts: list[tuple[Ids, Ids]] = []

    def join(self, requests: Sequence[DecodeRequest], n: int) -> Tensor:
        """Encode the prompts and forward the decoder's first tokens; return the next logits."""
        pairs = [request for request in requests if isinstance(request, PairRequest)]
        rows = [row for row in range(len(pairs)) for _ in range(n)]
        self.texts = [(pair.source, pair.ids) for pair in pairs]
        if self.lm.cached:
            self.memory = self.lm.encode([pair.source for pair in pairs])
            logits = self._forward([pair.ids for pair in pairs])
        else:
            logits = self._whole()
        if n > 1:
            self.keep(rows)
            logits = logits[rows]
        return logits

    def keep(self, kept: Sequence[int]) -> None:
        """Keep only these rows, in this order."""
        if not kept or list(kept) == list(range(len(self.texts))):
            return
        self.texts = [self.texts[row] for row in kept]
        if self.lm.cached:
            self.cache = continue_cache(self.cache, kept, self.cache, kept)
            self.memory = self.memory.rows(kept)

    def step(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        """Append as many tokens to each row; return the logits after the last."""
        pairs = zip(self.texts, tokens, strict=True)
        self.texts = [(source, (*ids, *more)) for (source, ids), more in pairs]
        return self._forward([tuple(row) for row in tokens]) if self.lm.cached else self._whole()

    def _forward(self, rows: Sequence[Ids]) -> Tensor:  # (rows, vocabulary)
        ids = torch.tensor(rows)  # (rows, tokens)
        keep = torch.zeros(ids.shape, dtype=torch.bool)
        keep[:, -1] = True
        return self._allowed(self.lm.decode(self.memory, ids, keep, self.cache))

    def _whole(self) -> Tensor:  # (rows, vocabulary)
        return self._allowed(torch.stack([self.lm.whole(*text)[-1] for text in self.texts]))

    def _allowed(self, logits: Tensor) -> Tensor:
        if self.lm.never:
            logits = logits.clone()
            logits[:, list(self.lm.never)] = -torch.inf
        return logits
