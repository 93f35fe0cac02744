"""The devices of a model's weights: one, several, or also host memory and disk."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from icl.core.errors import ModelError
from icl.engines.hf.weights.memory import measure_free_bytes, measure_host_free_bytes

__all__ = ["MaxMemory", "Placement", "SPREAD", "find_input_device", "place"]


if TYPE_CHECKING:
    import torch

MaxMemory = Mapping[str, str | int] | str | int | None
SPREAD = ("balanced", "offload")
ACCEPTED = "auto, cpu, cuda, cuda:1, mps, balanced (over all GPUs), offload (to memory and disk)"
SHARE = 0.9
"""The share of free memory for weights if layers are spread; the rest is for computing."""
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Placement:
    """The devices of a model's weights, and the device that computes."""

    device: torch.device
    """The device of the products: the first one if there are several."""
    spread: str | None = None
    """``balanced`` or ``offload``; None: all weights are on ``device``."""
    limits: tuple[tuple[int | str, int], ...] = ()
    """The most bytes of weights on each device, for accelerate."""

    @property
    def room(self) -> int | None:
        """Return the bytes of weights that fit; None if the rest goes to disk."""
        if self.spread == "offload":
            return None
        if self.spread == "balanced":
            return sum(n for _, n in self.limits)
        return measure_free_bytes(self.device)

    @property
    def name(self) -> str:
        """The devices as a message names them."""
        if self.spread == "balanced":
            return f"{len(self.limits)} GPUs"
        return str(self.device)

    def options(self) -> dict[str, Any]:
        """Return the arguments for transformers' loader."""
        if self.spread is None:
            return {} if self.device.type == "cpu" else {"device_map": {"": self.device}}
        device_map = "auto" if self.spread == "offload" else "balanced"
        return {"device_map": device_map, "max_memory": dict(self.limits)}


def place(asked: str, max_memory: MaxMemory = None) -> Placement:
    """Choose the devices of a model.

    Args:
        asked: ``auto``, a torch device, ``balanced`` or ``offload``.
        max_memory: bytes or ``"20GB"``, for every GPU or by device (``cpu``, ``cuda:0``).

    Raises:
        ModelError: an unknown device, one that is not here, or limits that cannot be read.
    """
    import torch

    if asked not in SPREAD:
        if max_memory is not None:
            raise ModelError(
                f"max_memory is for device: balanced or offload, and device is {asked!r}; "
                "leave it out"
            )
        return Placement(_single(asked))
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked == "balanced" and not n_gpus:
        raise ModelError(
            "device: balanced spreads a model over GPUs, and there is none here; accepted here: "
            "cpu, offload"
        )
    room: dict[int | str, int] = {
        gpu: round(SHARE * measure_free_bytes(torch.device("cuda", gpu))) for gpu in range(n_gpus)
    }
    if asked == "offload":
        room["cpu"] = round(SHARE * measure_host_free_bytes())
    limits = {**room, **_limits(max_memory, room)}
    device = torch.device("cuda", 0) if n_gpus else torch.device("cpu")
    return Placement(device, asked, tuple(limits.items()))


def _single(asked: str) -> torch.device:
    import torch

    if asked == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(asked)
    except RuntimeError as error:
        raise ModelError(f"unknown device {asked!r}; accepted: {ACCEPTED}") from error
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not here.get(device.type, True):
        raise ModelError(f"device {asked!r} is not here; accepted here: auto, cpu, offload")
    return device


def _limits(given: MaxMemory, room: Mapping[int | str, int]) -> dict[int | str, int]:
    """Return limits by accelerate's names of devices: a GPU's number, or ``cpu``."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        gpus = [name for name in room if name != "cpu"]
        return dict.fromkeys(gpus or room, _size(given))
    names: dict[str, int | str] = {
        "cpu" if name == "cpu" else f"cuda:{name}": name for name in room
    }
    for name in given:
        if name not in names:
            raise ModelError(
                f"max_memory: unknown device {name!r}; accepted here: {', '.join(names)}"
            )
    return {names[name]: _size(size) for name, size in given.items()}


def _size(given: str | int) -> int:
    found = _SIZE.fullmatch(str(given).strip()) if not isinstance(given, bool) else None
    if found is None:
        raise ModelError(f"max_memory {given!r} is no size; accepted: bytes, '800MB', '20GB'")
    number, letter, binary = found.groups()
    unit = 1024 if binary else 1000
    return int(float(number) * unit ** "_kmgt".index(letter.lower() or "_"))


def find_input_device(model: Any) -> torch.device:
    """Return the device that a loaded model takes its token ids on."""
    import torch

    device = model.device
    if device.type == "meta":  # on disk: accelerate brings weights to where they are used
        device = torch.device(model._hf_hook.execution_device)
    assert isinstance(device, torch.device)
    return device
