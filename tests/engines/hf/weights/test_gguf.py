from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers as hf

from icl.core.errors import ModelError
from icl.core.types import Prompt
from icl.engines.hf.engine import HFEngine
from icl.engines.hf.weights import gguf as gguf_file
from icl.engines.hf.weights.find import resolve
from icl.engines.hf.weights.gguf import Header, read_header
from icl.engines.hf.weights.hashes import find_cache_dir, hash_file
from tests.forks import forks

HIDDEN, LAYERS, HEADS = 32, 2, 2
FILE_TYPES = {"F32": 0, "F16": 1, "Q8_0": 7, "Q4_K": 14, "Q6_K": 18, "BF16": 32}
"""Storage type -> the number of a file that is mostly of it, of llama.cpp."""
SCALES = {"Q4_K": ((0, 5e-4), (2, 5e-4)), "Q6_K": ((208, 1e-4),)}
"""K type -> place in a block and spread of each of its float16 scales."""


def write_gguf(
    path: Path, architecture: str = "llama", kind: str = "Q8_0", hidden: int = HIDDEN
) -> Path:
    """A random Llama of two layers, matrices in one storage type, written by the gguf library."""
    import gguf

    from tests.conftest import make_tokenizer

    writer = gguf.GGUFWriter(path, architecture)
    vocabulary = make_tokenizer().backend_tokenizer
    tokens = [vocabulary.id_to_token(i) for i in range(vocabulary.get_vocab_size())]
    writer.add_name("tiny")
    writer.add_license("apache-2.0")
    writer.add_file_type(FILE_TYPES[kind])
    writer.add_context_length(128)
    writer.add_embedding_length(hidden)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(2 * hidden)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(tokens))
    _add_tokenizer(writer, tokens, vocabulary)
    random = np.random.default_rng(0)
    for name, shape in _shapes(len(tokens), hidden).items():
        if len(shape) == 1:
            norm = np.round(random.normal(1, 0.3, shape) * 16) / 16  # which bfloat16 holds
            writer.add_tensor(name, norm.astype(np.float32))
            continue
        stored = gguf.GGMLQuantizationType[kind]
        writer.add_tensor(name, _stored(random, shape, stored), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _stored(random: np.random.Generator, shape: tuple[int, ...], kind: Any) -> Any:
    """A random matrix in a storage type; of the K types any bytes are one, but for the scales."""
    import gguf

    if kind.name not in SCALES:
        return gguf.quantize(random.normal(0, 0.3, shape).astype(np.float32), kind)
    block, n_bytes = gguf.GGML_QUANT_SIZES[kind]
    n_blocks = shape[0] * shape[1] // block
    made = random.integers(0, 256, (n_blocks, n_bytes), dtype=np.uint8)
    for at, size in SCALES[kind.name]:
        scales = random.normal(0, size, (n_blocks, 1)).astype(np.float16)
        made[:, at : at + 2] = scales.view(np.uint8)
    return made.reshape(shape[0], -1)


def _add_tokenizer(writer: Any, tokens: list[str], vocabulary: Any) -> None:
    import json

    merges = json.loads(vocabulary.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3] + [1] * (len(tokens) - 2))
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in merges])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_add_bos_token(True)


def _shapes(vocabulary: int, hidden: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (vocabulary, hidden),
        "output.weight": (vocabulary, hidden),
        "output_norm.weight": (hidden,),
    }
    for i in range(LAYERS):
        shapes |= {
            f"blk.{i}.attn_norm.weight": (hidden,),
            f"blk.{i}.ffn_norm.weight": (hidden,),
            **{f"blk.{i}.attn_{n}.weight": (hidden, hidden) for n in ("q", "k", "v", "output")},
            f"blk.{i}.ffn_gate.weight": (2 * hidden, hidden),
            f"blk.{i}.ffn_up.weight": (2 * hidden, hidden),
            f"blk.{i}.ffn_down.weight": (hidden, 2 * hidden),
        }
    return shapes


def test_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_gguf(tmp_path / "m.gguf")
    assert read_header(path) == Header("llama", "Q8_0", "apache-2.0")
    with monkeypatch.context() as patched:
        patched.setattr(gguf_file, "parse_header", lambda path: pytest.fail("was read again"))
        assert read_header(path) == Header("llama", "Q8_0", "apache-2.0")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ModelError, match="truncated"):
        read_header(path)


