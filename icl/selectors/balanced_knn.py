"""The most similar shots of each label in turn, starting with the label of the nearest row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from icl.core.types import JSON, Example
from icl.selectors import Selector
from icl.selectors.balanced import group_by_label
from icl.selectors.similarity import By, SimilaritySelector, make_similarity_selector

__all__ = ["BalancedKNN"]


@dataclass
class BalancedKNN(Selector):
    """The most similar row of each label (``targets[0]``), then the second ones, and so on.

    Labels come in the order of their nearest row, so fewer shots than labels are the nearest rows
    of that many different labels. A label that runs out is passed over.
    """

    by: By = "bm25"
    """The similarity: ``bm25``, ``dense``, or one with options: ``{select: dense, layer: 9}``."""
    _near: SimilaritySelector = field(default=None, init=False, repr=False, compare=False)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self._near = make_similarity_selector(self.by, "balanced_knn")

    def fit(self, pool: Sequence[Example]) -> None:
        """Store and index the pool.

        Raises:
            DataError: a pool row has no target.
        """
        group_by_label(pool)
        self.pool = pool
        self._near.fit(pool)

    def order(self, query: Example) -> Iterator[tuple[int, float | None]]:
        """Yield one row of each label in turn until the pool is exhausted."""
        is_apart = self.apart(query)
        by_label: dict[str, list[tuple[int, float | None]]] = {}
        for index, score in self._near.order(query):
            if is_apart(index):
                by_label.setdefault(self.pool[index].targets[0], []).append((index, score))
        for turn in zip_longest(*by_label.values()):
            yield from (found for found in turn if found is not None)

    def identity(self) -> dict[str, JSON]:
        """Return the name and options of the similarity."""
        name = self.by if isinstance(self.by, str) else self.by["select"]
        return {"by": [name, self._near.identity()]}
