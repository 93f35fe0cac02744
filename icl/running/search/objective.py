"""The objective of a search: the log-probability of the right answers, or any metric.

Both are :class:`icl.core.stats.Stats` computed from records, which also give intervals and paired
tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from icl.core.errors import ConfigError, MetricError
from icl.core.probabilities import log_sum_exp
from icl.core.registry import did_you_mean, names
from icl.core.stats import Metric, Rows, Stats
from icl.core.types import Method
from icl.metrics import asks_judge, find_direction, make_metric
from icl.records.results import ConditionResult

__all__ = ["GOLD", "Objective", "gold_logprob", "make_objective"]


GOLD = "gold_logprob"


@dataclass(frozen=True)
class Objective:
    """A number computed for a condition, and the direction in which it is better."""

    name: str
    metric: Metric | None = None
    """None for the log-probability of the right answers."""

    @property
    def sign(self) -> int:
        """1 if higher is better, -1 if lower is, as for TER."""
        return -1 if self.metric is not None and find_direction(self.metric) == "lower" else 1

    @property
    def digits(self) -> int:
        """Number of decimals worth printing."""
        return 2 if self.metric is None else 1

    def stats(self, result: ConditionResult) -> Stats:
        """Compute the statistics of a condition's answered rows."""
        if self.metric is None:
            return gold_logprob(result)
        return self.metric.stats(result.predictions(), result.examples)

    def pair(self, a: ConditionResult, b: ConditionResult) -> tuple[Stats, Stats]:
        """Compute the statistics of two conditions on the same rows, for a paired test.

        A row that one of them could not answer is left out of both.
        """
        from icl.scoring.significance import align_stats

        if a.records.keys() != b.records.keys():
            common = tuple(name for name in a.records if name in b.records)
            a, b = replace(a, ids=common), replace(b, ids=common)
        if self.metric is None:
            return gold_logprob(a), gold_logprob(b)
        return align_stats(self.metric, a.predictions(), b.predictions(), a.examples)


def make_objective(entry: str | Mapping[str, Any], method: Method) -> Objective:
    """Construct the objective that a search names.

    Args:
        entry: ``gold_logprob``, or a metric as under ``metrics:``.
        method: the task's method: ``rank``, ``generate`` …

    Raises:
        ConfigError: it is unknown; a metric without a better direction; a judge; or
            ``gold_logprob`` for a task that generates its answers.
    """
    if entry == GOLD:
        if method == "generate":
            raise ConfigError(
                f"search: objective: {GOLD} needs ranked choices, and this task's answers are "
                "generated; name a metric such as chrf, or set `method: rank`"
            )
        return Objective(GOLD)
    if isinstance(entry, str) and entry not in names("metric"):
        known = [GOLD, *names("metric")]
        raise ConfigError(f"search: unknown objective {entry!r}{did_you_mean(entry, known)}")
    name, metric = make_metric(entry, "search: objective")
    if asks_judge(metric):
        raise ConfigError(
            f"search: objective: {name} is a judge, which only `icl run` can use; search by "
            "another metric, and name the judge under metrics: of the best experiment"
        )
    if find_direction(metric) == "none":
        raise ConfigError(
            f"search: objective: {name} is best neither high nor low; name another metric"
        )
    return Objective(name, metric)


def gold_logprob(result: ConditionResult) -> Stats:
    """Compute the mean log-probability of the right answer among the choices, in nats, at most 0.

    It is normalised over the choices, so it measures how well the right label is distinguished from
    the others, not how likely a template makes labels in general. Probabilities of several right
    answers are added. Guessing evenly gives ``math.log(1 / choices)``.

    Raises:
        MetricError: a row has no right answer among its choices.
    """
    if result.set_rule is not None:
        raise MetricError(
            f"{GOLD} needs one right label a row, and those of {result.entry.task!r} are sets of "
            "labels: name a metric under objective:, such as jaccard"
        )
    rows = np.ones((len(result.records), 2))
    for place, (example, record) in enumerate(
        zip(result.examples, result.records.values(), strict=True)
    ):
        labels = [choice.label for choice in result.choices(record)]
        right = [
            value
            for label, value in zip(labels, record.logprobs, strict=True)
            if label in example.targets
        ]
        if not right:
            raise MetricError(
                f"{GOLD} needs a right answer among the choices, and example {example.id!r} has "
                "none: search on rows with gold answers"
            )
        rows[place, 0] = log_sum_exp(right) - log_sum_exp(record.logprobs)
    return Stats(rows, _mean, "gold_logprob|normalised:choices|unit:nat", scale="real")


def _mean(row: Rows) -> float | None:
    total, n = row.tolist()
    return total / n if n else None
