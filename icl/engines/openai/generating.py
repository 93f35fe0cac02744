"""Generation by a server: the body of a request, what is read of its answer, and its outputs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from icl.engines.openai.answers import Temporary
from icl.engines.openai.link import Job, Piece, Request, Session
from icl.engines.textstream import TextStream
from icl.types import OnToken, Output, Prompt, Sampling

if TYPE_CHECKING:
    from icl.engines.openai.engine import OpenAIEngine

__all__ = ["asked", "outputs"]

MOST_STOPS = 4
"""Stop strings that OpenAI takes; all of them are looked for here too."""


def asked(engine: OpenAIEngine, prompt: Prompt, max_tokens: int) -> tuple[str, dict[str, Any]]:
    """Path and body of a request that is greedy so far."""
    chat = engine.facts.api == "chat"
    path = "/chat/completions" if chat else "/completions"
    sent: dict[str, Any] = {"messages": prompt.messages} if chat else {"prompt": prompt.text}
    body = {"model": engine.model, **sent, engine.facts.limit: max_tokens, "temperature": 0}
    return path, {**body, **engine.extra}


def outputs(
    engine: OpenAIEngine, prompts: Sequence[Prompt], counts: Sequence[int], sampling: Sampling,
    on_token: OnToken | None, stop: threading.Event | None,
) -> Iterator[tuple[int, Output]]:  # fmt: skip
    """All outputs of a prompt when it is answered; cancelled ones last."""
    heard = [""] * len(prompts)
    left = set(range(len(prompts)))
    jobs = [
        _job(engine, prompt, counts[place], sampling, place, on_token is not None)
        for place, prompt in enumerate(prompts)
    ]
    for index, value in engine.link.each(jobs, stop):
        if isinstance(value, Piece):
            heard[index] += value.text
            if on_token is not None:
                on_token(index, value.text)
            continue
        left.discard(index)
        for output in value:
            yield index, output
    for index in sorted(left):
        for sample in range(sampling.n):
            told = heard[index] if sample == 0 else ""
            yield index, Output(told, "cancelled", counts[index], 0, sample)


def _job(
    engine: OpenAIEngine, prompt: Prompt, count: int, sampling: Sampling, place: int, stream: bool
) -> Job:
    stops = tuple(dict.fromkeys(text for text in (*sampling.stop, *prompt.stop) if text))
    path, body = asked(engine, prompt, sampling.max_tokens)
    body |= _drawn(sampling)
    if stops:
        body["stop"] = list(stops[:MOST_STOPS])

    async def job(session: Session, tell: Callable[[Piece], None]) -> list[Output]:
        made: list[Output] = []
        while len(made) < sampling.n:
            wanted = sampling.n - len(made)
            more = {"n": wanted} if wanted > 1 else {}
            if made:  # a server that knows no n gives one; another seed gives another
                more["seed"] = sampling.seed + len(made)
            cut = _Cut(stops, tell if stream and not made else None)
            hear = cut.push if stream and sampling.n == 1 else None
            streamed = {"stream": True, "stream_options": {"include_usage": True}} if hear else {}
            answer = await session.ask(
                Request(
                    path, body | more | streamed, partial(_read, wanted),
                    f"{prompt.query_id or place}:{len(made)}", (count, sampling.max_tokens * wanted), hear=hear,
                )
            )  # fmt: skip
            texts = answer.value["texts"]
            total = answer.value["tokens"]
            for place_of, row in enumerate(texts):
                if hear is None or not cut.text:
                    cut = _Cut(stops, cut.tell if not made else None)
                    cut.push(row["text"])
                cut.close()
                if total is None:
                    tokens = len(engine.tokens(Prompt(row["text"])))
                else:  # the server counts all samples together
                    tokens = total // len(texts) + (place_of < total % len(texts))
                made.append(
                    Output(
                        cut.text, cut.finish(row), answer.value["prompt_tokens"] or count, tokens,
                        len(made), row["reasoning"] or None,
                    )
                )  # fmt: skip
        return made

    return job


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
        raise Temporary(f"{len(choices)} answers came where {wanted} was asked for")
    if len({choice.get("index", place) for place, choice in enumerate(choices)}) < len(choices):
        raise Temporary("one answer came twice")
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
        raise Temporary("an answer is no text")
    return {
        "text": text or "",
        "reasoning": message.get("reasoning_content") or message.get("reasoning") or "",
        "finish": choice.get("finish_reason"),
        "stop_reason": choice.get("stop_reason"),
    }


class _Cut:
    """Text up to the first stop string, told as it is certain."""

    def __init__(self, stops: Sequence[str], tell: Callable[[Piece], None] | None) -> None:
        self.tell = tell
        self._pieces: list[str] = []
        self._asked = bool(stops)
        self._stream = TextStream(lambda ids: "".join(self._pieces[i] for i in ids), [], stops)

    @property
    def text(self) -> str:
        """What is certain so far."""
        return self._stream.text

    def push(self, piece: str) -> None:
        """Take more text."""
        self._pieces.append(piece)
        self._give(self._stream.push(len(self._pieces) - 1))

    def close(self) -> None:
        """No more comes."""
        self._give(self._stream.close())

    def _give(self, text: str) -> None:
        if text and self.tell is not None:
            self.tell(Piece(text))

    def finish(self, row: Mapping[str, Any]) -> str:
        """How it ended. Few servers tell a stop string from the end of the text."""
        if row["reasoning"] and not row["text"] and row["finish"] == "length":
            return "reasoning"
        if self._stream.stopped or isinstance(row["stop_reason"], str):
            return "stop"
        if row["finish"] == "length":
            return "length"
        return "stop" if self._asked and row["finish"] == "stop" else "end"