def dequantized(path: Path) -> dict[str, Any]:
    """The file's tensors in float32 under the names of transformers, by the gguf library alone."""
    import gguf
    import torch

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, LAYERS)
    stored = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    made = {}
    hf_names = ["model.embed_tokens", "lm_head", "model.norm"]
    inner = ["input_layernorm", "post_attention_layernorm"]
    inner += [f"self_attn.{n}_proj" for n in "qkvo"]
    inner += [f"mlp.{n}_proj" for n in ("gate", "up", "down")]
    hf_names += [f"model.layers.{i}.{name}" for i in range(LAYERS) for name in inner]
    for name in hf_names:
        tensor = stored[names.get_name(f"{name}.weight", (".weight",))]
        values = torch.from_numpy(gguf.dequantize(tensor.data, tensor.tensor_type).copy())
        if name.endswith(("q_proj", "k_proj")):  # llama.cpp keeps the two halves of a head mixed
            rows, columns = values.shape
            parts = values.reshape(HEADS, rows // HEADS // 2, 2, columns)
            values = parts.transpose(1, 2).reshape(rows, columns)
        made[f"{name}.weight"] = values
    return made


@pytest.mark.parametrize(
    ("kind", "needed", "own"),
    [
        ("F32", "fp32", "float32"),
        ("F16", "fp32", "bfloat16"),
        ("BF16", None, "bfloat16"),
        ("Q8_0", "fp32", "bfloat16"),
        ("Q4_K", "fp32", "bfloat16"),
        ("Q6_K", "fp32", "bfloat16"),
    ],
)
def test_fp32_is_what_the_file_holds(
    tmp_path: Path, kind: str, needed: str | None, own: str
) -> None:
    import torch
    from transformers import LlamaForCausalLM

    path = write_gguf(tmp_path / "m.gguf", kind=kind, hidden=256)
    engine = HFEngine(str(path), device="cpu", width="fp32")
    right = dequantized(path)
    held = dict(engine.lm.model.named_parameters())  # type: ignore[union-attr]
    assert held.keys() == right.keys()
    assert all(torch.equal(held[name], right[name]) for name in right)
    config = engine.config
    assert (engine.weights.dequantized, config.dtype) == (needed, getattr(torch, own))
    assert engine.identity().get("dequantized") == needed  # bfloat16 alone was never rounded
    plain = LlamaForCausalLM(config).double().eval()
    plain.load_state_dict({name: value.double() for name, value in right.items()})
    items = [(Prompt("wake me up:"), choice) for choice in (" alarm", " volume set")]
    [plan] = [plan for _, plan in engine.plan_items(items)]
    for (_, score), suffix in zip(engine.score(items), plan.suffixes, strict=True):
        with torch.no_grad():
            logits = plain(torch.tensor([plan.prefix + suffix[:-1]])).logits[0]  # type: ignore[operator]
        rows = logits[-len(suffix) :].log_softmax(-1)
        alone = sum(float(row[token]) for row, token in zip(rows, suffix, strict=True))
        assert score.logprob == pytest.approx(alone, abs=1e-4)


def test_bf16_is_the_file_rounded_once(tmp_path: Path) -> None:
    import torch

    path = write_gguf(tmp_path / "m.gguf", kind="Q4_K", hidden=256)
    engine = HFEngine(str(path), device="cpu", width="bf16")
    right = dequantized(path)
    held = dict(engine.lm.model.named_parameters())  # type: ignore[union-attr]
    assert all(torch.equal(held[name], right[name].to(torch.bfloat16)) for name in right)


@pytest.mark.parametrize(("kind", "width"), [("F32", 4), ("F16", 2), ("BF16", 2), ("Q8_0", 4)])
def test_a_weight_takes_no_more_bytes_on_disk_than_it_needs(
    tmp_path: Path, kind: str, width: int
) -> None:
    from safetensors import safe_open

    weights = resolve(str(write_gguf(tmp_path / "m.gguf", kind=kind)))
    with safe_open(weights.folder / "model.safetensors", "pt") as file:
        held = file.get_tensor("model.layers.0.mlp.up_proj.weight")
    assert held.element_size() == width


def test_conversion_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_gguf(tmp_path / "m.gguf")
    monkeypatch.setenv("ICL_CACHE", str(tmp_path / "cache"))
    # What earlier versions rounded lies beside it and is not taken for it.
    rounded = f"{hash_file(path)}-transformers-{hf.__version__}"
    (find_cache_dir() / "gguf" / rounded).mkdir(parents=True)
    (find_cache_dir() / "gguf" / rounded / "complete").touch()
    weights = resolve(str(path))
    assert weights.dequantized == "fp32"

    def fail(*args: Any) -> None:
        raise AssertionError("converted again")

    monkeypatch.setattr(gguf_file, "write_safetensors", fail)
    assert resolve(str(path)) == weights
    (weights.folder / "complete").unlink()  # half-written, as if the process had been killed
    with pytest.raises(AssertionError, match="converted again"):
        resolve(str(path))
    leftovers = [p.name for p in (find_cache_dir() / "gguf").iterdir() if "partial" in p.name]
    assert leftovers == []


def test_engine_runs_a_gguf_file(tmp_path: Path) -> None:
    engine = HFEngine(str(write_gguf(tmp_path / "m.gguf")), device="cpu", width="fp32")
    identity = engine.identity()
    assert identity["precision"] == "Q8_0"
    assert identity["width"] == "fp32"
    assert engine.window == 128
    assert engine.weights.licence == "apache-2.0"
    prompt = Prompt("wake me up:")
    assert "".join(token.text for token in engine.tokens(prompt)) == prompt.text
    items = [(prompt, " alarm"), (prompt, " volume set")]
    found = [score.logprob for _, score in engine.score(items)]
    plain = [score.logprob for _, score in engine.score_plain(items)]
    assert found == pytest.approx(plain, abs=1e-4)


def test_the_tokenizer_read_straight_is_that_of_transformers(tmp_path: Path) -> None:
    engine = HFEngine(str(write_gguf(tmp_path / "m.gguf")), device="cpu").open()
    quick = engine.codec.tokenizer
    slow = hf.AutoTokenizer.from_pretrained(engine.weights.folder, local_files_only=True)
    assert type(quick) is hf.PreTrainedTokenizerFast
    for text in ("wake me up", "  two  spaces\n\n", "金曜日 Ünïcode", "<s> a </s>"):
        assert quick(text)["input_ids"] == slow(text)["input_ids"]
        assert quick.decode(quick(text)["input_ids"]) == slow.decode(slow(text)["input_ids"])
    assert quick.special_tokens_map == slow.special_tokens_map
    assert quick.model_max_length == slow.model_max_length


def test_two_processes_convert_once(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf")
    code = f"from icl.engines.hf.weights.find import resolve; print(resolve({str(path)!r}).folder)"
    here = {"ICL_CACHE": str(tmp_path / "cache")}
    with forks("transformers", "gguf", "icl.engines.hf.weights.gguf", environment=here) as run:
        done = run(tmp_path, code, code)
    assert [one.returncode for one in done] == [0, 0], done
    assert done[0].stdout == done[1].stdout
    assert sum(one.stderr.count("converting") for one in done) == 1
    assert (Path(done[0].stdout.strip()) / "complete").is_file()


def good(version: int = 3, tensors: int = 0, fields: int = 0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, fields)


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


ARCHITECTURE = text("general.architecture") + struct.pack("<I", 8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty, not a GGUF file; download it again"),
        (
            b"PK\x03\x04abcdef",
            r"is no GGUF file: it begins with b'PK\\x03\\x04' instead of b'GGUF'",
        ),
        (b"GG", "is no GGUF file: it begins with b'GG'"),
        (b"GGUF\x03", "is truncated: it needs at least 8 bytes and has 5; download it again"),
        (good(version=1), "has GGUF version 1, accepted are 2 and 3"),
        (good(fields=2**60), "is damaged: it has 0 tensors and 1,152,921,504,606,846,976 metadata"),
        (good(), "is damaged: it has no general.architecture"),
        (good(fields=1), "is truncated: it needs at least 32 bytes and has 24"),
        (good(fields=1) + struct.pack("<Q", 2**62), "is truncated: it needs at least"),
        (good(fields=1) + text("k") + struct.pack("<I", 99), "metadata of the unknown type 99"),
        (good(fields=1) + text("k") + struct.pack("<IIQ", 9, 8, 2**62), "is truncated"),
        (good(fields=1) + text("k") + struct.pack("<IIQ", 9, 4, 2**62), "is truncated"),
        (
            good(tensors=1, fields=1) + ARCHITECTURE + text("llama") + text("t") + b"\xff" * 4,
            "a tensor of 4294967295 dimensions",
        ),
        (
            good(tensors=1, fields=1)
            + ARCHITECTURE
            + text("llama")
            + text("t")
            + struct.pack("<IQIQ", 1, 32, 9999, 0),
            "the unknown storage type 9999 in tensor 't'",
        ),
    ],
)
def test_damaged_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        resolve(str(path))


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    whole = write_gguf(tmp_path / "m.gguf").read_bytes()
    short = tmp_path / "short.gguf"
    for size in [*range(5, 4000, 331), len(whole) // 2, len(whole) - 1]:
        short.write_bytes(whole[:size])
        with pytest.raises(ModelError, match="is truncated"):
            read_header(short)


def test_unknown_architecture_lists_what_is_known(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", architecture="rwkv9")
    message = "has the architecture 'rwkv9', which transformers cannot read .* gemma3, .* llama,"
    with pytest.raises(ModelError, match=message):
        resolve(str(path))


def test_tensors_that_do_not_fit_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = _shapes
    monkeypatch.setitem(globals(), "_shapes", lambda n, hidden: shapes(n, 2 * hidden))
    path = write_gguf(tmp_path / "m.gguf")
    with pytest.raises(
        ModelError, match=r"transformers .* cannot read .*m\.gguf .*; use the model"
    ):
        resolve(str(path))


def test_a_full_disk_is_told_with_the_bytes_that_are_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **named: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("ICL_CACHE", str(tmp_path / "cache"))  # where nothing is converted yet
    monkeypatch.setattr(hf.LlamaForCausalLM, "save_pretrained", full)
    with pytest.raises(
        ModelError, match=r"need up to \d+ kB in .*; make room there, or set ICL_CA"
    ):
        resolve(str(write_gguf(tmp_path / "m.gguf")))
