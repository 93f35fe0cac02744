"""Generation by a server: what a request asks for, what is read of its answer, its outputs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from icl.core.types import Finish, OnToken, Output, Prompt, Sampling
from icl.engines.openai.backend import Backend
from icl.engines.openai.client import ServerRequest, Session, StreamPiece
from icl.engines.openai.errors import TemporaryError
from icl.engines.text_stream import TextStream

__all__ = ["generate_outputs"]


MOST_STOPS = 4
"""Stop strings that OpenAI takes; all of them are looked for here too."""


def generate_outputs(
    backend: Backend,
    prompts: Sequence[Prompt],
    counts: Sequence[int],
    sampling: Sampling,
    on_token: OnToken | None,
    stop: threading.Event | None,
) -> Iterator[tuple[int, Output]]:
    """All outputs of a prompt when it is answered; cancelled ones last."""
    heard = [""] * len(prompts)
    left = set(range(len(prompts)))
    jobs = [
        _GenerationJob(backend, prompt, counts[place], sampling, str(place), on_token is not None)
        for place, prompt in enumerate(prompts)
    ]
    for index, value in backend.link.each(jobs, stop):
        if isinstance(value, StreamPiece):
            heard[index] += value.text
            if on_token is not None:
                on_token(index, value.text)
            continue
        left.discard(index)
        for sample, written in enumerate(value):
            yield index, written.output(backend, counts[index], sample)
    for index in sorted(left):
        for sample in range(sampling.n):
            told = heard[index] if sample == 0 else ""
            yield index, Output(told, "cancelled", counts[index], 0, sample)


@dataclass(frozen=True, slots=True)
class _AnswerText:
    """One text of an answer."""

    row: Mapping[str, Any]
    cut: _StopCutter
    prompt_tokens: int | None
    tokens: int | None
    """None where the server does not count."""

    def output(self, backend: Backend, prompt_tokens: int, sample: int) -> Output:
        text, tokens = self.cut.text, self.tokens
        if tokens is None:
            tokens = len(backend.tokens(Prompt(self.row["text"])))
        return Output(
            text,
            self.cut.finish(self.row),
            self.prompt_tokens or prompt_tokens,
            tokens,
            sample,
            self.row["reasoning"] or None,
        )


@dataclass(frozen=True, slots=True)
class _GenerationJob:
    """The job of answering one prompt ``n`` times."""

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
            cut = self._cut(tell if self.stream and not made else None)
            hear = cut.push if self.stream and self.sampling.n == 1 else None
            answer = await session.ask(self._request(len(made), hear))
            made += self._written(answer.value, cut)
        return made

    @property
    def _stops(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(t for t in (*self.sampling.stop, *self.prompt.stop) if t))

    def _cut(self, tell: Callable[[StreamPiece], None] | None) -> _StopCutter:
        return _StopCutter(self._stops, tell)

    def _request(self, n_made: int, hear: Callable[[str], None] | None) -> ServerRequest:
        """For all samples that are still wanted; each request draws with a seed of its own."""
        wanted = self.sampling.n - n_made
        path, body = self.backend.request(self.prompt, self.sampling.max_tokens)
        body |= _drawn(self.sampling)
        if self._stops:
            body["stop"] = list(self._stops[:MOST_STOPS])
        if wanted > 1:
            body["n"] = wanted
        if n_made:
            body["seed"] = self.sampling.seed + n_made
        if hear is not None:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return ServerRequest(
            path,
            body,
            partial(_read, wanted),
            place=f"{self.prompt.query_id or self.place}:{n_made}",
            most_tokens=(self.count, self.sampling.max_tokens * wanted),
            hear=hear,
        )

    def _written(self, value: Mapping[str, Any], cut: _StopCutter) -> Iterator[_AnswerText]:
        texts, total = value["texts"], value["tokens"]
        for place, row in enumerate(texts):
            if place:
                cut = self._cut(None)
            if not cut.fed:
                cut.push(row["text"])
            cut.close()
            # The server counts all samples together.
            share = None if total is None else total // len(texts) + (place < total % len(texts))
            yield _AnswerText(row, cut, value["prompt_tokens"], share)


def _drawn(sampling: Sampling) -> dict[str, Any]:
    """What is sent beside the greedy body; a server refuses what it does not know."""
    if sampling.temperature == 0:
        return {}
    found: dict[str, Any] = {"temperature": sampling.temperature, "seed": sampling.seed}
    for name, off in (("top_p", 1.0), ("top_k", 0), ("min_p", 0.0)):
        if (value := getattr(sampling, name)) != off:
            found[name] = value
    return found


def _read(wanted: int, data: Any) -> dict[str, Any]:
    """Texts with their ends, in order, and the tokens of all of them.

    Raises:
        Temporary: none, too many or doubled ones, or one without text.
    """
    choices = sorted(data["choices"], key=lambda choice: choice.get("index", 0))
    if not 1 <= len(choices) <= wanted:
        raise TemporaryError(f"{len(choices)} answers came where {wanted} was asked for")
    if len({choice.get("index", place) for place, choice in enumerate(choices)}) < len(choices):
        raise TemporaryError("one answer came twice")
    usage = data.get("usage") or {}
    return {
        "texts": [_text(choice) for choice in choices],
        "tokens": usage.get("completion_tokens"),
        "prompt_tokens": usage.get("prompt_tokens"),
    }


def _text(choice: Mapping[str, Any]) -> dict[str, Any]:
    message = choice.get("message") or {}
    text = choice["text"] if "text" in choice else message["content"]
    if text is not None and not isinstance(text, str):
        raise TemporaryError("an answer is no text")
    return {
        "text": text or "",
        "reasoning": message.get("reasoning_content") or message.get("reasoning") or "",
        "finish": choice.get("finish_reason"),
        "stop_reason": choice.get("stop_reason"),
    }


class _StopCutter:
    """Text up to the first stop string, told as it is certain."""

    def __init__(self, stops: Sequence[str], tell: Callable[[StreamPiece], None] | None) -> None:
        self.tell = tell
        self._pieces: list[str] = []
        self._asked = bool(stops)
        self._stream = TextStream(lambda ids: "".join(self._pieces[i] for i in ids), [], stops)

    @property
    def text(self) -> str:
        """What is certain so far."""
        return self._stream.text

    @property
    def fed(self) -> bool:
        """Whether any text came."""
        return bool(self._pieces)

    def push(self, piece: str) -> None:
        """Take more text."""
        self._pieces.append(piece)
        self._give(self._stream.push(len(self._pieces) - 1))

    def close(self) -> None:
        """No more comes."""
        self._give(self._stream.close())

    def _give(self, text: str) -> None:
        if text and self.tell is not None:
            self.tell(StreamPiece(text))

    def finish(self, row: Mapping[str, Any]) -> Finish:
        """How it ended. Few servers tell a stop string from the end of the text."""
        if row["reasoning"] and not row["text"] and row["finish"] == "length":
            return "reasoning"
        if self._stream.stopped or isinstance(row["stop_reason"], str):
            return "stop"
        if row["finish"] == "length":
            return "length"
        return "stop" if self._asked and row["finish"] == "stop" else "end"
