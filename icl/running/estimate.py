"""The cost of a run before it runs: conditions, rows to compute, tokens and time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from icl.core.types import Choice, Prompt
from icl.engines.ledger import RemoteEngine
from icl.experiment.condition import Condition, Request
from icl.experiment.grid import Experiment
from icl.experiment.loader import Loader
from icl.experiment.settings import join_axes
from icl.running.judge import load_judges
from icl.running.progress import Progress, format_duration
from icl.running.run import build_conditions
from icl.running.work import list_work, open_stores

__all__ = ["Estimate", "HEAD", "count_answer_tokens", "estimate", "is_priced", "sum_estimates"]


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
    seconds: float
    """Estimated from timings of this condition, or from one trial request."""
    measured: bool
    """Whether ``seconds`` comes from the condition's own timings."""
    prompt: Request | None = None
    """The longest prompt."""
    cost: float | None = None
    """Most money, if the model's entry has a price table."""
    judged: Condition | None = None
    """The condition whose outputs are judged; missing outputs count as long as their reference."""

    def cells(self) -> list[str]:
        """Write the cells of a table row, under the heads :data:`HEAD`."""
        axes = join_axes(self.condition.point.axes) + (
            f" on {join_axes(self.judged.point.axes)}" if self.judged else ""
        )
        took = format_duration(self.seconds) + (
            "" if self.measured or not self.rows else " (trial)"
        )
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
    """Sum up time and money of all conditions, and say what the time is based on."""
    costs = [one.cost for one in found if one.cost is not None]
    cost = f", at most {sum(costs):.4g} in the unit of `price`" if costs else ""
    took = format_duration(sum(one.seconds for one in found))
    tried = any(one.seconds and not one.measured for one in found)
    less = ", less by what prompts share," * tried
    return f"about {took}{cost}{less} in all; nothing was run or saved"


def estimate(
    experiment: Experiment,
    out: str | Path = "runs",
    progress: Progress | None = None,
    loader: Loader | None = None,
) -> Iterator[Estimate]:
    """Estimate every condition one after the other, and then its judges.

    Seconds per token come from the condition's earlier batches if there are any; otherwise its
    median prompt is run once, which loads the model. A trial's answer is discarded, and a model
    that costs money is not tried. A ``loader`` of this experiment shares data and engines.

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
        left[condition.fingerprint] = {one.example.id for one in todo if one.role == "test"}
        yield _estimated(condition, todo, root, loader)
    for condition in found:
        store = open_stores(condition, root)["test"]
        for bench in judges.get(condition.fingerprint, ()):
            made = bench.foreseen(condition, store, left[condition.fingerprint])
            yield replace(_estimated(made, _todo(made, root), root, loader), judged=condition)


def _todo(condition: Condition, root: Path) -> list[Request]:
    """List the requests without a reusable record, the shortest first."""
    todo: list[Request] = []
    for store, requests in list_work(condition, root):
        have = store.records()
        todo += [
            r for name, r in requests.items() if name not in have or have[name].request != r.hash
        ]
    return sorted(todo, key=lambda request: request.tokens)


def _estimated(
    condition: Condition, todo: Sequence[Request], root: Path, loader: Loader
) -> Estimate:
    loader.only(condition.engine)
    prompts = sum(request.tokens for request in todo)
    answers = count_answer_tokens(condition, todo)
    timing = open_stores(condition, root)["test"].timing()
    measured = bool(timing.get("tokens"))
    seconds = 0.0
    if todo and measured:
        seconds = timing["seconds"] / timing["rows"] * len(todo)
    elif todo and not is_priced(condition):
        seconds = _trial(condition, todo[len(todo) // 2]) * len(todo)
    longest = todo[-1] if todo else None
    cost = _cost(condition, todo)
    return Estimate(condition, len(todo), prompts, answers, seconds, measured, longest, cost)


def count_answer_tokens(condition: Condition, requests: Sequence[Request]) -> int:
    """Count the tokens of all choices of the requests, or the most that may be generated."""
    if condition.method == "generate":
        return len(requests) * condition.sampling.max_tokens * condition.sampling.n
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
    """Tell whether running the condition costs money."""
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
    items = request.items

    def ask(width: int) -> None:
        if condition.ranks:
            for _ in condition.engine.score(items[:width]):
                pass
        else:
            few = replace(condition.sampling, max_tokens=min(width, condition.sampling.max_tokens))
            for _ in condition.engine.generate([request.prompt], few):
                pass

    ask(2)
    began = time.perf_counter()
    ask(max(len(items), 16))
    seconds = time.perf_counter() - began
    if condition.method == "generate":
        seconds *= max(1.0, condition.sampling.max_tokens / 16)
    return seconds
