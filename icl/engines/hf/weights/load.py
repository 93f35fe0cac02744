"""The loading of a model's config, tokenizer and weights from its files, all or nothing."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from icl.core.errors import ModelError, join_lines
from icl.core.types import JSON
from icl.engines.hf.weights.find import Weights
from icl.engines.hf.weights.hashes import (
    find_cache_dir,
    read_file_state,
    remember,
    silence_libraries,
)
from icl.engines.hf.weights.memory import (
    REFUSALS,
    check_fit,
    count_footprint,
    count_stored_bytes,
    format_bytes,
    is_out_of_memory,
)
from icl.engines.hf.weights.placement import Placement
from icl.engines.hf.weights.progress import count_weights, tell
from icl.engines.hf.weights.proof import check_proof, prove, summarize_proof
from icl.engines.hf.weights.widths import (
    DTYPES,
    FOUR_BITS,
    QUANTIZED,
    Formats,
    find_precision,
    make_bnb_config,
    multiply_as_stored,
    silence_bitsandbytes,
)

__all__ = [
    "compare_tokenizer",
    "pick_auto_dtype",
    "check_memory",
    "cpu_has_bfloat16",
    "load_model",
    "read_generation",
    "read_small_files",
    "read_stored_config",
    "read_weights",
]


if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


def read_small_files(weights: Weights) -> tuple[Any, Any]:
    """Read config and tokenizer, without importing a model class."""
    from transformers import AutoConfig, AutoTokenizer

    local = {"local_files_only": True, "trust_remote_code": False}
    with silence_libraries(), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            config = AutoConfig.from_pretrained(weights.folder, **local)
            tokenizer = _converted_tokenizer(weights) or AutoTokenizer.from_pretrained(
                weights.folder, **local
            )
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise ModelError(
                f"config or tokenizer of {weights.source!r} cannot be read ({join_lines(error)}); "
                "name a folder or hub id with both, of a family that transformers has built in"
            ) from error
    compare_tokenizer(weights, tokenizer)
    for advice in {str(warning.message) for warning in told}:  # Marian's: install sacremoses
        logger.warning("the tokenizer of %s says: %s", weights.source, advice)
    if config.is_encoder_decoder:
        _check_writes(weights, config)
    return config, tokenizer


TOKENIZER_SAMPLE = "Wake me up at 9:30, won't you?\n\t(Über 12345)  क्या 金曜日 \U0001f600"
"""Test text with scripts, digits, punctuation and white space, which pre-tokenizers treat
differently."""


def compare_tokenizer(weights: Weights, tokenizer: Any) -> None:
    """Describe where the tokenizer's class reads text otherwise than its ``tokenizer.json`` says.

    Some classes of transformers set a pre-tokenizer of their own over the file's.
    """
    file = weights.folder / "tokenizer.json"
    if weights.gguf is not None or not file.is_file() or not tokenizer.is_fast:
        return

    def read() -> list[list[int]]:
        from tokenizers import Tokenizer

        said = Tokenizer.from_file(str(file))
        said.no_truncation()
        said.no_padding()
        loaded = tokenizer(TOKENIZER_SAMPLE, add_special_tokens=False)["input_ids"]
        return [said.encode(TOKENIZER_SAMPLE, add_special_tokens=False).ids, list(loaded)]

    settings = weights.folder / "tokenizer_config.json"
    state = [
        *(read_file_state(path) for path in (file, settings) if path.is_file()),
        [type(tokenizer).__name__, version("transformers"), version("tokenizers")],
    ]
    said, loaded = remember("tokenizers", str(file), state, read)
    if said != loaded:
        logger.warning(
            "%s: the class %s reads text otherwise than its tokenizer.json says (%d and %d tokens "
            'of a sample); if the model was trained with the file\'s, write "tokenizer_class": '
            '"PreTrainedTokenizerFast" into tokenizer_config.json',
            weights.source,
            type(tokenizer).__name__,
            len(loaded),
            len(said),
        )


_PLAIN = {"bos_token", "eos_token", "unk_token", "pad_token", "mask_token", "sep_token",
          "cls_token", "model_max_length", "clean_up_tokenization_spaces",
          "padding_side"}  # fmt: skip
_IGNORED = {"backend", "is_local", "local_files_only", "tokenizer_class"}


def read_stored_config(folder: Path) -> Any:
    """Return the config of a model folder on this machine, as transformers reads it.

    Raises:
        ModelError: transformers cannot read it.
    """
    from transformers import AutoConfig

    try:
        with silence_libraries():
            return AutoConfig.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"no config that transformers can read: {error}") from error


def _converted_tokenizer(weights: Weights) -> Any:
    """Read the tokenizer of a converted GGUF file from its ``tokenizer.json``; None if impossible.

    That file is complete, since the conversion wrote it. AutoTokenizer parses its 33 MB for Gemma
    a second time in Python: 4.7 s against 1.5 s here.
    """
    from transformers import PreTrainedTokenizerFast

    file, settings = weights.folder / "tokenizer.json", weights.folder / "tokenizer_config.json"
    if weights.gguf is None or not file.is_file() or not settings.is_file():
        return None
    said = json.loads(settings.read_text("utf-8"))
    template = weights.folder / "chat_template.jinja"
    if not said.keys() <= _PLAIN | _IGNORED | {"chat_template"}:
        return None
    given = {name: value for name, value in said.items() if name not in _IGNORED}
    if template.is_file():
        given["chat_template"] = template.read_text("utf-8")
    return PreTrainedTokenizerFast(tokenizer_file=str(file), **given)


def _check_writes(weights: Weights, config: Any) -> None:
    from transformers import MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING

    if type(config) not in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING:
        raise ModelError(
            f"{weights.source!r} is an encoder-decoder model ({config.model_type}) that "
            "transformers does not run from text to text; name one such as T5, BART or Marian"
        )


def read_generation(weights: Weights, config: Any) -> Any:
    """Read a model's generation config: first tokens of a text and tokens never generated."""
    from transformers import GenerationConfig

    if not (weights.folder / "generation_config.json").is_file():
        return GenerationConfig.from_model_config(config)
    try:
        return GenerationConfig.from_pretrained(weights.folder, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(
            f"generation_config.json of {weights.source!r} cannot be read ({join_lines(error)}); "
            "download it again, or delete it"
        ) from error


def load_model(
    weights: Weights, config: Any, made: Formats, place: Placement, check: bool = True
) -> tuple[Any, dict[str, JSON]]:
    """Load the model onto its devices; return it with the proof of its width.

    With ``check``, a model that cannot fit is refused before anything is fetched or read.

    Raises:
        ModelError: it cannot fit, files are damaged or incomplete, or it is not in its width.
    """
    if check and not made.stored:
        check_memory(weights, config, made, place)
    if weights.hub:
        tell("fetching its weights")
    weights.fetch()
    if check and made.stored:  # only the files themselves tell how large it is
        check_memory(weights, config, made, place)
    size = format_bytes(sum(file.stat().st_size for file in weights.folder.glob("*.safetensors")))
    with count_weights(f"reading its weights, {size} on disk"):
        model = read_weights(weights, config, made, place)
    tell("proving its width")
    proofs = prove(model)
    check_proof(proofs, model, made, weights.source)
    return model, summarize_proof(proofs, model, made, find_precision(weights.precision, config))


def check_memory(weights: Weights, config: Any, made: Formats, place: Placement) -> None:
    """Check that a model fits into memory, before its weights are fetched or read.

    Raises:
        ModelError: it does not fit; names the widths that would.
    """
    room = place.room
    if room is None:
        return
    counted = count_footprint(config)
    in_4_bits = counted.in_4_bits_on_cpu() if place.device.type == "cpu" else counted
    others = {
        name: (in_4_bits if name in FOUR_BITS else counted).least_bytes(
            name, DTYPES.get(name, made.compute)
        )
        for name in (*DTYPES, *(QUANTIZED[:2] if in_4_bits.linear else QUANTIZED[:1]))
    }
    need = others.get(made.width) or in_4_bits.least_bytes(
        made.width, made.compute, made.double_quant
    )
    if made.stored:
        need, others = count_stored_bytes(weights.folder) or 0, {}
    smaller = {name: n for name, n in others.items() if n < need and name != "fp16"}
    check_fit(need, room, f"{weights.source} as {made.width} on {place.name}", smaller)


def read_weights(weights: Weights, config: Any, made: Formats, place: Placement) -> Any:
    """Load the model onto its device or devices and check that no weight is missing."""
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM

    if made.quantized:
        silence_bitsandbytes()
    if made.quantized and place.spread == "offload":
        raise ModelError(
            f"{weights.source!r} as {made.width} cannot be offloaded: bitsandbytes multiplies only "
            "weights on the device; use device: balanced, or width: bf16"
        )
    options = place.options()
    if made.quantized:
        options = {"device_map": {"": place.device}, **options}
        options |= {} if made.stored else {"quantization_config": make_bnb_config(made, config)}
    with silence_libraries(), _offload_folder(options) as keep:
        try:
            model, info = kind.from_pretrained(
                weights.folder,
                dtype=made.dtype,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
                **options,
            )
        except (OSError, ImportError, SafetensorError, *REFUSALS) as error:
            if is_out_of_memory(error):
                raise
            raise ModelError(
                f"the weights of {weights.source!r} cannot be loaded ({join_lines(error)}); check "
                "that they are complete safetensors of a language model"
            ) from error
        keep(model)
    if made.width in FOUR_BITS:
        multiply_as_stored(model)
    missing = sorted(info["missing_keys"])
    if missing:
        raise ModelError(
            f"the files of {weights.source!r} lack {len(missing)} weights, {missing[0]} first; "
            "they would be random: download it again, or name another model"
        )
    return model


@contextmanager
def _offload_folder(options: dict[str, Any]) -> Iterator[Callable[[Any], None]]:
    """Set a folder in ``options`` for weights on disk; delete it together with the model.

    Nearly all are read from their files; only those that the loader changes are written there.
    """
    if "max_memory" not in options:
        yield lambda model: None
        return
    parent = find_cache_dir() / "offload"
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


def pick_auto_dtype(config: Any, device: torch.device) -> torch.dtype:
    """Return the checkpoint's dtype; on a CPU float32, unless it computes in bfloat16."""
    import torch

    own = config.dtype or torch.float32
    assert isinstance(own, torch.dtype)
    if device.type != "cpu" or (own is torch.bfloat16 and cpu_has_bfloat16()):
        return own
    return torch.float32


def cpu_has_bfloat16() -> bool:
    """Return whether the CPU has instructions that multiply in bfloat16.

    With them it is several times faster than float32; without (measured on AVX2, Gemma 3 270M,
    two cores) five times slower: 5.2 against 1.0 s for a prompt of 256 tokens.
    """
    from torch import cpu

    has = (cpu._is_avx512_bf16_supported(), cpu._is_amx_tile_supported())
    return any(has)
