"""Which label a shot is shown with: its own, a random one, a wrong one, or none.

The switch of Min et al. 2022, "Rethinking the Role of Demonstrations" (arXiv 2202.12837): what is
lost when the labels of the shots are wrong tells how much of them a model uses.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from icl.entries import ShotsEntry
from icl.errors import ConfigError, DataError
from icl.prompts import Template
from icl.types import JSON, Example, Shot

__all__ = ["check_labels", "labels_identity", "relabel"]


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
        labels = [one for one in template.label_set(shot.example)
                  if how == "random" or one != own]  # fmt: skip
        if not labels:
            raise DataError(
                f"example {shot.example.id!r} has no label but {own!r} to be shown with; leave it "
                "out of the pool, or show labels: gold"
            )
        key = [str(seed), "labels", *([] if one_draw else [query.id]), shot.example.id]
        made.append(replace(shot, label=random.Random(":".join(key)).choice(labels)))
    return made


def labels_identity(shots: ShotsEntry, one_draw: bool) -> dict[str, JSON]:
    """What of the switch changes a prompt: nothing for the shots' own labels."""
    if shots.labels == "gold":
        return {}
    if shots.labels == "none":
        return {"labels": "none"}
    return {"labels": shots.labels, "label_seed": shots.seed, "label_draw": one_draw}


def check_labels(
    shots: ShotsEntry, template: Template, method: str, engine: Mapping[str, Any]
) -> None:
    """Refuse what the switch has no meaning for.

    Raises:
        ConfigError: other labels where there are none, or none where they are what is given.
    """
    if shots.labels == "gold" or shots.k == 0:
        return
    if shots.labels != "none" and template.file.kind not in ("classify", "choose"):
        raise ConfigError(
            f"shots: labels: {shots.labels!r} draws from a label set, and {template.name} is of "
            f"kind {template.file.kind!r}, which has none; accepted there: gold, none"
        )
    if shots.labels == "none" and method == "channel":
        raise ConfigError(
            "shots: labels: 'none' has no meaning for method: channel, where the label is what a "
            "shot begins with; accepted there: gold, random, flipped"
        )
    chat = engine.get("chat")
    if shots.labels == "none" and isinstance(chat, Mapping) and chat.get("shots") == "turns":
        raise ConfigError(
            "shots: labels: 'none' would send empty turns of the assistant; set shots: one_turn "
            "under chat:"
        )
