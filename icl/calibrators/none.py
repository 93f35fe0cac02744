"""No calibration: the summed log-probabilities, unchanged."""

from __future__ import annotations

from dataclasses import dataclass

from icl.calibrators import Answers, CalibratedScores, Calibrator

__all__ = ["Plain"]


@dataclass(frozen=True)
class Plain(Calibrator):
    """Log-probability of the whole choice, uncorrected."""

    name = "none"
    assumes = "what the model finds likely before it reads the row is what is likely"
    hurts = (
        "labels common in the shots, near the end, or in pretraining text are favoured (Zhao 2021)"
    )

    def calibrate(self, answers: Answers) -> CalibratedScores:
        """Return the log-probabilities unchanged."""
        return CalibratedScores(answers.logprobs)
