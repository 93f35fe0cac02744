"""Reading a model's config, tokenizer and weights from its files, all or nothing."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from icl.engines.files import cache_dir, quiet
from icl.engines.memory import check_fit, footprint, stored_bytes
from icl.engines.placement import Placement
from icl.engines.proof import check_proof, prove, summary
from icl.engines.weights import Weights
from icl.engines.widths import (
    DTYPES,
    QUANTIZED,
    Formats,
    bnb_config,
    precision,
    silence_bitsandbytes,
)
from icl.errors import ModelError
from icl.types import JSON

if TYPE_CHECKING:
    import torch

__all__ = ["auto_dtype", "check_memory", "cpu_has_bfloat16", "load_model", "read_small_files"]


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def read_small_files(weights: Weights) -> tuple[Any, Any]:
    """Config and tokenizer; no model class is imported."""
    from transformers import AutoConfig, AutoTokenizer

    local = {"local_files_only": True, "trust_remote_code": False}
    with quiet():
        try:
            config = AutoConfig.from_pretrained(weights.folder, **local)
            tokenizer = AutoTokenizer.from_pretrained(weights.folder, **local)
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise ModelError(
                f"config or tokenizer of {weights.source!r} cannot be read ({_one_line(error)}); "
                "name a folder or hub id with both, of a family that transformers has built in"
            ) from error
    if config.is_encoder_decoder:
        raise ModelError(
            f"{weights.source!r} is an encoder-decoder model ({config.model_type}), and this "
            "engine runs causal ones only; name a causal model"
        )
    return config, tokenizer


def load_model(
    weights: Weights, config: Any, made: Formats, place: Placement, check: bool = True
) -> tuple[Any, dict[str, JSON]]:
    """The model on its devices, and the proof of its width.

    ``check`` refuses what cannot fit, before anything is fetched or read.

    Raises:
        ModelError: it cannot fit, files are damaged or incomplete, or it is not in its width.
    """
    if check and not made.stored:
        check_memory(weights, config, made, place)
    weights.fetch()
    if check and made.stored:  # only the files themselves tell how large it is
        check_memory(weights, config, made, place)
    model = _read_weights(weights, made, place)
    proofs = prove(model)
    check_proof(proofs, model, made, weights.source)
    return model, summary(proofs, model, made, precision(weights.precision, config))


def check_memory(weights: Weights, config: Any, made: Formats, place: Placement) -> None:
    """Refuse what cannot fit, before a weight is fetched or read.

    Raises:
        ModelError: with the widths that would fit.
    """
    room = place.room
    if room is None:
        return
    counted = footprint(config)
    others = {
        name: counted.least_bytes(name, DTYPES.get(name, made.compute))
        for name in (*DTYPES, *QUANTIZED[:2])
    }
    need = others.get(made.width) or counted.least_bytes(
        made.width, made.compute, made.double_quant
    )
    if made.stored:
        need, others = stored_bytes(weights.folder) or 0, {}
    smaller = {name: n for name, n in others.items() if n < need and name != "fp16"}
    check_fit(need, room, f"{weights.source} as {made.width} on {place.name}", smaller)


def _read_weights(weights: Weights, made: Formats, place: Placement) -> Any:
    """The model on its device or devices, every weight read from the file."""
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    if made.quantized:
        silence_bitsandbytes()
    if made.quantized and place.spread == "offload":
        raise ModelError(
            f"{weights.source!r} as {made.width} cannot be offloaded: bitsandbytes multiplies only "
            "what lies on the device; use device: balanced, or width: bf16"
        )
    options = place.options()
    if made.quantized:
        options = {"device_map": {"": place.device}, **options}
        options |= {} if made.stored else {"quantization_config": bnb_config(made)}
    with quiet(), _offload_folder(options) as keep:
        try:
            model, info = AutoModelForCausalLM.from_pretrained(
                weights.folder,
                dtype=made.dtype,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
                **options,
            )
        except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
            raise ModelError(
                f"the weights of {weights.source!r} cannot be loaded ({_one_line(error)}); check "
                "that they are complete safetensors of a causal model"
            ) from error
        keep(model)
    missing = sorted(info["missing_keys"])
    if missing:
        raise ModelError(
            f"the files of {weights.source!r} lack {len(missing)} weights, {missing[0]} first; "
            "they would be random: download it again, or name a causal model"
        )
    return model


@contextmanager
def _offload_folder(options: dict[str, Any]) -> Iterator[Callable[[Any], None]]:
    """Name a folder in ``options`` for weights kept on disk; it goes when its model goes.

    Nearly all are read where they lie; only those that the loader changes are written there.
    """
    if "max_memory" not in options:
        yield lambda model: None
        return
    parent = cache_dir() / "offload"
    parent.mkdir(parents=True, exist_ok=True)
    folder = tempfile.mkdtemp(dir=parent)
    options["offload_folder"] = folder
    owners: list[Any] = []
    try:
        yield owners.append
    finally:
        if owners:
            weakref.finalize(owners.pop(), shutil.rmtree, folder, ignore_errors=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def auto_dtype(config: Any, device: torch.device) -> torch.dtype:
    """The checkpoint's own dtype; on a CPU float32, unless it computes in bfloat16."""
    import torch

    own = config.dtype or torch.float32
    assert isinstance(own, torch.dtype)
    if device.type != "cpu" or (own is torch.bfloat16 and cpu_has_bfloat16()):
        return own
    return torch.float32


def cpu_has_bfloat16() -> bool:
    """Whether the CPU has instructions that multiply in bfloat16.

    With them it is several times faster than float32; without (measured on AVX2, Gemma 3 270M,
    two cores) five times slower: 5.2 against 1.0 s for a prompt of 256 tokens.
    """
    from torch import cpu

    has = (cpu._is_avx512_bf16_supported(), cpu._is_amx_tile_supported())
    return any(has)
