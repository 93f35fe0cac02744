"""The answers to one batch of requests, as records."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from icl.core.errors import EngineError
from icl.core.types import ChoiceScore, Output, Record
from icl.engines.ledger import RemoteEngine
from icl.engines.protocol import InProcessEngine, LenientEngine, RowFailure
from icl.experiment.condition import Condition, Request
from icl.records.store import ConditionStore
from icl.running.failures import FailureTally

__all__ = ["MOST_RANKED", "answer_batch", "plan_batches"]


BATCH_SIZE = 8
"""Examples in a batch for engines that do not report their memory."""
MOST_RANKED = 16
"""Most examples ranked in a batch: enough to share a prefix, few enough to lose little."""


def plan_batches(
    pending: Sequence[Request], condition: Condition, usual: int | None = None
) -> list[list[str]]:
    """Plan the batches of a condition, the one with the longest prompt first.

    ``usual`` is the size of a batch where the file sets none; by default the engine's memory
    decides, for which it is loaded.

    So a batch too large for the memory fails at once. Prompts to rank are sorted by text, so that
    those with the same beginning share a token tree; prompts to continue are sorted by length.
    """
    ranks = condition.ranks
    size = condition.batch_size or usual
    size = size or _batch_size(condition, max(r.tokens for r in pending))
    ordered = sorted(pending, key=lambda r: (r.sent if ranks else -r.tokens, r.example.id))
    found = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    found.sort(key=lambda batch: -max(request.tokens for request in batch))
    return [[request.example.id for request in batch] for batch in found]


def _batch_size(condition: Condition, tokens: int) -> int:
    """Choose the examples in a batch by the engine's memory, if the file does not set it."""
    engine = condition.engine
    if isinstance(engine, RemoteEngine):  # its slowest answer holds up no more than a quarter
        return max(BATCH_SIZE, 1 if condition.ranks else 4 * engine.concurrency)
    if not isinstance(engine, InProcessEngine):
        return BATCH_SIZE
    ranks = condition.ranks
    rows = engine.rows(tokens if ranks else tokens + condition.sampling.max_tokens)
    return min(rows, MOST_RANKED) if ranks else max(1, rows // condition.sampling.n)


def answer_batch(
    condition: Condition,
    store: ConditionStore,
    requests: Sequence[Request],
    tally: FailureTally | None = None,
) -> list[Record]:
    """Answer one batch with the engine; records come back in the batch's order.

    With a ``tally`` rows that an engine can leave out are counted there and have no record.

    Raises:
        TooManyFailures: more rows failed than the tally allows.
    """
    if condition.ranks:
        return _rank(condition, store, requests, tally)
    if any(request.prompts for request in requests):
        return _ask_each(condition, requests, tally)
    outputs: list[list[Output]] = [[] for _ in requests]
    remote = isinstance(condition.engine, RemoteEngine)  # only the server knows its tokens for sure
    failed: set[int] = set()
    with _closing(_generate(condition, requests, tally)) as found:
        for index, made in found:
            if not isinstance(made, RowFailure):
                outputs[index].append(made)
            elif tally is not None:
                failed.add(index)
                tally.add(_record(condition, requests[index]), made.message)
    answered = [place for place in range(len(requests)) if place not in failed]
    for place in answered:
        if len(outputs[place]) != condition.sampling.n:
            told = f"{len(outputs[place])} outputs, {condition.sampling.n} were requested"
            raise _broken(condition, f"example {requests[place].example.id!r}", told)
    return [
        replace(
            _record(condition, requests[place]),
            prompt_tokens=outputs[place][0].prompt_tokens if remote else requests[place].tokens,
            outputs=tuple(sorted(outputs[place], key=lambda output: output.sample)),
        )
        for place in answered
    ]


def _ask_each(
    condition: Condition, requests: Sequence[Request], tally: FailureTally | None
) -> list[Record]:
    """Ask the questions of each request one after the other; a record holds all their outputs."""
    outputs: list[list[Output]] = [[] for _ in requests]
    failed: set[int] = set()
    for turn in range(max(len(request.prompts) for request in requests)):
        places = [
            place
            for place, request in enumerate(requests)
            if turn < len(request.prompts) and place not in failed
        ]
        asked = [replace(requests[place], prompt=requests[place].prompts[turn]) for place in places]
        with _closing(_generate(condition, asked, tally)) as found:
            for index, made in found:
                place = places[index]
                if not isinstance(made, RowFailure):
                    outputs[place].append(replace(made, sample=turn))
                elif tally is not None:
                    failed.add(place)
                    tally.add(_record(condition, requests[place]), made.message)
    records = []
    for place, request in enumerate(requests):
        if place in failed:
            continue
        if len(outputs[place]) != len(request.prompts):
            told = f"{len(outputs[place])} outputs for {len(request.prompts)} questions"
            raise _broken(condition, f"example {request.example.id!r}", told)
        tokens = sum(output.prompt_tokens for output in outputs[place])
        bare = _record(condition, request)
        records.append(replace(bare, prompt_tokens=tokens, outputs=tuple(outputs[place])))
    return records


T = TypeVar("T")


@contextlib.contextmanager
def _closing(found: Iterator[T]) -> Iterator[Iterator[T]]:
    """Close an iterator of answers after the block, even if some answers were not taken."""
    try:
        yield found
    finally:
        close = getattr(found, "close", None)  # an engine may give any iterator
        if close is not None:
            close()


def _generate(
    condition: Condition, requests: Sequence[Request], tally: FailureTally | None
) -> Iterator[tuple[int, Output | RowFailure]]:
    engine, prompts = condition.engine, [request.prompt for request in requests]
    if tally is not None and isinstance(engine, LenientEngine):
        return engine.generate_rows(prompts, condition.sampling)
    return engine.generate(prompts, condition.sampling)


def _score(
    condition: Condition, requests: Sequence[Request], tally: FailureTally | None
) -> Iterator[tuple[int, ChoiceScore | RowFailure]]:
    engine, items = condition.engine, [item for request in requests for item in request.items]
    if tally is not None and isinstance(engine, LenientEngine):
        return engine.score_rows(items)
    return engine.score(items)


def _rank(
    condition: Condition,
    store: ConditionStore,
    requests: Sequence[Request],
    tally: FailureTally | None,
) -> list[Record]:
    owner = [request for request in requests for _ in request.items]
    items = [item for request in requests for item in request.items]
    given: dict[int, ChoiceScore] = {}
    failed: set[str] = set()
    with _closing(_score(condition, requests, tally)) as scored:
        for place, made in scored:
            if not isinstance(made, RowFailure):
                given[place] = made
            elif tally is not None and owner[place].example.id not in failed:
                failed.add(owner[place].example.id)
                tally.add(_record(condition, owner[place]), made.message)
    answered = [request for request in requests if request.example.id not in failed]
    for place, (_, text) in enumerate(items):
        value = given[place].logprob if place in given else None
        if owner[place].example.id in failed:
            given.pop(place, None)
        elif value is None or not math.isfinite(value):
            raise _broken(condition, f"the choice {text!r}", f"the log-probability {value}")
    found = iter(given[place] for place in sorted(given))
    remote = isinstance(condition.engine, RemoteEngine)
    records = []
    for request in answered:
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
