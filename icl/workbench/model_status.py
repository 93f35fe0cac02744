"""The state of models: tokenizers opened in the background, loaded weights, models found here."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from icl.core.errors import IclError
from icl.core.types import Prompt
from icl.engines.hf.weights.memory import format_bytes
from icl.engines.hf.weights.progress import listen
from icl.engines.hf.weights.proof import describe_proof
from icl.engines.protocol import Engine, ForecastEngine, LoadableEngine, ProvenEngine

__all__ = [
    "TokenizerLoader",
    "TokenizerLoaders",
    "facts",
    "colour_grade",
    "describe_model",
    "list_models",
    "load_weights",
]


TABLE_WIDTHS = ("fp32", "bf16", "int8", "nf4")


class TokenizerLoader:
    """Opener of one engine's tokenizer, once, in a background thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.open = False
        self.failure: str | None = None
        """Reason why opening failed; the next :meth:`begin` tries again."""

    @property
    def busy(self) -> bool:
        """Return whether it is being opened right now."""
        return self._thread is not None and self._thread.is_alive()

    def begin(self, engine: Engine) -> None:
        """Start opening the tokenizer, unless it is open or being opened."""
        with self._lock:
            if self.open or self.busy:
                return
            self.failure = None
            self._thread = threading.Thread(target=self._open, args=[engine], daemon=True)
            self._thread.start()

    def _open(self, engine: Engine) -> None:
        try:
            engine.tokens(Prompt(" "))
        except IclError as error:
            self.failure = str(error)
        else:
            self.open = True


class TokenizerLoaders:
    """A :class:`TokenizerLoader` for each model entry."""

    def __init__(self) -> None:
        self._by_key: dict[str, TokenizerLoader] = {}

    def of(self, key: str) -> TokenizerLoader:
        """Return the loader of a point's ``engine_key``."""
        return self._by_key.setdefault(key, TokenizerLoader())


def load_weights(engine: Engine, every_s: float = 0.25) -> Iterator[str]:
    """Load an engine's weights in a thread; yield the current step and its time every ``every_s``.

    Other threads may count tokens with the engine meanwhile, once its tokenizer is open.

    Raises:
        IclError: what loading raised.
    """
    if not isinstance(engine, LoadableEngine):
        return
    steps = ["beginning"]

    def work() -> None:
        with listen(steps.append):
            engine.load()

    began = time.monotonic()
    with ThreadPoolExecutor(1, "load") as pool:
        future = pool.submit(work)
        while not future.done():
            yield f"{steps[-1]}, {time.monotonic() - began:.0f} s"
            wait([future], timeout=every_s)
        future.result()


def facts(engine: Engine) -> str:
    """Describe the loaded weights in one line."""
    found = engine.provenance() if isinstance(engine, ProvenEngine) else {}
    return describe_proof(found) if found else "nothing to load"


def describe_model(engine: Engine, entry: Mapping[str, Any]) -> str:
    """Name the model, and tell whether its weights are in memory: ``tiny · fp32 · not loaded``.

    Args:
        engine: the engine of the screen.
        entry: the model's entry, as in an experiment file.
    """
    source = str(entry.get("source") or entry.get("model") or entry.get("engine", "model"))
    name = source.rstrip("/").rpartition("/")[2].removeprefix("pypi:")
    width = str(entry.get("width") or "")
    if not isinstance(engine, LoadableEngine) or not isinstance(engine, ForecastEngine):
        return " · ".join(filter(None, [name, width, "ready"]))
    if not engine.is_loaded():
        return " · ".join(filter(None, [name, width, "not loaded"]))
    found = engine.provenance() if isinstance(engine, ProvenEngine) else {}
    size = found.get("bytes")
    held = f"loaded, {format_bytes(size)}" if isinstance(size, int) else "loaded"
    return " · ".join(filter(None, [name, str(found.get("width") or width), held]))


def list_models() -> tuple[list[list[str]], str]:
    """List the models on this machine as rows of a table, and say how much memory is free.

    Columns: source, family, gigabytes at four widths, the widest width that fits.
    """
    from icl.experiment.models import find_models, measure_room

    device, free = measure_room()
    rows = []
    for one in find_models():
        sizes = one.sizes()
        cells = [format_bytes(sizes[width]) if width in sizes else "–" for width in TABLE_WIDTHS]
        rows.append([one.source, one.family or one.note, *cells, one.fits(free) or "–"])
    return rows, f"{format_bytes(free)} free on {device}; {len(rows)} models here"


def colour_grade(logprob: float | None) -> str | None:
    """Return the colour grade of a token's probability; None for the first token.

    >>> colour_grade(-0.1), colour_grade(-9.0)
    ('over 50 %', 'under 1 %')
    """
    if logprob is None:
        return None
    grades = ((0.5, "over 50 %"), (0.1, "10 to 50 %"), (0.01, "1 to 10 %"))
    return next((name for least, name in grades if math.exp(logprob) >= least), "under 1 %")
