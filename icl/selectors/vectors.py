"""Embeddings of texts, cached on disk by the texts and the encoder's identity."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from icl.core.errors import DataError
from icl.core.files import find_cache_dir
from icl.core.types import JSON, digest

__all__ = ["Array", "VectorSource", "Vectors"]


logger = logging.getLogger(__name__)

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]

BLOCK = 64
"""Queries embedded at once: enough to fill a forward pass, few enough if only one is inspected."""


@dataclass(frozen=True, slots=True)
class VectorSource:
    """The encoder or model layer from which a selector wants vectors."""

    encoder: str | None
    """Folder or hub id of a sentence-transformers model; None for states of the queried model."""
    layer: int | None = None
    """Layer of the queried model; None for its middle one."""


@dataclass
class Vectors:
    """An embedding function with a cache of its results.

    >>> def lengths(texts):
    ...     return np.array([[len(text)] for text in texts], dtype=np.float32)
    >>> Vectors(lengths, {"name": "lengths"}).query("four").tolist()
    [4.0]
    """

    embed: Callable[[Sequence[str]], Array]
    """Embeds texts as (texts, features), float32."""
    identity: Mapping[str, JSON]
    """Everything that changes a vector; part of fingerprints and of the file names."""
    _blocks: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    _known: dict[str, Array] = field(default_factory=dict, repr=False)

    def expect(self, texts: Sequence[str]) -> None:
        """Announce texts that will be queried, so that they are embedded in blocks."""
        new = [text for text in dict.fromkeys(texts) if text not in self._blocks]
        for start in range(0, len(new), BLOCK):
            block = tuple(new[start : start + BLOCK])
            self._blocks |= dict.fromkeys(block, block)

    def query(self, text: str) -> Array:
        """Embed one text, together with its announced block: (features,)."""
        if text not in self._known:
            block = self._blocks.get(text)
            # What nobody announced is typed by hand: not worth a file.
            made = self.of(block) if block else self._made([text])
            self._known |= dict(zip(block or (text,), made, strict=True))
        return self._known[text]

    def of(self, texts: Sequence[str]) -> Array:
        """Embed texts, or read their vectors from disk if the same list was embedded before.

        Returns:
            (texts, features), float32.

        Raises:
            DataError: the encoder returned a wrong shape or values that are not finite.
        """
        path = self.find_file(texts)
        if path.is_file():
            try:
                found: Array = np.load(path, allow_pickle=False)
            except (ValueError, EOFError, OSError) as error:
                logger.warning("%s is damaged and computed again: %s", path, error)
            else:
                return found
        made = self._made(texts)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".partial-{os.getpid()}")
        with partial.open("wb") as file:
            np.save(file, made, allow_pickle=False)
        partial.replace(path)
        return made

    def _made(self, texts: Sequence[str]) -> Array:
        made = np.asarray(self.embed(texts), dtype=np.float32)
        if made.ndim != 2 or len(made) != len(texts) or not np.isfinite(made).all():
            raise DataError(
                f"the encoder {self.identity} gave an array of shape {made.shape} with "
                f"{int((~np.isfinite(made)).sum())} values that are no numbers for {len(texts)} "
                "texts; (texts, features) of finite numbers is needed"
            )
        return made

    def find_file(self, texts: Sequence[str]) -> Path:
        """Return the file in the cache folder that holds, or will hold, the texts' vectors."""
        return find_cache_dir() / "vectors" / f"{digest([dict(self.identity), list(texts)])}.npy"
