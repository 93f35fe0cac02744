"""Log-likelihood of choices by an encoder-decoder model: prompts encoded once, choices as a tree.

A batch's prompts are encoded together. The decoder's first tokens are forwarded for all prompts at
once; this also computes the keys and values of the prompts, once. The choices are rows after that.
If many of them begin alike, the tree of their tokens is forwarded a level at a time, each token
once; the rest of every row follows as one padded batch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias, TypeVar

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache

from icl.core.errors import OutOfMemory
from icl.engines.hf.causal.score import ChoicePlan, add_logprobs
from icl.engines.hf.seq2seq.forward import Memory, Seq2SeqModel, continue_cache, make_cache
from icl.engines.hf.weights.memory import is_out_of_memory, translate_out_of_memory

__all__ = ["PairPlan", "score_pair_plain", "score_pairs"]


logger = logging.getLogger(__name__)

Ids: TypeAlias = tuple[int, ...]
Row: TypeAlias = tuple[int, Ids]
"""The index of a prompt in its group, and a choice's tokens or their beginning."""
Found: TypeAlias = dict[tuple[Row, int], float]
"""(row, token that follows it) -> its log-probability."""
Item = TypeVar("Item")
Result = TypeVar("Result")

ENCODED_TOKENS = 4096
"""Encoder positions in a batch, with padding: enough for efficient products."""
CALL_TOKENS = 32
"""Number of positions that cost as much as another call of the decoder."""


@dataclass(frozen=True, slots=True)
class PairPlan(ChoicePlan):
    """One prompt and its choices; the prefix is what the decoder begins with."""

    source: Ids = ()
    """The prompt's tokens, for the encoder."""


def score_pairs(
    lm: Seq2SeqModel, plans: Sequence[ChoicePlan], cache_bytes: int
) -> Iterator[tuple[int, list[float]]]:
    """Yield (plan, float32 log-likelihoods of its choices) as they become known.

    Raises:
        OutOfMemory: even a single choice does not fit.
    """
    if not lm.cached:
        yield from ((i, score_pair_plain(lm, plan)) for i, plan in enumerate(plans))
        return
    pairs = [plan for plan in plans if isinstance(plan, PairPlan)]

    def encode(places: Sequence[int]) -> Memory:
        return lm.encode([pairs[i].source for i in places])

    for places in _alike(pairs):
        for part, memory in _halving(places, encode, "prompts"):
            yield from _score_group(lm, [(i, pairs[i]) for i in part], memory, cache_bytes)


def score_pair_plain(lm: Seq2SeqModel, plan: ChoicePlan) -> list[float]:
    """Score one plan with prompt and choice forwarded whole for each: slow, the reference."""
    assert isinstance(plan, PairPlan)
    sums = []
    for suffix in plan.suffixes:
        with translate_out_of_memory(f"a prompt of {len(plan.source)} tokens"):
            logits = lm.whole(plan.source, (plan.prefix + suffix)[:-1])[-len(suffix) :]
            sums.append(add_logprobs(_logprobs(logits, list(enumerate(suffix)))))
    return sums


def _alike(pairs: Sequence[PairPlan]) -> Iterator[list[int]]:
    """Yield indices whose decoders begin alike, longest prompts first, in encoder batches."""
    order = sorted(range(len(pairs)), key=lambda i: (pairs[i].prefix, -len(pairs[i].source)))
    batch: list[int] = []
    for i in order:
        if batch:
            first = pairs[batch[0]]
            full = (len(batch) + 1) * len(first.source) > ENCODED_TOKENS
            if full or first.prefix != pairs[i].prefix:
                yield batch
                batch = []
        batch.append(i)
    if batch:
        yield batch


def _halving(
    items: Sequence[Item], compute: Callable[[Sequence[Item]], Result], what: str
) -> Iterator[tuple[Sequence[Item], Result]]:
    """Compute for all items at once; if memory runs out, for each half."""
    waiting = [items]
    while waiting:
        part = waiting.pop()
        try:
            result = compute(part)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(part) == 1:
                raise OutOfMemory(
                    f"out of memory on one of the {what}; use shorter prompts or a smaller model"
                ) from error
            middle = len(part) // 2
            logger.warning("out of memory on %d %s; going on with %d", len(part), what, middle)
            waiting += [part[middle:], part[:middle]]
            continue
        yield part, result


