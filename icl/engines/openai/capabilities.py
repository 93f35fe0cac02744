"""The capabilities of a server, found by requests: kind of completion, log-probabilities, window.

Servers differ: vLLM and llama-cpp-python echo prompts with log-probabilities, hosted chat models
give the likeliest tokens of their answer, others give no numbers at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from icl.core.errors import EngineError, ModelError
from icl.core.registry import did_you_mean
from icl.engines.openai.client import Link, ServerRequest
from icl.engines.openai.errors import RefusalError, RetryError, TemporaryError
from icl.engines.openai.message import read_count, read_usage

__all__ = ["ServerCapabilities", "apply_extra", "find_window", "list_top", "offer", "probe"]


TEXTS = ("The quick brown fox", "One two three", "Name: Anna\nCity:")
TOPS = (20, 5)
"""Numbers of likely tokens to request: those of vLLM and OpenAI's chat, and of older servers."""
NO_NUMBERS = (400, 403, 422, 501)
"""Texts by which servers refuse log-probabilities; a wrong key is refused without them."""


@dataclass(frozen=True, slots=True)
class ServerCapabilities:
    """The capabilities of a server, as requests have shown them."""

    api: str
    """``completions`` or ``chat``."""
    echo: int | None = None
    """Listed tokens minus counted tokens, if prompts are echoed with log-probabilities."""
    top: int = 0
    """The number of likeliest tokens that the server lists; 0: none."""
    limit: str = "max_tokens"
    """Name of the parameter ``max_tokens``: newer hosted models refuse the old one."""
    hides_bytes: bool = False
    """Whether likely tokens come in the newer form without their bytes, so that parts of
    characters look alike."""


