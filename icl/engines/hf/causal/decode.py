"""Generation by a loop over rows, which leave when they end, while waiting prompts join.

If a form leaves a row no choice, its next tokens are not predicted: they are forwarded together
with the last chosen one.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from icl.core.types import Finish, OnToken, Output, Sampling
from icl.engines.hf.causal.decode_batches import (
    BatchingModel,
    DecodeBatch,
    DecodeRequest,
    make_batch,
)
from icl.engines.hf.causal.forward import CausalModel
from icl.engines.hf.causal.forward_meter import ForwardMeter
from icl.engines.hf.causal.token_masks import allowed_ids
from icl.engines.hf.text.form_tokens import TokenGuide
from icl.engines.hf.weights.memory import translate_out_of_memory
from icl.engines.reasoning import ThinkingStream
from icl.engines.text_stream import TextStream

__all__ = ["DecodeRequest", "generate", "pick", "make_random"]


_TAIL = 8
"""Tokens of the prompt that are decoded in front of the output."""
LEAST_FILLED = 0.5
"""Of the positions of a step, the least share that is not padding: rows of which a form has fixed
many tokens at once wait for no others, and make no others wait long."""


@dataclass
class _OutputRow:
    """One output while it is generated."""

    request: DecodeRequest
    sample: int
    stream: TextStream | ThinkingStream
    random: torch.Generator
    tokens: list[int] = field(default_factory=list)
    reasoned: int = 0
    """Number of tokens of reasoning; the answer begins after them."""
    guide: TokenGuide | None = None
    """The form of this output; None: it has none."""
    waiting: list[int] = field(default_factory=list)
    """Tokens that are chosen or fixed, and not forwarded yet."""

    @property
    def reasons(self) -> bool:
        """Return whether the next token belongs to the reasoning, which no mask restricts."""
        return isinstance(self.stream, ThinkingStream) and self.stream.inside

    def limit(self) -> Any | None:
        """Return which tokens may come next by the request's mask or form; None: any."""
        if self.reasons:
            return None
        if self.guide is not None:
            return self.guide.allowed()
        if self.request.mask is None:
            return None
        return self.request.mask.allowed(self.tokens[self.reasoned :])

    def allowed(self, limit: Any, logits: Tensor) -> Tensor:
        """Return the ids of the tokens that may come next: (allowed,), in ascending order."""
        n_tokens = len(self.tokens) - self.reasoned
        if self.guide is not None:
            limit = limit[: len(logits)]  # a tokenizer may know more tokens than the model
        return allowed_ids(limit, logits, self.request.key, n_tokens)

    def note(self, logits: Tensor, ids: Tensor) -> None:
        """Count a token that was chosen among ``ids``, where a form allows no others."""
        if self.guide is None:
            return
        likely: list[tuple[int, float]] = []
        if most := self.guide.most_traced:
            logprobs = logits.log_softmax(-1)
            logprobs[ids] = -torch.inf
            values, found = logprobs.topk(min(most, len(logprobs)))
            pairs = zip(found.tolist(), values.tolist(), strict=True)
            likely = [(token, value) for token, value in pairs if value > -torch.inf]
        self.guide.note(bool(logits[ids].max() < logits.max()), likely)

    def output(self, finish: Finish) -> Output:
        return Output(
            text=self.stream.text,
            finish=self.stream.finish(finish),
            prompt_tokens=len(self.request.ids),
            output_tokens=len(self.tokens),
            sample=self.sample,
            reasoning=self.stream.reasoning,
            form=None if self.guide is None else self.guide.use,
        )


def make_random(seed: int, key: str, sample: int) -> torch.Generator:
    """Make the random generator of one output; its seed is independent of the batch."""
    name = hashlib.sha256(f"{seed}:{key}:{sample}".encode("utf-8", "surrogatepass")).digest()
    generator = torch.Generator("cpu")
    generator.manual_seed(int.from_bytes(name[:8], "big") >> 1)
    return generator


