"""The cost of a run before it runs: conditions, rows to compute, tokens and time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from icl.core.types import Choice, Prompt
from icl.engines.ledger import RemoteEngine
from icl.engines.protocol import ForecastEngine, TokenWork
from icl.experiment.condition import Condition, Request
from icl.experiment.grid import Experiment
from icl.experiment.loader import Loader
from icl.experiment.settings import join_axes
from icl.running.forecast import expect_answers, forecast_batches, list_pending
from icl.running.judge import load_judges
from icl.running.progress import Progress, format_duration
from icl.running.run import build_conditions
from icl.running.speeds import Speed, SpeedFile
from icl.running.work import list_work, open_stores

__all__ = ["Estimate", "HEAD", "count_answer_tokens", "estimate", "is_priced", "sum_estimates"]


TRIED_ROWS, TRIED_TOKENS = 4, 16
"""Prompts answered to measure a loaded model, and choices or tokens of each."""
HEAD = ("condition", "rows", "prompt tokens", "answer tokens", "longest", "time")
"""Column heads of :meth:`Estimate.cells`."""


@dataclass(frozen=True)
class Estimate:
    """The estimated cost of one condition."""

    condition: Condition
    rows: int
    """Number of rows, and of calibrators' probes, without a reusable record."""
    prompt_tokens: int
    """Tokens of the prompts of these rows."""
    answer_tokens: int
    """Tokens of all their choices, or ``max_tokens`` for each row to generate."""
    seconds: float | None
    """Estimated from the tokens to compute and the model's speed, or from a trial request; None
    if the speed of this model on this machine is not known."""
    measured: bool
    """Whether ``seconds`` comes from earlier runs, of this condition or of this model."""
    prompt: Request | None = None
    """The longest prompt."""
    cost: float | None = None
    """Most money, if the model's entry has a price table."""
    work: TokenWork | None = None
    """Tokens that the model would forward, each shared one once; None if it cannot tell."""
    at_most: bool = False
    """Whether every answer is taken to be as long as ``max_tokens`` allows."""
    judged: Condition | None = None
    """The condition whose outputs are judged; missing outputs count as long as their reference."""

    def cells(self) -> list[str]:
        """Write the cells of a table row, under the heads :data:`HEAD`."""
        axes = join_axes(self.condition.point.axes) + (
            f" on {join_axes(self.judged.point.axes)}" if self.judged else ""
        )
        took = "unknown" if self.seconds is None else format_duration(self.seconds)
        if self.seconds and not self.measured:
            took += " (trial)"
        if self.seconds and self.at_most:
            took = f"≤ {took}"
        if self.cost is not None:
            took = f"costs {self.cost:.4g}" + (f", {took}" if self.measured else "")
        longest = str(self.prompt.tokens) if self.prompt else "–"
        return [
            axes,
            str(self.rows),
            f"{self.prompt_tokens:,}",
            f"{self.answer_tokens:,}",
            longest,
            took,
        ]


def sum_estimates(found: Sequence[Estimate]) -> str:
    """Sum up time and money of all conditions, with the basis of the time."""
    costs = [one.cost for one in found if one.cost is not None]
    cost = f", at most {sum(costs):.4g} in the unit of `price`" if costs else ""
    known = [one for one in found if one.seconds is not None and one.rows]
    unknown = [one for one in found if one.seconds is None]
    took = format_duration(sum(one.seconds or 0.0 for one in known))
    took = f"{'at most' if any(one.at_most for one in known) else 'about'} {took}"
    works = [one.work for one in found if one.work is not None]
    if works:
        tokens = sum(work.prefill_tokens + work.decode_tokens for work in works)
        counted = f"{tokens:,.0f} tokens (shared ones once)"
        took = f"{took} for {counted}" if known else counted
    if any(one.seconds and not one.measured and one.work is None for one in known):
        cost += ", less by what prompts share,"
    said = f"{took}{cost} in all; nothing was run or saved"
    if not unknown:
        return said
    models = ", ".join(dict.fromkeys(one.condition.point.model_name for one in unknown))
    return (
        f"no rate is known for {models} on this machine yet; {len(unknown)} of {len(found)} "
        "conditions have no time\nevery run of a model measures its rate, and so does a short one: "
        f"icl try FILE\n{'the others take ' if known else ''}{said}"
    )


def estimate(
    experiment: Experiment,
    out: str | Path = "runs",
    progress: Progress | None = None,
    loader: Loader | None = None,
) -> Iterator[Estimate]:
    """Estimate every condition one after the other, and then its judges.

    Seconds come from the tokens that the model would forward and its speed on this machine, which
    every run measures; if none is known and the weights are loaded, a few prompts are tried. An
    engine that does not count tokens goes by the condition's earlier batches, or by one prompt. A
    trial's answer is discarded, and a model that costs money is not tried. A ``loader`` of this
    experiment shares data and engines.

    Raises:
        IclError: everything that :func:`icl.running.run.run` would refuse before it computes.
    """
    loader, root = loader or Loader(experiment), Path(out)
    found = [
        one for one, _ in build_conditions(experiment, loader, progress or Progress(quiet=True))
    ]
    judges = load_judges(found, loader)
    left: dict[str, set[str]] = {}
    for condition in found:
        todo = _todo(condition, root)
        left[condition.fingerprint] = {
            one.example.id for requests in todo for one in requests if one.role == "test"
        }
        yield _estimated(condition, todo, root, loader)
    for condition in found:
        store = open_stores(condition, root)["test"]
        for bench in judges.get(condition.fingerprint, ()):
            made = bench.foreseen(condition, store, left[condition.fingerprint])
            yield replace(_estimated(made, _todo(made, root), root, loader), judged=condition)


