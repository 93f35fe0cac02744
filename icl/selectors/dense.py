"""Shots with the most similar vectors to the query (Liu et al. 2022, arXiv 2101.06804)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from icl.core.errors import ConfigError
from icl.core.types import JSON, Example
from icl.selectors import Selector
from icl.selectors.similarity import Scores, check_field_names, join_fields, rank_ids, sort_falling
from icl.selectors.vectors import Array, Vectors, VectorSource

__all__ = ["Dense"]


_DIGITS = 5
"""Decimals to which a cosine is rounded; batch effects change the seventh (float32)."""


@dataclass
class Dense(Selector):
    """Most similar rows by cosine of the model's own states or of a sentence encoder; ties by id.

    Without ``encoder`` no second model is needed: the vector of a text is the mean of one layer's
    hidden states over its tokens, without special tokens. A few features of a language model's
    states
    are so large that they alone determine the cosine (Timkey, van Schijndel 2021, arXiv
    2109.04404),
    so every feature is first standardized over the pool. The query is compared with every row.
    """

    encoder: str | None = None
    """Folder or hub id of a sentence-transformers model; None uses the queried model itself."""
    layer: int | None = None
    """Layer of the model: 0 is its embeddings, -1 the last; None is the middle one."""
    fields: tuple[str, ...] = ()
    """Input fields to compare; if empty, all text fields, joined."""
    standardize: bool | None = None
    """Whether features are scaled to mean 0 and variance 1 over the pool; None means yes for the
    model's own states, and no for an encoder."""
    _vectors: Vectors | None = field(default=None, init=False, repr=False, compare=False)
    _ranks: Any = field(default=None, init=False, repr=False, compare=False)
    _index: _Index | None = field(default=None, init=False, repr=False, compare=False)

    scores_are = "falling"

    def __post_init__(self) -> None:
        self.fields = check_field_names(self.fields)
        if self.encoder is not None and (not isinstance(self.encoder, str) or not self.encoder):
            raise ConfigError(
                f"encoder is {self.encoder!r}; a folder or hub id of sentence-transformers is "
                "needed, or leave it out to take the model's own states"
            )
        if self.layer is not None and type(self.layer) is not int:
            raise ConfigError(f"layer is {self.layer!r}; a whole number is needed, such as 6 or -1")
        if self.layer is not None and self.encoder is not None:
            raise ConfigError("layer is of the model's own states; leave it out if encoder: is set")
        if self.standardize is not None and not isinstance(self.standardize, bool):
            raise ConfigError(f"standardize is {self.standardize!r}; true or false is needed")

    @property
    def asks(self) -> VectorSource:
        """The encoder, or the layer of the queried model."""
        return VectorSource(self.encoder, self.layer)

    def bind(self, vectors: Vectors) -> None:
        """Set the embedding function."""
        self._vectors = vectors

    @property
    def vectors(self) -> Vectors:
        """The embedding function, which the loader binds."""
        assert self._vectors is not None, "bind() comes first"
        return self._vectors

    def expect(self, queries: Sequence[Example]) -> None:
        """Announce queries; they are embedded in blocks when the first of a block arrives."""
        self.vectors.expect([self._text(query) for query in queries])

    def fit(self, pool: Sequence[Example]) -> None:
        """Store the pool, which is embedded when the first query arrives.

        Raises:
            ConfigError: a name in ``fields`` is not a text input of a row.
        """
        self.pool = pool
        self._ranks, self._index = rank_ids(pool), None
        for example in pool:
            self._text(example)

    def order(self, query: Example) -> Iterator[tuple[int, float | None]]:
        """Yield the pool by falling cosine, equal ones by id."""
        yield from sort_falling(self.scores(query), self._ranks)

    def scores(self, query: Example) -> Scores:
        """Compute the cosine of the query with each row: (pool,); 0 for a text without tokens."""
        if not len(self.pool):
            return np.zeros(0, dtype=np.float32)
        index = self._built()
        return _cosines(index.rows, index.unit(self.vectors.query(self._text(query))))

    def between(self, index: int) -> Scores:
        """Compute the cosine of one row with each row: (pool,)."""
        rows = self._built().rows
        return _cosines(rows, rows[index])

    def identity(self) -> dict[str, JSON]:
        """Return the options, with the identity of the encoder in place of its name."""
        return {
            "fields": list(self.fields),
            "standardize": self._standardized,
            "vectors": dict(self.vectors.identity),
        }

    @property
    def _standardized(self) -> bool:
        return self.encoder is None if self.standardize is None else self.standardize

    def _built(self) -> _Index:
        if self._index is None:
            made = self.vectors.of([self._text(example) for example in self.pool])
            self._index = _Index.of(made, self._standardized)
        return self._index

    def _text(self, example: Example) -> str:
        return join_fields(example, self.fields, "dense")


@dataclass(frozen=True)
class _Index:
    """The pool's unit vectors, and the mean and spread that standardize a query."""

    rows: Array  # (pool, features), of length 1
    mean: Array  # (features,)
    spread: Array  # (features,)

    @classmethod
    def of(cls, vectors: Array, standardized: bool) -> _Index:
        mean, spread = np.zeros_like(vectors[0]), np.ones_like(vectors[0])
        if standardized:
            mean, spread = vectors.mean(axis=0), vectors.std(axis=0)
            spread[spread < 1e-6] = 1.0  # what never varies says nothing, and must not divide by 0
        made = cls(vectors, mean, spread)
        return cls(made.unit(vectors), mean, spread)

    def unit(self, vectors: Array) -> Array:
        """Standardize vectors and scale them to length 1; a zero vector stays 0."""
        apart = (vectors - self.mean) / self.spread
        norms = np.linalg.norm(apart, axis=-1, keepdims=True)
        made: Array = np.divide(apart, norms, out=np.zeros_like(apart), where=norms > 1e-6)
        return made


def _cosines(rows: Array, vector: Array) -> Scores:
    made: Scores = np.round(rows @ vector, _DIGITS)  # (pool,)
    return made