def pick(logits: Tensor, sampling: Sampling, random: torch.Generator) -> int:
    """Draw a token from one row of logits (vocabulary,), float32 on the CPU.

    Temperature, top-k, top-p and min-p apply in this order, each to what the former left, as in
    transformers, also among equal logits: top-k keeps all that equal its last one, top-p of equal
    ones those with the higher ids. One uniform number a token is drawn, and looked up in the
    cumulative sum.
    """
    logits = logits / sampling.temperature
    ids = torch.arange(len(logits))
    if 0 < sampling.top_k < len(logits):
        ids = (logits >= logits.topk(sampling.top_k).values[-1]).nonzero().flatten()
    if sampling.top_p < 1:
        rising, order = logits[ids].sort(stable=True)
        stays = rising.softmax(-1).cumsum(-1) > 1 - sampling.top_p
        stays[-1] = True
        ids = ids[order[stays]].sort().values
    if sampling.min_p > 0:
        probs = logits[ids].softmax(-1)
        ids = ids[probs >= sampling.min_p * probs.max()]
    if len(ids) < len(logits) or sampling.top_p < 1 or sampling.min_p > 0:
        ids = ids[logits[ids].sort(descending=True, stable=True).indices]
    cumulative = logits[ids].double().softmax(-1).cumsum(-1)
    drawn = torch.rand((), generator=random, dtype=torch.float64) * cumulative[-1]
    at = int(torch.searchsorted(cumulative, drawn, right=True))
    return int(ids[min(at, len(ids) - 1)])


def generate(
    lm: CausalModel | BatchingModel,
    requests: Sequence[DecodeRequest],
    sampling: Sampling,
    decode: Callable[[Sequence[int]], str],
    ends: frozenset[int],
    on_token: OnToken | None = None,
    stop: threading.Event | None = None,
    meter: ForwardMeter | None = None,
) -> Iterator[tuple[int, Output]]:
    """Generate for all requests; yield outputs as they finish.

    At most ``lm.rows`` rows run at a time, the longest prompts first; finished ones leave and
    waiting ones take their slots. ``ends`` are the tokens that end a text; ``on_token`` gets the
    text of sample 0 of each prompt in pieces, which together are its output. ``meter`` counts and
    times prompts and answers apart. An answer whose form is complete ends without an end of text.

    Raises:
        OutOfMemory: the rows do not fit; nothing is split here.
    """
    waiting = deque(sorted(requests, key=lambda request: -len(request.ids)))
    batch = make_batch(lm, requests, min(lm.rows, len(requests) * sampling.n))
    rows: list[_OutputRow] = []
    states = torch.empty(0)
    meter = meter or ForwardMeter()
    while rows or waiting:
        if stop is not None and stop.is_set():
            rows += [row for request in waiting for row in _rows(request, sampling, decode)]
            yield from (_finished(row, "cancelled", on_token) for row in rows)
            return
        if coming := _next(waiting, len(rows), batch, lm.rows, sampling.n):
            opened = [_open(request, sampling, decode, ends, on_token) for request in coming]
            yield from (
                _finished(row, one.finish, on_token)
                for one in opened
                if one.finish is not None
                for row in one.rows
            )
            opened = [one for one in opened if one.finish is None]
            if not opened:
                continue
            whole = batch.pads or len(requests) == 1
            n_rows = len(rows) + len(opened) * sampling.n
            with translate_out_of_memory(f"a batch of {n_rows} prompts"), meter.measure(lm):
                joined = batch.join([one.request(whole) for one in opened], sampling.n)
            states = torch.cat([states, joined]) if rows else joined
            rows += [row for one in opened for row in one.rows]
        ended: dict[int, Finish] = {}
        ready = [i for i, row in enumerate(rows) if not row.waiting]
        # A GPU works behind the program's back: what it still has to do for a prompt is waited for
        # here, where its first token is read.
        with meter.measure(lm, decoding=not coming):
            of_ready = states if len(ready) == len(rows) else states[ready]
            chosen = _choose(lm, of_ready, [rows[i] for i in ready], sampling) if ready else []
        for i, token in zip(ready, chosen, strict=True):
            if (finish := _advance(rows[i], token, sampling, ends, on_token)) is not None:
                ended[i] = finish
        yield from (_finished(rows[i], finish, on_token) for i, finish in ended.items())
        if ended:
            kept = _close_up(len(rows), ended)
            rows = [rows[i] for i in kept]
            batch.keep(kept)
        if rows:
            with (
                translate_out_of_memory(f"a batch of {len(rows)} prompts"),
                meter.measure(lm, decoding=True),
            ):
                states = batch.step(_take_waiting(rows, batch.pads))


