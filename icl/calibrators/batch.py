"""Batch calibration (Zhou et al. 2023, arXiv 2309.17249): subtract a label's mean over rows."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from icl.calibrators import Answers, CalibratedScores, Calibrator, Floats
from icl.core.errors import CalibrationError, ConfigError
from icl.core.probabilities import normalise

__all__ = ["Batch", "chance_skew", "skew"]


ROWS_A_LABEL = 5
"""Least rows for each label; with fewer, the mean reflects the rows as much as the bias."""
SKEWED = 0.2
"""Distance from an even spread, beyond chance, above which a warning is given."""


@dataclass(frozen=True)
class Batch(Calibrator):
    """Log-probability minus its mean over all rows of the condition.

    ``space: log`` subtracts the mean of the normalised log-probabilities, as the paper words it;
    ``probability`` the mean of the probabilities, as its formula can be read too.
    """

    name = "batch"
    assumes = "the rows' right labels are spread about evenly; there are several rows a label"
    hurts = (
        "skewed labels, few rows a label, and shots retrieved for each row (Gemma 3 270M, 60 "
        "intents, 16 BM25 shots: 80 to 69 %)"
    )
    compares_rows = True
    space: Literal["log", "probability"] = "log"

    def __post_init__(self) -> None:
        if self.space not in ("log", "probability"):
            raise ConfigError(f"batch: space is {self.space!r}; give log or probability")

    def calibrate(self, answers: Answers) -> CalibratedScores:
        """Subtract from a label's score the mean score of that label over all rows.

        Raises:
            CalibrationError: a label occurs in one row only, whose mean is itself.
        """
        rows = [normalise(row) for row in answers.logprobs]
        if self.space == "probability":
            rows = [np.exp(row) for row in rows]
        sums: defaultdict[str, float] = defaultdict(float)
        seen: Counter[str] = Counter()
        for labels, row in zip(answers.labels, rows, strict=True):
            for label, value in zip(labels, row.tolist(), strict=True):
                sums[label] += value
                seen[label] += 1
        lonely = next((label for label, n in seen.items() if n < 2), None)
        if lonely is not None:
            raise CalibrationError(
                f"the label {lonely!r} is a choice in one row only, whose mean is the row itself; "
                "batch calibration needs at least 2 rows for each label, better 5"
            )
        scores: list[Floats] = [
            row - np.array([sums[label] / seen[label] for label in labels])
            for labels, row in zip(answers.labels, rows, strict=True)
        ]
        return CalibratedScores(scores, warnings=tuple(_warnings(answers, seen)))


def _warnings(answers: Answers, labels: Mapping[str, int]) -> Iterator[str]:
    """Yield warnings about assumptions that do not hold, as far as visible without answers."""
    n, n_labels = len(answers.logprobs), len(labels)
    if not answers.shared:
        yield "the choices differ from row to row, so only the bias of their places is removed"
    if n < ROWS_A_LABEL * n_labels:
        yield (
            f"{n} rows for {n_labels} labels ({n / n_labels:.1f} a label): the mean is as much the "
            f"rows' own as the prompt's bias; {ROWS_A_LABEL} a label are better"
        )
    counts, whose = answers.pool_labels, "the pool's labels"
    if not counts:
        winners = [
            row[int(np.argmax(logprobs))]
            for row, logprobs in zip(answers.labels, answers.logprobs, strict=True)
        ]
        counts, whose = Counter(winners), "the predictions, which may be the bias itself,"
    far = skew(counts, n_labels)
    chance = chance_skew(sum(counts.values()), n_labels)
    if far > SKEWED + chance:
        yield (
            f"{whose} are skewed: {far:.2f} from even (total variation; 0 is even, "
            f"{1 - 1 / n_labels:.2f} one label alone, {chance:.2f} expected by chance)"
        )


def skew(counts: Mapping[str, int], n_labels: int) -> float:
    """Return the total variation distance of label counts from an even spread, between 0 and 1.

    >>> skew({"yes": 3, "no": 1}, 2)
    0.25
    """
    total = sum(counts.values())
    if not total:
        return 0.0
    off = sum(abs(count / total - 1 / n_labels) for count in counts.values())
    return 0.5 * (off + max(0, n_labels - len(counts)) / n_labels)


def chance_skew(n: int, n_labels: int) -> float:
    """Return the expected :func:`skew` of ``n`` labels drawn evenly, by the normal approximation.

    >>> round(chance_skew(100, 2), 3)
    0.04
    """
    return min(1.0, 0.5 * math.sqrt(2 * (n_labels - 1) / (math.pi * n))) if n else 1.0
