"""How long does it take to translate 48 sentences, against other tools?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.continuous import continuous
from benchmarks.one_tree import grown
from benchmarks.prompts import sentences
from benchmarks.results import Options, Result, command, logger, unique_tokens
from benchmarks.tools import Tools, clocks, opened
from benchmarks.wide_gguf import widened
from icl.core.errors import IclError
from icl.core.types import Prompt, Sampling
from icl.engines.hf.engine import HFEngine

__all__ = ["run"]

SIZES = (8, 16, 48)
"""Batch sizes of the other tool that are tried; its best one counts."""
GREEDY = Sampling(max_tokens=80)
OTHERS = (
    ("in pages", "transformers' continuous batching", continuous),
    ("in one tree", "one packed tree, grown", grown),
)
"""Other ways to generate, each with what it is called in the JSON."""


@dataclass(frozen=True, slots=True)
class Texts:
    """What was generated, in the order of the prompts."""

    texts: list[str]
    tokens: int
    seconds: float
    cpu_seconds: float
    forwarded_tokens: int = 0


def run(options: Options) -> list[Result]:
    """Translate the same sentences in every tool, greedily, to the end of the line."""
    n = 6 if options.quick else 48
    results = []
    with opened(options.model, "auto") as tools:
        prompts = sentences(n, k=4)
        ours(tools, prompts[:2])  # the first pass of a process is slower
        mine = ours(tools, prompts)
        found = {}
        for size in [size for size in SIZES if size <= max(n, min(SIZES))]:
            found[size] = theirs(tools, prompts, size)
            logger.info("lm-eval, batch size %d: %.2f s", size, found[size].seconds)
        best = min(found, key=lambda size: found[size].seconds)
        results.append(_compared(f"{n} sentences", tools, prompts, mine, found[best], best))
        for name, who, generate in OTHERS:
            try:
                other = _timed(tools, prompts, generate)
            except IclError as error:
                logger.info("%s: %s", who, error)
                continue
            results.append(_compared(f"{n} {name}", tools, prompts, mine, other, n, who))
        source = tools.engine.weights.gguf
        if find_spec("llama_cpp") is not None and source is not None:
            other = llama(str(source), tools, prompts)
            name = f"{n} sentences, Q4"
            results.append(_compared(name, tools, prompts, mine, other, 1, "llama.cpp"))
            with TemporaryDirectory(prefix="icl-benchmark-") as folder:
                other = llama(str(widened(source, Path(folder) / "wide.gguf")), tools, prompts)
            name = f"{n} sentences, fp32"
            results.append(_compared(name, tools, prompts, mine, other, 1, "llama.cpp"))
    return results


def ours(tools: Tools, prompts: Sequence[Prompt]) -> Texts:
    """All prompts by one call, as a run does with a batch."""
    lm = tools.engine.lm
    lm.kept, before, began = None, lm.work.forwarded_tokens, clocks()
    found = sorted(tools.engine.generate(prompts, GREEDY), key=lambda pair: pair[0])
    seconds, cpu = (now - then for now, then in zip(clocks(), began, strict=True))
    tokens = sum(output.output_tokens for _, output in found)
    texts = [output.text for _, output in found]
    return Texts(texts, tokens, seconds, cpu, lm.work.forwarded_tokens - before)


def theirs(tools: Tools, prompts: Sequence[Prompt], batch_size: int) -> Texts:
    """Generate by the other tool's entry point, with the same stop string and length."""
    from lm_eval.api.instance import Instance

    until = {"until": list(prompts[0].stop), "max_gen_toks": GREEDY.max_tokens, "do_sample": False}
    requests = [
        Instance("generate_until", {}, (prompt.text, dict(until)), i)
        for i, prompt in enumerate(prompts)
    ]
    tools.harness.batch_size_per_gpu = batch_size
    began = clocks()
    texts = tools.harness.generate_until(requests, disable_tqdm=True)
    seconds, cpu = (now - then for now, then in zip(clocks(), began, strict=True))
    return Texts(list(texts), 0, seconds, cpu)


def _timed(
    tools: Tools,
    prompts: Sequence[Prompt],
    generate: Callable[[HFEngine, Sequence[Prompt], int], list[str]],
) -> Texts:
    """All prompts by one call of another way to generate, on the same loaded weights."""
    generate(tools.engine, prompts[:2], 2)  # the first pass is slower
    began = clocks()
    texts = generate(tools.engine, prompts, GREEDY.max_tokens)
    seconds, cpu = (now - then for now, then in zip(clocks(), began, strict=True))
    return Texts(texts, 0, seconds, cpu)


def llama(path: str, tools: Tools, prompts: Sequence[Prompt]) -> Texts:
    """llama.cpp on the same GGUF file, prompt by prompt; it keeps the prefix of the last one."""
    from llama_cpp import Llama

    ids = [list(found) for found in tools.engine.codec.encode([p.text for p in prompts])]
    model = Llama(path, n_ctx=max(map(len, ids)) + GREEDY.max_tokens + 8, verbose=False)
    model.create_completion(ids[0], max_tokens=2, temperature=0.0)
    model.reset()
    began, texts = clocks(), []
    for prompt, tokens in zip(prompts, ids, strict=True):
        made = model.create_completion(
            tokens, max_tokens=GREEDY.max_tokens, temperature=0.0, stop=list(prompt.stop)
        )
        texts.append(made["choices"][0]["text"])
    seconds, cpu = (now - then for now, then in zip(clocks(), began, strict=True))
    return Texts(texts, 0, seconds, cpu)


def _compared(
    name: str,
    tools: Tools,
    prompts: Sequence[Prompt],
    mine: Texts,
    other: Texts,
    size: int,
    who: str = "lm-eval",
) -> Result:
    texts = [prompt.text + text for prompt, text in zip(prompts, mine.texts, strict=True)]
    same = sum(a.strip() == b.strip() for a, b in zip(mine.texts, other.texts, strict=True))
    n = len(prompts)
    return Result(
        name=name,
        queries=n,
        requests=n,
        ours_s=mine.seconds,
        theirs_queries=n,
        theirs_s=other.seconds,
        ours_cpu_s=mine.cpu_seconds,
        theirs_cpu_s=other.cpu_seconds,
        theirs_batch_size=size,
        max_abs_diff=None,
        argmax_equal=same,
        argmax_of=n,
        forwarded_tokens=mine.forwarded_tokens,
        unique_tokens=unique_tokens(tools.engine.codec.encode(texts)),
        dtype=tools.engine.formats.compute,
        device=str(tools.engine.torch_device),
        other=who,
    )


if __name__ == "__main__":
    command(run)
