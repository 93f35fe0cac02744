"""The widths: number formats in which weights are loaded, chosen before any is read.

``int8`` is LLM.int8() (Dettmers et al. 2022, arXiv 2208.07339), ``nf4`` and ``fp4`` are the 4-bit
types of QLoRA (Dettmers et al. 2023, arXiv 2305.14314), all through bitsandbytes.
"""

from __future__ import annotations

import importlib.util
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from icl.core.errors import ModelError
from icl.core.registry import did_you_mean
from icl.core.types import JSON
from icl.engines.hf.weights.memory import BLOCK, ROWS, Layer, build_empty_model, count_footprint

__all__ = [
    "WidthOptions",
    "DTYPES",
    "FOUR_BITS",
    "Formats",
    "QUANTIZED",
    "WIDTHS",
    "Width",
    "is_quantized",
    "list_kept_layers",
    "make_bnb_config",
    "check_width",
    "decide",
    "multiply_as_stored",
    "find_own_width",
    "find_precision",
    "shorten_dtype",
    "name_dtype",
    "silence_bitsandbytes",
]


if TYPE_CHECKING:
    import torch

Width = Literal["auto", "fp32", "bf16", "fp16", "int8", "nf4", "fp4"]
WIDTHS: tuple[str, ...] = get_args(Width)
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
QUANTIZED = ("int8", "nf4", "fp4")
FOUR_BITS = ("nf4", "fp4")
PACKAGES = {
    "bitsandbytes": ("bitsandbytes",),
    "gptq": ("gptqmodel", "optimum"),
    "awq": ("gptqmodel",),
    "compressed-tensors": ("compressed_tensors",),
    "hqq": ("hqq",),
    "torchao": ("torchao",),
    "auto-round": ("auto_round",),
    "aqlm": ("aqlm",),
}
"""Modules that transformers needs to load a checkpoint, by quantization method."""


@dataclass(frozen=True, slots=True)
class WidthOptions:
    """The options of a model's entry that set the width."""

    width: str = "auto"
    int8_threshold: float = 6.0
    """Activations from this value on are multiplied unquantized, as in the paper; 0: none are."""
    double_quant: bool = False
    """Whether the scales of 4-bit blocks are quantized too: 0.52 instead of 0.56 bytes."""


@dataclass(frozen=True, slots=True)
class Formats:
    """The formats in which weights will be loaded, chosen before any is read."""

    width: str
    """``fp32`` … ``fp4``, or that of a quantized checkpoint: ``gptq 4-bit``."""
    compute: str
    """Name of torch's dtype for activations and for everything that is not quantized."""
    stored: bool = False
    """Whether the checkpoint itself is quantized, by its own config."""
    int8_threshold: float = 6.0
    double_quant: bool = False
    kept: tuple[Layer, ...] = ()
    """Linear layers that stay in ``compute``, since a CPU cannot multiply them in 4 bits."""

    @property
    def dtype(self) -> torch.dtype:
        """``compute`` as a dtype of torch."""
        import torch

        made = getattr(torch, self.compute)
        assert isinstance(made, torch.dtype)
        return made

    @property
    def quantized(self) -> bool:
        """Return whether the Linear layers hold something other than numbers of ``compute``."""
        return self.width not in DTYPES

    def identity(self) -> dict[str, JSON]:
        """Return the part of the formats that changes an answer."""
        made: dict[str, JSON] = {"width": self.width}
        if self.quantized:
            made["compute"] = self.compute
        if self.width == "int8":
            made["int8_threshold"] = self.int8_threshold
        if self.width in FOUR_BITS and not self.stored:
            made["double_quant"] = self.double_quant
        if self.kept:
            made["unquantized"] = [layer.name for layer in self.kept]
        return made


