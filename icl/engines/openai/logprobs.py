"""Log-likelihood of choices from a server's answers: echoed tokens, or the likeliest first tokens.

The server tokenizes echoed texts as a whole: all choices of a prompt are scored from the longest
token prefix that the prompt and every prompt + choice have in common, as in process.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os.path import commonprefix
from typing import Any, TypeAlias

import numpy as np

from icl.core.errors import ChoiceError, EngineError
from icl.core.types import ChoiceScore
from icl.engines.openai.capabilities import list_top
from icl.engines.openai.errors import RowError, TemporaryError
from icl.engines.openai.message import read_usage

__all__ = [
    "Echo",
    "LikelyToken",
    "begins_apart",
    "make_likely",
    "read_echo",
    "read_top",
    "score_echo",
    "score_first",
]


UNREADABLE = "\ufffd"
"""Texts that servers show for a token that is a part of a character, if not an empty one: different
tokens look alike."""


@dataclass(frozen=True, slots=True)
class Echo:
    """The tokens of one text as the server tokenizes it, with their log-probabilities."""

    tokens: tuple[str, ...]
    logprobs: tuple[float | None, ...]
    """Natural logs; None for a token without context."""


def read_echo(data: Any, shift: int) -> list[list[Any]]:
    """Read tokens and log-probabilities of the text sent, without the token generated after it.

    ``shift`` is how many more tokens the server lists than it counts (-1: BOS is not listed).

    Raises:
        Temporary: the answer is not what this server gives otherwise.
    """
    try:
        if len(data["choices"]) != 1:
            raise TemporaryError(f"{len(data['choices'])} answers came where 1 was requested")
        choice = data["choices"][0]
        tokens, logprobs = choice["logprobs"]["tokens"], choice["logprobs"]["token_logprobs"]
    except (KeyError, ValueError, TypeError) as error:
        raise TemporaryError(f"the answer is no echo ({error!r})") from error
    counted, _ = read_usage(data)
    if counted is None:
        raise TemporaryError("the answer is no echo (the tokens sent are not counted)")
    n_sent = counted + shift
    if len(tokens) != len(logprobs) or not 0 < n_sent <= len(tokens) <= n_sent + 1:
        raise TemporaryError(f"an echo lists {len(tokens)} tokens for a text of {n_sent}")
    return [tokens[:n_sent], logprobs[:n_sent]]


def score_echo(
    choices: Sequence[str], prompt: Echo | None, joined: Sequence[Echo]
) -> list[ChoiceScore]:
    """Return the score of each choice of one prompt; ``prompt`` is None if its text is empty.

    Raises:
        ChoiceError: a choice without tokens of its own, or two with equal tokens.
        EngineError: nothing conditions the first token, or the server withholds a number.
    """
    own = prompt.tokens if prompt else _front(joined[0], choices[0])
    shared = len(commonprefix([own, *(echo.tokens for echo in joined)]))
    while shared > 1 and _unreadable(own[shared - 1]):
        shared -= 1
    if shared == 0:
        raise EngineError(
            "the server puts no BOS before the first scored token; begin the prompt with a text "
            "that all choices share"
        )
    scores: list[ChoiceScore] = []
    seen: dict[tuple[str, ...], str] = {}
    for choice, echo in zip(choices, joined, strict=True):
        suffix, numbers = echo.tokens[shared:], echo.logprobs[shared:]
        if not suffix:
            raise ChoiceError(f"choice {choice!r} adds no token to the prompt; give it a text")
        if suffix in seen and not any(map(_unreadable, suffix)):
            raise ChoiceError(
                f"choices {seen[suffix]!r} and {choice!r} have the same tokens; make them differ"
            )
        seen[suffix] = choice
        known = [number for number in numbers if number is not None and math.isfinite(number)]
        if len(known) != len(numbers):
            raise RowError(
                f"the server gives no log-probability for a token of {choice!r} after a prompt "
                f"of {len(own)} tokens; set ranking: generate in the model's entry"
            )
        scores.append(_score(choice, known, len(own) - shared, len(own)))
    return scores


def _unreadable(token: str) -> bool:
    return not token or UNREADABLE in token


def _front(echo: Echo, choice: str) -> tuple[str, ...]:
    """Return BOS if the server lists it: without a number, and not part of the text."""
    special = echo.logprobs[0] is None and not choice.startswith(echo.tokens[0] or "\0")
    return echo.tokens[:1] if special else ()


def _score(
    choice: str, logprobs: Sequence[float], spanning: int, prompt_tokens: int
) -> ChoiceScore:
    return ChoiceScore(
        logprob=float(np.float32(math.fsum(logprobs))),
        tokens=len(logprobs),
        chars=len(choice),
        bytes=len(choice.encode("utf-8", "surrogatepass")),
        spanning=spanning,
        prompt_tokens=prompt_tokens,
    )


def begins_apart(choices: Sequence[str], heads: Sequence[str]) -> bool:
    """Return whether one token distinguishes the choices: no head begins another choice.

    ``heads`` are the choices' first tokens, or as much of each as is certainly within one token.
    """
    return all(
        head.strip() and sum(choice.startswith(head) for choice in choices) == 1 for head in heads
    )


@dataclass(frozen=True, slots=True)
class LikelyToken:
    """One of the likeliest first tokens, as a server lists it."""

    data: bytes | None
    """Its bytes in UTF-8; None if it is an unknown part of a character."""
    logprob: float


def score_first(
    choices: Sequence[str], top: Sequence[LikelyToken], prompt_tokens: int
) -> tuple[list[ChoiceScore], int]:
    """Return the log-probability that the first token begins only this choice; count the bounds.

    The probabilities of all tokens that do are summed, as ``A`` and `` A`` in a chat. A choice
    whose tokens are not among the server's likeliest gets an upper bound: neither more than the
    least likely one that is listed, nor than all that is not listed.

    Raises:
        RowError: the likeliest token is a part of a character, and nobody tells which.
    """
    told = math.fsum(math.exp(token.logprob) for token in top)
    rest = math.log1p(-min(1 - 1e-12, told))
    bound = min(rest, *(token.logprob for token in top)) if top else 0.0
    texts = [choice.encode("utf-8", "surrogatepass") for choice in choices]
    scores, bounds = [], 0
    for i, choice in enumerate(choices):
        others = [other for j, other in enumerate(texts) if j != i]
        found = [
            token.logprob
            for token in top
            if token.data is not None
            and token.data.strip()
            and texts[i].startswith(token.data)
            and not any(other.startswith(token.data) for other in others)
        ]
        bounds += not found
        total = math.log(math.fsum(math.exp(value) for value in found)) if found else bound
        scores.append(_score(choice, [min(total, 0.0)], 0, prompt_tokens))
    parts = [token.logprob for token in top if token.data is None]
    if (
        parts
        and max(parts) >= max(one.logprob for one in scores)
        and not "".join(choices).isascii()
    ):
        raise RowError(
            "a likely first token is a part of a character, and the server does not report which; "
            "set ranking: generate in the model's entry"
        )
    return scores, bounds


Listed: TypeAlias = "list[tuple[str | list[int] | None, float]]"
"""Each likely token by its text, or by its bytes where it is a part of a character."""


def read_top(data: Any) -> Listed:
    """Read the likeliest first tokens of either kind of completion, each once.

    Raises:
        RowError: the model ended its turn, so that there is no first token.
        TemporaryError: the answer has no place for them.
    """
    choice = data["choices"][0]
    if not isinstance(numbers := choice.get("logprobs"), Mapping):
        raise TemporaryError("the answer lacks its top log-probabilities")
    if not numbers.get("content") and not numbers.get("top_logprobs"):
        raise RowError(
            "the server reported no first token with its log-probability, as where the model "
            "ends its turn at once; set ranking: generate in the model's entry if many rows are so"
        )
    found: dict[object, tuple[str | list[int] | None, float]] = {}
    for place, entry in enumerate(list_top(choice)):
        value = float(entry["logprob"])
        if math.isfinite(value):
            made = _told(str(entry["token"]), entry.get("bytes"))
            key = place if made is None else str(made)
            found[key] = made, max(value, found.get(key, (None, value))[1])  # listed twice: one
    if not found:
        raise TemporaryError("the answer lists no token")
    return list(found.values())


def _told(text: str, told: Any) -> str | list[int] | None:
    """Return a token's text; its bytes if the text is unreadable; None without either."""
    if not _unreadable(text):
        return text
    if isinstance(told, list) and told and all(isinstance(one, int) for one in told):
        return [one & 255 for one in told]
    return None


def make_likely(listed: Listed, chat: bool) -> list[LikelyToken]:
    """Convert tokens to bytes for comparison with choices; in chats strip leading white space."""
    made = []
    for told, value in listed:
        data = told.encode("utf-8", "surrogatepass") if isinstance(told, str) else told
        plain = None if data is None else bytes(data)
        made.append(LikelyToken(plain.lstrip() if plain is not None and chat else plain, value))
    return made
