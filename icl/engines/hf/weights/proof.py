"""Proof of width: what the Linear layers of a loaded model really hold in memory."""

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
"""Least part of all parameters but embeddings and head that a quantized width must reach."""


@dataclass(frozen=True, slots=True)
class LinearProof:
    """What one Linear layer holds in memory."""

    name: str
    kind: str
    """Name of its class: ``Linear``, ``Linear8bitLt``, ``Linear4bit``."""
    storage: str
    """dtype of its largest tensor: ``int8``; ``uint8`` holds two numbers of 4 bits."""
    code: str | None
    """``nf4`` or ``fp4``, where the storage does not tell."""
    parameters: int
    """Weights without bias, as a matrix product counts them."""
    weight_bytes: int
    scale_bytes: int
    """Scales of rows or blocks, and their tables."""
    is_head: bool = False
    """The vocabulary projection, which stays as it is."""

    @property
    def bytes_per_parameter(self) -> float:
        """Scales included: 1.06 in int8 of 64 columns, 0.56 in nf4, 4 in float32."""
        return (self.weight_bytes + self.scale_bytes) / max(1, self.parameters)


def prove(model: Any) -> list[LinearProof]:
    """What every Linear layer of a loaded model holds, in the model's order.

    Whole-model bytes prove little: embedding and head stay wide, and can be most of a small model.
    Before the first product: at that bitsandbytes may repack 4-bit weights for the CPU, which
    leaves their bytes and turns the scales into bfloat16, one for each block.
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
    """Weights of a layer that is one matrix product; None for every other module."""
    sizes = (getattr(module, "in_features", None), getattr(module, "out_features", None))
    if all(isinstance(size, int) for size in sizes):
        return int(sizes[0]) * int(sizes[1])  # type: ignore[arg-type]
    if type(module).__name__ == "Conv1D":  # GPT-2's transposed Linear
        return int(module.weight.numel())
    return None


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _tensors(module: Any) -> Iterator[tuple[str, Tensor]]:
    """A layer's own parameters and buffers, and the scales that bitsandbytes keeps elsewhere."""
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
    """Refuse a model that silently stayed in another width.

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
                "weights beside the embedding can be on a CPU; Linear layers that cannot: "
                f"{len(made.kept):,} ({made.kept[0].obstacle}); load it as int8, bf16 or fp32"
            )
        raise ModelError(
            f"{source!r} was to be loaded as {made.width}, but only {share:.0f} % of its weights "
            "beside the embedding stand in Linear layers, which is all that bitsandbytes "
            "quantizes; load it as bf16 or fp16, or name a checkpoint that is quantized"
        )


def _is(one: LinearProof, width: str) -> bool:
    if width == "int8":
        return one.kind == "Linear8bitLt" and one.storage == "int8" and one.scale_bytes > 0
    return one.kind == "Linear4bit" and one.code == width and one.scale_bytes > 0


def summarize_proof(
    proofs: Iterable[LinearProof], model: Any, made: Formats, source: str
) -> dict[str, JSON]:
    """The proof of width for a run's folder: one entry for each kind of Linear layer.

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
    """The width that 4-bit layers multiply activations in.

    bitsandbytes' own kernel for a CPU with AVX512-BF16 rounds them to bfloat16.
    """
    rounded = any(
        getattr(module, "support_avx512bf16_for_cpu", False) and module.weight.device.type == "cpu"
        for module in model.modules()
    )
    return "bf16" if rounded else shorten_dtype(made.compute)


def describe_proof(facts: Mapping[str, Any]) -> str:
    """One line of :func:`summarize_proof` for people."""
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
