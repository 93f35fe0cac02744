"""The proof of width: the actual contents of a loaded model's Linear layers in memory."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from icl.core.errors import ModelError
from icl.core.types import JSON
from icl.engines.hf.weights.memory import format_bytes
from icl.engines.hf.weights.widths import FOUR_BITS, QUANTIZED, Formats, name_dtype, shorten_dtype

__all__ = ["LinearProof", "check_proof", "describe_proof", "prove", "summarize_proof"]


if TYPE_CHECKING:
    from torch import Tensor

LEAST_SHARE = 0.5
"""Least share of all parameters except embeddings and head that must be in the quantized width."""


@dataclass(frozen=True, slots=True)
class LinearProof:
    """The memory of one Linear layer: class, storage type and bytes."""

    name: str
    kind: str
    """Name of the layer's class: ``Linear``, ``Linear8bitLt``, ``Linear4bit``."""
    storage: str
    """dtype of its largest tensor: ``int8``; ``uint8`` holds two numbers of 4 bits."""
    code: str | None
    """``nf4`` or ``fp4``; None for other storage."""
    parameters: int
    """Number of weights without bias, as in the matrix product."""
    weight_bytes: int
    scale_bytes: int
    """Bytes of the scales of rows or blocks, and their tables."""
    is_head: bool = False
    """Whether it is the vocabulary projection, which is not quantized."""

    @property
    def bytes_per_parameter(self) -> float:
        """Bytes with scales: 1.06 in int8 with 64 columns, 0.56 in nf4, 4 in float32."""
        return (self.weight_bytes + self.scale_bytes) / max(1, self.parameters)


def prove(model: Any) -> list[LinearProof]:
    """Return a proof for every Linear layer of a loaded model, in the model's order.

    Bytes of the whole model prove little: embedding and head stay wide, and can be most of a small
    model. Must be called before the first product, at which bitsandbytes may repack 4-bit weights
    for
    the CPU: their bytes stay the same, but the scales become bfloat16, one per block.
    """
    head = model.get_output_embeddings()
    found = []
    for name, module in model.named_modules():
        size = _matrix(module)
        if size is None:
            continue
        held = [tensor for label, tensor in _tensors(module) if label != "bias"]
        weight = max(held, key=_bytes)
        state = getattr(getattr(module, "weight", None), "quant_state", None)
        found.append(
            LinearProof(
                name,
                type(module).__name__,
                name_dtype(weight.dtype),
                getattr(state, "quant_type", None),
                size,
                _bytes(weight),
                sum(_bytes(tensor) for tensor in held) - _bytes(weight),
                module is head,
            )
        )
    return found


