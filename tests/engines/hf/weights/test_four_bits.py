"""4-bit layers on both kinds of processor: those that bitsandbytes repacks weights for, and not."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from icl.core.errors import ModelError
from icl.engines.hf.weights import widths
from icl.engines.hf.weights.hashes import silence_libraries
from icl.engines.hf.weights.memory import count_footprint
from icl.engines.hf.weights.proof import check_proof, describe_proof, prove
from icl.engines.hf.weights.widths import Formats
from tests.engines.random_llama import (
    BLOCKS,
    bnb_modules,
    engine,
    fresh,
    has_avx512bf16,
    random_llama,
    scores,
)

repack = bnb_modules._convert_weight_packed_for_cpu


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_llama(tmp_path_factory.mktemp("m"))


@pytest.mark.parametrize("double_quant", [False, True])
@pytest.mark.parametrize("repacks", [False, True])
def test_proof_of_4_bits_on_either_kind_of_processor(
    model: Path, monkeypatch: pytest.MonkeyPatch, double_quant: bool, repacks: bool
) -> None:
    monkeypatch.setattr(bnb_modules, "has_avx512bf16", lambda: repacks)
    read, facts = fresh(engine(model, "nf4", double_quant=double_quant).open())
    said = "multiplied in bf16 by this processor's own kernel"
    assert facts["products"] == ("bf16" if repacks else "fp32")
    assert (said in describe_proof(facts)) is repacks
    before = prove(read)
    for module in read.modules():
        if type(module).__name__ == "Linear4bit" and repacks:  # what its first product would do
            module.weight.data, _ = repack(module.weight.data, module.weight.quant_state)
    after = prove(read)
    check_proof(after, read, Formats("nf4", "float32"), "m")
    assert [one.weight_bytes for one in after] == [one.weight_bytes for one in before]
    if repacks:
        scales = sum(one.scale_bytes for one in after)
        offsets = 14 * 4 if double_quant else 0
        assert scales == 2 * BLOCKS + 14 * 16 * 4 + offsets
    else:
        assert after == before


# Widths of layers that bitsandbytes cannot repack: (sizes of the model, layers kept, why).
UNFIT = [
    ({"intermediate_size": 96}, ["mlp.down_proj"], "2 Linear kept in fp32: their 96 inputs are"),
    (
        {"num_key_value_heads": 1},
        ["self_attn.k_proj", "self_attn.v_proj"],
        "4 Linear kept in fp32: their 16 outputs are no multiple of 32",
    ),
]


@pytest.mark.parametrize("repacks", [False, True])
@pytest.mark.parametrize(("sizes", "names", "why"), UNFIT)
def test_layers_that_a_cpu_cannot_multiply_in_4_bits_are_kept(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sizes: Any,
    names: list[str],
    why: str,
    repacks: bool,
) -> None:
    monkeypatch.setattr(bnb_modules, "has_avx512bf16", lambda: repacks and has_avx512bf16())
    found = engine(random_llama(tmp_path, **sizes), "nf4").load()
    assert all(math.isfinite(score) for score in scores(found))
    kept = {f"model.layers.{i}.{name}" for i in range(2) for name in names}
    proofs = {one.name: one for one in prove(found.lm.model)}
    assert {name for name, one in proofs.items() if one.kind == "Linear"} == kept | {"lm_head"}
    assert {proofs[name].storage for name in kept} == {"float32"}
    assert why in describe_proof(found.provenance())
    assert set(found.identity()["unquantized"]) == kept  # type: ignore[arg-type]
    held: Any = found.provenance()["bytes"]
    counted = count_footprint(found.config).in_4_bits_on_cpu()
    assert counted.weight_bytes("nf4", "float32") == pytest.approx(held, rel=0.05)
    assert "unquantized" not in engine(found.source, "int8").identity()


def test_identity_is_as_it_was_where_nothing_is_kept(model: Path) -> None:
    formats = engine(model, "nf4").formats
    assert formats.identity() == {"width": "nf4", "compute": "float32", "double_quant": False}
    names = engine(model, "fp4").identity().keys()
    assert "unquantized" not in names


def test_a_gpu_keeps_nothing(tmp_path: Path) -> None:
    opened = engine(random_llama(tmp_path, intermediate_size=96)).open()
    asked, dtype = widths.WidthOptions("nf4"), torch.float32
    assert widths.decide(asked, opened.config, "m", dtype, "cuda").kept == ()
    assert len(widths.decide(asked, opened.config, "m", dtype, "cpu").kept) == 2


def test_a_model_that_a_cpu_cannot_hold_in_4_bits_is_refused(tmp_path: Path) -> None:
    every = {"hidden_size": 32, "intermediate_size": 96}
    folder = random_llama(tmp_path / "every", **every)
    with pytest.raises(ModelError) as caught:
        engine(folder, "nf4").open()
    said = str(caught.value)
    assert (
        "cannot be loaded as nf4 on a CPU: there bitsandbytes needs layers with inputs in " in said
    )
    assert (
        "none of its 14 Linear layers has (model.layers.0.self_attn.q_proj: 32 inputs, 32" in said
    )
    assert said.endswith("load it as int8, bf16 or fp32") and "\n" not in said
    assert scores(engine(folder, "int8"))
    most = random_llama(tmp_path / "most", intermediate_size=136)
    with pytest.raises(ModelError, match=r"only 32 % of its weights .* cannot: 6 \(their 136 out"):
        engine(most, "nf4").load()


@pytest.mark.parametrize("repacks", [False, True])
def test_a_stored_checkpoint_with_such_layers_is_multiplied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repacks: bool
) -> None:
    with monkeypatch.context() as as_on_a_gpu:
        as_on_a_gpu.setattr(bnb_modules, "has_avx512bf16", lambda: False)
        as_on_a_gpu.setattr(widths, "list_kept_layers", lambda *given: ())
        first = engine(random_llama(tmp_path, intermediate_size=96), "nf4").load()
        with silence_libraries():
            first.lm.model.save_pretrained(tmp_path / "q")
        expected = scores(first)
    for file in tmp_path.glob("llama/tokenizer*"):
        shutil.copy(file, tmp_path / "q")
    monkeypatch.setattr(bnb_modules, "has_avx512bf16", lambda: repacks)
    stored = engine(tmp_path / "q").open()
    layers = {
        name: module
        for name, module in fresh(stored)[0].named_modules()
        if type(module).__name__ == "Linear4bit"
    }
    assert len(layers) == 14
    for name, module in layers.items():
        assert module.support_avx512bf16_for_cpu == (repacks and "down_proj" not in name), name
    if repacks and not has_avx512bf16():
        return  # this processor has no such kernel
    # What the kernel for bfloat16 rounds, in the layers that it may take.
    assert scores(stored.load()) == pytest.approx(expected, abs=0.1 if repacks else 1e-6)
