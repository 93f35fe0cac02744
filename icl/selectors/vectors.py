"""Vectors of texts: made once, kept on disk by their texts and by who made them."""

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
"""Queries embedded at a time: enough to fill a forward pass, few where only one is looked at."""


@dataclass(frozen=True, slots=True)
class VectorSource:
    """Whose vectors are asked for."""

    encoder: str | None
    """A folder or hub id for sentence-transformers; None: the states of the model itself."""
    layer: int | None = None
    """Of the model's layers; None: its middle one."""


@dataclass
class Vectors:
    """What embeds texts, with all that it has embedded.

    >>> def lengths(texts):
    ...     return np.array([[len(text)] for text in texts], dtype=np.float32)
    >>> Vectors(lengths, {"name": "lengths"}).query("four").tolist()
    [4.0]
    """

    embed: Callable[[Sequence[str]], Array]
    """Texts -> (texts, features), float32."""
    identity: Mapping[str, JSON]
    """What changes a vector; goes into fingerprints and names the files."""
    _blocks: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    _known: dict[str, Array] = field(default_factory=dict, repr=False)

    def expect(self, texts: Sequence[str]) -> None:
        """Hear of texts that will be asked for, so that they are embedded in blocks."""
        new = [text for text in dict.fromkeys(texts) if text not in self._blocks]
        for start in range(0, len(new), BLOCK):
            block = tuple(new[start : start + BLOCK])
            self._blocks |= dict.fromkeys(block, block)

    def query(self, text: str) -> Array:
        """The vector of one text; those expected with it are embedded too: (features,)."""
        if text not in self._known:
            block = self._blocks.get(text)
            # What nobody announced is typed by hand: not worth a file.
            made = self.of(block) if block else self._made([text])
            self._known |= dict(zip(block or (text,), made, strict=True))
        return self._known[text]

    def of(self, texts: Sequence[str]) -> Array:
        """The vectors of texts, read from disk where these texts were embedded before.

        Returns:
            (texts, features), float32.

        Raises:
            DataError: the encoder gave something else.
        """
        path = self._path(texts)
        if path.is_file():
            try:
                found: Array = np.load(path, allow_pickle=False)
            except (ValueError, EOFError, OSError) as error:
                logger.warning("%s is damaged and made again: %s", path, error)
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

    def _path(self, texts: Sequence[str]) -> Path:
        return find_cache_dir() / "vectors" / f"{digest([dict(self.identity), list(texts)])}.npy"
