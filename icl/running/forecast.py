"""The remaining cost of a condition: tokens that its model would forward, and their seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from icl.engines.protocol import Engine, ForecastEngine, InProcessEngine, TokenWork
from icl.experiment.condition import Condition, Request
from icl.records.store import ConditionStore
from icl.running.answer import MOST_RANKED, plan_batches
from icl.running.speeds import Speed, SpeedFile, name_answers
from icl.running.work import list_probes, open_stores

__all__ = [
    "RunOutlook",
    "expect_answers",
    "forecast_batches",
    "list_pending",
]


MOST_GENERATED = 64
"""Answers in a batch of a model whose memory is not known before it is loaded."""
SAMPLED_ROWS = 8
"""Rows of a condition from which the cost of all its rows is estimated."""


def list_pending(store: ConditionStore, requests: Mapping[str, Request]) -> list[Request]:
    """List the requests without a reusable record, in their order."""
    have = store.records()
    return [r for name, r in requests.items() if name not in have or have[name].request != r.hash]


def forecast_batches(condition: Condition, work: Sequence[Sequence[Request]]) -> TokenWork | None:
    """Count the tokens that the engine would forward; None if it cannot tell.

    Args:
        condition: what is to be answered.
        work: the pending requests of each of its stores, in the order in which they are answered.
    """
    engine = condition.engine
    if not isinstance(engine, ForecastEngine):
        return None
    batches: list[list[Request]] = []
    for requests in work:
        by_id = {request.example.id: request for request in requests}
        planned = plan_batches(requests, condition, _foreseen_size(condition)) if requests else []
        batches += [[by_id[key] for key in ids] for ids in planned]
    if condition.ranks:
        items = [[item for request in batch for item in request.items] for batch in batches]
        return engine.forecast_score(items)
    prompts = [[one for request in batch for one in request.to_generate] for batch in batches]
    return engine.forecast_generate(prompts, condition.sampling)


def _foreseen_size(condition: Condition) -> int | None:
    """Return the usual size of a batch before the model is loaded; None lets its memory decide."""
    engine = condition.engine
    if isinstance(engine, ForecastEngine) and engine.is_loaded():
        return None
    if not isinstance(engine, InProcessEngine):
        return None
    return MOST_RANKED if condition.ranks else max(1, MOST_GENERATED // condition.sampling.n)


def expect_answers(
    condition: Condition, work: TokenWork, speed: Speed | None
) -> tuple[TokenWork, bool]:
    """Shorten answers to their usual length; also return whether none is known.

    A forecast has every answer as long as ``max_tokens`` allows; how long answers to such prompts
    were is known from earlier runs.
    """
    most = condition.sampling.max_tokens
    if condition.ranks or not work.decode_tokens:
        return work, False
    mean = speed.mean_length(name_answers(condition), most) if speed else None
    if mean is None:
        return work, True
    share = max(0.0, mean - 1) / max(1, most - 1)
    return replace(work, decode_tokens=work.decode_tokens * share), False


@dataclass
class _PendingCondition:
    """The rest of one condition in a run."""

    engine: Engine
    rows: int
    work: TokenWork | None = None
    """Tokens of one row, with its share of the probes, answers as long as usual; None: unknown."""
    done: int = 0
    """Rows answered in this run."""
    done_s: float = 0.0
    """Seconds for these rows."""


class RunOutlook:
    """A forecast of a run's remaining time, from the tokens left and the speeds so far.

    A condition that is under way goes by its own rows, another one by its model's speed in this
    run or in earlier ones, and where tokens are not counted by the rows of the model's others.
    """

    def __init__(
        self, conditions: Sequence[Condition], root: Path, file: SpeedFile | None = None
    ) -> None:
        self.file = file or SpeedFile()
        self.left: dict[str, _PendingCondition] = {}
        self.known: dict[int, Speed] = {}
        self.before: dict[int, TokenWork] = {}
        for condition in conditions:
            engine = condition.engine
            if isinstance(engine, ForecastEngine) and id(engine) not in self.known:
                self.known[id(engine)] = self.file.find(engine.speed_identity()) or Speed()
                self.before[id(engine)] = engine.work_so_far()
            have = open_stores(condition, root)["test"].records()
            rows = [example for example in condition.examples if example.id not in have]
            self.left[condition.fingerprint] = _PendingCondition(engine, len(rows))
            if rows and len(conditions) > 1:  # a single one goes by its own rows
                self.left[condition.fingerprint].work = self._sample(condition, len(rows))

    def _sample(self, condition: Condition, n_rows: int) -> TokenWork | None:
        """Count the tokens of a row from a few rows and their probes."""
        if not isinstance(condition.engine, ForecastEngine):
            return None
        few = condition.examples[:: -(-len(condition.examples) // SAMPLED_ROWS)]
        tests = {example.id: condition.request(example) for example in few}
        total = TokenWork()
        for role, requests in {"test": tests, **list_probes(condition, tests)}.items():
            work = forecast_batches(condition, [list(requests.values())]) or TokenWork()
            of_rows = role != "pool" and len(requests) >= len(few)  # else they do not grow with n
            total += work * (1 / len(few) if of_rows else 1 / n_rows)
        return expect_answers(condition, total, self.known.get(id(condition.engine)))[0]

    def begin(self, condition: Condition, rows: int) -> None:
        """Set how many rows a condition, or a judge, is about to answer."""
        found = self.left.setdefault(
            condition.fingerprint, _PendingCondition(condition.engine, rows)
        )
        found.rows, found.done, found.done_s = rows, 0, 0.0

    def advance(self, condition: Condition, rows: int, seconds: float) -> None:
        """Note that rows of a condition were answered."""
        found = self.left[condition.fingerprint]
        found.rows = max(0, found.rows - rows)
        found.done, found.done_s = found.done + rows, found.done_s + seconds

    def end(self, condition: Condition) -> None:
        """Note that a condition is finished, or that its other rows have no answer."""
        self.left[condition.fingerprint].rows = 0

    def seconds(self) -> float | None:
        """Return the seconds that all conditions still need; None while one is unknown."""
        found = 0.0
        for one in self.left.values():
            a_row = self._seconds_a_row(one) if one.rows else 0.0
            if a_row is None:
                return None
            found += one.rows * a_row
        return found

    def _seconds_a_row(self, one: _PendingCondition) -> float | None:
        if one.done:
            return one.done_s / one.done
        engine = one.engine
        if one.work is not None and isinstance(engine, ForecastEngine):
            now = Speed.of(engine.work_so_far() - self.before[id(engine)])
            seconds = now.seconds(one.work)
            return self.known[id(engine)].seconds(one.work) if seconds is None else seconds
        others = [other for other in self.left.values() if other.engine is engine and other.done]
        if not others:
            return None
        return sum(other.done_s for other in others) / sum(other.done for other in others)
