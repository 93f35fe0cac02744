"""The memory that a model needs and the machine has, and out-of-memory errors."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from icl.core.errors import ModelError, OutOfMemory, join_lines
from icl.engines.hf.weights.hashes import remember, silence_libraries

__all__ = [
    "Footprint",
    "Layer",
    "REFUSALS",
    "check_fit",
    "build_empty_model",
    "count_footprint",
    "measure_free_bytes",
    "format_bytes",
    "list_group_rooms",
    "measure_host_free_bytes",
    "is_out_of_memory",
    "translate_out_of_memory",
    "translate_refusals",
    "count_rows_beside",
    "count_stored_bytes",
]


if TYPE_CHECKING:
    import torch

BLOCK = 64
"""Weights that share a scale in the 4-bit types of bitsandbytes, by default."""
ROWS = 32
"""Rows that bitsandbytes repacks together for a CPU with AVX512-BF16, the ``block_n`` of its
``_convert_weight_packed_for_cpu``."""
NESTED_BLOCK = 256
"""Scales that share a scale under double quantization."""
LEAST_TOKENS = 512
"""A model is loaded only if the keys and values of this many tokens fit, too."""
ITEM_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "float32": 4, "bfloat16": 2, "float16": 2}
REFUSALS = (
    TypeError,
    ValueError,
    AttributeError,
    NotImplementedError,
    RuntimeError,
    LookupError,
    AssertionError,
)
"""Exceptions by which model classes refuse an argument, a config or a cache; running out of memory
is a ``RuntimeError`` too, see :func:`is_out_of_memory`."""
_MAX_HEADER = 100_000_000


@dataclass(frozen=True, slots=True)
class Layer:
    """A Linear layer: its name in the model and its shape."""

    name: str
    inputs: int
    outputs: int

    @property
    def obstacle(self) -> str | None:
        """Return why a CPU cannot multiply the layer in 4 bits; None if it can.

        On a CPU with AVX512-BF16 bitsandbytes repacks 4-bit weights at their first product, which
        fails unless each row is whole blocks and the rows are whole groups of 32. The rule is
        applied on every CPU, so that all of them give the same answers.

        >>> Layer("up", 640, 2048).obstacle
        >>> Layer("up", 96, 2048).obstacle
        'their 96 inputs are no multiple of 64'
        """
        if self.inputs % BLOCK:
            return f"their {self.inputs:,} inputs are no multiple of {BLOCK}"
        if self.outputs % ROWS:
            return f"their {self.outputs:,} outputs are no multiple of {ROWS}"
        return None


@dataclass(frozen=True, slots=True)
class Footprint:
    """Counts of weights that can and cannot be quantized, computed without the weights."""

    linear: int
    """Weights of the Linear layers that bitsandbytes would quantize."""
    rows: int
    """Rows of those layers; each has a scale in int8."""
    blocks: int
    """Blocks of 64 weights in those layers; each has a scale in 4-bit widths."""
    other: int
    """All other parameters and buffers: embedding, head, norms, biases."""
    largest: int
    """Weights of the largest of those layers, which a CPU unpacks for its product."""
    kv_values: int | None
    """Numbers of keys and values per token of a text; None if unknown."""
    unfit: tuple[Layer, ...] = ()
    """The Linear layers that a CPU cannot multiply in 4 bits."""

    def in_4_bits_on_cpu(self) -> Footprint:
        """Count the layers that a CPU cannot multiply in 4 bits with what is not quantized.

        >>> whole = Footprint(100, 2, 2, 10, 96, None, (Layer("gate", 96, 1),))
        >>> whole.in_4_bits_on_cpu().linear, whole.in_4_bits_on_cpu().other
        (4, 106)
        """
        sizes = [one.inputs * one.outputs for one in self.unfit]
        return replace(
            self,
            linear=self.linear - sum(sizes),
            rows=self.rows - sum(one.outputs for one in self.unfit),
            blocks=self.blocks - sum(math.ceil(n / BLOCK) for n in sizes),
            other=self.other + sum(sizes),
        )

    @property
    def parameters(self) -> int:
        """The number of all parameters and buffers."""
        return self.linear + self.other

    def weight_bytes(self, width: str, compute: str = "bf16", double_quant: bool = False) -> int:
        """Return the bytes of the loaded weights; ``compute`` is the width of those not quantized.

        >>> tiny = Footprint(linear=64, rows=1, blocks=1, other=10, largest=64, kv_values=4)
        >>> [tiny.weight_bytes(width) for width in ("fp32", "bf16", "int8", "nf4")]
        [296, 148, 88, 56]
        """
        if width in ITEM_BYTES:
            return self.parameters * ITEM_BYTES[width]
        rest = self.other * ITEM_BYTES[compute]
        if width == "int8":
            return rest + self.linear + 4 * self.rows
        scales = 4 * self.blocks
        if double_quant:
            scales = self.blocks + 4 * math.ceil(self.blocks / NESTED_BLOCK)
        return rest + (self.linear + 1) // 2 + scales

    def kv_bytes(self, compute: str) -> int | None:
        """Return the bytes of keys and values of one token of one text in all layers."""
        return None if self.kv_values is None else self.kv_values * ITEM_BYTES[compute]

    def least_bytes(self, width: str, compute: str, double_quant: bool = False) -> int:
        """Return the bytes of weights, one unpacked layer if quantized, and a short text."""
        unpacked = 0 if width in ITEM_BYTES else self.largest * 4
        text = LEAST_TOKENS * (self.kv_bytes(compute) or 0)
        return self.weight_bytes(width, compute, double_quant) + unpacked + text


def count_footprint(config: Any) -> Footprint:
    """Count the parameters of a config on torch's meta device, where they take no memory.

    Cached for each config and version of transformers, since building the model takes a second.

    Raises:
        ModelError: transformers has no model class for this config.
    """
    whole = config.to_json_string(use_diff=False)
    counted = [field.name for field in fields(Footprint)]  # notes of an older one are made again
    found = remember(
        "footprints",
        whole,
        [version("transformers"), version("torch"), BLOCK, ROWS, *counted],
        lambda: asdict(_count(config)),
    )
    return Footprint(**{**found, "unfit": tuple(Layer(**one) for one in found["unfit"])})


def _count(config: Any) -> Footprint:
    from transformers.quantizers.base import get_keys_to_not_convert
    from transformers.quantizers.quantizers_utils import should_convert_module

    model = build_empty_model(config)
    kept = [*get_keys_to_not_convert(model), *(model._keep_in_fp32_modules or ())]
    linear = rows = blocks = largest = 0
    unfit = []
    for name, module in model.named_modules():
        size = _linear(module)
        if size is None or not should_convert_module(name, kept):
            continue
        n = size[0] * size[1]
        linear, rows, blocks = linear + n, rows + size[1], blocks + math.ceil(n / BLOCK)
        largest = max(largest, n)
        if (layer := Layer(name, *size)).obstacle:
            unfit.append(layer)
    total = sum(tensor.numel() for tensor in [*model.parameters(), *model.buffers()])
    held = _kv_values(model)
    return Footprint(linear, rows, blocks, total - linear, largest, held, tuple(unfit))


def build_empty_model(config: Any) -> Any:
    """Build the model of a config without memory for its weights."""
    import copy

    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    made = copy.deepcopy(config)
    for part in (made, made.get_text_config()):
        if hasattr(part, "quantization_config"):
            del part.quantization_config
    family = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    try:
        with silence_libraries(), torch.device("meta"):
            return family.from_config(made, trust_remote_code=False)
    except (ValueError, KeyError, ImportError) as error:
        raise ModelError(
            f"transformers has no model for the config {config.model_type!r} "
            f"({' '.join(str(error).split())})"
        ) from error


def _linear(module: Any) -> tuple[int, int] | None:
    """Return columns and rows of a layer that transformers would replace by one of bitsandbytes."""
    import torch
    from transformers.pytorch_utils import Conv1D

    if type(module) is torch.nn.Linear:
        return module.in_features, module.out_features
    if isinstance(module, Conv1D):
        return int(module.weight.shape[0]), int(module.weight.shape[1])
    return None


def _kv_values(model: Any) -> int | None:
    """Count the numbers that a token adds to the cache, from a pass without memory over two tokens.

    Of a hybrid model only the layers count that keep keys and values of every token.
    """
    import torch
    from transformers import DynamicCache

    if model.config.is_encoder_decoder:
        return None
    try:
        cache = DynamicCache(config=model.config.get_text_config())
        with torch.inference_mode(), silence_libraries():
            ids = torch.zeros((1, 2), dtype=torch.long, device="meta")
            model.eval()(input_ids=ids, past_key_values=cache, use_cache=True)
    except REFUSALS:  # a recurrent model, or one that reads its numbers while it runs
        return None
    held = [getattr(layer, part, None) for layer in cache.layers for part in ("keys", "values")]
    grown = [one for one in held if isinstance(one, torch.Tensor) and one.shape[-2:-1] == (2,)]
    return sum(tensor.numel() for tensor in grown) // 2 or None


def count_stored_bytes(folder: Path) -> int | None:
    """Return the bytes of the tensors in a folder's safetensors, from their headers, or None.

    Layout: https://huggingface.co/docs/safetensors, 8 bytes of length, then JSON.

    Raises:
        ModelError: a header that cannot be read.
    """
    files = sorted(folder.glob("*.safetensors"))
    return sum(_tensor_bytes(path) for path in files) if files else None


def _tensor_bytes(path: Path) -> int:
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _MAX_HEADER:
                raise ValueError(f"a header of {length:,} bytes")
            header = json.loads(file.read(length))
        ends = [one["data_offsets"][1] for name, one in header.items() if name != "__metadata__"]
    except (OSError, ValueError, struct.error, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{path} is no safetensors file ({' '.join(str(error).split())}); download it again"
        ) from error
    return max(ends, default=0)


def format_bytes(n_bytes: int) -> str:
    """Format bytes as ``21.4 GB``, ``12 MB`` or ``284 kB``."""
    if n_bytes >= 1e8:
        return f"{n_bytes / 1e9:.1f} GB"
    return f"{n_bytes / 1e6:.0f} MB" if n_bytes >= 1e6 else f"{n_bytes / 1e3:.0f} kB"


def measure_free_bytes(device: torch.device) -> int:
    """Return the bytes that are free on a device."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        room = torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
        return min(int(room), measure_host_free_bytes())
    return measure_host_free_bytes()


