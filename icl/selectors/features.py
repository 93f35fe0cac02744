"""Shots whose features overlap most with the query's, for tasks such as inflection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from icl.core.errors import ConfigError
from icl.core.features import count_shared_ending, read_features
from icl.core.types import Example
from icl.selectors import Selector
from icl.selectors.similarity import Scores, join_fields, rank_ids

__all__ = ["FeatureOverlap"]


@dataclass
class FeatureOverlap(Selector):
    """Shots that share most features with the query, by Jaccard's coefficient.

    Of rows that share as many, those come first whose word has the longest ending in common with
    the query's word, which often tells how it is inflected; then the order is by id.

    >>> selector = FeatureOverlap()
    >>> pool = [("a", "go", "V;PST"), ("b", "cat", "N;PL"), ("c", "sing", "V;PST")]
    >>> selector.fit([Example(i, {"lemma": w, "features": f}) for i, w, f in pool])
    >>> query = Example("q", {"lemma": "ring", "features": "V;PST"})
    >>> [shot.example.id for shot in selector.select(query, k=2)]
    ['c', 'a']
    """

    features: str = "features"
    """Input field with the features, parted by ``;``."""
    word: str = "lemma"
    """Input field whose ending parts rows with equal features; empty for none."""
    _rank: Any = field(default=None, init=False, repr=False, compare=False)
    _columns: dict[str, int] = field(default_factory=dict, init=False, repr=False, compare=False)
    _table: Any = field(default=None, init=False, repr=False, compare=False)

    scores_are = "falling"

    def __post_init__(self) -> None:
        for option in ("features", "word"):
            value = getattr(self, option)
            if not isinstance(value, str) or not (value or option == "word"):
                raise ConfigError(f"{option} is {value!r}; the name of a field is needed")

    def fit(self, pool: Sequence[Example]) -> None:
        """Store the pool with the features of each row.

        Raises:
            ConfigError: a row lacks one of the fields, or it is no text.
        """
        self.pool = pool
        self._rank = rank_ids(pool)
        read = [self._read(row) for row in pool]
        self._columns = {name: n for n, name in enumerate(sorted(frozenset().union(*read)))}
        self._table = np.zeros((len(pool), len(self._columns)), dtype=np.float32)
        for row, features in zip(self._table, read, strict=True):
            row[[self._columns[name] for name in features]] = 1
        for row in pool[:1]:
            self._word(row)

    def order(self, query: Example) -> Iterator[tuple[int, float | None]]:
        """Yield the pool by falling overlap, equal ones by ending and id."""
        scores = self.scores(query)
        word = self._word(query)
        for best in sorted(set(scores.tolist()), reverse=True):
            tied = np.flatnonzero(scores == best).tolist()
            ending = {n: count_shared_ending(word, self._word(self.pool[n])) for n in tied}
            for index in sorted(tied, key=lambda n: (-ending[n], self._rank[n])):
                yield index, best

    def scores(self, query: Example) -> Scores:
        """Compute Jaccard's coefficient of each row's features and the query's: (pool,)."""
        features = self._read(query)
        known = [self._columns[name] for name in features if name in self._columns]
        both = self._table[:, known].sum(axis=1)  # (pool,)
        either = self._table.sum(axis=1) + len(features) - both  # (pool,)
        made: Scores = np.divide(both, either, out=np.zeros_like(both), where=either > 0)
        return made

    def between(self, index: int) -> Scores:
        """Compute Jaccard's coefficient of each row's features and those of one row: (pool,)."""
        return self.scores(self.pool[index])

    def _read(self, row: Example) -> frozenset[str]:
        return read_features(join_fields(row, (self.features,), "features"))

    def _word(self, row: Example) -> str:
        return join_fields(row, (self.word,), "features") if self.word else ""
