"""A random model of two layers, so that a benchmark's own code can be tried in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.prompts import SAMPLES
from icl.engines.hf.weights.hashes import silence_libraries

__all__ = ["save_tiny", "tokenizer"]

_VOCABULARY = 2000


def save_tiny(folder: Path) -> Path:
    """Save a Llama-like model with random weights, and a tokenizer of the sample texts."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    made = tokenizer()
    config = LlamaConfig(
        vocab_size=len(made),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        initializer_range=0.3,  # far from uniform, so that an error of the mask shows
        bos_token_id=0,
        eos_token_id=1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
    with silence_libraries():
        model.save_pretrained(folder)
        made.save_pretrained(folder)
    return folder


def tokenizer() -> Any:
    """Byte-level BPE that puts BOS in front."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=["<bos>", "<eos>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(_texts(), trainer)
    bpe.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<bos>", eos_token="<eos>")


def _texts() -> Iterator[str]:
    for path in sorted((SAMPLES / "translation").glob("*.txt")):
        yield from path.read_text("utf-8").splitlines()