def _matrix(module: Any) -> int | None:
    """Return the number of weights of a layer that is one matrix product; None for others."""
    sizes = (getattr(module, "in_features", None), getattr(module, "out_features", None))
    if all(isinstance(size, int) for size in sizes):
        return int(sizes[0]) * int(sizes[1])  # type: ignore[arg-type]
    if type(module).__name__ == "Conv1D":  # GPT-2's transposed Linear
        return int(module.weight.numel())
    return None


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _tensors(module: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield a layer's parameters and buffers, and the scales that bitsandbytes stores elsewhere."""
    yield from module.named_parameters(recurse=False)
    yield from module.named_buffers(recurse=False)
    weight = getattr(module, "weight", None)
    rows = getattr(weight, "SCB", None)
    if rows is None:  # moved there by the first product
        rows = getattr(getattr(module, "state", None), "SCB", None)
    if rows is not None:
        yield "SCB", rows
    state = getattr(weight, "quant_state", None)
    while state is not None:
        yield from (("absmax", state.absmax), ("code", state.code))
        if state.offset is not None:
            yield "offset", state.offset
        state = getattr(state, "state2", None)  # deleted where the weights were repacked for a CPU


def check_proof(proofs: Sequence[LinearProof], model: Any, made: Formats, source: str) -> None:
    """Check that a model was really loaded in its intended width.

    Raises:
        ModelError: no Linear layer is quantized, or most of the weights are in none.
    """
    if not made.quantized or (made.stored and made.width not in QUANTIZED):
        return
    inner = [one for one in proofs if not one.is_head]
    wanted = [one for one in inner if _is(one, made.width)]
    if not wanted:
        kinds = ", ".join(sorted({f"{one.kind} in {one.storage}" for one in inner})) or "none"
        raise ModelError(
            f"{source!r} was to be loaded as {made.width}, but none of its layers is: its Linear "
            f"layers are {kinds}; load it as fp32, bf16 or fp16"
        )
    tables = {
        id(t.weight)
        for t in (model.get_input_embeddings(), model.get_output_embeddings())
        if t is not None
    }
    rest = sum(
        p.numel()
        for _, p in model.named_parameters()
        if id(p) not in tables and p.is_floating_point()
    )
    reached = sum(one.parameters for one in wanted)
    if reached < LEAST_SHARE * (reached + rest):
        share = 100 * reached / (reached + rest)
        if made.kept:
            raise ModelError(
                f"{source!r} was to be loaded as {made.width}, but only {share:.0f} % of its "
                "weights besides the embedding can be on a CPU; Linear layers that cannot: "
                f"{len(made.kept):,} ({made.kept[0].obstacle}); load it as int8, bf16 or fp32"
            )
        raise ModelError(
            f"{source!r} was to be loaded as {made.width}, but only {share:.0f} % of its weights "
            "besides the embedding are in Linear layers, which is all that bitsandbytes "
            "quantizes; load it as bf16 or fp16, or name a checkpoint that is quantized"
        )


def _is(one: LinearProof, width: str) -> bool:
    if width == "int8":
        return one.kind == "Linear8bitLt" and one.storage == "int8" and one.scale_bytes > 0
    return one.kind == "Linear4bit" and one.code == width and one.scale_bytes > 0


def summarize_proof(
    proofs: Iterable[LinearProof], model: Any, made: Formats, source: str
) -> dict[str, JSON]:
    """Summarize the proof of width for a run's folder: one entry for each kind of Linear layer.

    ``source`` is the precision of the weights before they were loaded.
    """
    groups: dict[tuple[str, str, str | None], list[LinearProof]] = defaultdict(list)
    for one in proofs:
        groups[one.kind, one.storage, one.code].append(one)
    held = {id(t): t for module in model.modules() for _, t in _tensors(module)}
    linears: list[JSON] = []
    for (kind, storage, code), of_kind in groups.items():
        n = sum(one.parameters for one in of_kind)
        weights, scales = (
            sum(getattr(one, f"{part}_bytes") for one in of_kind) for part in ("weight", "scale")
        )
        linears.append(
            {
                "class": kind,
                "storage": storage,
                "code": code,
                "layers": len(of_kind),
                "parameters": n,
                "weight_bytes": weights,
                "scale_bytes": scales,
                "bytes_per_parameter": round((weights + scales) / max(1, n), 4),
            }
        )
    return {
        "source_precision": source,
        **made.identity(),
        "compute": made.compute,
        "bytes": sum(_bytes(tensor) for tensor in held.values()),
        "linears": linears,
        "kept": [
            {"layers": n, "width": shorten_dtype(made.compute), "why": why}
            for why, n in Counter(layer.obstacle for layer in made.kept).items()
        ],
        **({"products": _products(model, made)} if made.width in FOUR_BITS else {}),
    }


def _products(model: Any, made: Formats) -> str:
    """Return the width in which 4-bit layers multiply activations.

    bitsandbytes' own kernel for a CPU with AVX512-BF16 rounds them to bfloat16.
    """
    rounded = any(
        getattr(module, "support_avx512bf16_for_cpu", False) and module.weight.device.type == "cpu"
        for module in model.modules()
    )
    return "bf16" if rounded else shorten_dtype(made.compute)


def describe_proof(facts: Mapping[str, Any]) -> str:
    """Describe the result of :func:`summarize_proof` in one line."""
    said = f"loaded as {facts['width']}, source {facts['source_precision']}"
    parts = [
        f"{one['layers']} {one['class']} in {one['code'] or one['storage']}, "
        f"{one['bytes_per_parameter']:.2f} bytes a weight"
        for one in facts["linears"]
    ]
    parts += [
        f"{one['layers']} Linear kept in {one['width']}: {one['why']}"
        for one in facts.get("kept", ())  # runs made before have none
    ]
    products = facts.get("products", shorten_dtype(facts["compute"]))
    if products != shorten_dtype(facts["compute"]):
        parts.append(f"multiplied in {products} by this processor's own kernel")
    return f"{said}: {'; '.join(parts)}; {format_bytes(facts['bytes'])} in all"
