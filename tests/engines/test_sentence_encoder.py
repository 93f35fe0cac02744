"""Sentence encoders: a tiny one made here, and what is none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from icl.core.errors import ModelError
from icl.engines.protocol import EmbeddingEngine
from icl.engines.sentence_encoder import Encoder
from tests.conftest import make_tokenizer, save_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT of 2 layers as a sentence encoder that takes the mean of its tokens."""
    pytest.importorskip("sentence_transformers")
    import torch
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=400,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = save_model(tmp_path_factory.mktemp("encoder"), BertModel(config))
    tokenizer = make_tokenizer()
    tokenizer.pad_token = "<eos>"
    tokenizer.model_max_length = 64
    tokenizer.save_pretrained(made)
    kind = "sentence_transformers.models."
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": kind + "Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": kind + "Pooling"},
    ]
    (made / "modules.json").write_text(json.dumps(modules))
    (made / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True}
    (made / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return made


def test_it_embeds_as_its_pooling_says(folder: Path) -> None:
    import torch
    from transformers import AutoModel

    encoder = Encoder(str(folder))
    assert isinstance(encoder, EmbeddingEngine)
    made = encoder.embed(["wake me up", "金曜日", "wake me up"])
    assert made.shape == (3, 16) and made.dtype == np.float32
    np.testing.assert_allclose(made[0], made[2], atol=1e-6)
    ids = make_tokenizer()("wake me up")["input_ids"]
    with torch.inference_mode():
        states = AutoModel.from_pretrained(folder).eval()(input_ids=torch.tensor([ids]))
    np.testing.assert_allclose(made[0], states.last_hidden_state[0].mean(0).numpy(), atol=1e-5)


def test_identity_is_the_content_of_all_files(folder: Path, tmp_path: Path) -> None:
    same, other = tmp_path / "same", tmp_path / "other"
    shutil.copytree(folder, same)
    shutil.copytree(folder, other)
    (other / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 16, "pooling_mode_max_tokens": True})
    )
    found = [Encoder(str(one)).embedding() for one in (folder, same, other)]
    assert found[0] == found[1] != found[2]


def test_a_model_that_is_no_encoder_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        Encoder(str(tiny_model)).embed(["a"])
    assert str(caught.value) == (
        f"{str(tiny_model)!r} is no sentence encoder (it has no modules.json); leave encoder: out "
        "to take the model's own states"
    )
    with pytest.raises(ModelError, match="there is no model at './nowhere'"):
        Encoder("./nowhere").embedding()
