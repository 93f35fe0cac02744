"""Probabilities made of log-likelihoods."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["label_shares"]


def label_shares(logprobs: Sequence[float]) -> list[float]:
    """Each choice's share of the probability of all choices.

    >>> label_shares([-1.0, -1.0])
    [0.5, 0.5]
    """
    import numpy as np

    weights = np.exp(np.array(logprobs) - max(logprobs))
    shares: list[float] = (weights / weights.sum()).tolist()
    return shares
