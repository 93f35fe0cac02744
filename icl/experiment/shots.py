"""The axis ``shots``: one entry of it as the draws and orders it stands for, and their names."""

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
    """The shots of every seed in every order, one order and no ``seeds`` each."""
    orders = expand_orders(shots.order, shots.k)
    return [
        shots.model_copy(update={"seed": seed, "order": [order]})
        for seed, order in itertools.product(shots.seeds or [shots.seed], orders)
    ]


def name_shots(shots: ShotsEntry) -> str:
    """``8 bm25 char``: how a table calls these shots."""
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
    """What to add to the names of several shots that are called the same; "" where nothing is.

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
    """A word for every setting of such shots; a seed that draws nothing is none."""
    made = {name: _word(value) for name, value in (shots.model_extra or {}).items()}
    made["select"] = Path(shots.file).stem if shots.file else shots.select
    made["order"] = shots.order[0]
    made["shown_labels"] = shots.shown_labels
    if _drawn(shots):
        made["seed"] = str(shots.seed)
    return made


def _drawn(shots: ShotsEntry) -> bool:
    """Whether the seed changes the shots, their order or the labels drawn for them."""
    drawn = "random" in shots.order or shots.shown_labels in ("random", "flipped")
    return drawn or (not shots.file and bool(lookup("selector", shots.select).seeded))


def _word(value: Any) -> str:
    """A selector's option as a table writes it: a folder without what leads to it."""
    if isinstance(value, Mapping):
        return " ".join(map(_word, value.values()))
    if isinstance(value, list):
        return ",".join(map(_word, value))
    return str(value).rstrip("/").rpartition("/")[2]


def relabel(
    template: Template, query: Example, shots: Sequence[Shot], how: str, seed: int, one_draw: bool
) -> list[Shot]:
    """The shots with the labels to show.

    Each shot has random numbers of its own, from seed, query and shot, so that leaving another
    shot out moves no label.

    Args:
        template: knows the label set, or the choices of a row.
        query: the row that is asked.
        shots: as selected.
        how: ``random`` draws evenly from the label set, the right label included; ``flipped``
            evenly from all others; ``none`` shows the inputs alone.
        seed: that of the shots entry.
        one_draw: whether all queries share the shots: then a shot keeps its label over them.

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
    """What of the switch changes a prompt: nothing for the shots' own labels."""
    if shots.shown_labels == "gold":
        return {}
    if shots.shown_labels == "none":
        return {"labels": "none"}
    return {"labels": shots.shown_labels, "label_seed": shots.seed, "label_draw": one_draw}


def check_labels(
    shots: ShotsEntry, template: Template, method: Method, engine: Mapping[str, Any]
) -> None:
    """Refuse what the switch has no meaning for.

    Raises:
        ConfigError: other labels where there are none, or none where they are what is given.
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