def _todo(condition: Condition, root: Path) -> list[list[Request]]:
    """List the requests without a reusable record, of each store."""
    return [list_pending(store, requests) for store, requests in list_work(condition, root)]


def _estimated(
    condition: Condition, work: Sequence[Sequence[Request]], root: Path, loader: Loader
) -> Estimate:
    loader.only(condition.engine)
    todo = sorted((one for requests in work for one in requests), key=lambda one: one.tokens)
    found = Estimate(
        condition,
        len(todo),
        sum(request.tokens for request in todo),
        count_answer_tokens(condition, todo),
        seconds=0.0,
        measured=False,
        prompt=todo[-1] if todo else None,
        cost=_cost(condition, todo),
    )
    if not todo:
        return found
    forecast = forecast_batches(condition, work)
    if forecast is not None:
        return _timed(found, forecast, todo)
    timing = open_stores(condition, root)["test"].timing()
    if timing.get("tokens"):
        return replace(found, seconds=timing["seconds"] / timing["rows"] * len(todo), measured=True)
    if is_priced(condition):
        return found
    return replace(found, seconds=_trial(condition, todo[len(todo) // 2]) * len(todo))


def _timed(found: Estimate, forecast: TokenWork, todo: Sequence[Request]) -> Estimate:
    """Add the time of the tokens to forward: by the model's known speed, or by a short trial."""
    condition = found.condition
    engine = condition.engine
    assert isinstance(engine, ForecastEngine)
    speed = SpeedFile().find(engine.speed_identity())
    work, at_most = expect_answers(condition, forecast, speed)
    found = replace(found, work=work, at_most=at_most)
    seconds = speed.seconds(work) if speed else None
    if seconds is not None:
        return replace(found, seconds=seconds, measured=True)
    if not engine.is_loaded():
        return replace(found, seconds=None)
    return replace(found, seconds=_try_speed(condition, todo).seconds(work))


def count_answer_tokens(condition: Condition, requests: Sequence[Request]) -> int:
    """Count the tokens of all choices of the requests, or the most that may be generated."""
    if condition.method == "generate":
        asked = sum(len(request.to_generate) for request in requests)
        return asked * condition.sampling.max_tokens * condition.sampling.n
    if condition.method == "channel":
        start = condition.count(Prompt(""))
        texts = (Prompt(text) for request in requests for _, text in request.items)
        return sum(condition.count(text) - start for text in texts)
    if condition.choices:
        return len(requests) * sum(_choice_tokens(condition, condition.choices))
    return sum(sum(_choice_tokens(condition, request.choices)) for request in requests)


def _choice_tokens(condition: Condition, choices: Sequence[Choice]) -> list[int]:
    start = condition.count(Prompt(""))
    return [condition.count(Prompt(c.text + c.end)) - start for c in choices]


def is_priced(condition: Condition) -> bool:
    """Return whether running the condition costs money."""
    return isinstance(condition.engine, RemoteEngine) and condition.engine.price is not None


def _cost(condition: Condition, todo: Sequence[Request]) -> float | None:
    """Compute the money for all rows to compute; None if the model is free."""
    engine = condition.engine
    if not isinstance(engine, RemoteEngine) or engine.price is None:
        return None
    echoed = condition.ranking == "echo"
    shared = _choice_tokens(condition, condition.choices) if echoed else []
    found = []
    for request in todo:
        own = shared
        if echoed and not condition.choices:
            own = _choice_tokens(condition, request.choices)
        found.append(engine.cost_of(request.tokens, own, condition.ranking, condition.sampling))
    return sum(cost for cost in found if cost is not None)


def _trial(condition: Condition, request: Request) -> float:
    """Measure the seconds for one prompt, after the model is loaded and warm."""
    _ask(condition, [request], 2)
    began = time.perf_counter()
    _ask(condition, [request], max(len(request.items), TRIED_TOKENS))
    seconds = time.perf_counter() - began
    if condition.method == "generate":
        seconds *= max(1.0, condition.sampling.max_tokens / TRIED_TOKENS)
    return seconds


def _try_speed(condition: Condition, todo: Sequence[Request]) -> Speed:
    """Measure a loaded model's speed on a few prompts of middling length; answers are dropped."""
    engine = condition.engine
    assert isinstance(engine, ForecastEngine)
    middle = max(0, len(todo) // 2 - TRIED_ROWS // 2)
    few = todo[middle : middle + TRIED_ROWS]
    _ask(condition, few[:1], 2)  # what is done once is not to be timed
    before = engine.work_so_far()
    _ask(condition, few, TRIED_TOKENS)
    return Speed.of(engine.work_so_far() - before)


def _ask(condition: Condition, requests: Sequence[Request], width: int) -> None:
    """Answer a few prompts: ``width`` choices, or that many tokens, of each."""
    if condition.ranks:
        items = [item for request in requests for item in request.items[:width]]
        for _ in condition.engine.score(items):
            pass
        return
    few = replace(condition.sampling, max_tokens=min(width, condition.sampling.max_tokens))
    for _ in condition.engine.generate(
        [one for request in requests for one in request.to_generate], few
    ):
        pass
