"""Models of the sizes that GPUs are for, with random weights: each width, and how near its limit.

``--model 8b`` is a causal model like Llama 3 8B, ``--model 20b`` an encoder-decoder like AlexaTM
20B (46 and 32 layers of 4,096); both need one CUDA device, and room on the disk for their weights
in bf16. ``--model tiny`` and ``tiny-pair`` try the benchmark itself on any machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.limit import CHUNKS, bare
from benchmarks.prompts import choices
from benchmarks.ranking import CASES
from benchmarks.results import Options, Result, command, logger, unique_tokens
from benchmarks.tiny import tokenizer
from benchmarks.tools import Answers, Items, clocks, ours
from icl.core.errors import IclError
from icl.engines.hf.engine import HFEngine
from icl.engines.hf.weights.hashes import silence_libraries

__all__ = ["SHAPES", "measured", "run", "save_shaped"]

SHAPES: dict[str, tuple[str, dict[str, int]]] = {
    "8b": ("llama", {
        "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
        "max_position_embeddings": 8192,
    }),
    "20b": ("t5", {
        "vocab_size": 150000, "d_model": 4096, "d_kv": 128, "d_ff": 16384, "num_heads": 32,
        "num_layers": 46, "num_decoder_layers": 32,
    }),
    "tiny": ("llama", {
        "vocab_size": 2000, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096,
    }),
    "tiny-pair": ("t5", {
        "vocab_size": 2000, "d_model": 64, "d_kv": 16, "d_ff": 64, "num_heads": 4,
        "num_layers": 2, "num_decoder_layers": 2,
    }),
}  # fmt: skip
"""Name -> model type and what its config says."""
WIDTHS = ("bf16", "int8", "nf4")
ATTENTION = ("sdpa", "flex_attention")
"""What a causal model's attention is tried with, where it takes the tree's mask."""


def save_shaped(shape: str, folder: Path) -> Path:
    """Save a model of that shape in bf16 with random weights, and a tokenizer of the sample texts.

    Raises:
        IclError: it needs a CUDA device, and there is none.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    kind, sizes = SHAPES[shape]
    on_gpu = torch.cuda.is_available()
    if not on_gpu and not shape.startswith("tiny"):
        raise IclError(
            f"--model {shape} needs a CUDA device, and torch finds none here; --model tiny and "
            "--model tiny-pair try the benchmark on this machine"
        )
    ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    starts = {"decoder_start_token_id": 0} if kind == "t5" else {}
    config = AutoConfig.for_model(kind, **sizes, **ends, **starts)
    make = AutoModelForSeq2SeqLM if kind == "t5" else AutoModelForCausalLM
    with torch.device("cuda" if on_gpu else "cpu"), torch.random.fork_rng(), silence_libraries():
        torch.manual_seed(0)
        model = make.from_config(config, dtype=torch.bfloat16)
        model.save_pretrained(folder)
        tokenizer().save_pretrained(folder)
    del model
    if on_gpu:
        torch.cuda.empty_cache()
    return folder


def run(options: Options) -> list[Result]:
    """Every width of one shape.

    Raises:
        IclError: a shape that is not there, or one that needs a GPU where there is none.
    """
    if options.model not in SHAPES:
        raise IclError(f"no shape {options.model!r}; there are: {', '.join(SHAPES)}")
    return measured(options.model, WIDTHS, 4 if options.quick else 20)


def measured(shape: str, widths: Sequence[str], n: int) -> list[Result]:
    """Every width on ``n`` queries of 60 labels, after 10 fixed and after 8 BM25 shots.

    A causal model is compared with its own bare forward passes, with each attention; an
    encoder-decoder with its plain reference, whose time is taken on one query.
    """
    found: list[Result] = []
    with TemporaryDirectory(prefix="icl-benchmark-") as folder:
        source = str(save_shaped(shape, Path(folder)))
        for width in widths:
            engine = HFEngine(source, width=width, window=4096).load()  # type: ignore[arg-type]
            held = engine.provenance()["bytes"]
            logger.info("%s as %s: %.1f GB in memory", shape, width, int(str(held)) / 1e9)
            pair = SHAPES[shape][0] == "t5"
            found += _pair(engine, width, n) if pair else _causal(engine, width, n)
            engine.close()
    return found


def _items(n: int) -> Iterator[tuple[str, Items]]:
    for name, prompts in CASES.items():
        yield name, [(prompt, choice) for prompt in prompts(n) for choice in choices()]


def _causal(engine: HFEngine, width: str, n: int) -> Iterator[Result]:
    """Compare the tree with body and projection of the same rows: the ratio is the bare share."""
    from icl.engines.hf.causal.token_tree import find_masks

    lm: Any = engine.lm
    for attention in ATTENTION if lm.device.type == "cuda" else ATTENTION[:1]:
        lm.model.set_attn_implementation(attention)
        lm.masks = find_masks(lm.model)
        if lm.masks is None:
            logger.info("%s: its layers do not take the tree's mask right", attention)
            continue
        for name, items in _items(n):
            list(engine.score(items[: len(choices())]))
            before = lm.work.projected_positions
            mine = ours(engine, items)
            rows = lm.work.projected_positions - before
            best = min(bare(engine, mine.forwarded_tokens, rows, chunk) for chunk in CHUNKS)
            title = f"{width} {attention.partition('_')[0]}, {name}"
            yield _result(title, n, mine, best, n, items, engine, "bare model")


def _pair(engine: HFEngine, width: str, n: int) -> Iterator[Result]:
    for name, items in _items(n):
        one = items[: len(choices())]
        list(engine.score(one))
        mine = ours(engine, items)
        began = clocks()
        list(engine.score_plain(one))
        seconds, cpu = (now - then for now, then in zip(clocks(), began, strict=True))
        yield _result(f"{width}, {name}", n, mine, (seconds, cpu), 1, items, engine, "plain")


def _result(
    name: str,
    n: int,
    mine: Answers,
    other: tuple[float, float],
    n_other: int,
    items: Items,
    engine: HFEngine,
    who: str,
) -> Result:
    ids = engine.codec.encode([prompt.text + choice for prompt, choice in items])
    counts = (mine.forwarded_tokens, unique_tokens(ids))
    if who == "plain":  # of two texts each, for which the floor is not counted
        counts = (0, 0)
    return Result(
        name=name,
        queries=n,
        requests=len(items),
        ours_s=mine.seconds,
        theirs_queries=n_other,
        theirs_s=other[0],
        ours_cpu_s=mine.cpu_seconds,
        theirs_cpu_s=other[1],
        theirs_batch_size=1,
        max_abs_diff=None,
        argmax_equal=0,
        argmax_of=0,
        forwarded_tokens=counts[0],
        unique_tokens=counts[1],
        dtype=engine.formats.compute,
        device=str(engine.torch_device),
        other=who,
    )


if __name__ == "__main__":
    command(run, model="8b")
