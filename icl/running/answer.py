"""One batch of requests, answered by an engine, as records."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from icl.core.errors import EngineError
from icl.core.types import Output, Record
from icl.engines.ledger import RemoteEngine
from icl.engines.protocol import InProcessEngine
from icl.experiment.condition import Condition, Request
from icl.records.store import ConditionStore

__all__ = ["plan_batches"]


BATCH_SIZE = 8
"""Examples in a batch for engines that do not tell what they have memory for."""
MOST_RANKED = 16
"""Examples ranked in a batch: enough to share a prefix, few enough to lose little by a kill."""


def plan_batches(pending: Sequence[Request], condition: Condition) -> list[list[str]]:
    """The batches of a condition, the one with the longest prompt first.

    A batch too large for the memory shows at once that way. Prompts to rank stand in the order of
    their texts, so that those which begin alike meet in one token tree; prompts to be continued
    in the order of their lengths.
    """
    ranks = condition.ranks
    size = condition.batch_size or _batch_size(condition, max(r.tokens for r in pending))
    ordered = sorted(pending, key=lambda r: (r.sent if ranks else -r.tokens, r.example.id))
    found = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    found.sort(key=lambda batch: -max(request.tokens for request in batch))
    return [[request.example.id for request in batch] for batch in found]


def _batch_size(condition: Condition, tokens: int) -> int:
    """Examples in a batch where the file does not say: what the engine has memory for."""
    engine = condition.engine
    if isinstance(engine, RemoteEngine):  # its slowest answer holds up no more than a quarter
        return max(BATCH_SIZE, 1 if condition.ranks else 4 * engine.concurrency)
    if not isinstance(engine, InProcessEngine):
        return BATCH_SIZE
    ranks = condition.ranks
    rows = engine.rows(tokens if ranks else tokens + condition.sampling.max_tokens)
    return min(rows, MOST_RANKED) if ranks else max(1, rows // condition.sampling.n)


def answer_batch(
    condition: Condition, store: ConditionStore, requests: Sequence[Request]
) -> list[Record]:
    """Ask the engine for one batch; records come back in the batch's order."""
    if condition.ranks:
        return _rank(condition, store, requests)
    outputs: list[list[Output]] = [[] for _ in requests]
    prompts = [request.prompt for request in requests]
    remote = isinstance(condition.engine, RemoteEngine)  # only the server knows its tokens for sure
    for index, output in condition.engine.generate(prompts, condition.sampling):
        outputs[index].append(output)
    for request, given in zip(requests, outputs, strict=True):
        if len(given) != condition.sampling.n:
            told = f"{len(given)} outputs, {condition.sampling.n} were asked for"
            raise _broken(condition, f"example {request.example.id!r}", told)
    return [
        replace(
            _record(condition, request),
            prompt_tokens=given[0].prompt_tokens if remote else request.tokens,
            outputs=tuple(sorted(given, key=lambda output: output.sample)),
        )
        for request, given in zip(requests, outputs, strict=True)
    ]


def _rank(condition: Condition, store: ConditionStore, requests: Sequence[Request]) -> list[Record]:
    items = [item for request in requests for item in request.items]
    given = dict(condition.engine.score(items))
    for place, (_, text) in enumerate(items):
        value = given[place].logprob if place in given else None
        if value is None or not math.isfinite(value):
            raise _broken(condition, f"the choice {text!r}", f"the log-probability {value}")
    found = iter(given[place] for place in range(len(items)))
    remote = isinstance(condition.engine, RemoteEngine)
    records = []
    for request in requests:
        scores = [next(found) for _ in request.choices]
        tokens = tuple(score.tokens for score in scores)
        once = [0] * len(tokens) if request.prompts else tokens  # the channel's are the row's own
        usual = store.keep_choices(condition.choices, once) if condition.choices else ()
        records.append(
            replace(
                _record(condition, request),
                prompt_tokens=scores[0].prompt_tokens if remote else request.tokens,
                logprobs=tuple(score.logprob for score in scores),
                choice_tokens=() if tokens == usual else tokens,
                spanning=max(score.spanning for score in scores),
            )
        )
    return records


def _broken(condition: Condition, asked: str, told: str) -> EngineError:
    return EngineError(
        f"{condition.point.model_name}: for {asked} the engine gave {told}; load the model with "
        "width: fp32 or bf16, or repair the engine (icl.check_engine shows where)"
    )


def _record(condition: Condition, request: Request) -> Record:
    shots = tuple(
        (shot.example.id, condition.template.shown_label(shot), shot.score)
        for shot in request.shots
    )
    return Record(
        request.example.id,
        condition.fingerprint,
        request.hash,
        shots,
        request.prompt.dropped,
        request.tokens,
        shortened=request.prompt.shortened,
        choices=() if condition.choices else tuple(request.choices),
        role=request.role,
    )
