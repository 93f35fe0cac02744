"""Generation by a server: requests, answers, and the cut at stop strings."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from icl.core.errors import IclError
from icl.core.types import OnToken, Output, Prompt, Sampling
from icl.engines.openai.answer_text import AnswerReader, read_choice
from icl.engines.openai.backend import Backend
from icl.engines.openai.client import ServerRequest, Session, StreamPiece
from icl.engines.openai.errors import RefusalError, TemporaryError, describe_row
from icl.engines.openai.forms import write_form
from icl.engines.openai.message import read_usage
from icl.engines.protocol import RowFailure

__all__ = ["generate_outputs"]


MOST_STOPS = 4
"""Most stop strings that OpenAI accepts; icl itself searches for all of them."""
SPARED = ("stop", "n", "stream_options")
"""Parameters omitted if a server refuses them; answers are the same without."""


def generate_outputs(
    backend: Backend,
    prompts: Sequence[Prompt],
    counts: Sequence[int],
    sampling: Sampling,
    on_token: OnToken | None = None,
    stop: threading.Event | None = None,
    lenient: bool = False,
) -> Iterator[tuple[int, Output | RowFailure]]:
    """Yield each output of a prompt when the prompt is answered; cancelled ones last.

    With ``lenient`` a prompt that cannot be answered has one failure, and the others go on.
    """
    heard = [""] * len(prompts)
    left = set(range(len(prompts)))
    jobs = [
        _GenerationJob(backend, prompt, counts[place], sampling, str(place), on_token is not None)
        for place, prompt in enumerate(prompts)
    ]
    for index, value in backend.link.each(jobs, stop, lenient):
        if isinstance(value, StreamPiece):
            heard[index] += value.text
            if on_token is not None:
                on_token(index, value.text)
            continue
        left.discard(index)
        if isinstance(value, IclError):
            yield index, RowFailure(describe_row(value))
            continue
        for sample, written in enumerate(value):
            yield index, written.output(backend, counts[index], sample)
    for index in sorted(left):
        for sample in range(sampling.n):
            told = heard[index] if sample == 0 else ""
            yield index, Output(told, "cancelled", counts[index], 0, sample)


@dataclass(frozen=True, slots=True)
class _AnswerText:
    """One of the texts of an answer."""

    row: Mapping[str, Any]
    read: AnswerReader
    asked_stops: bool
    prompt_tokens: int | None
    tokens: int | None
    """None if the server does not count."""

    def output(self, backend: Backend, prompt_tokens: int, sample: int) -> Output:
        tokens = self.tokens
        if tokens is None:
            tokens = len(backend.tokens(Prompt(self.row["text"])))
        reasoning = "\n".join(filter(None, [self.row["reasoning"], self.read.reasoning]))
        return Output(
            self.row.get("refusal") or self.read.text,
            self.read.finish(self.row, self.asked_stops),
            self.prompt_tokens or prompt_tokens,
            tokens,
            sample,
            reasoning or self.read.reasoning,
        )

    @property
    def cut_in_reasoning(self) -> bool:
        """Return whether a stop string that the server searched for ended the reasoning."""
        inside = self.read.unended or (self.row["reasoning"] and not self.row["text"].strip())
        return bool(inside) and self.row["finish"] == "stop"


@dataclass(frozen=True, slots=True)
class _GenerationJob:
    """The job that generates ``n`` answers to one prompt."""

    backend: Backend
    prompt: Prompt
    count: int
    sampling: Sampling
    place: str
    stream: bool

    async def __call__(
        self, session: Session, tell: Callable[[StreamPiece], None]
    ) -> list[_AnswerText]:
        made: list[_AnswerText] = []
        while len(made) < self.sampling.n:  # once, but for servers that know no `n`
            read = self._reader(tell if self.stream and not made else None)
            hear = read.push if self.stream and self.sampling.n == 1 else None
            request = self._request(len(made), hear)
            try:
                answer = await session.ask(request)
            except RefusalError as error:
                if not self._spare(error.parameter, request):
                    raise
                continue
            found = list(self._written(answer.value, read))
            if any(one.cut_in_reasoning for one in found) and self._spare("stop", request):
                continue  # stop strings are looked for here, in the answer alone
            made += found
        return made

    def _spare(self, name: str | None, request: ServerRequest) -> bool:
        """Omit a refused parameter that icl can do without; False if there is none."""
        mine = name in SPARED and name in (request.body or {}) and name not in self.backend.extra
        if mine and name is not None:
            self.backend.unsent.add(name)
        return mine

    @property
    def _stops(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(t for t in (*self.sampling.stop, *self.prompt.stop) if t))

    def _reader(self, tell: Callable[[StreamPiece], None] | None) -> AnswerReader:
        backend = self.backend
        opened = "" if backend.chat else self.prompt.text
        return AnswerReader(self._stops, backend.blocks, backend.blocks_named, opened, tell)

    def _request(self, n_made: int, hear: Callable[[str], None] | None) -> ServerRequest:
        """Make the request for all remaining samples; each request has a different seed."""
        wanted = self.sampling.n - n_made
        path, body = self.backend.request(self.prompt, self.sampling.max_tokens)
        body |= _drawn(self.sampling)
        if self.prompt.form is not None and (way := self.backend.form_way) is not None:
            body |= write_form(self.prompt.form, way)
        if self._stops and not self.backend.blocks_named:
            body["stop"] = list(self._stops[:MOST_STOPS])
        if wanted > 1:
            body["n"] = wanted
        if n_made:
            body["seed"] = self.sampling.seed + n_made
        if hear is not None:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return ServerRequest(
            path,
            self.backend.body(body),
            partial(_read, wanted),
            place=f"{self.prompt.query_id or self.place}:{n_made}",
            most_tokens=(self.count, self.sampling.max_tokens * wanted),
            hear=hear,
        )

    def _written(self, value: Mapping[str, Any], read: AnswerReader) -> Iterator[_AnswerText]:
        texts, total = value["texts"], value["tokens"]
        for place, row in enumerate(texts):
            if place:
                read = self._reader(None)
            if not read.fed:
                read.push(row["text"])
            read.close()
            # The server counts all samples together.
            share = None if total is None else total // len(texts) + (place < total % len(texts))
            yield _AnswerText(row, read, bool(self._stops), value["prompt_tokens"], share)


def _drawn(sampling: Sampling) -> dict[str, Any]:
    """Return the parameters that sampling adds to the greedy body; servers refuse unknown names."""
    if sampling.temperature == 0:
        return {}
    found: dict[str, Any] = {"temperature": sampling.temperature, "seed": sampling.seed}
    for name, off in (("top_p", 1.0), ("top_k", 0), ("min_p", 0.0)):
        if (value := getattr(sampling, name)) != off:
            found[name] = value
    return found


def _read(wanted: int, data: Any) -> dict[str, Any]:
    """Read the answers in order, with their ends, and the token counts of all of them.

    Raises:
        TemporaryError: none, too many or doubled ones, or one without text.
    """
    choices = sorted(data["choices"], key=lambda choice: choice.get("index") or 0)
    if not 1 <= len(choices) <= wanted:
        raise TemporaryError(f"{len(choices)} answers came where {wanted} was requested")
    if len({choice.get("index", place) for place, choice in enumerate(choices)}) < len(choices):
        raise TemporaryError("one answer came twice")
    prompt_tokens, tokens = read_usage(data)
    return {
        "texts": [read_choice(choice) for choice in choices],
        "tokens": tokens,
        "prompt_tokens": prompt_tokens,
    }
