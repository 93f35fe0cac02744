"""A language model as a judge of each output, and its agreement with human verdicts.

``icl run`` sends prompts to the judge and saves its verdicts as records, which this module reads. A
judge is a measuring instrument with errors (Zheng et al. 2023, arXiv 2306.05685), so its agreement
with human verdicts should be reported with every number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from icl.core.errors import MetricError
from icl.core.registry import did_you_mean
from icl.core.stats import Rows, Stats, mean, proportion
from icl.core.types import Example, Method, Needs, Prediction

__all__ = ["Judge", "kappa"]


METHODS = ("rank", "generate")


@dataclass(frozen=True)
class Judge:
    """Mean score of a model's verdicts, from 0 to 100; see ``docs/metrics.md``.

    An output that could not be parsed, and one whose verdict could not be read, has the lowest
    score; both stay in n.

    >>> Judge(model="big").stats([], []).signature
    'judge|model:big|prompt:judge/correct|method:rank|scores:yes=1,no=0'

    Raises:
        MetricError: a score is outside 0 to 1, there are fewer than two, or an unknown method.
    """

    prompt: str = "judge/correct"
    """A classify template that reads ``output``, ``reference`` and the row's inputs."""
    model: str = ""
    """A name under ``models:``."""
    scores: Mapping[str, float] = field(default_factory=lambda: {"yes": 1.0, "no": 0.0})
    """Label of the template -> its value, from 0 to 1."""
    method: Method = "rank"
    """``rank`` scores the verdicts, ``generate`` generates and parses one."""
    max_tokens: int = 16
    """Most tokens of a generated verdict."""
    human: str | None = None
    """JSON Lines file of human verdicts: ``id``, ``verdict``, and ``output`` if it matters."""
    title: str = "judge"
    """Name of the score."""

    needs: ClassVar[Needs] = "verdicts"

    def __post_init__(self) -> None:
        if not isinstance(self.scores, Mapping) or len(self.scores) < 2:
            raise MetricError(
                f"{self.title}: scores: {self.scores!r} must give each verdict a number from 0 to "
                '1, as in {"yes": 1, "no": 0}'
            )
        for label, value in self.scores.items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not isinstance(label, str) or not number or not 0 <= value <= 1:
                raise MetricError(
                    f"{self.title}: the verdict {label!r} counts {value!r}; accepted: a verdict in "
                    'quotes and a number from 0 to 1, as in {"yes": 1, "no": 0}'
                )
        if self.method not in METHODS:
            guess = did_you_mean(str(self.method), METHODS)
            raise MetricError(f"{self.title}: unknown method {self.method!r}{guess}")
        if not isinstance(self.max_tokens, int) or self.max_tokens < 1:
            raise MetricError(
                f"{self.title}: max_tokens is {self.max_tokens!r}; at least 1 is needed"
            )

    @property
    def name(self) -> str:
        """The title."""
        return self.title

    @property
    def label(self) -> str:
        """The title."""
        return self.title

    @property
    def signature(self) -> str:
        """All options of the entry; the run adds hashes of model and template."""
        counted = ",".join(f"{label}={value:g}" for label, value in self.scores.items())
        return (
            f"judge|model:{self.model}|prompt:{self.prompt}|method:{self.method}|scores:{counted}"
        )

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Refuse predictions: a judge's statistics come from its verdicts, by :meth:`judged`.

        Raises:
            MetricError: there are predictions, which need a judge's verdicts.
        """
        if predictions:
            raise MetricError(
                f"{self.title} is a judge, whose verdicts are computed by `icl run`; name it under "
                "metrics: of the experiment and run it"
            )
        return mean([], self.signature)

    def judged(self, verdicts: Sequence[str | None], signature: str) -> Stats:
        """Compute rows [score, 1] from verdicts; None counts as the lowest score.  # (n, 2)"""
        lowest = min(self.scores.values())
        values = [lowest if one is None else self.scores[one] for one in verdicts]
        if set(self.scores.values()) == {0, 1}:
            return proportion([value == 1 for value in values], signature)
        return mean(values, signature)


def kappa(pairs: Sequence[tuple[str, str]], signature: str) -> Stats:
    """Make statistics of Cohen's kappa of two raters, times 100; None if all agree by chance.

    Source: Cohen 1960, Educational and Psychological Measurement 20:37-46.

    >>> both = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    >>> stats = kappa(both, "kappa")
    >>> round(stats.value(stats.rows.sum(axis=0)), 1)
    40.0
    """
    labels = sorted({label for pair in pairs for label in pair})
    size = len(labels)
    place = {label: number for number, label in enumerate(labels)}
    rows = np.zeros((len(pairs), size * size))  # (n, labels of one × labels of the other)
    for number, (one, other) in enumerate(pairs):
        rows[number, place[one] * size + place[other]] = 1

    def value(row: Rows) -> float | None:
        table = row.reshape(size, size) / row.sum()
        chance = float(table.sum(axis=1) @ table.sum(axis=0))
        return None if chance >= 1 else 100 * (float(np.trace(table)) - chance) / (1 - chance)

    return Stats(rows, value, signature)
