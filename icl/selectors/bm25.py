"""Shots most similar to the query by BM25 (Robertson et al. 1994), using bm25s (Lù 2024)."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from icl.core.errors import ConfigError
from icl.core.registry import did_you_mean
from icl.core.types import JSON, Example
from icl.selectors import Selector
from icl.selectors.similarity import Scores, check_field_names, join_fields, rank_ids, sort_falling

__all__ = ["BM25"]


_JOINERS = "\u200c\u200d"  # inside words of Persian and Indic scripts, as in UAX #29

Ngrams = Literal["word", "char"]


@dataclass
class BM25(Selector):
    """Lucene's BM25 over words or character n-grams; equal scores are ordered by id.

    Words are runs of letters, digits, ``_`` and combining marks of casefolded NFC text, so
    vowel signs stay in their word. Scripts without spaces (Chinese, Japanese, Thai, Khmer …)
    fall into very long words: use ``ngrams: char`` there. Character n-grams are taken within
    white-space tokens that have a space on either side.

    >>> selector = BM25()
    >>> selector.fit([Example("a", {"t": "set an alarm"}), Example("b", {"t": "play jazz"})])
    >>> selector.select(Example("q", {"t": "some jazz"}), k=1)[0].example.id
    'b'
    """

    ngrams: Ngrams = "word"
    n: tuple[int, int] = (2, 4)
    """Lengths of the shortest and longest character n-gram; ignored for words."""
    fields: tuple[str, ...] = ()
    """Input fields to compare; if empty, all text fields, joined."""
    k1: float = 1.5
    """Saturation of term frequency; at least 0."""
    b: float = 0.75
    """Length normalisation, from 0 (none) to 1 (full)."""
    _rank: Any = field(default=None, init=False, repr=False, compare=False)
    _vocabulary: dict[str, int] = field(default_factory=dict, init=False, repr=False)
    _index: Any = field(default=None, init=False, repr=False, compare=False)

    scores_are = "falling"

    def __post_init__(self) -> None:
        if self.ngrams not in get_args(Ngrams):
            guess = did_you_mean(self.ngrams, get_args(Ngrams))
            raise ConfigError(f"unknown ngrams {self.ngrams!r}{guess}")
        self.n = _pair(self.n)
        self.fields = check_field_names(self.fields)
        if not _is_number(self.k1) or not self.k1 >= 0:
            raise ConfigError(f"k1 is {self.k1!r}; a number of 0 or more is needed, usually 1.5")
        if not _is_number(self.b) or not 0 <= self.b <= 1:
            raise ConfigError(f"b is {self.b!r}; a number from 0 to 1 is needed, usually 0.75")

    def fit(self, pool: Sequence[Example]) -> None:
        """Store and index the pool.

        Raises:
            ConfigError: a name in ``fields`` is not a text input of a row.
        """
        import bm25s

        self.pool = pool
        self._rank = rank_ids(pool)
        self._vocabulary = {}
        ids = [
            [self._vocabulary.setdefault(token, len(self._vocabulary)) for token in tokens]
            for tokens in map(self.tokens, pool)
        ]
        self._index = None
        if self._vocabulary:
            self._index = bm25s.BM25(k1=self.k1, b=self.b, method="lucene")
            corpus = (ids, self._vocabulary)
            self._index.index(corpus, create_empty_token=False, show_progress=False)

    def order(self, query: Example) -> Iterator[tuple[int, float | None]]:
        """Yield the pool by falling score, equal ones by id; all are 0 if no token is known."""
        yield from sort_falling(self.scores(query), self._rank)

    def identity(self) -> dict[str, JSON]:
        """Return the options; ``n`` is left out if words are compared."""
        options = super().identity()
        if self.ngrams == "word":
            del options["n"]
        return options

    def tokens(self, example: Example) -> list[str]:
        """Split an example's input into words or n-grams, with repetitions."""
        text = unicodedata.normalize("NFC", join_fields(example, self.fields, "BM25").casefold())
        if self.ngrams == "word":
            return text.translate(_SPACES).split()
        low, high = self.n
        grams: list[str] = []
        for token in text.split():
            padded = f" {token} "
            shortest = min(low, len(padded))
            for size in range(shortest, min(high, len(padded)) + 1):
                grams += [padded[at : at + size] for at in range(len(padded) - size + 1)]
        return grams

    def scores(self, query: Example) -> Scores:
        """Compute the BM25 score of every row, 0 if it shares no token with the query: (pool,)."""
        known = [self._vocabulary.get(token) for token in self.tokens(query)]
        ids = [token for token in known if token is not None]
        if not ids:
            return np.zeros(len(self.pool), dtype=np.float32)  # (pool,)
        scores: Scores = self._index.get_scores_from_ids(ids)  # (pool,)
        return scores

    def between(self, index: int) -> Scores:
        """Compute the BM25 score of every row with one row as the query: (pool,); not symmetric."""
        return self.scores(self.pool[index])


class _Spaces(dict[int, str]):
    """A table for ``str.translate`` that replaces every character outside words by a space."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        inside = char.isalnum() or char == "_" or char in _JOINERS
        self[code] = char if inside or unicodedata.category(char)[0] == "M" else " "
        return self[code]


_SPACES = _Spaces()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _pair(n: object) -> tuple[int, int]:
    """Check that ``n`` is two whole numbers, 1 <= shortest <= longest."""
    match n:
        case [int(low), int(high)] if 1 <= low <= high and type(low) is type(high) is int:
            return low, high
    raise ConfigError(f"n is {n!r}; two sizes are needed, shortest first, like [2, 4]")
