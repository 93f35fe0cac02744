"""Length normalisation: mean log-probability per token, per character or per byte.

Per token as in GPT-3 (Brown et al. 2020, arXiv 2005.14165, section 2.4). Characters are those that
``acc_norm`` of lm-evaluation-harness divides by: the choice without white space in front of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from icl.calibrators import Answers, CalibratedScores, Calibrator
from icl.core.errors import CalibrationError

__all__ = ["PerByte", "PerChar", "PerToken"]


def _divided(answers: Answers, lengths: Sequence[Sequence[int]]) -> CalibratedScores:
    for labels, row in zip(answers.labels, lengths, strict=True):
        if min(row) < 1:
            raise CalibrationError(
                f"the choice {labels[row.index(min(row))]!r} has no length to divide by"
            )
    pairs = zip(answers.logprobs, lengths, strict=True)
    return CalibratedScores([logprobs / np.array(row) for logprobs, row in pairs])


@dataclass(frozen=True)
class PerToken(Calibrator):
    """Log-probability divided by the number of scored tokens."""

    name = "per_token"
    assumes = "a longer choice is less likely only because it is longer"
    hurts = (
        "choices whose later tokens follow from their first gain by it; GPT-3 chose another "
        "normalisation on ARC, OpenBookQA and RACE (Brown 2020)"
    )

    def calibrate(self, answers: Answers) -> CalibratedScores:
        """Divide by the number of tokens, with the terminator's if it was scored."""
        return _divided(answers, answers.tokens)


@dataclass(frozen=True)
class PerChar(Calibrator):
    """Log-probability divided by the choice's number of characters."""

    name = "per_char"
    assumes = "as per_token, and that no tokenizer should decide what is long"
    hurts = "labels in scripts that need few characters for a word lose against others"

    def calibrate(self, answers: Answers) -> CalibratedScores:
        """Divide by the number of characters, without leading white space and terminator."""
        return _divided(answers, [[len(t.lstrip()) for t in row] for row in answers.texts])


@dataclass(frozen=True)
class PerByte(Calibrator):
    """Log-probability divided by the choice's number of UTF-8 bytes."""

    name = "per_byte"
    assumes = "as per_token, and that no tokenizer should decide what is long"
    hurts = "one script beside another: a character takes 1 byte in Latin, 2 in Arabic, 3 in Hindi"

    def calibrate(self, answers: Answers) -> CalibratedScores:
        """Divide by the number of UTF-8 bytes, without leading white space and terminator."""
        return _divided(
            answers,
            [
                [len(text.lstrip().encode("utf-8", "surrogatepass")) for text in row]
                for row in answers.texts
            ],
        )
