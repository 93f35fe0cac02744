"""The axis ``shots``: expansion of its entries into seeds and orders, and their names."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from icl.core.errors import ConfigError, DataError
from icl.core.registry import lookup
from icl.core.types import JSON, Example, Method, Shot
from icl.experiment.entries import ShotsEntry
from icl.experiment.shot_order import expand_orders
from icl.prompts.template import Template

__all__ = [
    "check_labels",
    "expand_shots",
    "identify_labels",
    "relabel",
    "list_shot_settings",
    "name_shots",
    "name_shots_apart",
]


def expand_shots(shots: ShotsEntry) -> list[ShotsEntry]:
    """Expand an entry into one for every seed and order, each without ``seeds``."""
    orders = expand_orders(shots.order, shots.k)
    return [
        shots.model_copy(update={"seed": seed, "order": [order]})
        for seed, order in itertools.product(shots.seeds or [shots.seed], orders)
    ]


def name_shots(shots: ShotsEntry) -> str:
    """Name shots as in a table: ``8 bm25 char``."""
    extra = list(map(_word, (shots.model_extra or {}).values()))
    extra += [order for order in shots.order if order != "selected"]
    if shots.shown_labels != "gold":
        extra.append(f"{shots.shown_labels.replace('none', 'no')} labels")
    if shots.seeds and _drawn(shots):
        extra.append(f"s{shots.seed}")
    if shots.file:
        name = Path(shots.file).stem
        return " ".join([name, *([] if shots.k is None else [str(shots.k)]), *extra])
    return " ".join([str(shots.k), shots.select, *extra]) if shots.k else "0"


def name_shots_apart(several: Sequence[ShotsEntry]) -> list[str]:
    """Return additions that make equal names of shots differ; "" if the shots do not.

    >>> name_shots_apart([ShotsEntry(k=2, seed=0), ShotsEntry(k=2, seed=1)])
    ['s0', 's1']
    """
    values = [one.model_dump(mode="json", exclude={"seeds"}) for one in several]
    for shots, one in zip(several, values, strict=True):
        if shots.k == 0 or not _drawn(shots):
            one["seed"] = None
    keys = (
        []
        if all(one.k == 0 for one in several)
        else list(dict.fromkeys(k for v in values for k in v))
    )
    apart = [key for key in keys if len({repr(one.get(key)) for one in values}) > 1]

    def word(key: str, value: Any) -> str:
        if value is None:
            return ""
        return f"s{value}" if key == "seed" else f"{key}={value}"

    return [" ".join(filter(None, (word(key, one.get(key)) for key in apart))) for one in values]


def list_shot_settings(shots: ShotsEntry) -> dict[str, str]:
    """Return a word for every setting of the shots; a seed without effect is left out."""
    made = {name: _word(value) for name, value in (shots.model_extra or {}).items()}
    made["select"] = Path(shots.file).stem if shots.file else shots.select
    made["order"] = shots.order[0]
    made["shown_labels"] = shots.shown_labels
    if _drawn(shots):
        made["seed"] = str(shots.seed)
    return made


def _drawn(shots: ShotsEntry) -> bool:
    """Return whether the seed changes the shots, their order or their random labels."""
    drawn = "random" in shots.order or shots.shown_labels in ("random", "flipped")
    return drawn or (not shots.file and bool(lookup("selector", shots.select).seeded))


def _word(value: Any) -> str:
    """Write a selector's option as in a table: a path without its parent folders."""
    if isinstance(value, Mapping):
        return " ".join(map(_word, value.values()))
    if isinstance(value, list):
        return ",".join(map(_word, value))
    return str(value).rstrip("/").rpartition("/")[2]


def relabel(
    template: Template, query: Example, shots: Sequence[Shot], how: str, seed: int, one_draw: bool
) -> list[Shot]:
    """Replace the labels shown with shots.

    Each shot has its own random numbers, from seed, query and shot, so that removing another
    shot changes no label.

    Args:
        template: knows the label set, or the choices of a row.
        query: the query's row.
        shots: the shots as selected.
        how: ``random`` draws evenly from the label set, including the right label; ``flipped``
            draws evenly from all others; ``none`` shows no label.
        seed: the seed of the shots entry.
        one_draw: whether all queries share the shots: then a shot has the same label in all.

    Raises:
        DataError: a shot has no other label.
    """
    if how == "none":
        return [replace(shot, label="") for shot in shots]
    made = []
    for shot in shots:
        own = template.label(shot.example)
        if own is None:  # rendering it says what is wrong
            made.append(shot)
            continue
        labels = [one for one in template.label_set(shot.example) if how == "random" or one != own]
        if not labels:
            raise DataError(
                f"example {shot.example.id!r} has no label but {own!r} to be shown with; leave it "
                "out of the pool, or write shown_labels: gold"
            )
        key = [str(seed), "labels", *([] if one_draw else [query.id]), shot.example.id]
        made.append(replace(shot, label=random.Random(":".join(key)).choice(labels)))
    return made


def identify_labels(shots: ShotsEntry, one_draw: bool) -> dict[str, JSON]:
    """Return what the shown labels change in a prompt, for fingerprints; empty for ``gold``."""
    if shots.shown_labels == "gold":
        return {}
    if shots.shown_labels == "none":
        return {"labels": "none"}
    return {"labels": shots.shown_labels, "label_seed": shots.seed, "label_draw": one_draw}


def check_labels(
    shots: ShotsEntry, template: Template, method: Method, engine: Mapping[str, Any]
) -> None:
    """Refuse shown labels that have no meaning for a template or method.

    Raises:
        ConfigError: other labels for free text, or no labels where labels are needed.
    """
    if shots.shown_labels == "gold" or shots.k == 0:
        return
    kind = template.file.kind
    if shots.shown_labels != "none" and (kind.labels is None or kind.gold == "set"):
        raise ConfigError(
            f"shots: shown_labels: {shots.shown_labels!r} draws one label from a label set, and "
            f"{template.name} is of kind {kind.name!r}, whose answers are "
            f"{'sets of labels' if kind.labels else 'free text'}; accepted there: gold, none"
        )
    if shots.shown_labels == "none" and method == "channel":
        raise ConfigError(
            "shots: shown_labels: 'none' has no meaning for method: channel, where the label is "
            "what a shot begins with; accepted there: gold, random, flipped"
        )
    chat = engine.get("chat")
    if shots.shown_labels == "none" and isinstance(chat, Mapping) and chat.get("shots") == "turns":
        raise ConfigError(
            "shots: shown_labels: 'none' would send empty turns of the assistant; set shots: "
            "one_turn under chat:"
        )
