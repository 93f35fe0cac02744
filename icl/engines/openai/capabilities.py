"""What a server is, found out once by asking it: its kind of completion, log-probabilities, window.

Servers differ: vLLM and llama-cpp-python echo prompts with log-probabilities, hosted chat models
give the likeliest tokens of their answer, others give no numbers at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from icl.core.errors import EngineError, ModelError
from icl.core.registry import did_you_mean
from icl.engines.openai.client import Link, ServerRequest
from icl.engines.openai.errors import RefusalError, RetryError, TemporaryError

__all__ = ["ServerCapabilities", "find_window", "probe"]


TEXTS = ("The quick brown fox", "One two three", "Name: Anna\nCity:")
TOPS = (20, 5)
"""Most likely tokens asked for: what vLLM and OpenAI's chat give, and what older ones do."""


@dataclass(frozen=True, slots=True)
class ServerCapabilities:
    """What was found out."""

    api: str
    """``completions`` or ``chat``."""
    echo: int | None = None
    """Where prompts are echoed with log-probabilities: tokens listed less tokens counted."""
    top: int = 0
    """How many of the likeliest tokens are told; 0: none."""
    limit: str = "max_tokens"
    """How ``max_tokens`` is called: newer hosted models refuse the old name."""


def probe(link: Link, model: str, api: str, extra: Mapping[str, Any]) -> ServerCapabilities:
    """Ask for a token or two and look at what comes back.

    Raises:
        EngineError: nobody is there, the key is refused, the model is not served.
    """
    try:
        if api != "chat":
            return _completions(link, {"model": model, **extra})
    except RefusalError as error:
        if api == "completions" or error.status not in (400, 404, 405):
            raise _not_served(link, model, error) from error
    try:
        return _chat(link, {"model": model, **extra})
    except RefusalError as error:
        raise _not_served(link, model, error) from error


def _completions(link: Link, body: dict[str, Any]) -> ServerCapabilities:
    for text in TEXTS:
        asked = {"prompt": text, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}
        data = _offered(link, "/completions", body | asked)
        shift = _shift(data, text) if data else None
        if shift is not None:
            return ServerCapabilities("completions", echo=shift, top=_top(link, body, TOPS[1:]))
        if not _echoed(data):
            break
    return ServerCapabilities("completions", top=_top(link, body, TOPS))


def _top(link: Link, body: dict[str, Any], tops: tuple[int, ...]) -> int:
    """How many of the likeliest tokens are told; ends with a request without any."""
    asked = {"prompt": TEXTS[0], "max_tokens": 1, "temperature": 0}
    for top in tops:
        data = _offered(link, "/completions", body | asked | {"logprobs": top})
        if data and (_logprobs(data).get("top_logprobs") or [None])[0]:
            return top
        if data:
            return 0
    link.one(ServerRequest("/completions", body | asked, _whole, kept=False, probe=True))
    return 0


def _chat(link: Link, body: dict[str, Any]) -> ServerCapabilities:
    asked = {"messages": [{"role": "user", "content": TEXTS[0]}], "temperature": 0}
    limit = "max_tokens"
    path = "/chat/completions"
    for top in (*TOPS, 0):
        numbers = {"logprobs": True, "top_logprobs": top} if top else {}
        for name in (limit, "max_completion_tokens"):
            request = ServerRequest(
                path,
                body | asked | numbers | {name: 1},
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
                if not top or error.status not in (400, 422):
                    raise
                break
            content = _logprobs(data).get("content")
            told = bool(content and content[0].get("top_logprobs"))
            return ServerCapabilities("chat", top=top if told else 0, limit=limit)
    raise AssertionError("the last request is answered or raises")


def _offered(link: Link, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
    """The answer, or None where the server does not take these numbers."""
    request = ServerRequest(path, body, _whole, most_tokens=(20, 1), kept=False, probe=True)
    try:
        data: dict[str, Any] = link.one(request)
        return data
    except RefusalError as error:
        if error.status not in (400, 422, 501):
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
    """Tokens that the echo lists less those that the server counts; None: no echo with numbers."""
    numbers = _logprobs(data)
    tokens, logprobs = numbers.get("tokens") or [], numbers.get("token_logprobs") or []
    said = data["choices"][0].get("text") or ""
    counted = (data.get("usage") or {}).get("prompt_tokens")
    if not said.startswith(text) or said == text or counted is None:
        return None  # no echo, or no way to tell where the text ends
    if len(tokens) < 3 or len(tokens) != len(logprobs) or None in logprobs[1:]:
        return None
    return len(tokens) - 1 - int(counted)


def list_served(link: Link) -> list[dict[str, Any]]:
    """What the server lists under ``/models``; empty where it lists nothing."""
    try:
        data = link.one(ServerRequest("/models", None, lambda data: data, kept=False, probe=True))
    except (RefusalError, RetryError):
        return []
    listed = data.get("data") if isinstance(data, dict) else None
    return [entry for entry in listed or () if isinstance(entry, dict) and "id" in entry]


def _not_served(link: Link, model: str, error: RefusalError) -> EngineError:
    """The refusal, with the models that there are."""
    if error.status not in (400, 404):
        return error
    known = [str(entry["id"]) for entry in list_served(link)]
    if not known or model in known:
        return error
    return EngineError(f"{link.url} does not serve {model!r}{did_you_mean(model, known)}")


def find_window(link: Link, model: str) -> int:
    """The tokens that the server says fit.

    Raises:
        ModelError: it does not say.
    """
    for size in _windows(link, model):
        if isinstance(size, int) and size > 0:
            return size
    raise ModelError(
        f"{link.url} does not tell the window of {model!r}; set window: N (tokens of prompt and "
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
