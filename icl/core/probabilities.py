"""Log-probabilities of some choices as a distribution over them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["Floats", "label_shares", "log_sum_exp", "normalise"]


Floats = npt.NDArray[np.float64]


def log_sum_exp(logprobs: Sequence[float] | Floats) -> float:
    """Add probabilities that are given by their logarithms; returns the logarithm of the sum.

    >>> round(log_sum_exp(np.log([0.1, 0.3])), 6) == round(float(np.log(0.4)), 6)
    True
    """
    top = max(logprobs)
    return float(top + np.log(np.exp(np.asarray(logprobs) - top).sum()))


def normalise(logprobs: Floats) -> Floats:
    """Log-probabilities of the choices as a distribution over them.  # (choices,)

    >>> normalise(np.log([0.1, 0.3])).round(4).tolist() == np.log([0.25, 0.75]).round(4).tolist()
    True
    """
    shifted = logprobs - logprobs.max()
    normalised: Floats = shifted - log_sum_exp(shifted)
    return normalised


def label_shares(logprobs: Sequence[float]) -> list[float]:
    """Each choice's share of the probability of all choices.

    >>> label_shares([-1.0, -1.0])
    [0.5, 0.5]
    """
    weights = np.exp(np.array(logprobs) - max(logprobs))
    shares: list[float] = (weights / weights.sum()).tolist()
    return shares
