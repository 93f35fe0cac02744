"""Shots nearest to the query in a space of vectors (Liu et al. 2022, arXiv 2101.06804)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from icl.errors import ConfigError
from icl.selectors import Selector
from icl.selectors.nearness import Scores, falling, field_names, id_ranks, text_of
from icl.selectors.vectors import Array, Asked, Vectors
from icl.types import JSON, Example

__all__ = ["Dense"]

_DIGITS = 5
"""Decimals of a cosine that count: rounding in other batches moves the seventh (float32)."""


@dataclass
class Dense(Selector):
    """Nearest by cosine: of the model's own states, or of a sentence encoder; ties by id.

    Without ``encoder`` no second model is needed: a text is the mean over its tokens of one
    layer's hidden states, special tokens left out. All states of a language model point the same
    way for the most part (Ethayarajh 2019, arXiv 1909.00512), so the pool's mean is subtracted
    first. The search compares with every row of the pool.
    """

    encoder: str | None = None
    """A folder or hub id for sentence-transformers; left out: the model that is asked itself."""
    layer: int | None = None
    """Of the model's layers, 0 its embeddings, -1 the last; left out: the middle one."""
    fields: tuple[str, ...] = ()
    """Input fields that are compared; empty: all that are strings, joined."""
    center: bool | None = None
    """Whether the pool's mean is subtracted; left out: for the model's own states only."""
    _vectors: Vectors | None = field(default=None, init=False, repr=False, compare=False)
    _ranks: Any = field(default=None, init=False, repr=False, compare=False)
    _index: tuple[Array, Array] | None = field(default=None, init=False, repr=False, compare=False)

    scores_are = "falling"

    def __post_init__(self) -> None:
        self.fields = field_names(self.fields)
        if self.encoder is not None and (not isinstance(self.encoder, str) or not self.encoder):
            raise ConfigError(
                f"encoder is {self.encoder!r}; a folder or hub id of sentence-transformers is "
                "needed, or leave it out to take the model's own states"
            )
        if self.layer is not None and type(self.layer) is not int:
            raise ConfigError(f"layer is {self.layer!r}; a whole number is needed, such as 6 or -1")
        if self.layer is not None and self.encoder is not None:
            raise ConfigError("layer is of the model's own states; leave it out beside encoder:")
        if self.center is not None and not isinstance(self.center, bool):
            raise ConfigError(f"center is {self.center!r}; true or false is needed")

    @property
    def asks(self) -> Asked:
        """The encoder, or the layer of the model itself."""
        return Asked(self.encoder, self.layer)

    def bind(self, vectors: Vectors) -> None:
        """Take what embeds."""
        self._vectors = vectors

    @property
    def vectors(self) -> Vectors:
        """What embeds; bound by the loader."""
        assert self._vectors is not None, "bind() comes first"
        return self._vectors

    def expect(self, queries: Sequence[Example]) -> None:
        """Embed these queries in blocks, when the first of a block is asked for."""
        self.vectors.expect([self._text(query) for query in queries])

    def fit(self, pool: Sequence[Example]) -> None:
        """Take the pool; it is embedded when the first query comes.

        Raises:
            ConfigError: a name in ``fields`` is no text input of a row.
        """
        self.pool = pool
        self._ranks, self._index = id_ranks(pool), None
        for example in pool:
            self._text(example)

    def order(self, query: Example) -> Iterator[tuple[int, float | None]]:
        """Yield the pool by falling cosine, equal ones by id."""
        yield from falling(self.scores(query), self._ranks)

    def scores(self, query: Example) -> Scores:
        """Cosine of the query with each row: (pool,); 0 for a text without tokens."""
        if not len(self.pool):
            return np.zeros(0, dtype=np.float32)
        rows, mean = self._built()
        return _cosines(rows, _unit(self.vectors.query(self._text(query)) - mean))

    def between(self, index: int) -> Scores:
        """Cosine of one row with each row: (pool,)."""
        rows, _ = self._built()
        return _cosines(rows, rows[index])

    def identity(self) -> dict[str, JSON]:
        """The options, with what the encoder is instead of what it is called."""
        return {
            "fields": list(self.fields),
            "center": self._centered,
            "vectors": dict(self.vectors.identity),
        }

    @property
    def _centered(self) -> bool:
        return self.encoder is None if self.center is None else self.center

    def _built(self) -> tuple[Array, Array]:
        """Unit vectors of the pool (pool, features), and what was subtracted (features,)."""
        if self._index is None:
            made = self.vectors.of([self._text(example) for example in self.pool])
            mean = made.mean(axis=0) if self._centered else np.zeros_like(made[0])
            self._index = (_unit(made - mean), mean)
        return self._index

    def _text(self, example: Example) -> str:
        return text_of(example, self.fields, "dense")


def _unit(vectors: Array) -> Array:
    """Vectors of length 1; one without a direction stays 0."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    made: Array = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 1e-6)
    return made


def _cosines(rows: Array, vector: Array) -> Scores:
    made: Scores = np.round(rows @ vector, _DIGITS)  # (pool,)
    return made
