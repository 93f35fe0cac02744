"""Shots that cover the query's n-grams: R-BM25 (Agrawal et al. 2022, arXiv 2212.02437)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeAlias

from icl.core.errors import ConfigError
from icl.core.types import JSON, Example
from icl.selectors import Selector
from icl.selectors.bm25 import BM25, Ngrams

__all__ = ["RBM25"]


ORDER = 4
"""Length of the longest n-gram, as in the paper."""
_LEAST = 0.01

Grams: TypeAlias = dict[tuple[str, ...], float]


@dataclass
class RBM25(Selector):
    """Greedy selection, among the best rows by BM25, of those that cover most of the query.

    A row's score is the geometric mean over n = 1…4 of the share of the query's n-grams that it
    has, in percent. The n-grams that a chosen shot has then count ``discount`` as much, so the
    next one covers others; selection stops below ``threshold``, so there may be fewer than k
    shots (the paper saw one noisy shot do much harm). Scores fall from shot to shot.

    The paper leaves two things open. Shares are of the query's n-grams as they were at first:
    else all would be covered alike at the end, and nothing would stop. And an n > 1 of which
    nothing is shared counts as a hundredth of an n-gram: else a row without a common 4-gram would
    score 0. With both, 1 percent takes about a new bigram of a short query.
    """

    ngrams: Ngrams = "word"
    """``char`` for scripts without spaces: BM25 over character n-grams, coverage of characters."""
    fields: tuple[str, ...] = ()
    """Input fields to compare; if empty, all text fields, joined."""
    candidates: int = 100
    """Number of best rows by BM25 to select from."""
    discount: float = 0.1
    """Weight, 0 to 1, of an n-gram that a selected shot already has."""
    threshold: float = 1.0
    """Score in percent below which selection stops; 0 never stops, and takes the whole pool."""
    _bm25: BM25 = field(init=False, repr=False, compare=False)

    scores_are = "falling"

    def __post_init__(self) -> None:
        self._bm25 = BM25(ngrams=self.ngrams, fields=self.fields)
        self.fields = self._bm25.fields
        if type(self.candidates) is not int or self.candidates < 1:
            raise ConfigError(f"candidates is {self.candidates!r}; 1 or more is needed, like 100")
        for name, most in (("discount", 1), ("threshold", 100)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ConfigError(f"{name} is {value!r}; a number is needed")
            if not 0 <= value <= most:
                raise ConfigError(f"{name} is {value!r}; a number from 0 to {most} is needed")

    def fit(self, pool: Sequence[Example]) -> None:
        """Store and index the pool."""
        self.pool = pool
        self._bm25.fit(pool)

    def order(self, query: Example) -> Iterator[tuple[int, float | None]]:
        """Yield rows by what they add to the covered n-grams, equal ones by BM25."""
        is_apart = self.apart(query)
        rest = (index for index, _ in self._bm25.order(query) if is_apart(index))
        asked = _grams(self._units(query))
        weights: Grams = {gram: float(count) for gram, count in asked.items()}
        totals = [
            sum(n for gram, n in asked.items() if len(gram) == size) for size in range(1, ORDER + 1)
        ]
        left = {
            index: {
                gram: n
                for gram, n in _grams(self._units(self.pool[index])).items()
                if gram in asked
            }
            for index in islice(rest, self.candidates)
        }
        while left:
            scores = {index: _score(grams, weights, totals) for index, grams in left.items()}
            best = max(scores, key=scores.__getitem__)  # of equals the first by BM25
            if scores[best] < self.threshold:
                return
            yield best, scores[best]
            for gram in left.pop(best):
                weights[gram] *= self.discount
        if self.threshold == 0:
            yield from ((index, 0.0) for index in rest)

    def identity(self) -> dict[str, JSON]:
        """Return the options."""
        return super().identity() | {"fields": list(self.fields)}

    def _units(self, example: Example) -> list[str]:
        """Split a row into words, or into characters without spaces."""
        words = BM25(fields=self.fields).tokens(example)
        return words if self.ngrams == "word" else list("".join(words))


def _grams(units: Sequence[str]) -> Counter[tuple[str, ...]]:
    """Count all n-grams up to length :data:`ORDER`."""
    return Counter(
        tuple(units[at : at + size])
        for size in range(1, ORDER + 1)
        for at in range(len(units) - size + 1)
    )


def _score(grams: Mapping[tuple[str, ...], int], weights: Grams, totals: Sequence[int]) -> float:
    """Compute the geometric mean of a row's n-gram recalls, in percent; 0 if it shares no word."""
    covered = [0.0] * ORDER
    for gram, count in grams.items():
        covered[len(gram) - 1] += min(count, weights[gram])
    if covered[0] == 0:
        return 0.0
    shares = [
        max(found, _LEAST) / total
        for found, total in zip(covered, totals, strict=True)
        if total  # the query has n words or more
    ]
    # Rounded, so that equal shares summed in another order still tie, and BM25 decides.
    return round(100 * math.exp(sum(map(math.log, shares)) / len(shares)), 9)