def check_width(asked: WidthOptions, where: str) -> None:
    """Check that the width is known and the threshold is not negative.

    Raises:
        ModelError: with what is accepted.

    >>> check_width(WidthOptions("nf4"), "model 'a'")
    """
    if asked.width not in WIDTHS:
        guess = did_you_mean(str(asked.width), WIDTHS)
        raise ModelError(f"unknown width {asked.width!r} of {where}{guess}")
    threshold = asked.int8_threshold
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or threshold < 0:
        raise ModelError(
            f"int8_threshold {threshold!r} of {where} is not possible; accepted: 0 (every "
            "activation in int8) or more, 6.0 as in the paper"
        )


def shorten_dtype(dtype: object) -> str:
    """Return ``bf16`` for ``torch.bfloat16`` or its name; other dtypes keep their name."""
    name = str(dtype).removeprefix("torch.")
    return next((width for width, full in DTYPES.items() if full == name), name)


def is_quantized(precision: object) -> bool:
    """Return whether a source's precision means rounded weights: ``Q4_K_M``, ``nf4``, ``gptq``.

    >>> [is_quantized(name) for name in ("Q4_K_M", "BF16", "F32", "fp16", "int8")]
    [True, False, False, False, True]
    """
    plain = {"f16", "f32", "f64", "float64", *DTYPES}
    return isinstance(precision, str) and precision.lower() not in plain


def _carried(config: Any) -> dict[str, Any]:
    """Return the quantization in a checkpoint's config; empty if it is not quantized."""
    for part in (config, config.get_text_config()):
        found = getattr(part, "quantization_config", None)
        if found:
            return dict(found) if isinstance(found, Mapping) else found.to_dict()
    return {}


def find_own_width(config: Any) -> str | None:
    """Return the width of a checkpoint that is quantized in its files, or None."""
    carried = _carried(config)
    if not carried:
        return None
    method = str(carried.get("quant_method", "bitsandbytes"))
    if method == "bitsandbytes":
        in_int8 = carried.get("load_in_8bit") or carried.get("_load_in_8bit")
        return "int8" if in_int8 else str(carried.get("bnb_4bit_quant_type", "fp4"))
    bits = carried.get("bits")
    return f"{method} {bits}-bit" if bits else method


def find_precision(stated: str | None, config: Any) -> str:
    """Return the precision of weights in their files, as ``Q4_K_M``, ``nf4`` or ``bf16``."""
    return stated or find_own_width(config) or shorten_dtype(config.dtype or "float32")


def decide(
    asked: WidthOptions, config: Any, source: str, auto: torch.dtype, device: str
) -> Formats:
    """Choose the width of a model by the entry's options and the model's config.

    ``auto`` is the dtype of unquantized weights if no width is given; ``device`` is the type of
    the device that computes.

    Raises:
        ModelError: the checkpoint is quantized already in another width, a package is missing, or
            no layer can be held in this width on this device.
    """
    own = find_own_width(config)
    if own is not None:
        if asked.width not in ("auto", own):
            raise ModelError(
                f"model {source!r} is stored in {own} and cannot be loaded as {asked.width}; leave "
                "width out, or name the model that was not quantized"
            )
        carried = _carried(config)
        _check_packages(source, own, str(carried.get("quant_method", "bitsandbytes")))
        threshold = float(carried.get("llm_int8_threshold", asked.int8_threshold))
        return Formats(own, name_dtype(auto), True, threshold)
    if asked.width in DTYPES:
        return Formats(asked.width, DTYPES[asked.width])
    if asked.width == "auto":
        return Formats(shorten_dtype(auto), name_dtype(auto))
    _check_packages(source, asked.width, "bitsandbytes")
    kept = list_kept_layers(config, source, asked.width) if device == "cpu" else ()
    return Formats(
        asked.width, name_dtype(auto), False, float(asked.int8_threshold), asked.double_quant, kept
    )