@dataclass
class _OpenedRequest:
    """A request with its outputs, of which a form may fix the first tokens, or all."""

    given: DecodeRequest
    rows: list[_OutputRow]
    finish: Finish | None
    """Finish reasons of the outputs, if their form left no choice at all."""

    def request(self, whole: bool) -> DecodeRequest:
        """Return what is forwarded for it: the prompt, with the fixed tokens if ``whole``."""
        if not whole or not self.rows[0].waiting:
            return self.given
        fixed = tuple(self.rows[0].waiting)
        for row in self.rows:
            row.waiting.clear()
        return replace(self.given, ids=self.given.ids + fixed)


def _open(
    request: DecodeRequest,
    sampling: Sampling,
    decode: Callable[[Sequence[int]], str],
    ends: frozenset[int],
    on_token: OnToken | None,
) -> _OpenedRequest:
    rows = _rows(request, sampling, decode)
    finishes = [
        None if row.guide is None or row.reasons else _force(row, sampling, ends, on_token)
        for row in rows
    ]
    return _OpenedRequest(request, rows, finishes[0])


def _take_waiting(rows: Sequence[_OutputRow], pads: bool) -> list[list[int]]:
    """Take from each row the tokens to forward now: as many as cost little padding.

    >>> rows = [_OutputRow(None, 0, None, None, waiting=[7] * n) for n in (1, 3, 4)]
    >>> _take_waiting(rows, pads=True), [len(row.waiting) for row in rows]
    ([[7], [7, 7, 7], [7, 7, 7, 7]], [0, 0, 0])
    """
    lengths = [len(row.waiting) for row in rows]
    width = min(lengths)
    if pads:
        filled = (
            (sum(min(n, wide) for n in lengths) / (wide * len(lengths)), wide)
            for wide in sorted({*lengths}, reverse=True)
        )
        width = next((wide for share, wide in filled if share >= LEAST_FILLED), width)
    taken = [row.waiting[:width] for row in rows]
    for row in rows:
        del row.waiting[:width]
    return taken


def _rows(
    request: DecodeRequest, sampling: Sampling, decode: Callable[[Sequence[int]], str]
) -> list[_OutputRow]:
    return [
        _OutputRow(
            request,
            sample,
            _stream(request, decode),
            make_random(sampling.seed, request.key, sample),
            guide=None if request.guide is None else request.guide.copy(),
        )
        for sample in range(sampling.n)
    ]


def _stream(
    request: DecodeRequest, decode: Callable[[Sequence[int]], str]
) -> TextStream | ThinkingStream:
    """Make the stream that takes the tokens of a request's answer."""
    tail = request.ids[-_TAIL:]
    if request.thinking is None:
        return TextStream(decode, tail, request.stops)
    return ThinkingStream(decode, tail, request.stops, request.thinking)