def measure_host_free_bytes() -> int:
    """Return the bytes that this process can still use, by the machine and its control groups."""
    import psutil

    return min([int(psutil.virtual_memory().available), *list_group_rooms(Path("/"))])


def list_group_rooms(root: Path) -> Iterator[int]:
    """Yield the free bytes of each control group (version 1 or 2) of this process."""
    listed = root / "proc/self/cgroup"
    if not listed.is_file():
        return
    groups = root / "sys/fs/cgroup"
    for line in listed.read_text().splitlines():
        _, controllers, place = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        names = ("memory.max", "memory.current", "inactive_file")
        base = groups
        if controllers:
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            base = groups / "memory"
        folder = base / place.strip("/")
        # In a container the group's own folder can be mounted as the root.
        for level in [folder, *folder.parents]:
            if (room := _room(level, *names)) is not None:
                yield room
            if level == base:
                break


def _room(folder: Path, limit: str, usage: str, reclaimable: str) -> int | None:
    """Return the bytes left in one group; file pages that the kernel would drop count as free."""
    try:
        most = (folder / limit).read_text().strip()
        used = int((folder / usage).read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except OSError:  # no such level, or not ours to read: it sets no limit that we could know
        return None
    if not most.isdigit() or int(most) > 1 << 60:  # "max", or version 1's number for no limit
        return None
    return max(0, int(most) - used + int(stat.get(reclaimable, 0)))


def count_rows_beside(config: Any, compute: str, device: torch.device, n_tokens: int) -> int:
    """Return how many texts of ``n_tokens`` fit next to loaded weights: a power of two up to 64.

    Their keys and values take at most half of the free memory. A power of two, so that small
    changes of the free memory change nothing.
    """
    each = count_footprint(config).kv_bytes(compute)
    if each is None:
        return 8
    fit = max(1, measure_free_bytes(device) // 2 // (each * max(1, n_tokens)))
    return min(64, 1 << (fit.bit_length() - 1))


def check_fit(need: int, free: int, what: str, others: dict[str, int]) -> None:
    """Check that a load fits into memory.

    ``others`` maps narrower widths to the bytes that each needs.

    Raises:
        ModelError: ``need`` is more than ``free``.
    """
    if need <= free:
        return
    fitting = [f"width: {name} ({format_bytes(n)})" for name, n in others.items() if n <= free]
    hint = " or ".join(fitting[:2]) or "a smaller model"
    raise ModelError(
        f"{what} needs {format_bytes(need)}, {format_bytes(free)} free: try {hint}, or "
        "device: offload (slow); check_memory: false loads it all the same"
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception of torch means that memory ran out, on any device."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


@contextmanager
def translate_out_of_memory(what: str) -> Iterator[None]:
    """Turn torch's out-of-memory errors into :class:`icl.core.errors.OutOfMemory`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(
            f"out of memory on {what}; use fewer rows a batch, shorter prompts, or a smaller model"
        ) from error


@contextmanager
def translate_refusals(what: str) -> Iterator[None]:
    """Turn the errors of a model class during a test into a :class:`ModelError`."""
    try:
        yield
    except REFUSALS as error:
        if is_out_of_memory(error):
            raise
        raise ModelError(
            f"{what} cannot be run: transformers {version('transformers')} says "
            f"{type(error).__name__}: {join_lines(error)}; name another model, or another release "
            "of transformers"
        ) from error
