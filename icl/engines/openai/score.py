"""Ranking by a server: every choice echoed after its prompt, or the likeliest first tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, TypeAlias

from icl.core.errors import EngineError, IclError
from icl.core.types import ChoiceScore, Prompt
from icl.engines.openai.backend import Backend
from icl.engines.openai.client import Job, ServerRequest, Session, StreamPiece
from icl.engines.openai.errors import RowError, describe_row
from icl.engines.openai.logprobs import (
    Echo,
    make_likely,
    read_echo,
    read_top,
    score_echo,
    score_first,
)
from icl.engines.protocol import RowFailure

__all__ = ["score_groups"]


Group: TypeAlias = "tuple[Prompt, Mapping[str, list[int]]]"


def score_groups(
    backend: Backend, groups: Sequence[Group], ways: AbstractSet[str], lenient: bool = False
) -> Iterator[tuple[int, ChoiceScore | RowFailure]]:
    """Score all choices of each prompt; yield its scores when the last of them has arrived.

    ``ways`` are how the groups are ranked; choices that only generation answers are refused. With
    ``lenient`` a group that cannot be scored has a failure for each choice, and the others go on.

    Raises:
        EngineError: the ways differ from group to group, or none gives log-probabilities.
    """
    if ways == {"echo"}:
        yield from _echoed(backend, groups, lenient)
    elif ways == {"first_token"}:
        yield from _by_first_token(backend, groups, lenient)
    else:
        raise EngineError(
            f"{backend.link.url} gives no log-probabilities that distinguish these choices; answer "
            "the task by `method: generate`"
        )


def _echoed(
    backend: Backend, groups: Sequence[Group], lenient: bool
) -> Iterator[tuple[int, ChoiceScore | RowFailure]]:
    """Score groups by echo; send each distinct text once for all groups that need it.

    Requests of one prompt follow each other, so that the server's prefix cache helps.
    """
    needs: dict[str, list[int]] = {}
    longest: dict[str, int] = {}
    for place, (prompt, choices) in enumerate(groups):
        texts = [prompt.text + choice for choice in choices]
        most = max(len(backend.tokens(Prompt(text))) for text in texts)
        backend.check_room(prompt, most, 1)
        for text in filter(None, (prompt.text, *texts)):
            needs.setdefault(text, []).append(place)
            longest[text] = max(most, longest.get(text, 0))
    jobs = [_echo_job(backend, text, longest[text]) for text in needs]
    sent = list(needs)
    found: list[dict[str, Echo]] = [{} for _ in groups]
    failed: set[int] = set()
    for index, value in backend.link.each(jobs, lenient=lenient):
        text = sent[index]
        for place in needs[text]:
            prompt, choices = groups[place]
            if place in failed:
                continue
            if isinstance(value, IclError):
                failed.add(place)
                yield from _spread(choices, [RowFailure(describe_row(value))] * len(choices))
                continue
            echoes = found[place]
            echoes[text] = Echo(tuple(value[0]), tuple(value[1]))
            if len(echoes) == len(choices) + bool(prompt.text):
                found[place] = {}
                joined = [echoes[prompt.text + choice] for choice in choices]
                made: Sequence[ChoiceScore | RowFailure]
                try:
                    made = score_echo(list(choices), echoes.get(prompt.text), joined)
                except RowError as error:
                    if not lenient:
                        raise
                    made = [RowFailure(describe_row(error))] * len(choices)
                yield from _spread(choices, made)


def _echo_job(backend: Backend, text: str, count: int) -> Job:
    shift = backend.facts.echo
    assert shift is not None
    path, body = backend.request(Prompt(text), 1)
    body = backend.body(body | {"echo": True, "logprobs": 1})

    async def job(session: Session, _: Callable[[StreamPiece], None]) -> Any:
        request = ServerRequest(
            path, body, lambda data: read_echo(data, shift), most_tokens=(count, 1)
        )
        return (await session.ask(request)).value

    return job


def _by_first_token(
    backend: Backend, groups: Sequence[Group], lenient: bool
) -> Iterator[tuple[int, ChoiceScore | RowFailure]]:
    counts = [len(backend.tokens(prompt)) for prompt, _ in groups]
    for (prompt, _), count in zip(groups, counts, strict=True):
        backend.check_room(prompt, count, 1)
    jobs = [
        _top_job(backend, prompt, count) for (prompt, _), count in zip(groups, counts, strict=True)
    ]
    for index, answer in backend.link.each(jobs, lenient=lenient):
        _, choices = groups[index]
        if isinstance(answer, IclError):
            yield from _spread(choices, [RowFailure(describe_row(answer))] * len(choices))
            continue
        listed, prompt_tokens = answer
        top = make_likely(listed, backend.chat)
        shown = backend.shown(tuple(choices))
        try:
            made, bounds = score_first(shown, top, prompt_tokens or counts[index])
        except RowError as error:
            if not lenient:
                raise
            yield from _spread(choices, [RowFailure(describe_row(error))] * len(choices))
            continue
        backend.bounded += bounds
        yield from _spread(choices, made)


def _top_job(backend: Backend, prompt: Prompt, count: int) -> Job:
    path, body = backend.request(prompt, 1)
    top = backend.facts.top
    numbers = {"logprobs": True, "top_logprobs": top} if backend.chat else {"logprobs": top}

    async def job(session: Session, _: Callable[[StreamPiece], None]) -> Any:
        made = backend.body(body | numbers)
        request = ServerRequest(path, made, read_top, most_tokens=(count, 1))
        answer = await session.ask(request)
        return answer.value, answer.prompt_tokens

    return job


def _spread(
    choices: Mapping[str, list[int]], made: Sequence[ChoiceScore | RowFailure]
) -> Iterator[tuple[int, ChoiceScore | RowFailure]]:
    for indices, score in zip(choices.values(), made, strict=True):
        for index in indices:
            yield index, score
