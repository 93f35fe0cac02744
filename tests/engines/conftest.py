"""Tiny random models of many families, float32, and servers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
import transformers as hf

from icl.engines.hf.causal.attention_masks import Masks
from icl.engines.hf.causal.forward import CausalModel, Work
from icl.engines.hf.causal.token_tree import find_masks
from tests.servers import serve

__all__ = ["serve"]  # a fixture, for all tests of this folder

SIZE = {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
DENSE = SIZE | {"intermediate_size": 48, "num_key_value_heads": 2, "initializer_range": 0.3}
GPT = {"vocab_size": 97, "n_embd": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.3}
SLIDING = {"sliding_window": 8, "head_dim": 16}

FAMILIES: dict[str, Any] = {
    "llama": lambda: hf.LlamaConfig(**DENSE),
    "mistral": lambda: hf.MistralConfig(**DENSE, sliding_window=8),
    "qwen2": lambda: hf.Qwen2Config(**DENSE),
    "qwen3": lambda: hf.Qwen3Config(**DENSE, head_dim=16),
    "gemma2": lambda: hf.Gemma2Config(**DENSE, **SLIDING, final_logit_softcapping=3.0),
    "gemma3": lambda: hf.Gemma3TextConfig(
        **DENSE | {"num_hidden_layers": 7}, **SLIDING, query_pre_attn_scalar=16
    ),
    "cohere": lambda: hf.CohereConfig(**DENSE, logit_scale=0.25),
    "granite": lambda: hf.GraniteConfig(**DENSE, logits_scaling=4.0),
    "gpt2": lambda: hf.GPT2Config(**GPT),
    "gpt_neox": lambda: hf.GPTNeoXConfig(**SIZE, intermediate_size=48, initializer_range=0.3),
    "opt": lambda: hf.OPTConfig(**SIZE, ffn_dim=48, word_embed_proj_dim=32, init_std=0.3),
    "bloom": lambda: hf.BloomConfig(**SIZE, initializer_range=0.3),
    "falcon_alibi": lambda: hf.FalconConfig(**SIZE, alibi=True, initializer_range=0.3),
    "falcon_rope": lambda: hf.FalconConfig(**SIZE, alibi=False, initializer_range=0.3),
    "mpt": lambda: hf.MptConfig(
        vocab_size=97, d_model=32, n_layers=2, n_heads=4, max_seq_len=128, initializer_range=0.3
    ),
    "phi3": lambda: hf.Phi3Config(**DENSE, pad_token_id=0),
    "mixtral": lambda: hf.MixtralConfig(**DENSE, num_local_experts=4),
}
WITHOUT_CACHE: dict[str, Any] = {
    "mamba": lambda: hf.MambaConfig(vocab_size=97, hidden_size=32, num_hidden_layers=2),
    "llama_dynamic_rope": lambda: hf.LlamaConfig(
        **DENSE,
        max_position_embeddings=32,
        rope_parameters={"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0},
    ),
    "gemma3_dynamic_rope": lambda: hf.Gemma3TextConfig(
        **DENSE,
        max_position_embeddings=32,
        sliding_window=8,
        layer_types=["sliding_attention", "full_attention", "full_attention"],
        rope_parameters={
            "full_attention": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
    ),
}


@pytest.fixture(params=FAMILIES)
def cached_config(request: pytest.FixtureRequest) -> str:
    """Name of each family with a KV cache in turn."""
    return str(request.param)


@pytest.fixture(params=WITHOUT_CACHE)
def uncached_config(request: pytest.FixtureRequest) -> str:
    """Name of each family without one in turn."""
    return str(request.param)


@pytest.fixture(params=FAMILIES | WITHOUT_CACHE)
def any_config(request: pytest.FixtureRequest) -> str:
    """Name of each family in turn."""
    return str(request.param)


@cache
def _inspected(family: str) -> CausalModel:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        config = (FAMILIES | WITHOUT_CACHE)[family]()
        return CausalModel(hf.AutoModelForCausalLM.from_config(config)).inspect()


@cache
def _masks(family: str) -> Masks | None:
    lm = _inspected(family)
    return find_masks(lm.model) if lm.cached else None


@pytest.fixture
def build() -> Callable[..., CausalModel]:
    """Makes a random model of a family, by its name; with the ``masks`` that it reads, if asked.

    Weights are made and inspected once a process, unless ``own`` asks for some that may be changed
    or the model itself remembers what it was given.
    """

    def make(family: str, masks: bool = False, own: bool = False) -> CausalModel:
        if own or family in WITHOUT_CACHE:
            return _inspected.__wrapped__(family)
        found = _masks(family) if masks else None
        return replace(_inspected(family), work=Work(), masks=found, kept=None)

    return make