@dataclass(frozen=True)
class _PrefixState:
    """The decoder's state for a group of prompts after the tokens that all of them begin with."""

    lm: Seq2SeqModel
    memory: Memory
    cache: EncoderDecoderCache
    nexts: Mapping[Row, list[int]]
    """Every beginning of a choice -> the distinct tokens that follow it."""


def _score_group(
    lm: Seq2SeqModel, group: Sequence[tuple[int, PairPlan]], memory: Memory, cache_bytes: int
) -> Iterator[tuple[int, list[float]]]:
    """Score prompts that were encoded together and whose decoders begin alike."""
    nexts: dict[Row, dict[int, None]] = {}
    for p, (_, one) in enumerate(group):
        for suffix in one.suffixes:
            for i, token in enumerate(suffix):
                nexts.setdefault((p, suffix[:i]), {})[token] = None
    followers = {row: list(tokens) for row, tokens in nexts.items()}
    lead = group[0][1].prefix

    def begin(prompts: Sequence[int]) -> tuple[_PrefixState, Found]:
        cache = make_cache()
        keep = torch.zeros((len(prompts), len(lead)), dtype=torch.bool)
        keep[:, -1] = True
        own = memory.rows(prompts)
        logits = lm.decode(own, torch.tensor([lead] * len(prompts)), keep, cache)
        place = {p: i for i, p in enumerate(prompts)}
        near = {(place[p], ids): then for (p, ids), then in followers.items() if p in place}
        roots: list[Row] = [(i, ()) for i in range(len(prompts))]
        return _PrefixState(lm, own, cache, near), _gathered(logits, roots, near)

    for prompts, (begun, roots) in _halving(range(len(group)), begin, "prompts"):
        found = dict(roots)
        rows = [(i, s) for i, p in enumerate(prompts) for s in sorted(group[p][1].suffixes)]
        for unit in _units([row for row in rows if len(row[1]) > 1], begun, cache_bytes):
            for _, more in _halving(unit, partial(_forward_tree, begun), "choices"):
                found |= more
        for i, p in enumerate(prompts):
            place, one = group[p]
            yield (
                place,
                [
                    add_logprobs(found[(i, s[:n]), token] for n, token in enumerate(s))
                    for s in one.suffixes
                ],
            )