def list_kept_layers(config: Any, source: str, width: str) -> tuple[Layer, ...]:
    """Return the layers that a CPU cannot hold in a width; refuse the width if it can hold none."""
    if width not in FOUR_BITS:
        return ()
    counted = count_footprint(config)
    if counted.unfit and not counted.in_4_bits_on_cpu().linear:
        first = counted.unfit[0]
        raise ModelError(
            f"{source!r} cannot be loaded as {width} on a CPU: there bitsandbytes needs layers "
            f"with inputs in multiples of {BLOCK} and outputs in multiples of {ROWS}, which none "
            f"of its {len(counted.unfit):,} Linear layers has ({first.name}: {first.inputs:,} "
            f"inputs, {first.outputs:,} outputs); load it as int8, bf16 or fp32"
        )
    return counted.unfit


def name_dtype(dtype: torch.dtype) -> str:
    """Return ``bfloat16`` for ``torch.bfloat16``."""
    return str(dtype).removeprefix("torch.")


def _check_packages(source: str, width: str, method: str) -> None:
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING as known

    # Of a method that it does not know, transformers skips the quantization with a log line.
    if method != "bitsandbytes" and method not in known:
        raise ModelError(
            f"model {source!r} is quantized by {method!r}, which transformers cannot load; "
            "name the model that was not quantized, or one quantized by: "
            f"{', '.join(sorted(PACKAGES))}"
        )
    missing = [name for name in PACKAGES.get(method, ()) if not importlib.util.find_spec(name)]
    if missing == ["bitsandbytes"]:
        raise ModelError(
            f"the width {width} of {source!r} needs bitsandbytes; run: "
            "pip install 'icl-workbench[quant]'"
        )
    if missing:
        names = " ".join(PACKAGES[method]).replace("_", "-")
        raise ModelError(f"model {source!r} is stored in {width}; run: pip install {names}")


def make_bnb_config(made: Formats, config: Any) -> Any:
    """Make transformers' config for quantizing while loading; None if nothing is quantized then."""
    if made.stored or not made.quantized:
        return None
    from transformers import BitsAndBytesConfig

    if made.width == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=made.int8_threshold)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=made.width,
        bnb_4bit_compute_dtype=made.dtype,
        bnb_4bit_use_double_quant=made.double_quant,
        llm_int8_skip_modules=_skipped(made, config),
    )


def _skipped(made: Formats, config: Any) -> list[str] | None:
    """Return patterns of the modules that transformers shall not quantize; None: its own choice."""
    if not made.kept:
        return None
    from transformers.quantizers.base import get_keys_to_not_convert

    # A list replaces its own choice, the head, which therefore is in it.
    own = get_keys_to_not_convert(build_empty_model(config))
    return [*own, *(f"{re.escape(layer.name)}$" for layer in made.kept)]


def multiply_as_stored(model: Any) -> None:
    """Keep bitsandbytes from repacking the 4-bit layers whose shape it cannot repack.

    A checkpoint that is quantized in its files may hold such layers. They are multiplied as on a
    CPU without AVX512-BF16: unpacked first, with the same numbers.
    """
    for name, module in model.named_modules():
        four_bits = type(module).__name__ == "Linear4bit"
        if four_bits and Layer(name, module.in_features, module.out_features).obstacle:
            module.support_avx512bf16_for_cpu = False


class _RepetitionFilter(logging.Filter):
    """Drops the messages of bitsandbytes at every product, which the plan records once."""

    def filter(self, record: logging.LogRecord) -> bool:
        said = str(record.msg)
        return not said.startswith(("MatMul8bitLt: inputs will be cast", "Input type into Linear"))


def silence_bitsandbytes() -> None:
    """Silence the lines that bitsandbytes repeats at every product, but no others."""
    for name in ("bitsandbytes.autograd._functions", "bitsandbytes.nn.modules"):
        logger = logging.getLogger(name)
        if not any(isinstance(found, _RepetitionFilter) for found in logger.filters):
            logger.addFilter(_RepetitionFilter())
