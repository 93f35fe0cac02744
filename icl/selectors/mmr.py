"""Shots similar to the query and different from each other: MMR (Carbonell, Goldstein 1998)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from icl.core.errors import ConfigError
from icl.core.types import JSON, Example
from icl.selectors import Selector
from icl.selectors.similarity import By, Scores, SimilaritySelector, make_similarity_selector

__all__ = ["MMR"]


@dataclass
class MMR(Selector):
    """Greedy selection by λ · similarity to the query − (1 − λ) · redundancy.

    Redundancy is the similarity to the most similar shot already selected. Both similarities are
    divided by their maximum, so that λ weighs comparable numbers, for BM25 (unbounded) as for
    cosines. Rows beyond the ``candidates`` most similar ones follow in their order. The score of a
    shot is its similarity to the query; it decides which shots are dropped to fit the window.
    """

    by: By = "bm25"
    """Similarity: ``bm25``, ``dense``, or one with options: ``{select: bm25, ngrams: char}``."""
    lambda_: float = 0.5
    """Weight of the similarity, 0 to 1: 1 is plain retrieval, 0 selects for variety only."""
    candidates: int = 100
    """Number of most similar rows that are compared with each other."""
    _near: SimilaritySelector = field(default=None, init=False, repr=False, compare=False)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if not isinstance(self.lambda_, int | float) or not 0 <= self.lambda_ <= 1:
            raise ConfigError(f"lambda is {self.lambda_!r}; a number from 0 to 1 is needed")
        if type(self.candidates) is not int or self.candidates < 1:
            raise ConfigError(f"candidates is {self.candidates!r}; 1 or more is needed, like 100")
        self._near = make_similarity_selector(self.by, "mmr")

    def fit(self, pool: Sequence[Example]) -> None:
        """Store and index the pool."""
        self.pool = pool
        self._near.fit(pool)

    def order(self, query: Example) -> Iterator[tuple[int, float | None]]:
        """Yield the pool by marginal relevance, equal ones by similarity to the query."""
        is_apart = self.apart(query)
        rest = ((index, score) for index, score in self._near.order(query) if is_apart(index))
        found = list(islice(rest, self.candidates))
        rows = np.array([index for index, _ in found], dtype=np.int64)  # (candidates,)
        relevance = _scaled(np.array([score for _, score in found], dtype=np.float32))
        redundancy = np.full(len(rows), -np.inf, dtype=np.float32)  # (candidates,)
        left = np.ones(len(rows), dtype=np.bool_)
        while left.any():
            worth = self._worth(relevance, redundancy)
            best = int(np.argmax(np.where(left, worth, -np.inf)))
            yield found[best]
            left[best] = False
            likeness = _scaled(self._near.between(int(rows[best])))[rows]
            redundancy = np.maximum(redundancy, likeness)
        yield from rest

    def identity(self) -> dict[str, JSON]:
        """Return λ, the number of candidates, and the name and options of the similarity."""
        name = self.by if isinstance(self.by, str) else self.by["select"]
        options: dict[str, JSON] = {"lambda": float(self.lambda_), "candidates": self.candidates}
        return options | {"by": [name, self._near.identity()]}

    def _worth(self, relevance: Scores, redundancy: Scores) -> Any:
        if np.isneginf(redundancy).all():  # nothing chosen yet
            return relevance
        return self.lambda_ * relevance - (1 - self.lambda_) * redundancy


def _scaled(scores: Scores) -> Scores:
    """Divide scores by their maximum, if that is positive."""
    most = scores.max(initial=0.0)
    return scores / most if most > 0 else scores
