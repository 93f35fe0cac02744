"""The area under the ROC curve of rows out of scope, with DeLong's interval.

DeLong, DeLong and Clarke-Pearson 1988, https://doi.org/10.2307/2531595; the interval is taken on
the logit (Qin and Hotilovac 2008, https://doi.org/10.1177/0962280207087173).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from icl.core.probabilities import Floats
from icl.core.stats import MIN_ROWS
from icl.core.types import Score, signature_text

__all__ = ["score_auroc"]


def score_auroc(
    name: str, confidence: Floats, outside: Sequence[bool], signature: str = "auroc"
) -> Score:
    """Score how well a low confidence tells the rows out of scope from the others.

    100 is perfect, 50 a guess: the percentage of pairs, a row out of scope and one in scope, of
    which the first has the lower confidence; equal ones count half. The value is None without rows
    of both kinds, and there is no interval with fewer than 10 of one.

    >>> score_auroc("oos_auroc", np.array([-3.0, -1.0, -2.0]), [True, False, True]).value
    100.0

    Args:
        name: name of the score.
        confidence: log-probability or share of the best label.  # (rows,)
        outside: whether each row is out of scope.
        signature: everything that changes the value.
    """
    mask = np.array(outside, dtype=bool)
    below, above = confidence[mask], confidence[~mask]
    n = len(confidence)
    if not len(below) or not len(above):
        return Score(name, None, None, None, n, signature_text(signature, "none"))
    wins = (below[:, None] < above).astype(float) + 0.5 * (below[:, None] == above)
    area = float(wins.mean())
    few = min(len(below), len(above))
    if few < MIN_ROWS or area in (0.0, 1.0):
        why = f"needs {MIN_ROWS} rows of each kind" if few < MIN_ROWS else "all pairs alike"
        text = signature_text(signature, f"none ({why})")
        return Score(name, 100 * area, None, None, n, text)
    spread = wins.mean(axis=1).var(ddof=1) / len(below) + wins.mean(axis=0).var(ddof=1) / len(above)
    middle = math.log(area / (1 - area))
    half = NormalDist().inv_cdf(0.975) * math.sqrt(spread) / (area * (1 - area))
    low, high = (100 / (1 + math.exp(-(middle + side * half))) for side in (-1, 1))
    return Score(name, 100 * area, low, high, n, signature_text(signature, "delong-logit"))
