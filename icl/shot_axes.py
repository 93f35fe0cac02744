"""The axis ``shots``: one entry of it as the draws and orders it stands for, and their names."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from icl.entries import ShotsEntry
from icl.ordering import expanded
from icl.registry import lookup

__all__ = ["each", "shot_settings", "shots_name"]


def each(shots: ShotsEntry) -> list[ShotsEntry]:
    """The shots of every seed in every order, one order and no ``seeds`` each."""
    orders = expanded(shots.order, shots.k)
    return [
        shots.model_copy(update={"seed": seed, "order": [order]})
        for seed, order in itertools.product(shots.seeds or [shots.seed], orders)
    ]


def shots_name(shots: ShotsEntry) -> str:
    """``8 bm25 char``: how a table calls these shots."""
    extra = list(map(_word, (shots.model_extra or {}).values()))
    extra += [order for order in shots.order if order != "selected"]
    if shots.labels != "gold":
        extra.append(f"{shots.labels.replace('none', 'no')} labels")
    if shots.seeds and _drawn(shots):
        extra.append(f"s{shots.seed}")
    if shots.file:
        name = Path(shots.file).stem
        return " ".join([name, *([] if shots.k is None else [str(shots.k)]), *extra])
    return " ".join([str(shots.k), shots.select, *extra]) if shots.k else "0"


def shot_settings(shots: ShotsEntry) -> dict[str, str]:
    """A word for every setting of such shots; a seed that draws nothing is none."""
    made = {name: _word(value) for name, value in (shots.model_extra or {}).items()}
    made["select"] = Path(shots.file).stem if shots.file else shots.select
    made["order"] = shots.order[0]
    made["labels"] = shots.labels
    if _drawn(shots):
        made["seed"] = str(shots.seed)
    return made


def _drawn(shots: ShotsEntry) -> bool:
    """Whether the seed changes the shots, their order or the labels drawn for them."""
    drawn = "random" in shots.order or shots.labels in ("random", "flipped")
    return drawn or (not shots.file and bool(lookup("selector", shots.select).seeded))


def _word(value: Any) -> str:
    """A selector's option as a table writes it: a folder without what leads to it."""
    if isinstance(value, Mapping):
        return " ".join(map(_word, value.values()))
    if isinstance(value, list):
        return ",".join(map(_word, value))
    return str(value).rstrip("/").rpartition("/")[2]
