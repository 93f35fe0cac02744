"""Sentence encoders of the package sentence-transformers (Reimers, Gurevych 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np

from icl.core.errors import ConfigError, ModelError
from icl.core.types import JSON
from icl.engines.hf.weights.find import Weights, resolve
from icl.engines.hf.weights.hashes import hash_files, silence_libraries

__all__ = ["Encoder"]


_FILES = ("*.json", "*.safetensors", "*.txt", "*.model")


@dataclass
class Encoder:
    """A sentence encoder; its files are found when it is opened, and loaded at the first text.

    >>> Encoder("sentence-transformers/all-MiniLM-L6-v2").embed(["a text"])  # doctest: +SKIP
    """

    source: str
    """A local folder, or a hub id."""
    _weights: Weights | None = field(default=None, init=False, repr=False)
    _model: Any = field(default=None, init=False, repr=False)

    def open(self) -> Weights:
        """Find the encoder's files.

        Raises:
            ConfigError: sentence-transformers is not installed.
            ModelError: there is no such model, or it holds no safetensors.
        """
        if self._weights is None:
            if find_spec("sentence_transformers") is None:
                raise ConfigError(
                    f"encoder {self.source!r} needs sentence-transformers; run: pip install "
                    "'icl-workbench[dense]', or leave encoder: out to take the model's own states"
                )
            self._weights = resolve(self.source)
        return self._weights

    def embed(
        self, texts: Sequence[str], layer: int | None = None
    ) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Embed texts with the encoder's own pooling: (texts, features), float32.

        Raises:
            ModelError: the folder is no sentence encoder.
        """
        if self._model is None:
            self._load()
        made = self._model.encode(list(texts), show_progress_bar=False, convert_to_numpy=True)
        return np.asarray(made, dtype=np.float32)

    def embedding(self, layer: int | None = None) -> dict[str, JSON]:
        """Return what changes a vector: the commit on the hub, or the hash of all files."""
        weights = self.open()
        found = weights.hash
        if not weights.hub:
            found = hash_files({path for one in _FILES for path in weights.folder.rglob(one)})
        return {"encoder": found}

    def _load(self) -> None:
        weights = self.open()
        weights.fetch()
        from sentence_transformers import SentenceTransformer

        if not (weights.folder / "modules.json").is_file():
            # It would be pooled somehow, with no more than a line in the log.
            raise ModelError(
                f"{self.source!r} is no sentence encoder (it has no modules.json); leave encoder: "
                "out to take the model's own states"
            )
        with silence_libraries():
            self._model = SentenceTransformer(
                str(weights.folder),
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"use_safetensors": True},
            )