def _units(rows: Sequence[Row], begun: _PrefixState, cache_bytes: int) -> Iterator[Sequence[Row]]:
    """Yield parts of the rows whose keys, values and logits stay within ``cache_bytes``.

    Rows of one prompt read its keys and values in place; those of several prompts need a copy.
    """
    if not rows:
        return
    prompts = sorted({p for p, _ in rows})
    if len(rows) == 1 or _bytes(rows, begun, len(prompts) > 1) <= cache_bytes:
        yield rows
        return
    if len(prompts) > 1:
        border = prompts[len(prompts) // 2]
        halves = [row for row in rows if row[0] < border], [row for row in rows if row[0] >= border]
    else:
        halves = list(rows[: len(rows) // 2]), list(rows[len(rows) // 2 :])
    for half in halves:
        yield from _units(half, begun, cache_bytes)


def _bytes(rows: Sequence[Row], begun: _PrefixState, copied: bool) -> int:
    """Return the most bytes of keys, values and float32 logits that the rows need."""
    longest = max(len(ids) for _, ids in rows)
    own = _row_bytes(begun.cache.self_attention_cache)
    n_cached = int(begun.cache.get_seq_length())
    bytes_ = len(rows) * (own * (n_cached + longest) // n_cached)
    if copied:
        bytes_ += len(rows) * _row_bytes(begun.cache.cross_attention_cache)
    return bytes_ + 4 * begun.lm.vocabulary * sum(len(ids) for _, ids in rows)


def _row_bytes(cache: DynamicCache) -> int:
    tensors: list[Tensor] = [t for layer in cache.layers for t in (layer.keys, layer.values)]
    return sum(t[0].numel() * t.element_size() for t in tensors)


def _forward_tree(begun: _PrefixState, rows: Sequence[Row]) -> Found:
    """Forward the tokens that others follow: whole levels first, then the rest of each row."""
    nodes: list[list[Row]] = [[] for _ in range(max(len(ids) for _, ids in rows) - 1)]
    for p, ids in rows:
        for depth in range(1, len(ids)):
            nodes[depth - 1].append((p, ids[:depth]))
    nodes = [list(dict.fromkeys(level)) for level in nodes]
    cache = begun.cache
    at: dict[Row, int] = {(p, ()): p for p, _ in rows}  # where each node stands in the cache
    found: Found = {}
    n_levels = _levels(nodes)
    for n_cached, level in enumerate(nodes[:n_levels]):
        cache, more = _step(begun, cache, at, level, n_cached)
        at = {node: i for i, node in enumerate(level)}
        found |= more
    if n_levels < len(nodes):
        found |= _step(begun, cache, at, _tails(nodes[n_levels:]), n_levels)[1]
    return found


def _levels(nodes: Sequence[Sequence[Row]]) -> int:
    """Return the number of levels to forward one token at a time, for the lowest cost."""

    def cost(n_levels: int) -> int:
        steps = CALL_TOKENS * n_levels + sum(map(len, nodes[:n_levels]))
        rest = nodes[n_levels:]
        return steps + (CALL_TOKENS + len(_tails(rest)) * len(rest) if rest else 0)

    return min(range(len(nodes) + 1), key=cost)


def _tails(nodes: Sequence[Sequence[Row]]) -> list[Row]:
    """Return the rows that cover these levels: nodes that no other one continues."""
    deep = [node for level in nodes for node in level]
    continued = {(p, ids[:-1]) for p, ids in deep}
    return [node for node in deep if node not in continued]


def _step(
    begun: _PrefixState,
    cache: EncoderDecoderCache,
    at: Mapping[Row, int],
    rows: Sequence[Row],
    n_cached: int,
) -> tuple[EncoderDecoderCache, Found]:
    """Forward rows from their token ``n_cached`` on, padded at the right, where it is unseen."""
    parents = [at[p, ids[:n_cached]] for p, ids in rows]
    prompts = [p for p, _ in rows]
    longer = continue_cache(cache, parents, begun.cache, prompts)
    width = max(len(ids) for _, ids in rows) - n_cached
    tokens = torch.zeros((len(rows), width), dtype=torch.long)
    keep = torch.zeros((len(rows), width), dtype=torch.bool)
    kept: dict[Row, None] = {}
    for r, (p, ids) in enumerate(rows):
        tokens[r, : len(ids) - n_cached] = torch.tensor(ids[n_cached:])
        for end in range(n_cached + 1, len(ids) + 1):
            node = (p, ids[:end])
            if node not in kept:
                kept[node] = None
                keep[r, end - n_cached - 1] = True
    logits = begun.lm.decode(begun.memory.rows(prompts), tokens, keep, longer)
    return longer, _gathered(logits, list(kept), begun.nexts)


def _gathered(
    logits: Tensor,  # (rows, vocabulary)
    rows: Sequence[Row],
    nexts: Mapping[Row, list[int]],
) -> Found:
    wanted = [(i, row, token) for i, row in enumerate(rows) for token in nexts[row]]
    values = _logprobs(logits, [(i, token) for i, _, token in wanted])
    return {(row, token): value for (_, row, token), value in zip(wanted, values, strict=True)}


@torch.inference_mode()
def _logprobs(logits: Tensor, wanted: Sequence[tuple[int, int]]) -> list[float]:
    """Return the log-probability of each wanted (row, token), in float32."""
    logits = logits.float()
    norms = logits.logsumexp(-1)  # (rows,)
    rows = torch.tensor([row for row, _ in wanted], device=logits.device)
    tokens = torch.tensor([token for _, token in wanted], device=logits.device)
    values: list[float] = (logits[rows, tokens] - norms[rows]).tolist()
    return values
