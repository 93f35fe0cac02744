"""Reliability of confidence: its distance from accuracy, in bins (a reliability diagram, ECE).

Expected calibration error with bins of equal width (Naeini et al. 2015; Guo et al. 2017, arXiv
1706.04599): the confidence of a ranking is the share of the choices' probability that its answer
has. With few rows ECE is far above 0 even for a perfectly calibrated model (Bröcker 2012,
https://doi.org/10.1007/s00382-011-1191-1; Kumar, Liang and Ma 2019, arXiv 1909.10155). So three
numbers go with it: the ECE of such a model on these rows, an estimate without that bias, and an
interval: the gaps of the bins are shrunk and stretched together until the simulated ECE has its
middle, or its outer 2.5 %, at the observed value (an inverted test).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from icl.calibrators import CalibratedScores, Calibrator
from icl.core.errors import MetricError
from icl.core.probabilities import normalise
from icl.core.score_name import ScoreName
from icl.core.stats import Rows, Stats, tell_lack
from icl.core.types import Score, signature_text
from icl.metrics import pair_up
from icl.records.results import ConditionResult

__all__ = ["Bin", "CHANCE", "DEBIASED", "Reliability", "ece_scores", "ece_stats", "reliability"]


BINS = 10
CHANCE, DEBIASED = "ece:chance", "ece:debiased"
"""Names of the ECE expected by chance alone on these rows, and of the estimate without it."""
DRAWS = 500
"""Simulated samples for each step of an interval's end."""
STEPS = 12
"""Bisections of an end: to a thousandth of the widest gaps tried."""
WIDEST = 8.0
"""Largest factor by which the observed gaps of the bins are widened in the search for an end."""
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Bin:
    """The answers with a confidence above ``low`` and at most ``high``, in percent."""

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
    """Mean distance of confidence and accuracy, weighted by the bins' rows, from 0 to 100. Its
    interval is about the population of such rows, and holds the debiased estimate too."""
    by_chance: Score
    """Expected ECE, on as many rows, of a model whose confidence is exactly right."""
    debiased: Score
    """ECE minus its part by chance."""


def reliability(
    condition: ConditionResult, calibrator: str | Calibrator | None = None, bins: int = BINS
) -> Reliability:
    """Compute the bins and the expected calibration error of a ranking condition.

    Args:
        condition: a condition of a run.
        calibrator: a name or an instance; None uses the log-probabilities unchanged.
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
    return Reliability(found, *ece_scores(name, stats))


def ece_scores(calibrator: str, stats: Stats) -> tuple[Score, Score, Score]:
    """Compute ECE with its interval, that of chance alone, and the debiased estimate.

    Args:
        calibrator: as it is called in the names of the scores.
        stats: from :func:`ece_stats`.
    """

    def named(metric: str, made: str, *numbers: float | None) -> Score:
        name = str(ScoreName(metric, calibrator=calibrator))
        value, low, high = numbers
        return Score(name, value, low, high, n, signature_text(stats.signature, made))

    n = len(stats.rows)
    if not n:
        return (
            named("ece", "none", None, None, None),
            named(CHANCE, "none", None, None, None),
            named(DEBIASED, "none", None, None, None),
        )
    found = _Gaps.of(stats.rows)
    low, middle, high = found.invert()
    made = f"none ({tell_lack(stats)})"
    ends: tuple[float | None, float | None] = (None, None)
    if not tell_lack(stats):
        made, ends = f"simulation{DRAWS}-seed0", (100 * low, 100 * max(high, found.observed))
    return (
        named("ece", made, 100 * found.observed, *ends),
        named(CHANCE, "none (an expectation)", 100 * float(found.draw(0).mean()), None, None),
        named(DEBIASED, made, 100 * middle, *ends),
    )


@dataclass(frozen=True, slots=True)
class _Gaps:
    """The distances of accuracy from confidence in each bin that holds rows."""

    n: int
    share: npt.NDArray[np.float64]
    """Of the rows, in each bin.  # (bins,)"""
    confidence: npt.NDArray[np.float64]
    """Mean of the bin.  # (bins,)"""
    gap: npt.NDArray[np.float64]
    """Accuracy minus confidence.  # (bins,)"""

    @classmethod
    def of(cls, rows: Rows) -> _Gaps:
        """Read them from the rows of :func:`ece_stats`."""
        count, confidence, hits = rows.sum(axis=0).reshape(-1, 3).T
        filled = count > 0
        count, confidence, hits = count[filled], confidence[filled], hits[filled]
        n = len(rows)
        return cls(n, count / n, confidence / count, (hits - confidence) / count)

    @property
    def observed(self) -> float:
        """ECE from 0 to 1."""
        return float(self.share @ np.abs(self.gap))

    def _accuracy(self, times: float) -> npt.NDArray[np.float64]:
        """Compute each bin's accuracy if its gap, or its error for none, were ``times`` as wide."""
        error = np.sqrt(self.confidence * (1 - self.confidence) / (self.n * self.share))
        gap = np.where(np.abs(self.gap) < _ROUNDING, error, self.gap)
        made: npt.NDArray[np.float64] = np.clip(self.confidence + times * gap, 0, 1)
        return made

    def true(self, times: float) -> float:
        """Compute the ECE of all such rows if the gaps were ``times`` as wide."""
        return float(self.share @ np.abs(self._accuracy(times) - self.confidence))

    def draw(self, times: float) -> npt.NDArray[np.float64]:
        """Simulate samples of as many rows and compute the ECE of each.  # (draws,)"""
        chance = np.random.default_rng(0)
        count = chance.multinomial(self.n, self.share / self.share.sum(), size=DRAWS)
        hits = chance.binomial(count, self._accuracy(times))
        apart: npt.NDArray[np.float64] = np.abs(hits - count * self.confidence).sum(axis=1)
        return apart / self.n

    def invert(self, level: float = 0.95) -> tuple[float, float, float]:
        """Lower end, middle and upper end of ECE of all such rows."""
        seen, tail = self.observed, (1 - level) / 2

        def find(below: Callable[[npt.NDArray[np.float64]], bool]) -> float:
            if not below(self.draw(0)):
                return 0.0
            low, high = 0.0, WIDEST
            for _ in range(STEPS):
                middle = (low + high) / 2
                low, high = (middle, high) if below(self.draw(middle)) else (low, middle)
            return self.true((low + high) / 2)

        low = find(lambda drawn: float((drawn >= seen - _ROUNDING).mean()) < tail)
        middle = find(lambda drawn: float(drawn.mean()) < seen)
        high = find(lambda drawn: float((drawn <= seen + _ROUNDING).mean()) > tail)
        return low, max(low, middle), max(high, middle)


def ece_stats(
    condition: ConditionResult,
    calibrator: str | Calibrator | CalibratedScores | None = None,
    bins: int = BINS,
) -> Stats:
    """Make rows with, per bin: 1 if the row is in it, its confidence, 1 if right.  # (n, 3 bins)"""
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
    """The sum over the bins of |hits - confidence|, in percent of all rows."""

    bins: int

    def __call__(self, row: Rows) -> float | None:
        n, confidence, hits = row.reshape(self.bins, 3).T
        total = float(n.sum())
        return 100 * float(np.abs(hits - confidence).sum()) / total if total else None
