"""Tiny models and a tiny tokenizer, made once a session."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Tiny models gain nothing from threads, and lose minutes where another process takes a processor.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["ICL_CONFIG"] = ""  # no test reads the settings of whoever runs it

SENTENCES = [
    "Utterance: wake me up at nine am on friday\nIntent: alarm set",
    "Utterance: set the volume to fifty percent\nIntent: volume set",
    "nionyeshe matukio ya leo katika kalenda yangu",
    "मुझे शुक्रवार को सुबह नौ बजे जगाना",
    "金曜日の朝九時に起こしてください",
    "أيقظني في التاسعة صباحا يوم الجمعة",
]


def make_tokenizer() -> Any:
    """A byte-level BPE tokenizer of 400 entries that puts BOS in front."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<bos>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(SENTENCES, trainer)
    bpe.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<bos>", eos_token="<eos>")


def save_model(folder: Path, model: Any) -> Path:
    """Save a model and the tiny tokenizer as safetensors."""
    from icl.engines.hf.weights.hashes import silence_libraries

    with silence_libraries():
        model.save_pretrained(folder)
        make_tokenizer().save_pretrained(folder)
    return folder


def pytest_collection_finish() -> None:
    """Spare garbage collections all that libraries and tests left when they were imported."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def own_cache(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """No test writes to the user's cache but those marked live, to convert only once."""
    if request.node.get_closest_marker("live") is None:
        monkeypatch.setenv("ICL_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def own_registry() -> Iterator[None]:
    """What a test registers is forgotten after it."""
    from icl.core.registry import isolated

    with isolated():
        yield


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random Llama-like model of 2 layers with a fast tokenizer (BOS and EOS)."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=400,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
    return save_model(tmp_path_factory.mktemp("tiny-llama"), model)
