"""Rows that belong to no label, found by a low log-probability of the best label.

The threshold on the best label's probability of Hendrycks and Gimpel 2017 (arXiv 1610.02136), as
Larson et al. 2019 (https://aclanthology.org/D19-1131) use it for intents; chosen on pool rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from icl.calibrators import Answers, CalibratedScores, Calibrator, Floats
from icl.core.errors import CalibrationError, ConfigError
from icl.core.probabilities import normalise

__all__ = ["OutOfScope", "measure_confidence"]


FEW = 20
"""Number of pool rows below which a threshold is little more than a guess."""


@dataclass(frozen=True)
class OutOfScope(Calibrator):
    """Answer ``label`` where the best other label has a log-probability below a threshold.

    Without ``threshold`` it is chosen on ``n`` pool rows, answered with shots from the rest of the
    pool. Where some of them are out of scope, it is the one with the largest share of these below
    it, minus the share of the others below it (Youden's index); where none is, the share
    ``reject`` of the pool rows lies below it.
    """

    name = "out_of_scope"
    assumes = "rows out of scope get a lower log-probability, and pool rows are like the test rows"
    hurts = "labels of very unlike prior probability, with by: sum; a threshold from few pool rows"
    instead_of_pool = "threshold: -1.5"
    label: str = "oos"
    by: Literal["share", "sum"] = "share"
    """``share``: of the probability of all other labels; ``sum``: of the label's own tokens."""
    threshold: float | None = None
    reject: float = 0.1
    n: int = 100

    def __post_init__(self) -> None:
        if not isinstance(self.label, str) or not self.label:
            raise ConfigError(f"out_of_scope: label is {self.label!r}; give the label, as in oos")
        if self.by not in ("share", "sum"):
            raise ConfigError(f"out_of_scope: by is {self.by!r}; give share or sum")
        if self.threshold is not None and not (_is_real(self.threshold) and self.threshold <= 0):
            raise ConfigError(
                f"out_of_scope: threshold is {self.threshold!r}; give a log-probability, 0 or "
                "below, as in -1.5, or leave it out to choose it on pool rows"
            )
        if not (_is_real(self.reject) and 0 <= self.reject < 1):
            raise ConfigError(
                f"out_of_scope: reject is {self.reject!r}; give a share from 0 to below 1, as in "
                "0.1"
            )
        if not isinstance(self.n, int) or isinstance(self.n, bool) or self.n < 1:
            raise ConfigError(
                f"out_of_scope: n is {self.n!r}; give the number of pool rows, as in 100"
            )

    @property
    def pool_rows(self) -> int:
        """Return ``n``; 0 if the threshold is given."""
        return self.n if self.threshold is None else 0

    def calibrate(self, answers: Answers) -> CalibratedScores:
        """Put ``label`` above all others below the threshold, and below all others elsewhere.

        Raises:
            CalibrationError: ``label`` is none of a row's choices or the only one, or no pool row
                has an answer to choose the threshold by.
        """
        places = self._places(answers)
        confidence = measure_confidence(answers, places, self.by)
        threshold, fitted = self.threshold, ""
        warnings: tuple[str, ...] = ()
        if threshold is None:
            threshold, fitted, warnings = self._choose(answers.pool)
        scores: list[Floats] = []
        for row, place, sure in zip(answers.logprobs, places, confidence, strict=True):
            made = normalise(row)
            others = np.delete(made, place)
            made[place] = others.max() + 1 if sure < threshold else others.min() - 1
            scores.append(made)
        return CalibratedScores(scores, fitted, warnings, confidence, self.label)

    def _places(self, answers: Answers) -> list[int]:
        for labels in answers.labels:
            if self.label not in labels or len(labels) < 2:
                shown = ", ".join(labels[:5]) + (", …" if len(labels) > 5 else "")
                raise CalibrationError(
                    f"the label {self.label!r} is not among the choices {shown}; name the label of "
                    "rows out of scope, as in {calibrator: out_of_scope, label: oos}, and list it "
                    "under labels: of the template if the data has no such row"
                )
        return [labels.index(self.label) for labels in answers.labels]

    def _choose(self, pool: Answers | None) -> tuple[float, str, tuple[str, ...]]:
        """Return the threshold, its text for the signature, and warnings."""
        if pool is None or not pool.logprobs:
            raise CalibrationError(
                "no pool row was answered to choose the threshold by, since that needs shots; give "
                "one, as in {calibrator: out_of_scope, threshold: -1.5}"
            )
        sure = measure_confidence(pool, self._places(pool), self.by)
        outside = [self.label in gold for gold in pool.gold]
        n, found = len(sure), sum(outside)
        few = f"the threshold was chosen on {n} pool rows alone; {FEW} and more are better"
        warnings = (few,) if n < FEW else ()
        if 0 < found < n:
            threshold = _separate(sure, outside)
            how = f"outside={found}"
        else:
            threshold = float(np.quantile(sure, self.reject))
            how = f"reject={self.reject:g}"
        return threshold, f"threshold={threshold:.4g},pool={n},{how}", warnings


def measure_confidence(answers: Answers, places: Sequence[int], by: str) -> Floats:
    """Measure how likely the best label in scope is, as a natural log-probability.  # (rows,)

    Args:
        answers: the rankings.
        places: in each row, the place of the label that stands for out of scope.
        by: ``share`` or ``sum``, as in :class:`OutOfScope`.
    """
    rows = [np.delete(row, place) for row, place in zip(answers.logprobs, places, strict=True)]
    return np.array([(normalise(row) if by == "share" else row).max() for row in rows])


def _separate(sure: Floats, outside: Sequence[bool]) -> float:
    """Return the threshold between two values that best parts rows outside from those inside."""
    mask = np.array(outside)
    values = np.unique(sure)
    between = (values[1:] + values[:-1]) / 2
    cuts: list[float] = [
        float(values[0]),
        *between.tolist(),
        float(np.nextafter(values[-1], math.inf)),
    ]

    def gain(cut: float) -> float:
        return float((sure[mask] < cut).mean() - (sure[~mask] < cut).mean())

    return max(cuts, key=gain)


def _is_real(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
