"""A random Llama for the tests of widths, and its engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from icl.core.types import Prompt
from icl.engines.hf.engine import HFEngine
from icl.engines.hf.weights.load import load_model
from tests.conftest import save_model

bnb_modules = pytest.importorskip("bitsandbytes.nn.modules")
has_avx512bf16 = bnb_modules.has_avx512bf16
SIZE = {
    "vocab_size": 400, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
    "initializer_range": 0.1, "bos_token_id": 0, "eos_token_id": 1,
}  # fmt: skip
"""Each layer has whole blocks of 64 and whole groups of 32 rows, as those of real models."""
LINEAR = 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128)
BLOCKS = LINEAR // 64
ITEMS = [
    (prompt, choice)
    for prompt in (
        Prompt("Utterance: wake me up at nine\nIntent:"),
        Prompt("Utterance: set the volume to fifty percent\nIntent:"),
    )
    for choice in (" alarm set", " volume set", " alarm off")
]


def random_llama(folder: Path, **sizes: int) -> Path:
    """A random Llama whose layers suit 4 bits on a CPU, unless other sizes are given."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = LlamaForCausalLM(LlamaConfig(**SIZE | sizes))
    return save_model(folder / "llama", made)


def fresh(opened: HFEngine) -> tuple[Any, Any]:
    """A model that has multiplied nothing yet, and its proof."""
    return load_model(opened.weights, opened.config, opened.formats, opened.placement)


def engine(model: Path, width: str = "auto", **options: Any) -> HFEngine:
    return HFEngine(str(model), width=width, **{"device": "cpu"} | options)  # type: ignore[arg-type]


def scores(of: HFEngine, plain: bool = False) -> list[float]:
    found = of.score_plain(ITEMS) if plain else of.score(ITEMS)
    return [score.logprob for _, score in sorted(found, key=lambda pair: pair[0])]
