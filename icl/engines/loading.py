"""Reading a model's config, tokenizer and weights from its files, all or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from icl.engines.files import quiet
from icl.engines.weights import Weights
from icl.errors import ModelError

if TYPE_CHECKING:
    import torch

__all__ = ["cpu_has_bfloat16", "read_small_files", "read_weights"]


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


def read_weights(weights: Weights, dtype: torch.dtype, device: torch.device) -> Any:
    """The model on its device, every weight read from the file."""
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    place = {} if device.type == "cpu" else {"device_map": {"": device}}
    with quiet():
        try:
            model, info = AutoModelForCausalLM.from_pretrained(
                weights.folder,
                dtype=dtype,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
                **place,
            )
        except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
            raise ModelError(
                f"the weights of {weights.source!r} cannot be loaded ({_one_line(error)}); check "
                "that they are complete safetensors of a causal model"
            ) from error
    missing = sorted(info["missing_keys"])
    if missing:
        raise ModelError(
            f"the files of {weights.source!r} lack {len(missing)} weights, {missing[0]} first; "
            "they would be random: download it again, or name a causal model"
        )
    return model


def cpu_has_bfloat16() -> bool:
    """Whether the CPU has instructions that multiply in bfloat16.

    With them it is several times faster than float32; without (measured on AVX2, Gemma 3 270M,
    two cores) five times slower: 5.2 against 1.0 s for a prompt of 256 tokens.
    """
    from torch import cpu

    has = (cpu._is_avx512_bf16_supported(), cpu._is_amx_tile_supported())
    return any(has)
