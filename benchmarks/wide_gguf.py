"""A GGUF file with the weights that this project computes with, for tools that read GGUF alone."""

from __future__ import annotations

from pathlib import Path

__all__ = ["widened"]


def widened(path: Path, out: Path) -> Path:
    """Write ``path`` again in float32, each weight dequantized without rounding as ours are.

    So both tools hold the same numbers and compute in the same type.
    """
    from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, LlamaFileType
    from gguf.quants import dequantize

    reader = GGUFReader(path)
    writer = GGUFWriter(out, str(reader.fields["general.architecture"].contents()))
    said = {"general.architecture", "general.file_type"}  # the first is the writer's own
    for name, field in reader.fields.items():
        if name in said or name.startswith("GGUF."):
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind is GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), kind, inner)
    writer.add_file_type(LlamaFileType.ALL_F32)
    for tensor in reader.tensors:
        wide = dequantize(tensor.data, tensor.tensor_type)
        writer.add_tensor(tensor.name, wide, raw_dtype=GGMLQuantizationType.F32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out
