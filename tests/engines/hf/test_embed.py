"""Texts as vectors: the mean of one layer's states over a text's own tokens."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from icl.core.errors import EngineError
from icl.engines.hf.embed import embed, pick_layer
from icl.engines.hf.engine import HFEngine
from icl.engines.protocol import EmbeddingEngine
from icl.engines.table import TableEngine
from tests.conftest import make_tokenizer, save_model

TEXTS = ["wake me up at nine am", "金曜日", "", "set the volume to fifty percent on friday", "a"]


class Plain:
    """A codec of bytes with one special token in front, for models of 97 tokens."""

    front = (1,)

    def encode(self, texts: list[str]) -> list[tuple[int, ...]]:
        return [(1, *(2 + ord(c) % 90 for c in text)) for text in texts]


def reference(model: Any, ids: list[int], layer: int, front: int, back: int = 0) -> Any:
    """One text alone, without padding, as transformers itself gives its states."""
    with torch.inference_mode():
        out = model(input_ids=torch.tensor([ids]), output_hidden_states=True)
    return out.hidden_states[layer][0, front : len(ids) - back].float().mean(0).numpy()


def test_vectors_are_means_over_a_texts_own_tokens(any_config: str, build: Any) -> None:
    """Padding changes nothing in any family, recurrent and length-dependent ones included."""
    lm = build(any_config)
    texts = ["abc", "a longer text of many more tokens than the others have", "", "zz top"]
    for layer in (0, 1, 2):
        made = embed(lm, Plain(), texts, layer, window=0)  # type: ignore[arg-type]
        assert made.dtype == np.float32 and not made[2].any()
        for place in (0, 1, 3):
            lm.forget_lengths()
            ids = list(Plain().encode(texts)[place])
            alone = reference(lm.model.base_model, ids, layer, front=1)
            np.testing.assert_allclose(made[place], alone, atol=2e-4, rtol=2e-4)


def test_the_engine_embeds(tiny_model: Path) -> None:
    engine = HFEngine(str(tiny_model), device="cpu")
    assert isinstance(engine, EmbeddingEngine) and not isinstance(TableEngine(), EmbeddingEngine)
    made = engine.embed(TEXTS)
    assert made.shape == (5, 32) and not made[2].any() and made[[0, 1, 3, 4]].any(axis=1).all()
    ids = [token.id for token in engine.tokens(hf_prompt(TEXTS[0]))]
    alone = reference(engine.lm.model.base_model, ids, layer=1, front=1)
    np.testing.assert_allclose(made[0], alone, atol=1e-5)
    np.testing.assert_allclose(engine.embed(TEXTS, -1), engine.embed(TEXTS, 2), atol=1e-6)
    assert engine.embed([]).shape[0] == 0 and engine.embed([""]).shape[0] == 1


def hf_prompt(text: str) -> Any:
    from icl.core.types import Prompt

    return Prompt(text)


def test_identity_changes_with_layer_and_model(tiny_model: Path) -> None:
    engine = HFEngine(str(tiny_model), device="cpu")
    assert engine.embedding() == engine.embedding(1) != engine.embedding(2)
    assert engine.embedding(-1) == engine.embedding(2)
    other = HFEngine(str(tiny_model), device="cpu", width="bf16")
    assert other.embedding() != engine.embedding()
    assert not engine.is_loaded(), "no weights are read for it"
    with pytest.raises(EngineError) as caught:
        engine.embedding(3)
    assert str(caught.value) == (
        f"model {str(tiny_model)!r} has no layer 3; there are 0 (embeddings) to 2, or -1 for the "
        "last; leave layer out for the middle one"
    )


def test_work_is_bounded_and_like_lengths_go_together(tiny_model: Path) -> None:
    engine = HFEngine(str(tiny_model), device="cpu")
    texts = ["a b", "a"] * 40
    longest = max(len(ids) for ids in engine.codec.encode(texts))
    engine.load()
    before = engine.lm.work.calls, engine.lm.work.forwarded_tokens
    engine.embed(texts)
    calls, forwarded = engine.lm.work.calls - before[0], engine.lm.work.forwarded_tokens - before[1]
    assert calls == 1 and forwarded <= 80 * longest
    assert engine.lm.work.projected_positions == 0


def test_a_text_longer_than_the_window_is_cut_and_told(
    tiny_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = HFEngine(str(tiny_model), device="cpu", window=8)
    with caplog.at_level(logging.WARNING):
        made = engine.embed(["wake me up " * 30])
    assert "1 texts are longer than the window of 8 tokens" in caplog.text
    whole = HFEngine(str(tiny_model), device="cpu").embed(["wake me up " * 30])
    assert np.isfinite(made).all() and np.abs(made - whole).max() > 1e-3


def test_encoder_decoder_models_embed_by_their_encoder(tmp_path: Path) -> None:
    from tokenizers import processors

    config = hf.T5Config(
        vocab_size=400,
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=4,
        num_decoder_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
        eos_token_id=1,
        pad_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = hf.T5ForConditionalGeneration(config)
    folder = save_model(tmp_path / "t5", model)
    tokenizer = make_tokenizer()
    tokenizer._tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", 1)]
    )
    tokenizer.save_pretrained(folder)
    engine = HFEngine(str(folder), device="cpu", window=64)
    assert engine.embedding()["layer"] == 2
    made = engine.embed(TEXTS)
    for place in (0, 1, 3):
        ids = list(engine.codec.encode([TEXTS[place]])[0])
        assert ids[-1] == 1
        alone = reference(engine.lm.model.get_encoder(), ids, layer=2, front=0, back=1)
        np.testing.assert_allclose(made[place], alone, atol=1e-4)
    assert not made[2].any()


@pytest.mark.parametrize(("layer", "found"), [(None, 3), (0, 0), (7, 7), (-1, 7), (-8, 0)])
def test_layers(layer: int | None, found: int) -> None:
    config = hf.LlamaConfig(num_hidden_layers=7)
    assert pick_layer(config, layer, "m") == found
    bart = hf.BartConfig(encoder_layers=7, decoder_layers=3)
    assert pick_layer(bart, layer, "m") == found
