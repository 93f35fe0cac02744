"""GGUF files: read as untrusted input, converted once to safetensors in the cache.

Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The loader of transformers does
the conversion; it takes 40 to 100 seconds once, and later loads take a fraction of a second.
Nothing is rounded: each tensor is stored in the narrowest of bfloat16, float16 and float32 that
holds all of its numbers.
"""

from __future__ import annotations

import json
import logging
import math
import mmap
import os
import shutil
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from icl.core.errors import ModelError, join_lines
from icl.engines.hf.weights.hashes import (
    find_cache_dir,
    read_file_state,
    remember,
    silence_libraries,
)
from icl.engines.hf.weights.memory import REFUSALS, format_bytes, is_out_of_memory
from icl.engines.hf.weights.progress import count_weights, tell

__all__ = [
    "Header",
    "convert",
    "find_converted",
    "parse_header",
    "read_dequantized",
    "read_header",
    "write_safetensors",
]


if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

_VERSIONS = (2, 3)
_FIXED = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MAX_ENTRIES = 1_000_000
"""A file with more metadata entries or tensors is treated as damaged."""
_MARKER = "complete"
"""Name of a file written last, which marks a complete folder and holds the width that is needed."""


@dataclass(frozen=True, slots=True)
class Header:
    """The facts that the header of a GGUF file states."""

    architecture: str
    precision: str
    """The file type, ``Q4_K_M`` or ``BF16``: the precision of the source."""
    licence: str | None


