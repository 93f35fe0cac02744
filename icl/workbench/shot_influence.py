"""The influence of each shot: how the answer's score changes when the shot is left out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from icl.core.errors import ConfigError
from icl.core.probabilities import label_shares
from icl.core.types import Choice, Prompt
from icl.workbench.answer import ModelAnswer, choice_logprobs

__all__ = ["ShotInfluence", "influence"]


@dataclass(frozen=True, slots=True)
class ShotInfluence:
    """The effect of leaving out one shot."""

    shot: str
    label: str | None
    """The answer without the shot; None for free text."""
    flips: bool
    """Whether leaving out the shot changes the answer."""
    right: bool | None
    """Whether the answer without the shot is right; None if not known."""
    adds: float
    """Nats that the shot adds to the log-probability of the right answer, or of the given answer if
    the right one is unknown."""


def influence(answer: ModelAnswer) -> list[ShotInfluence]:
    """Leave each shot out in turn: k + 1 prompts, which share most of their tokens.

    Choices are ranked again, and compared by their share of the choices' probability. For free
    text the right answer is scored as a continuation.

    Raises:
        ConfigError: the row has several prompts, or the answer is a ranked set of labels.
    """
    request = answer.request
    if request.prompts:
        raise ConfigError(
            "leaving shots out is not supported for the noisy channel and for a question about "
            "each slot, where a row has several prompts; set method: rank in the task, or output: "
            "marked in the template"
        )
    if answer.record.logprobs and answer.condition.task.kind.gold == "set":
        raise ConfigError(
            "leaving shots out is not worked out for ranked sets of labels, where no single label "
            "is the answer; take method: generate in the task"
        )
    shots = list(request.shots)
    kept = [shots] + [shots[:place] + shots[place + 1 :] for place in range(len(shots))]
    template = answer.condition.template
    prompts = [template.prompt(request.example, chosen) for chosen in kept]
    made = _ranking_influence if answer.record.logprobs else _text_influence
    return made(answer, prompts)


def _ranking_influence(answer: ModelAnswer, prompts: Sequence[Prompt]) -> list[ShotInfluence]:
    request, choices = answer.request, answer.request.choices
    targets, given = request.example.targets, answer.prediction.value
    labels = [choice.label for choice in choices]
    wanted = labels.index(targets[0] if targets[:1] and targets[0] in labels else str(given))
    found = choice_logprobs(answer.condition.engine, [(p, c) for p in prompts for c in choices])
    size = len(choices)
    rows = [found[start : start + size] for start in range(0, len(found), size)]
    shares = [label_shares(row)[wanted] for row in rows]
    made = []
    for place, shot in enumerate(request.shots, 1):
        row = rows[place]
        best = labels[max(range(size), key=row.__getitem__)]
        right = best in targets if targets else None
        adds = math.log(max(shares[0], 1e-300)) - math.log(max(shares[place], 1e-300))
        made.append(ShotInfluence(shot.example.id, best, best != given, right, adds))
    return made


def _text_influence(answer: ModelAnswer, prompts: Sequence[Prompt]) -> list[ShotInfluence]:
    example = answer.request.example
    text = answer.record.outputs[0].text
    if answer.targets:
        text = answer.condition.template.target(example)
    if not text:
        return []
    target = Choice("", text)
    whole, *without = choice_logprobs(
        answer.condition.engine, [(prompt, target) for prompt in prompts]
    )
    return [
        ShotInfluence(shot.example.id, None, False, None, whole - logprob)
        for shot, logprob in zip(answer.request.shots, without, strict=True)
    ]
