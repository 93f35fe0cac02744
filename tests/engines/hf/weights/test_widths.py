"""Quantized widths, placement and the estimate of memory, on tiny random models."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import MixtralConfig, MixtralForCausalLM

from icl.core.errors import ModelError
from icl.core.types import Prompt, Sampling
from icl.engines.hf.weights import load as loading
from icl.engines.hf.weights import memory, placement, widths
from icl.engines.hf.weights.hashes import silence_libraries
from icl.engines.hf.weights.memory import (
    check_fit,
    count_footprint,
    count_stored_bytes,
    format_bytes,
)
from icl.engines.hf.weights.placement import place
from icl.engines.hf.weights.proof import check_proof, describe_proof, prove
from icl.engines.hf.weights.widths import Formats, is_quantized
from tests.conftest import save_model
from tests.engines.random_llama import (
    BLOCKS,
    LINEAR,
    SIZE,
    engine,
    fresh,
    has_avx512bf16,
    random_llama,
    scores,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama whose dimensions suit blocks of 64."""
    return random_llama(tmp_path_factory.mktemp("m"))


# Dettmers et al. 2022 (arXiv 2208.07339): a byte a weight and a float32 scale a row.
# Dettmers et al. 2023 (arXiv 2305.14314): half a byte, a float32 scale for 64 weights, and the
# 16 float32 entries of the code.
@pytest.mark.parametrize(
    ("width", "kind", "storage", "weights", "scales"),
    [
        ("int8", "Linear8bitLt", "int8", LINEAR, 4 * 2 * (64 + 32 + 32 + 64 + 128 + 128 + 64)),
        ("nf4", "Linear4bit", "uint8", LINEAR // 2, 4 * BLOCKS + 14 * 16 * 4),
        ("fp4", "Linear4bit", "uint8", LINEAR // 2, 4 * BLOCKS + 14 * 16 * 4),
        ("bf16", "Linear", "bfloat16", 2 * LINEAR, 0),
    ],
)
def test_proof_of_width(
    model: Path, width: str, kind: str, storage: str, weights: int, scales: int
) -> None:
    loaded = engine(model, width).open()
    read, facts = fresh(loaded)
    json.dumps(facts)
    assert (facts["width"], facts["source_precision"]) == (width, "fp32")
    layers = [one for one in prove(read) if not one.is_head]
    assert {(one.kind, one.storage) for one in layers} == {(kind, storage)}
    assert len(layers) == 14
    assert sum(one.weight_bytes for one in layers) == weights
    assert sum(one.scale_bytes for one in layers) == scales
    assert {one.code for one in layers} == ({width} if kind == "Linear4bit" else {None})
    assert f"loaded as {width}, source fp32: " in describe_proof(facts)
    scores(loaded)
    assert loaded.provenance() == facts
    after = [one for one in prove(loaded.lm.model) if not one.is_head]
    if kind == "Linear4bit" and has_avx512bf16():  # a bfloat16 scale a block, see prove()
        layers = [replace(one, scale_bytes=2 * one.parameters // 64 + 16 * 4) for one in layers]
    assert after == layers, "after a product"
    check_proof(after, loaded.lm.model, loaded.formats, "m")


def test_widths_differ_in_what_they_answer_and_in_identity(model: Path) -> None:
    found = {width: engine(model, width) for width in ("fp32", "int8", "nf4", "fp4")}
    assert len({tuple(scores(one)) for one in found.values()}) == 4
    assert len({json.dumps(one.identity()) for one in found.values()}) == 4
    assert found["int8"].identity()["int8_threshold"] == 6.0
    assert engine(model, "int8", int8_threshold=0).identity() != found["int8"].identity()
    assert engine(model, "nf4", double_quant=True).identity() != found["nf4"].identity()
    assert engine(model, int8_threshold=0).identity() == engine(model).identity(), "inert"


@pytest.mark.parametrize(
    ("width", "options", "apart"),
    [
        ("int8", {"int8_threshold": 0}, 2e-2),
        ("int8", {}, 2e-2),
        # Above the threshold a whole column leaves int8 for all tokens forwarded together.
        ("int8", {"int8_threshold": 1.0}, 0.5),
        ("nf4", {}, 1e-4),
        ("nf4", {"double_quant": True}, 1e-4),
        ("fp4", {}, 1e-4),
    ],
)
def test_tree_scores_equal_plain_scores(
    model: Path, width: str, options: Any, apart: float
) -> None:
    quantized = engine(model, width, **options).load()
    assert quantized.lm.cached and quantized.lm.masks and quantized.lm.projection.head is not None
    assert scores(quantized) == pytest.approx(scores(quantized, plain=True), abs=apart)
    [(_, output)] = quantized.generate([Prompt("Utterance:")], Sampling(max_tokens=3))
    assert output.output_tokens == 3


def test_a_load_that_stays_unquantized_is_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "make_bnb_config", lambda *given: None)
    with pytest.raises(ModelError, match=r"to be loaded as nf4, but none .* Linear in float32; "):
        engine(model, "nf4").load()
    small = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    with torch.random.fork_rng():
        experts = MixtralForCausalLM(MixtralConfig(**SIZE | small, num_local_experts=8))
    folder = save_model(tmp_path / "experts", experts)
    monkeypatch.undo()
    with pytest.raises(ModelError, match=r"as int8, but only \d+ % of its weights .* in Linear"):
        engine(folder, "int8").load()


def test_proof_takes_nf4_for_no_fp4(model: Path) -> None:
    loaded = engine(model, "nf4").load().lm.model
    with pytest.raises(ModelError, match=r"as fp4, but none of its layers is: .*4bit in uint8"):
        check_proof(prove(loaded), loaded, Formats("fp4", "float32"), "m")


def test_checkpoints_that_are_already_quantized(model: Path, tmp_path: Path) -> None:
    first = engine(model, "nf4").load()
    with silence_libraries():
        first.lm.model.save_pretrained(tmp_path / "q")
    for file in model.glob("tokenizer*"):
        shutil.copy(file, tmp_path / "q")
    again = engine(tmp_path / "q")
    assert scores(again) == scores(first)
    identity = again.identity()
    assert (identity["precision"], identity["width"]) == ("nf4", "nf4")
    assert again.provenance()["source_precision"] == "nf4"
    with pytest.raises(ModelError, match=r"is stored in nf4 and cannot be loaded as int8; leave"):
        engine(tmp_path / "q", "int8").open()


@pytest.mark.parametrize(
    ("carried", "message"),
    [
        ({"quant_method": "gptq", "bits": 4}, r"stored in gptq 4-bit; run: pip install gptqmodel"),
        ({"quant_method": "awq", "bits": 4}, r"stored in awq 4-bit; run: pip install gptqmodel$"),
        ({"quant_method": "nosuch"}, r"quantized by 'nosuch', which transformers cannot load; "),
    ],
)
def test_packages_of_other_methods_are_named(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, carried: Any, message: str
) -> None:
    monkeypatch.setattr(widths.importlib.util, "find_spec", lambda name: None)
    folder = tmp_path / "q"
    shutil.copytree(model, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": carried}))
    with pytest.raises(ModelError, match=message):
        engine(folder).open()


def test_bitsandbytes_missing_names_the_extra(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widths.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"needs bitsandbytes; run: pip install 'icl-.*\[quant\]'"):
        engine(model, "int8").open()


@pytest.mark.parametrize("threshold", [-1, True, "6"])
def test_wrong_thresholds(model: Path, threshold: Any) -> None:
    with pytest.raises(ModelError, match=r"int8_threshold .* is not possible; accepted: 0 "):
        engine(model, "int8", int8_threshold=threshold).open()


def test_bitsandbytes_repeats_nothing(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        scores(engine(model, "int8"))
    assert not [record for record in caplog.records if record.name.startswith("bitsandbytes")]
    with caplog.at_level(logging.WARNING):
        logging.getLogger("bitsandbytes.nn.modules").warning("news")
    assert "news" in caplog.text


def test_offload_to_disk_gives_the_same_scores(model: Path) -> None:
    offloaded = engine(model, device="offload", max_memory={"cpu": "150kB"}).load()
    assert "disk" in offloaded.lm.model.hf_device_map.values()
    assert scores(offloaded) == pytest.approx(scores(engine(model)), abs=1e-4)
    assert offloaded.identity() == engine(model).identity()
    [(_, a)] = offloaded.generate([Prompt("Utterance:")], Sampling(max_tokens=4))
    [(_, b)] = engine(model).generate([Prompt("Utterance:")], Sampling(max_tokens=4))
    assert a.text == b.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "balanced"}, "there is none here; accepted here: cpu, offload"),
        ({"device": "cpu", "max_memory": "1GB"}, "max_memory is for device: balanced or offload"),
        ({"device": "offload", "max_memory": {"gpu": 1}}, "unknown device 'gpu'; accepted here"),
        ({"device": "offload", "max_memory": "much"}, "'much' is no size; accepted: bytes, '800"),
        ({"device": "offload", "width": "nf4"}, "as nf4 cannot be offloaded: .* width: bf16"),
        ({"device": "cuda"}, "device 'cuda' is not here; accepted here: auto, cpu, offload"),
    ],
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="says what a machine without GPU accepts")
def test_wrong_places(model: Path, options: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        engine(model, **options).load()


@pytest.mark.parametrize(
    ("given", "n_bytes"),
    [("20GB", 20 * 10**9), ("1.5 GiB", 3 << 29), ("800MB", 8 * 10**8), (12, 12), ("7", 7)],
)
def test_sizes(given: Any, n_bytes: int) -> None:
    assert dict(place("offload", {"cpu": given}).limits)["cpu"] == n_bytes


@pytest.mark.parametrize("width", ["fp32", "bf16", "int8", "nf4", "fp4"])
def test_estimate_is_near_what_is_held(model: Path, width: str) -> None:
    loaded = engine(model, width).load()
    counted = count_footprint(loaded.config)
    held: Any = loaded.provenance()["bytes"]
    assert counted.weight_bytes(width, loaded.formats.compute) == pytest.approx(held, rel=0.05)
    assert counted.kv_values == 2 * 2 * 2 * 16, "keys and values, layers, heads, size"
    assert counted.linear == LINEAR


def test_stored_bytes_are_those_of_the_headers(model: Path, tmp_path: Path) -> None:
    file = model / "model.safetensors"
    assert count_stored_bytes(model) == pytest.approx(file.stat().st_size, rel=0.02)
    assert count_stored_bytes(tmp_path) is None
    (tmp_path / "x.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(ModelError, match=r"x.safetensors is no safetensors file \(.*download it"):
        count_stored_bytes(tmp_path)


def test_what_cannot_fit_is_refused_before_a_weight_is_read(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = count_footprint(engine(model).config)
    room = counted.least_bytes("nf4", "float32")
    monkeypatch.setattr(placement, "measure_free_bytes", lambda device: room)
    monkeypatch.setattr(loading, "read_weights", lambda *given: pytest.fail("was read"))
    with pytest.raises(ModelError) as caught:
        engine(model, "fp32").load()
    said = str(caught.value)
    assert f"as fp32 on cpu needs {format_bytes(counted.least_bytes('fp32', 'fp32'))}, " in said
    assert f"{format_bytes(room)} free: try width: " in said
    assert "check_memory: false loads it all the same" in said
    monkeypatch.undo()
    monkeypatch.setattr(placement, "measure_free_bytes", lambda device: 0)
    with pytest.raises(ModelError, match="0 kB free: try a smaller model, or device: offload"):
        engine(model).load()
    assert engine(model, check_memory=False).load().provenance()


def test_the_message_of_the_design() -> None:
    needs = {"int8": 17_000_000_000, "nf4": 11_800_000_000}
    with pytest.raises(ModelError) as caught:
        check_fit(21_400_000_000, 15_900_000_000, "m as bf16 on cuda", needs)
    assert "needs 21.4 GB, 15.9 GB free: try width: nf4 (11.8 GB)" in str(caught.value)


def test_control_groups_bound_what_is_free(tmp_path: Path) -> None:
    def group(folder: str, **files: str) -> None:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (tmp_path / folder / name.replace("_", ".", 1)).write_text(text)

    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/a/b\n")
    group("sys/fs/cgroup/a/b", memory_max="max\n", memory_current="5", memory_stat="")
    group(
        "sys/fs/cgroup/a",
        memory_max="1000\n",
        memory_current="700",
        memory_stat="inactive_file 50\n",
    )
    assert list(memory.list_group_rooms(tmp_path)) == [350]
    (tmp_path / "proc/self/cgroup").write_text("4:memory:/x\n2:cpu:/x\n")
    group(
        "sys/fs/cgroup/memory/x",
        memory_limit_in_bytes="2000",
        memory_usage_in_bytes="3000",
        memory_stat="total_inactive_file 100\n",
    )
    assert list(memory.list_group_rooms(tmp_path)) == [0]
    assert list(memory.list_group_rooms(tmp_path / "nowhere")) == []


def test_what_is_quantized_already() -> None:
    assert all(map(is_quantized, ("Q4_K_M", "nf4", "gptq 4-bit", "int8", "Q8_0")))
    assert not any(map(is_quantized, ("BF16", "F32", "F16", "fp32", "bf16", None)))
