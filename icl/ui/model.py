"""The one engine of the app: opened at first need and in the background, asked one at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass

from icl.conditions import Request
from icl.errors import IclError
from icl.types import Choice, Engine, Output, Prompt, Sampling

__all__ = ["Opening", "Progress", "score", "stream"]


class Opening:
    """Opens an engine's tokenizer in a thread, once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.open = False
        self.failure: str | None = None
        """Why it could not be opened; the next :meth:`begin` tries again."""

    @property
    def busy(self) -> bool:
        """Whether it is being opened right now."""
        return self._thread is not None and self._thread.is_alive()

    def begin(self, engine: Engine) -> None:
        """Begin to open, unless that is done or under way."""
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


@dataclass(frozen=True, slots=True)
class Progress:
    """A generation on its way."""

    text: str
    seconds: float
    """Since it was asked for."""
    output: Output | None = None
    """Set at the end."""
    tokens_per_s: float | None = None
    """From the first token to the last; None where there are fewer than two."""


def stream(
    engine: Engine,
    prompt: Prompt,
    sampling: Sampling,
    stop: threading.Event,
    every_s: float = 0.1,
) -> Iterator[Progress]:
    """Generate for one prompt in a thread; yields what is there, at most every ``every_s``.

    Closing the iterator stops the generation, and returns once the engine is free.

    Raises:
        IclError: what the engine raised.
    """
    pieces: list[str] = []
    times: list[float] = []
    began = time.perf_counter()

    def hear(_: int, piece: str) -> None:
        pieces.append(piece)
        times.append(time.perf_counter())

    def work() -> Output:
        ((_, output),) = engine.generate([prompt], sampling, hear, stop)
        return output

    with ThreadPoolExecutor(1, "generate") as pool:
        future = pool.submit(work)
        try:
            while not future.done():
                wait([future], timeout=every_s)
                yield Progress("".join(pieces), time.perf_counter() - began)
        finally:
            stop.set()
        output = future.result()
    ended = time.perf_counter()
    rate = None
    if times and output.output_tokens > 1 and times[-1] > times[0]:
        rate = (output.output_tokens - 1) / (times[-1] - times[0])
    yield Progress(output.text, ended - began, output, rate)


def score(engine: Engine, request: Request, choices: Sequence[Choice]) -> list[float]:
    """Log-probability of each choice after the request's prompt, in the choices' order."""
    items = [(request.prompt, choice.text + choice.end) for choice in choices]
    return [made.logprob for _, made in sorted(engine.score(items), key=lambda pair: pair[0])]
