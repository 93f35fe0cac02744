"""Functions shared by selectors that compare rows with the query: text, sorting, construction."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, cast, runtime_checkable

import numpy as np

from icl.core.errors import ConfigError
from icl.core.registry import construct, did_you_mean, lookup, names
from icl.core.types import JSON, Example
from icl.data.hints import HINT_FIELDS
from icl.selectors.random import sort_by_id

__all__ = [
    "By",
    "SimilaritySelector",
    "Scores",
    "sort_falling",
    "check_field_names",
    "rank_ids",
    "make_similarity_selector",
    "join_fields",
]


Scores: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]
By: TypeAlias = str | Mapping[str, JSON]
"""Name of a selector, or ``{select: NAME, OPTION: VALUE}``."""

_FIRST = 64  # rows sorted at once; the rest of the pool only if more are taken


@runtime_checkable
class SimilaritySelector(Protocol):
    """Interface of a selector that computes the similarity of every row of the pool."""

    def fit(self, pool: Sequence[Example]) -> None: ...  # noqa: D102
    def order(self, query: Example) -> Iterator[tuple[int, float | None]]: ...  # noqa: D102
    def identity(self) -> dict[str, JSON]: ...  # noqa: D102

    def scores(self, query: Example) -> Scores:
        """Compute the similarity of each row to the query, larger is more similar: (pool,)."""
        ...

    def between(self, index: int) -> Scores:
        """Compute the similarity of each row to the row with that index: (pool,)."""
        ...


def make_similarity_selector(by: By, who: str) -> SimilaritySelector:
    """Construct the selector that ``by`` names.

    Raises:
        ConfigError: the selector or an option is unknown, or it does not score the whole pool.
    """
    options = dict(by) if isinstance(by, Mapping) else {"select": by}
    name = options.pop("select", None)
    known = [
        one for one in names("selector") if issubclass(lookup("selector", one), SimilaritySelector)
    ]
    if name not in known:
        raise ConfigError(
            f"{who}: by is {by!r}; a selector that compares rows is needed"
            f"{did_you_mean(str(name), known)}"
        )
    return cast(SimilaritySelector, construct("selector", str(name), options, f"{who}: by"))


def rank_ids(pool: Sequence[Example]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the rank of each row by id, which orders equal scores: (pool,)."""
    ranks = np.empty(len(pool), dtype=np.int64)  # (pool,)
    ranks[sort_by_id(pool)] = np.arange(len(pool))
    return ranks


def sort_falling(
    scores: Scores, ranks: np.ndarray[Any, np.dtype[np.int64]]
) -> Iterator[tuple[int, float]]:
    """Yield (index, score) by falling score, equal scores by rank; sort only what is taken."""
    low = -math.inf
    if len(scores) > _FIRST:
        low = float(np.partition(scores, -_FIRST)[-_FIRST])
    for rows in (np.flatnonzero(scores >= low), np.flatnonzero(scores < low)):
        best = rows[np.lexsort((ranks[rows], -scores[rows]))]
        for index in best:
            yield int(index), float(scores[index])


def join_fields(example: Example, fields: Sequence[str], who: str) -> str:
    """Join a row's text inputs with spaces: those in ``fields``, or all if it is empty.

    Dictionary hints are none of them: rows are alike by what they say.

    Args:
        example: the row.
        fields: names of its fields.
        who: name of the selector, for messages.

    Raises:
        ConfigError: a field is not a text input of the row, or the row has none.
    """
    inputs = example.inputs
    if not fields:
        texts = [
            value
            for name, value in inputs.items()
            if isinstance(value, str) and name not in HINT_FIELDS
        ]
        if not texts:
            raise ConfigError(f"{who} compares text, but row {example.id!r} has no text input")
        return " ".join(texts)
    for name in fields:
        if name not in inputs:
            gives = " (it gives the answer away)" if name in example.gold else ""
            raise ConfigError(
                f"{who}: row {example.id!r} has no input field {name!r}{gives}"
                f"{did_you_mean(name, inputs)}"
            )
    wrong = [name for name in fields if not isinstance(inputs[name], str)]
    if wrong:
        raise ConfigError(
            f"{who} compares text, but field {wrong[0]!r} of row {example.id!r} is "
            f"{inputs[wrong[0]]!r}; leave it out of fields:"
        )
    return " ".join(str(inputs[name]) for name in fields)


def check_field_names(fields: object) -> tuple[str, ...]:
    """Convert the option ``fields`` to a tuple of strings.

    Raises:
        ConfigError: it is not a list of strings.
    """
    if isinstance(fields, list | tuple) and all(isinstance(name, str) for name in fields):
        return tuple(fields)
    raise ConfigError(f"fields is {fields!r}; a list of names is needed, like [utt]")