class _Reader:
    """A cursor over the mapped file; a read past its end means that the file is truncated."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path, self.data, self.at = path, data, 0

    def take(self, layout: str) -> tuple[int | float | bool, ...]:
        layout = "<" + layout
        self.need(struct.calcsize(layout))
        values = struct.unpack_from(layout, self.data, self.at)
        self.at += struct.calcsize(layout)
        return values

    def count(self, layout: str = "Q") -> int:
        return int(self.take(layout)[0])

    def need(self, n_bytes: int) -> None:
        if self.at + n_bytes > len(self.data):
            raise _truncated(self.path, self.at + n_bytes, len(self.data))

    def string(self) -> str:
        n_bytes = self.count()
        self.need(n_bytes)
        self.at += n_bytes
        return self.data[self.at - n_bytes : self.at].decode("utf-8", "replace")

    def value(self, kind: int, depth: int = 0) -> str | int | float | None:
        """Read a metadata value; skip arrays and return None for them."""
        if kind in _FIXED:
            return self.take(_FIXED[kind])[0]
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY or depth > 3:
            raise _damaged(self.path, f"metadata of the unknown type {kind}")
        inner, n = self.count("I"), self.count()
        if inner in _FIXED:
            n_bytes = n * struct.calcsize(_FIXED[inner])
            self.need(n_bytes)
            self.at += n_bytes
            return None
        for _ in range(n):
            if inner == _STRING:
                n_bytes = self.count()
                self.need(n_bytes)
                self.at += n_bytes
            else:
                self.value(inner, depth + 1)
        return None


def _truncated(path: Path, need: int, have: int) -> ModelError:
    return ModelError(
        f"{path} is truncated: it needs at least {need:,} bytes and has {have:,}; download it again"
    )


def _damaged(path: Path, what: str) -> ModelError:
    return ModelError(f"{path} is damaged: it has {what}; download it again")


def read_header(path: Path) -> Header:
    """Check magic, version, size and architecture of a GGUF file without reading its weights.

    Skipping a vocabulary of 262,144 words takes time, so the result is cached for the same file.

    Raises:
        ModelError: empty, not GGUF, a version or an architecture that cannot be read, truncated.
    """
    path = path.resolve()
    return Header(
        **remember("headers", str(path), read_file_state(path), lambda: asdict(parse_header(path)))
    )


def parse_header(path: Path) -> Header:
    """Read the header from the file, without the cache.

    Raises:
        ModelError: it is no GGUF file, or a damaged one.
    """
    if path.stat().st_size == 0:
        raise ModelError(f"{path} is empty, not a GGUF file; download it again")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[:4] != b"GGUF":
            raise ModelError(
                f"{path} is no GGUF file: it begins with {data[:4]!r} instead of b'GGUF'; "
                "name a .gguf file, or a folder with safetensors"
            )
        reader = _Reader(path, data)
        reader.at = 4
        version = reader.count("I")
        if version not in _VERSIONS:
            raise ModelError(
                f"{path} has GGUF version {version}, accepted are 2 and 3 (little endian); "
                "convert the model again with a current llama.cpp"
            )
        n_tensors, n_fields = reader.count(), reader.count()
        if max(n_tensors, n_fields) > _MAX_ENTRIES:
            raise _damaged(path, f"{n_tensors:,} tensors and {n_fields:,} metadata fields")
        fields = {reader.string(): reader.value(reader.count("I")) for _ in range(n_fields)}
        kinds = _check_tensors(reader, n_tensors, fields.get("general.alignment", 32))
    architecture = fields.get("general.architecture")
    if not isinstance(architecture, str):
        raise _damaged(path, "no general.architecture")
    licence = fields.get("general.license")
    return Header(
        architecture,
        _precision(fields.get("general.file_type"), kinds),
        licence if isinstance(licence, str) else None,
    )


def _check_tensors(reader: _Reader, n_tensors: int, alignment: str | int | float | None) -> str:
    """Check that the file holds every tensor it lists; return the most frequent storage type."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    known = {kind.value: kind for kind in GGMLQuantizationType}
    align = alignment if isinstance(alignment, int) and alignment > 0 else 32
    kinds: Counter[str] = Counter()
    end = 0
    for _ in range(n_tensors):
        name, n_dims = reader.string(), reader.count("I")
        if n_dims > 8:
            raise _damaged(reader.path, f"a tensor of {n_dims} dimensions ({name!r})")
        n_values = math.prod(int(size) for size in reader.take(f"{n_dims}Q"))
        kind, offset = reader.count("I"), reader.count()
        if kind not in known:
            raise _damaged(reader.path, f"the unknown storage type {kind} in tensor {name!r}")
        block, block_bytes = GGML_QUANT_SIZES[known[kind]]
        kinds[known[kind].name] += n_values
        end = max(end, offset + n_values // block * block_bytes)
    start = -(-reader.at // align) * align
    if n_tensors and start + end > len(reader.data):
        raise _truncated(reader.path, start + end, len(reader.data))
    return kinds.most_common(1)[0][0] if kinds else "empty"


def _precision(file_type: str | int | float | None, most_frequent: str) -> str:
    from gguf import LlamaFileType

    names = {kind.value: kind.name for kind in LlamaFileType}
    name = names.get(file_type) if isinstance(file_type, int) else None
    return name.removeprefix("MOSTLY_").removeprefix("ALL_") if name else most_frequent


def _folder(sha256: str) -> Path:
    # Folders without "exact" were made by versions that rounded every weight to bfloat16.
    name = f"{sha256}-exact-transformers-{version('transformers')}"
    return find_cache_dir() / "gguf" / name


def find_converted(sha256: str) -> Path | None:
    """Return the folder of :func:`convert` for a file of this content; None if there is none."""
    folder = _folder(sha256)
    return folder if (folder / _MARKER).is_file() else None


def read_dequantized(folder: Path) -> str | None:
    """Return ``fp32`` if a converted folder's weights need it; None if bfloat16 holds them all.

    Earlier versions rounded those that need more, so that this tells their answers from ours.
    """
    return (folder / _MARKER).read_text("utf-8").strip() or None


def convert(path: Path, sha256: str, header: Header) -> Path:
    """Return the folder with the file's weights as safetensors, its config and its tokenizer.

    Q4_K and its kin multiply a float16 scale by integers, which needs float32: 4 bytes a weight on
    disk, seven times a Q4_K_M file. A file of bfloat16 alone takes 2.

    The folder is named by the file's content and the version of transformers, since a corrected
    loader reads other weights; it is written once, under a lock, and appears only when complete.

    Raises:
        ModelError: the file is damaged, or transformers cannot read its architecture.
    """
    from filelock import FileLock

    folder = _folder(sha256)
    root = folder.parent
    if there := find_converted(sha256):
        return there
    _check_architecture(path, header.architecture)
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / f"{folder.name}.lock"):
        if (folder / _MARKER).is_file():  # another process was faster
            return folder
        logger.warning(
            "converting %s once, which takes a minute or more; kept in %s; licence: %s",
            path,
            folder,
            header.licence or "not stated in the file, see where it comes from",
        )
        tell("converting the GGUF file, once; this takes a minute or more")
        partial = root / f"{folder.name}.partial-{os.getpid()}"
        try:
            needed = write_safetensors(path, partial, header.precision == "F32")
            (partial / _MARKER).write_text(needed, "utf-8")
            shutil.rmtree(folder, ignore_errors=True)  # only ever there without its marker
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def _check_architecture(path: Path, architecture: str) -> None:
    """Check that the loader supports the architecture, before it reads gigabytes."""
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    newer: tuple[str, ...] = ()
    with suppress(ImportError):  # only recent releases have a second loader
        from transformers.integrations.gguf import GGUF_CONFIG_ARCHS

        newer = tuple(GGUF_CONFIG_ARCHS)
    # The older one maps these spellings of llama.cpp onto names in its table.
    spelled = {"qwen2moe", "qwen3moe", "gpt-oss", "minimax-m2"}
    sections = {"general", "tokenizer"}  # stand in the table, but are no architectures
    supported = sorted({*newer, *spelled, *GGUF_SUPPORTED_ARCHITECTURES} - sections)
    if architecture not in supported:
        raise ModelError(
            f"{path} has the architecture {architecture!r}, which transformers cannot read from "
            f"GGUF; use the model's safetensors, or one of: {', '.join(supported)}"
        )


@contextmanager
def _without_bar() -> Iterator[None]:
    """Silence the one progress bar of the loader that ignores the setting of transformers."""
    from transformers import modeling_gguf_pytorch_utils as loader

    bar = getattr(loader, "tqdm", None)
    loader.tqdm = lambda items, **_: items
    try:
        yield
    finally:
        loader.tqdm = bar


def write_safetensors(path: Path, folder: Path, of_float32: bool) -> str:
    """Convert a file to safetensors; return ``fp32`` if its numbers need that, else nothing.

    ``of_float32`` says that float32 is the file's own type; the own one of others is bfloat16.
    """
    import torch
    import transformers
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = {"gguf_file": path.name, "local_files_only": True}
    # Newer releases keep the blocks packed unless told not to; older ones know only dense weights.
    gguf_config = getattr(transformers, "GgufConfig", None)
    dense = {"quantization_config": gguf_config(dequantize=True)} if gguf_config else {}
    with silence_libraries(), _without_bar(), count_weights("converting the GGUF file, once"):
        try:
            model = AutoModelForCausalLM.from_pretrained(
                path.parent, dtype=torch.float32, **source, **dense
            )
            tokenizer = AutoTokenizer.from_pretrained(path.parent, **source)
        except (*REFUSALS, OSError) as error:
            if is_out_of_memory(error):
                raise
            raise ModelError(
                f"transformers {transformers.__version__} cannot read {path} "
                f"({join_lines(error)}); use the model's safetensors"
            ) from error
        # What was dequantized is a plain model now; save_pretrained refuses while these say other.
        model.hf_quantizer = None
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        n_values = sum(weight.numel() for weight in model.parameters())
        needed = _narrow(model)
        try:
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            _write_dtype(
                folder, "float32" if of_float32 and needed is torch.float32 else "bfloat16"
            )
        except (OSError, SafetensorError) as error:
            raise ModelError(
                f"{path} cannot be converted ({join_lines(error)}): its weights need up to "
                f"{format_bytes(4 * n_values)} in {folder.parent}; make room there, or set "
                "ICL_CACHE to a folder on a larger disk"
            ) from error
    return "fp32" if needed is not torch.bfloat16 else ""


def _narrow(model: Any) -> Any:
    """Convert each weight to the narrowest type for its numbers; return the widest one needed."""
    import torch

    order = [torch.bfloat16, torch.float16, torch.float32]
    widest = 0
    for weight in model.parameters():
        narrow = next(kind for kind in order if _fits(weight.data, kind))
        widest = max(widest, order.index(narrow))
        weight.data = weight.data.to(narrow)
    return order[widest]


def _fits(tensor: Tensor, dtype: Any) -> bool:
    import torch

    return dtype is torch.float32 or bool((tensor.to(dtype).float() == tensor).all())


def _write_dtype(folder: Path, own: str) -> None:
    """Write the type that ``width: auto`` uses; transformers wrote that of the first weight."""
    path = folder / "config.json"
    config = json.loads(path.read_text("utf-8"))
    for part in (config, config.get("text_config")):
        if isinstance(part, dict):
            part["dtype"] = own
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
