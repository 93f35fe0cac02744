"""Does a model know how sure it is: confidence against accuracy, in bins, and their distance.

Expected calibration error with bins of equal width (Naeini et al. 2015; Guo et al. 2017, arXiv
1706.04599): the confidence of a ranking is the share of the choices' probability that its answer
has. ECE is a sum of rows as any corpus metric, so its interval is the bootstrap's; it is biased
upwards where bins hold few rows, and so is its interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from icl.calibrators import CalibratedScores, Calibrator
from icl.core.errors import MetricError
from icl.core.probabilities import normalise
from icl.core.score_name import ScoreName
from icl.core.stats import Rows, Stats, score
from icl.core.types import Score
from icl.metrics import pair_up
from icl.records.results import ConditionResult

__all__ = ["Bin", "Reliability", "ece_stats", "reliability"]


BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers whose confidence is above ``low`` and at most ``high``, in percent."""

    low: float
    high: float
    n: int
    confidence: float | None
    """Mean confidence in percent; None without answers."""
    accuracy: float | None
    """Right answers in percent; None without answers."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """A reliability diagram in numbers."""

    bins: tuple[Bin, ...]
    ece: Score
    """Mean distance of confidence and accuracy, weighted by the bins' rows, from 0 to 100."""


def reliability(
    condition: ConditionResult, calibrator: str | Calibrator | None = None, bins: int = BINS
) -> Reliability:
    """Bins and expected calibration error of a ranking condition, from its records.

    Args:
        condition: of a run.
        calibrator: a name or an instance; None reads the log-probabilities as they are.
        bins: number of bins of equal width.

    Raises:
        CalibrationError: see :meth:`icl.records.results.ConditionResult.calibrated`.
        MetricError: an example has no right answer, or ``bins`` is below 1.

    >>> reliability(load_run("quickstart").conditions[0], "batch").ece.value  # doctest: +SKIP
    """
    stats = ece_stats(condition, calibrator, bins)
    sums = stats.rows.sum(axis=0).reshape(bins, 3)
    found = tuple(
        Bin(
            100 * place / bins,
            100 * (place + 1) / bins,
            round(n),
            100 * confidence / n if n else None,
            100 * hits / n if n else None,
        )
        for place, (n, confidence, hits) in enumerate(sums.tolist())
    )
    named = calibrator.name if isinstance(calibrator, Calibrator) else calibrator
    name = named or "none"
    return Reliability(found, score(str(ScoreName("ece", calibrator=name)), stats))


def ece_stats(
    condition: ConditionResult,
    calibrator: str | Calibrator | CalibratedScores | None = None,
    bins: int = BINS,
) -> Stats:
    """For each row and bin: 1 where the row is in it, its confidence, 1 if right.  # (n, 3 bins)"""
    if bins < 1:
        raise MetricError(f"bins is {bins}: give at least 1, commonly 10")
    made = condition.calibrated(calibrator if calibrator is not None else "none")
    pairs = pair_up(condition.predictions(calibrator=made), condition.examples, "ECE")
    rows: Rows = np.zeros((len(pairs), 3 * bins))
    for row, scores, (prediction, example) in zip(rows, made.scores, pairs, strict=True):
        sure = float(np.exp(normalise(scores).max()))
        place = max(0, min(bins - 1, int(np.ceil(sure * bins)) - 1))
        row[3 * place : 3 * place + 3] = 1, sure, prediction.value in example.targets
    return Stats(rows, _Distance(bins), f"ece|bins:{bins}|width:equal")


@dataclass(frozen=True, slots=True)
class _Distance:
    """Sum over the bins of |hits - confidence|, of all rows, in percent."""

    bins: int

    def __call__(self, row: Rows) -> float | None:
        n, confidence, hits = row.reshape(self.bins, 3).T
        total = float(n.sum())
        return 100 * float(np.abs(hits - confidence).sum()) / total if total else None