def apply_extra(body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body with the entry's ``extra``, which overrides keys or removes them by null.

    >>> apply_extra({"temperature": 0, "stop": ["."]}, {"temperature": 1, "stop": None})
    {'temperature': 1}
    """
    return {name: value for name, value in {**body, **extra}.items() if value is not None}


def list_top(choice: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """List the likeliest first tokens in the form of chats: ``token``, ``logprob``, ``bytes``.

    Servers write the older form (a mapping of texts) or the newer one, on either route; empty
    where the answer holds neither.
    """
    found = choice.get("logprobs")
    if not isinstance(found, Mapping):
        return []
    if content := found.get("content"):
        listed = content[0].get("top_logprobs") or []
        return [entry for entry in listed if isinstance(entry, Mapping)]
    older = (found.get("top_logprobs") or [None])[0] or {}
    return [{"token": token, "logprob": value} for token, value in older.items()]


def probe(link: Link, model: str, api: str, extra: Mapping[str, Any]) -> ServerCapabilities:
    """Find a server's capabilities with requests for one token each.

    Raises:
        EngineError: nobody is there, the key is refused, the model is not served.
    """
    try:
        if api != "chat":
            return _completions(link, model, extra)
    except RefusalError as error:
        if api == "completions" or error.status not in (400, 404, 405):
            raise _not_served(link, model, error) from error
    try:
        return _chat(link, model, extra)
    except RefusalError as error:
        raise _not_served(link, model, error) from error


def _completions(link: Link, model: str, extra: Mapping[str, Any]) -> ServerCapabilities:
    asked: dict[str, Any] = {"model": model, "max_tokens": 1, "temperature": 0}
    for text in TEXTS:
        more = {"prompt": text, "echo": True, "logprobs": 1}
        data = offer(link, "/completions", apply_extra(asked | more, extra))
        shift = _shift(data, text) if data else None
        if shift is not None:
            top, hidden = _top(link, asked, extra, TOPS[1:])
            return ServerCapabilities("completions", echo=shift, top=top, hides_bytes=hidden)
        if not _echoed(data):
            break
    top, hidden = _top(link, asked, extra, TOPS)
    return ServerCapabilities("completions", top=top, hides_bytes=hidden)


def _top(
    link: Link, asked: Mapping[str, Any], extra: Mapping[str, Any], tops: tuple[int, ...]
) -> tuple[int, bool]:
    """Find how many likeliest tokens the server lists, and whether it hides their bytes.

    If the server refuses every request for them, one without is sent.
    """
    plain = {**asked, "prompt": TEXTS[0]}
    for top in tops:
        data = offer(link, "/completions", apply_extra(plain | {"logprobs": top}, extra))
        if data and (listed := list_top(data["choices"][0])):
            return top, _hides_bytes(data["choices"][0], listed)
        if data:
            return 0, False
    body = apply_extra(plain, extra)
    link.one(ServerRequest("/completions", body, _whole, kept=False, probe=True))
    return 0, False


def _hides_bytes(choice: Mapping[str, Any], listed: Sequence[Mapping[str, Any]]) -> bool:
    newer = bool(choice["logprobs"].get("content"))
    return newer and not all(isinstance(entry.get("bytes"), list) for entry in listed)


def _chat(link: Link, model: str, extra: Mapping[str, Any]) -> ServerCapabilities:
    asked = {
        "model": model,
        "messages": [{"role": "user", "content": TEXTS[0]}],
        "temperature": 0,
    }
    limit = "max_tokens"
    path = "/chat/completions"
    for top in (*TOPS, 0):
        numbers = {"logprobs": True, "top_logprobs": top} if top else {}
        for name in (limit, "max_completion_tokens"):
            request = ServerRequest(
                path,
                apply_extra(asked | numbers | {name: 1}, extra),
                _whole,
                most_tokens=(20, 1),
                kept=False,
                probe=True,
            )
            try:
                data = link.one(request)
            except RefusalError as error:
                if name == "max_tokens" and "max_completion_tokens" in str(error):
                    limit = "max_completion_tokens"
                    continue
                if not top or error.status not in NO_NUMBERS:
                    raise
                break
            listed = list_top(data["choices"][0]) if top else []
            return ServerCapabilities(
                "chat",
                top=top if listed else 0,
                limit=limit,
                hides_bytes=bool(listed) and _hides_bytes(data["choices"][0], listed),
            )
    raise AssertionError("the last request is answered or raises")


def offer(link: Link, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
    """Return the answer, or None if the server does not accept these parameters."""
    request = ServerRequest(path, body, _whole, most_tokens=(20, 1), kept=False, probe=True)
    try:
        data: dict[str, Any] = link.one(request)
        return data
    except RefusalError as error:
        if error.status not in NO_NUMBERS:
            raise
    except RetryError as error:
        if error.kind:
            raise
    return None


def _whole(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict) or not data.get("choices"):
        raise TemporaryError("answered with JSON that is no completion", kind="page")
    return data


def _logprobs(data: Mapping[str, Any]) -> dict[str, Any]:
    found = data["choices"][0].get("logprobs")
    return found if isinstance(found, dict) else {}


def _echoed(data: Mapping[str, Any] | None) -> bool:
    return bool(data) and len(_logprobs(data or {}).get("tokens") or ()) > 2


def _shift(data: Mapping[str, Any], text: str) -> int | None:
    """Return the tokens that the echo lists minus those the server counts; None without echo."""
    numbers = _logprobs(data)
    tokens, logprobs = numbers.get("tokens") or [], numbers.get("token_logprobs") or []
    said = data["choices"][0].get("text") or ""
    counted, _ = read_usage(data)
    if not said.startswith(text) or said == text or counted is None:
        return None  # no echo, or no way to tell where the text ends
    if len(tokens) < 3 or len(tokens) != len(logprobs) or None in logprobs[1:]:
        return None
    return len(tokens) - 1 - counted


def list_served(link: Link) -> list[dict[str, Any]]:
    """Return the entries that the server lists under ``/models``; empty if there are none."""
    try:
        data = link.one(ServerRequest("/models", None, lambda data: data, kept=False, probe=True))
    except (RefusalError, RetryError):
        return []
    listed = data.get("data") if isinstance(data, dict) else None
    return [entry for entry in listed or () if isinstance(entry, dict) and "id" in entry]


def _not_served(link: Link, model: str, error: RefusalError) -> EngineError:
    """Return the refusal as an error that names the models which the server has."""
    if error.status not in (400, 404):
        return error
    known = [str(entry["id"]) for entry in list_served(link)]
    if not known or model in known:
        return error
    return EngineError(f"{link.url} does not serve {model!r}{did_you_mean(model, known)}")


def find_window(link: Link, model: str) -> int:
    """Return the window that the server reports, in tokens.

    Raises:
        ModelError: it does not say.
    """
    for told in _windows(link, model):
        if size := read_count(told):
            return size
    raise ModelError(
        f"{link.url} does not report the window of {model!r}; set window: N (tokens of prompt and "
        "answer together) in its entry"
    )


def _windows(link: Link, model: str) -> Iterator[Any]:
    for entry in list_served(link):
        if entry["id"] == model:
            yield entry.get("max_model_len")  # vLLM, SGLang
            yield entry.get("context_length")
    root = link.url.removesuffix("/v1")
    try:  # llama.cpp
        data = link.one(
            ServerRequest(root + "/props", None, lambda data: data, kept=False, probe=True)
        )
    except (RefusalError, RetryError):
        return
    if isinstance(data, dict):
        yield (data.get("default_generation_settings") or {}).get("n_ctx")
