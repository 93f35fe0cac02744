"""Both tools behind one call: this project's engine and lm-evaluation-harness, same weights."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, TypeAlias

from benchmarks.results import LIMIT, Result, argmax_equal, logger, unique_tokens
from benchmarks.tiny import save_tiny
from icl.core.errors import IclError
from icl.core.types import ChoiceScore, Prompt
from icl.engines.hf.engine import HFEngine
from icl.engines.hf.weights.hashes import silence_libraries
from icl.engines.hf.weights.memory import measure_free_bytes

__all__ = ["Answers", "Items", "Tools", "clocks", "compared", "folder_of", "opened", "ours"]

Items: TypeAlias = Sequence[tuple[Prompt, str]]
"""Pairs of prompt and continuation, as :meth:`icl.engines.protocol.Engine.score` takes them."""


_OTHER = [
    (Prompt(f"{'Nothing that a benchmark asks begins like this line. ' * 16}{end}:"), choice)
    for end in ("First", "Second")
    for choice in (" one", " two")
]
"""A batch of two prompts with a long beginning in common, which an engine may keep."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Log-likelihoods in the order of the items, and the seconds they took."""

    sums: list[float]
    seconds: float
    cpu_seconds: float
    forwarded_tokens: int = 0
    scores: Sequence[ChoiceScore] = ()
    """Of this project's engine only."""


@dataclass
class Tools:
    """The engine and the other tool's model, both loaded from the same folder."""

    engine: HFEngine
    harness: Any
    """A ``lm_eval.models.huggingface.HFLM``."""

    def ours(self, items: Items) -> Answers:
        """Score all items with this project; see :func:`ours`."""
        return ours(self.engine, items)

    def theirs(self, items: Items, batch_size: int) -> Answers:
        """Score all items by the other tool's own entry point."""
        from lm_eval.api.instance import Instance

        requests = [
            Instance("loglikelihood", {}, (prompt.text, choice), i)
            for i, (prompt, choice) in enumerate(items)
        ]
        self.harness.batch_size_per_gpu = batch_size
        began = clocks()
        found = self.harness.loglikelihood(requests, disable_tqdm=True)
        seconds, cpu_seconds = (now - then for now, then in zip(clocks(), began, strict=True))
        return Answers([value for value, _ in found], seconds, cpu_seconds)

    def fitting(self, items: Items, sizes: Sequence[int]) -> list[int]:
        """List the batch sizes that the other tool has memory for, at least the smallest.

        It keeps the logits of every position of a batch, their log-softmax, and that of the batch
        before; half of what is free is given to them, since a process that takes more is killed.
        """
        longest = max((prompt.text + choice for prompt, choice in items), key=len)
        n_tokens = len(self.harness.tok_encode(longest))
        vocabulary = self.harness.config.get_text_config().vocab_size
        bytes_each = 3 * n_tokens * vocabulary * self.engine.formats.dtype.itemsize
        most = measure_free_bytes(self.engine.torch_device) // 2 // bytes_each
        fit = [size for size in sizes if size <= most] or [min(sizes)]
        if left := sorted(set(sizes) - set(fit)):
            logger.info("no memory for batches of %s", ", ".join(map(str, left)))
        return fit


def ours(engine: HFEngine, items: Items) -> Answers:
    """Score all items by one call, as a run does with a batch, from a cold start.

    The engine keeps the prefix of its last batch for the next one; here the same queries are
    asked again and again, so another batch is scored first, whose prefix takes its place.
    """
    list(engine.score(_OTHER))
    before, began = engine.lm.work.forwarded_tokens, clocks()
    found = sorted(engine.score(items), key=lambda pair: pair[0])
    seconds, cpu_seconds = (now - then for now, then in zip(clocks(), began, strict=True))
    scores = [score for _, score in found]
    forwarded = engine.lm.work.forwarded_tokens - before
    return Answers([score.logprob for score in scores], seconds, cpu_seconds, forwarded, scores)


@contextmanager
def folder_of(model: str) -> Iterator[str]:
    """Yield the model source of this name; for ``tiny``, make a random one."""
    with TemporaryDirectory(prefix="icl-benchmark-") as folder:
        yield str(save_tiny(Path(folder))) if model == "tiny" else model


def clocks() -> tuple[float, float]:
    """Seconds on the wall and of the processors."""
    return time.perf_counter(), time.process_time()


@contextmanager
def opened(source: str, width: Literal["auto", "fp32"]) -> Iterator[Tools]:
    """Load a model in both tools with the same precision, on the same device.

    Raises:
        IclError: lm-evaluation-harness is not installed, or the model cannot be loaded.
    """
    if find_spec("lm_eval") is None:
        raise IclError(
            "lm-evaluation-harness is not installed; run: pip install 'icl-workbench[bench]'"
        )
    from lm_eval.models.huggingface import HFLM

    with folder_of(source) as named:
        logger.info("loading %s in both tools", source)
        engine = HFEngine(named, width=width).load()
        with silence_libraries():
            harness = HFLM(
                str(engine.weights.folder),
                dtype=engine.formats.compute,
                device=str(engine.torch_device),
            )
        yield Tools(engine, harness)


def compared(
    name: str, tools: Tools, items: Items, ours: Answers, theirs: Answers, batch_size: int
) -> Result:
    """Compare both tools' answers; ``theirs`` may answer only the first of the items.

    Requests stand apart where the tools score different tokens: where a token spans the border
    between prompt and continuation, and where the prompt ends in white space, which the other
    tool moves into the continuation.

    Raises:
        IclError: fewer positions were forwarded than the requests need.
    """
    ids = tools.engine.codec.encode([prompt.text + choice for prompt, choice in items])
    floor = unique_tokens(ids)
    if ours.forwarded_tokens < floor:
        raise IclError(
            f"{name}: {ours.forwarded_tokens} tokens were forwarded and {floor} are needed, so "
            "work of an earlier call was used and its time is too short; score another batch first"
        )
    n = len(theirs.sums)
    both = items[:n]
    apart = {
        i
        for i, (prompt, _) in enumerate(both)
        if ours.scores[i].spanning or prompt.text != prompt.text.rstrip()
    }
    diffs = [abs(a - b) for a, b in zip(ours.sums[:n], theirs.sums, strict=True)]
    kept = [i for i in range(n) if i not in apart]
    equal, of = argmax_equal(
        [both[i][0].text for i in kept],
        [ours.sums[i] for i in kept],
        [theirs.sums[i] for i in kept],
    )
    return Result(
        name=name,
        queries=len({prompt.text for prompt, _ in items}),
        requests=len(items),
        ours_s=ours.seconds,
        theirs_queries=len({prompt.text for prompt, _ in both}),
        theirs_s=theirs.seconds,
        ours_cpu_s=ours.cpu_seconds,
        theirs_cpu_s=theirs.cpu_seconds,
        theirs_batch_size=batch_size,
        max_abs_diff=max((diffs[i] for i in kept), default=None),
        argmax_equal=equal,
        argmax_of=of,
        forwarded_tokens=ours.forwarded_tokens,
        unique_tokens=floor,
        dtype=tools.engine.formats.compute,
        device=str(tools.engine.torch_device),
        apart=len(apart),
        apart_equal=sum(diffs[i] <= LIMIT for i in apart),
        apart_max_abs_diff=max((diffs[i] for i in apart), default=None),
        limit=LIMIT * max(1.0, max(score.tokens for score in ours.scores) / 10),
    )
