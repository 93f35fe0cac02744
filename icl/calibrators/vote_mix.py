"""The model's distribution mixed with the vote of the shots, with a weight fitted on pool rows.

Linear interpolation with a held-out weight (Jelinek and Mercer 1980), and the k nearest neighbours'
vote of kNN language models (Khandelwal et al. 2020, arXiv 1911.00172), here over labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from icl.calibrators import Answers, CalibratedScores, Calibrator, Floats
from icl.core.errors import CalibrationError, ConfigError
from icl.core.probabilities import normalise

__all__ = ["GRID", "VoteMix"]


GRID = (*(round(0.1 * step, 1) for step in range(10)), 0.99)
"""Weights of the vote to try; with the last one the model only breaks ties between votes."""
FEW = 20
"""Number of pool rows below which a fitted weight is little more than a guess."""


@dataclass(frozen=True)
class VoteMix(Calibrator):
    """(1 - w) · the model's probability + w · the share of the row's shots that have the label.

    ``weight`` is w. Without it, w is the one of 0, 0.1 … 0.9, 0.99 with the highest accuracy on
    ``n``
    pool rows, answered with shots from the rest of the pool; of equal ones, the one that gives the
    right answers the highest probability.
    """

    name = "vote_mix"
    assumes = "the shots were chosen for the row, and the pool's rows are like the test rows"
    hurts = (
        "shots that are the same for all rows, or balanced: their vote is the same for every row"
    )
    weight: float | None = None
    n: int = 50

    def __post_init__(self) -> None:
        weight = self.weight
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if weight is not None and not (number and 0 <= weight <= 1):
            raise ConfigError(
                f"vote_mix: weight is {weight!r}; give a share between 0 (the model) and 1 (the "
                "vote), or leave it out to choose it on pool rows"
            )
        if not isinstance(self.n, int) or isinstance(self.n, bool) or self.n < 1:
            raise ConfigError(f"vote_mix: n is {self.n!r}; give the number of pool rows, as in 50")

    @property
    def pool_rows(self) -> int:
        """Return ``n``; 0 if the weight is given."""
        return self.n if self.weight is None else 0

    def calibrate(self, answers: Answers) -> CalibratedScores:
        """Compute log((1 - w) p_model + w p_vote) for each choice; without shots, log p_model.

        Raises:
            CalibrationError: no row has labelled shots, or the choices differ between rows.
        """
        if not answers.shared:
            raise CalibrationError("the choices differ from row to row, so shots cannot vote")
        if not any(answers.votes):
            raise CalibrationError("no prompt has shots with labels, so there is no vote")
        if self.weight is not None:
            return CalibratedScores(_mixed(answers, self.weight))
        if answers.pool is None or not answers.pool.logprobs:
            raise CalibrationError(
                "no pool row has a right answer to choose the weight by; give one, as in "
                "{calibrator: vote_mix, weight: 0.5}"
            )
        weight, fitted, warnings = _chosen(answers.pool, answers.pool_labels)
        return CalibratedScores(_mixed(answers, weight), fitted, warnings)


def _mixed(answers: Answers, weight: float) -> list[Floats]:
    scores = []
    with np.errstate(divide="ignore"):  # a label without votes has the logarithm -inf
        model, vote = np.log([1 - weight, weight])
        for logprobs, labels, votes in zip(
            answers.logprobs, answers.labels, answers.votes, strict=True
        ):
            row = normalise(logprobs)
            if votes:
                shares = np.log([votes.count(label) / len(votes) for label in labels])
                row = np.logaddexp(model + row, vote + shares)
            scores.append(row)
    return scores


def _chosen(pool: Answers, labels: Mapping[str, int]) -> tuple[float, str, tuple[str, ...]]:
    """Return the best weight on rows with known answers, its signature text and warnings."""
    found: list[tuple[int, float, float]] = []
    for weight in GRID:
        rows = _mixed(pool, weight)
        hits, mass = 0, 0.0
        for scores, named, gold in zip(rows, pool.labels, pool.gold, strict=True):
            hits += named[int(np.argmax(scores))] in gold
            mass += float(
                sum(np.exp(s) for s, label in zip(scores, named, strict=True) if label in gold)
            )
        found.append((hits, round(mass, 9), -weight))
    n = len(pool.logprobs)
    most, _, weight = max(found)
    warnings: list[str] = []
    if n < FEW:
        warnings.append(f"the weight was chosen on {n} pool rows alone; {FEW} and more are better")
    single = sum(labels.get(gold[0], 2) == 1 for gold in pool.gold)
    if 2 * single > n:
        warnings.append(
            f"{single} of {n} pool rows are the only ones of their label: left out, nothing votes "
            "for them, so the weight is too low; give a larger pool, or a `weight`"
        )
    alone, voted = found[0][0], found[-1][0]
    told = f"weight={-weight:g},pool={n},right={100 * most / n:.0f}%"
    told += f",model={100 * alone / n:.0f}%,vote={100 * voted / n:.0f}%"
    return -weight, told, tuple(warnings)
