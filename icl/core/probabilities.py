"""Conversion of the choices' log-probabilities into a distribution over the choices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["Floats", "label_shares", "log_sum_exp", "normalise"]


Floats = npt.NDArray[np.float64]


def log_sum_exp(logprobs: Sequence[float] | Floats) -> float:
    """Return the logarithm of the sum of probabilities that are given as logarithms.

    >>> round(log_sum_exp(np.log([0.1, 0.3])), 6) == round(float(np.log(0.4)), 6)
    True
    """
    top = max(logprobs)
    return float(top + np.log(np.exp(np.asarray(logprobs) - top).sum()))


def normalise(logprobs: Floats) -> Floats:
    """Normalise log-probabilities so that their probabilities add up to 1.  # (choices,)

    >>> normalise(np.log([0.1, 0.3])).round(4).tolist() == np.log([0.25, 0.75]).round(4).tolist()
    True
    """
    shifted = logprobs - logprobs.max()
    normalised: Floats = shifted - log_sum_exp(shifted)
    return normalised


def label_shares(logprobs: Sequence[float]) -> list[float]:
    """Return each choice's share of the probability of all choices; the shares add up to 1.

    >>> label_shares([-1.0, -1.0])
    [0.5, 0.5]
    """
    weights = np.exp(np.array(logprobs) - max(logprobs))
    shares: list[float] = (weights / weights.sum()).tolist()
    return shares
