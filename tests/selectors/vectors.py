"""An encoder for tests: a text is its letter counts, so that vectors can be told by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from icl.core.types import Example
from icl.selectors import Selector
from icl.selectors.vectors import Vectors


class Letters:
    """Counts of the letters a to h, and how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def embed(self, texts: Sequence[str]) -> Any:
        self.asked.append(list(texts))
        return np.array([[text.count(c) for c in "abcdefgh"] for text in texts], dtype=np.float32)


def rows(*texts: str, labels: str = "", meta: dict[str, str] | None = None) -> list[Example]:
    """Rows with ids 0, 1 …; ``labels`` holds a letter for each."""
    return [
        Example(str(n), {"t": text}, tuple(labels[n : n + 1]), meta or {})
        for n, text in enumerate(texts)
    ]


def query(text: str, name: str = "q", meta: dict[str, str] | None = None) -> Example:
    return Example(name, {"t": text}, (), meta or {})


def fitted(selector: Selector, pool: Sequence[Example], letters: Letters | None = None) -> Selector:
    if selector.asks is not None:
        selector.bind(Vectors((letters or Letters()).embed, {"name": "letters"}))
    selector.fit(pool)
    return selector


def ids(selector: Selector, text: str, k: int = 99) -> list[str]:
    return [shot.example.id for shot in selector.select(query(text), k)]
