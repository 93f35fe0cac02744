"""The shortening of prompts to a model's window: first whole shots, then the marked span's end.

Nothing else is ever cut: not the instruction, not the query, not half of a shot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from icl.core.errors import WindowError
from icl.core.types import Example, Prompt, Shot

__all__ = ["FittedPrompt", "PromptRenderer", "fit"]


class FittedPrompt(NamedTuple):
    """A prompt that fits into the window, with its shots and number of tokens."""

    prompt: Prompt
    """The prompt; it names the dropped shots, and how much of the marked span is left."""
    shots: list[Shot]
    """The shots that are left."""
    tokens: int


class PromptRenderer(Protocol):
    """Interface of a renderer of prompts: a template, or a :class:`icl.prompts.channel.Channel`."""

    @property
    def name(self) -> str:
        """The name used in error messages."""
        ...

    def prompt(
        self, example: Example, shots: Sequence[Shot] = (), keep: int | None = None
    ) -> Prompt:
        """Render a prompt, with at most ``keep`` characters of the span marked ``fit``."""
        ...


def fit(
    template: PromptRenderer,
    example: Example,
    shots: Sequence[Shot],
    count: Callable[[Prompt], int],
    room: int,
) -> FittedPrompt:
    """Render a prompt with as many whole shots as fit, dropping the least useful first.

    The least useful shot is the one with the lowest retrieval score; without scores the first one,
    which is farthest from the query. If the prompt does not fit even without shots, the end of the
    query's span marked ``{{ document | fit }}`` is cut, by whole sentences, or by whole words if
    not one sentence fits. Both cuts are found by bisection, so the number of prompts counted grows
    with the logarithm of the number of shots and characters.

    Args:
        template: renders the prompts.
        example: the query.
        shots: the selected shots, in the order in which they are sent.
        count: returns the tokens of a prompt.
        room: most tokens of the prompt: the window less the longest answer.

    Raises:
        WindowError: the prompt does not fit even without shots and with one word of the span.
    """
    order = sorted(range(len(shots)), key=lambda i: _usefulness(shots[i]))
    full = template.prompt(example, shots)  # each shot is rendered once, however many are dropped

    def without(drop: int) -> FittedPrompt:
        gone = set(order[:drop])
        kept = [place for place in range(len(shots)) if place not in gone]
        prompt = replace(
            full,
            shots=tuple(full.shots[place] for place in kept),
            shot_ids=tuple(full.shot_ids[place] for place in kept),
            dropped=tuple(shots[place].example.id for place in order[:drop]),
        )
        return FittedPrompt(prompt, [shots[place] for place in kept], count(prompt))

    whole = without(0)
    if whole.tokens <= room:
        return whole
    found = _first_that_fits(without, 1, len(shots), room)
    if found is not None:
        return found
    bare = without(len(shots)) if shots else whole
    empty = template.prompt(example, (), keep=0)
    chars = len(bare.prompt.text) - len(empty.text)

    def cut(by: int) -> FittedPrompt:
        prompt = template.prompt(example, (), keep=chars - by)
        left = len(prompt.text) - len(empty.text)
        made = replace(prompt, dropped=bare.prompt.dropped, shortened=(left, chars))
        return FittedPrompt(made, [], count(prompt))

    found = _first_that_fits(cut, 1, chars, room) if chars else None
    if found is None or found.prompt.shortened[0] == 0:
        length = f"{bare.tokens} tokens even without shots"
        if chars:
            length += f" and {count(empty)} with the span marked `fit` left empty"
        raise WindowError(
            f"example {example.id!r}: the prompt of {template.name} has {length}, {room} fit the "
            "model's window next to the answer; shorten the instruction or the row, lower "
            "max_tokens, or use a model with a longer window"
        )
    return found


def _usefulness(shot: Shot) -> float:
    return float("-inf") if shot.score is None else shot.score


def _first_that_fits(
    made: Callable[[int], FittedPrompt], low: int, high: int, room: int
) -> FittedPrompt | None:
    """Return ``made(i)`` for the smallest fitting ``i`` in low..high; None if none fits."""
    best: FittedPrompt | None = None
    while low <= high:
        middle = (low + high) // 2
        tried = made(middle)
        if tried.tokens <= room:
            best, high = tried, middle - 1
        else:
            low = middle + 1
    return best
