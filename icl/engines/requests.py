"""The grouping of pairs to score by prompt, and checks of sampling settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from icl.core.errors import ChoiceError, EngineError
from icl.core.types import Prompt, Sampling

__all__ = ["group_by_row", "check_sampling", "group_by_text"]


def group_by_text(
    items: Sequence[tuple[Prompt, str]], sent: Callable[[Prompt], str]
) -> Iterator[tuple[Prompt, dict[str, list[int]]]]:
    """Yield each distinct text once, with its choices and the indices of their items.

    Raises:
        ChoiceError: a choice is given twice for one prompt.
    """
    groups: dict[tuple[str, tuple[str, ...]], tuple[Prompt, dict[str, list[int]]]] = {}
    seen: set[tuple[int, str]] = set()
    texts: dict[int, str] = {}
    for i, (prompt, choice) in enumerate(items):
        if (id(prompt), choice) in seen:
            raise ChoiceError(f"choice {choice!r} is given twice for a prompt; delete one")
        seen.add((id(prompt), choice))
        if id(prompt) not in texts:
            texts[id(prompt)] = sent(prompt)
        _, choices = groups.setdefault((texts[id(prompt)], prompt.stop), (prompt, {}))
        choices.setdefault(choice, []).append(i)
    yield from groups.values()


def group_by_row(
    choices: Mapping[str, list[int]], items: Sequence[tuple[Prompt, str]]
) -> list[dict[str, list[int]]]:
    """Split the choices of prompts that send one text by row; equal prompts are one row.

    Prompts of several rows may send the same text with other choices, as the noisy channel does;
    the choices of one row must not change another's answer.

    >>> a, b = Prompt("x", query_id="a"), Prompt("x", query_id="b")
    >>> group_by_row({" 1": [0, 2], " 2": [1]}, [(a, " 1"), (a, " 2"), (b, " 1")])
    [{' 1': [0], ' 2': [1]}, {' 1': [2]}]
    """
    asked: dict[Prompt, dict[str, list[int]]] = {}
    for choice, indices in choices.items():
        for index in indices:
            asked.setdefault(items[index][0], {}).setdefault(choice, []).append(index)
    return list(asked.values())


def check_sampling(sampling: Sampling) -> None:
    """Check that sampling settings are within their ranges.

    Raises:
        EngineError: naming the setting, its value and what is accepted.
    """
    accepted = (
        ("max_tokens", sampling.max_tokens >= 1, "1 or more"),
        ("n", sampling.n >= 1, "1 or more"),
        ("temperature", 0 <= sampling.temperature < math.inf, "0 (greedy) or more, finite"),
        ("top_p", 0 < sampling.top_p <= 1, "above 0, up to 1 (all)"),
        ("min_p", 0 <= sampling.min_p <= 1, "0 (all) to 1"),
        ("top_k", sampling.top_k >= 0, "0 (all) or more"),
    )
    for name, good, values in accepted:
        if not good:
            raise EngineError(f"sampling {name} is {getattr(sampling, name)}; accepted: {values}")
    if sampling.n > 1 and sampling.temperature == 0:
        raise EngineError(
            f"sampling n is {sampling.n} with temperature 0, which gives the same output each "
            "time; set temperature above 0, or n to 1"
        )