def _next(
    waiting: deque[DecodeRequest], running: int, batch: DecodeBatch, most: int, n: int
) -> list[DecodeRequest]:
    """Remove and return the requests that join now: all that fit, if a quarter of slots is free."""
    free = most - running
    if not waiting or running and (not batch.joins or free < max(n, most // 4)):
        return []
    fit = max(1, free // n) if batch.joins else len(waiting)
    return [waiting.popleft() for _ in range(min(fit, len(waiting)))]


def _close_up(n: int, ended: Mapping[int, str]) -> list[int]:
    """Return the rows that stay, in their new order: the last ones replace those that ended.

    >>> _close_up(5, {1: "stop", 3: "end"})
    [0, 4, 2]
    """
    stay = n - len(ended)
    movers = iter([i for i in range(n - 1, stay - 1, -1) if i not in ended])
    return [next(movers) if i in ended else i for i in range(stay)]


def _finished(row: _OutputRow, finish: Finish, on_token: OnToken | None) -> tuple[int, Output]:
    _hear(row, row.stream.close(), on_token)
    return row.request.index, row.output(finish)


def _advance(
    row: _OutputRow, token: int, sampling: Sampling, ends: frozenset[int], on_token: OnToken | None
) -> Finish | None:
    """Append a token to a row, and those that its form then fixes; return how it finished."""
    token = row.stream.choose(token)
    if token in ends:
        if row.guide is not None and not row.reasons:
            row.guide.ends_by(token)
        return "end"
    reasons = row.reasons
    if row.guide is not None and not reasons:
        if row.guide.ends_by(token):  # the beginning of a stop string, where the form may end
            row.tokens.append(token)
            return "stop"
        row.guide.accept(token)
    finish = _append(row, token, sampling, on_token)
    if reasons or row.reasons:
        row.reasoned = len(row.tokens)
    if row.guide is None or row.reasons or finish not in (None, "length"):
        return finish
    return _force(row, sampling, ends, on_token)


def _append(
    row: _OutputRow, token: int, sampling: Sampling, on_token: OnToken | None
) -> Finish | None:
    row.tokens.append(token)
    row.waiting.append(token)
    _hear(row, row.stream.push(token), on_token)
    if row.stream.stopped:
        return "stop"
    return "length" if len(row.tokens) >= sampling.max_tokens else None


def _force(
    row: _OutputRow, sampling: Sampling, ends: frozenset[int], on_token: OnToken | None
) -> Finish | None:
    """Append the tokens that a row's form fixes now; return how it finished, or None."""
    assert row.guide is not None
    for token in row.guide.force(sampling.max_tokens - len(row.tokens)):
        if _append(row, token, sampling, on_token) == "stop":
            return "stop"
    if row.guide.complete:
        return "end"
    return "length" if len(row.tokens) >= sampling.max_tokens else None


def _hear(row: _OutputRow, text: str, on_token: OnToken | None) -> None:
    if text and on_token is not None and row.sample == 0:
        on_token(row.request.index, text)


def _choose(
    lm: CausalModel | BatchingModel, states: Tensor, rows: Sequence[_OutputRow], sampling: Sampling
) -> list[int]:
    """Choose the next token of every row; masks do not change the choice of rows without one."""
    limits = {i: limit for i, row in enumerate(rows) if (limit := row.limit()) is not None}
    if sampling.temperature == 0:
        chosen = lm.argmax(states) if len(limits) < len(rows) else [0] * len(rows)
        if limits:
            projected = lm.project(states[list(limits)]).float()  # (limited rows, vocabulary)
            for logits, (i, limit) in zip(projected, limits.items(), strict=True):
                ids = rows[i].allowed(limit, logits)
                rows[i].note(logits, ids)
                chosen[i] = int(ids[logits[ids].argmax()])
        return chosen
    on_cpu = lm.project(states).float().cpu()
    chosen = []
    for i, row in enumerate(rows):
        if i in limits:
            ids = row.allowed(limits[i], on_cpu[i])
            row.note(on_cpu[i], ids)
            chosen.append(int(ids[pick(on_cpu[i][ids], sampling, row.random)]))
        else:
            chosen.append(pick(on_cpu[i], sampling, row.random))
    return chosen
