"""The errors of a server: whether to retry, and a message with the repair."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from icl.core.errors import EngineError, IclError, WindowError

__all__ = [
    "ServerAddress",
    "RetryError",
    "RefusalError",
    "RowError",
    "TemporaryError",
    "concerns_row",
    "describe_row",
    "encode_body",
    "make_error_of",
    "make_refusal",
    "make_refusal_within",
    "read_message",
]


if TYPE_CHECKING:
    import httpx

AGAIN = (408, 409, 425, 429)
"""Client errors that are retried, as every server error but 501 and 505."""
NEVER = (501, 505)
ROW_REFUSED = (400, 413, 422)
"""Texts by which servers refuse the content of one request."""
TOO_LONG = re.compile(
    r"context.{0,12}(length|size|window)|maximum.{0,20}(context|tokens|length)|too long|"
    r"exceed_context|exceeds? .{0,40}(context|limit)",
    re.I,
)
KEPT = "finished answers are saved: run the same command again"


class TemporaryError(Exception):
    """A failure after which another try may help."""

    def __init__(
        self,
        text: str,
        *,
        after_s: float | None = None,
        everyone: bool = False,
        kind: str = "",
    ) -> None:
        super().__init__(text)
        self.after_s = after_s
        """Seconds that the server asks to wait."""
        self.everyone = everyone
        """Whether all requests should pause, not only this one."""
        self.kind = kind
        """``down``, ``page``, ``slow``, ``busy`` or empty."""


class RetryError(EngineError):
    """A failure that remained after all tries; ``kind`` as in :class:`TemporaryError`."""

    def __init__(self, text: str, kind: str) -> None:
        super().__init__(text)
        self.kind = kind


class RefusalError(EngineError):
    """The server refuses the request; ``status`` is the HTTP status."""

    def __init__(self, text: str, status: int, parameter: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.parameter = parameter
        """The parameter that the server does not accept, if it names one."""


class RowError(EngineError):
    """An answer that never helps this row, however often it is requested."""

    answer: Any = None
    """The server's answer, which may cost money; None if no request was sent."""


def concerns_row(error: IclError) -> bool:
    """Return whether an error concerns one row alone, and neither the server nor the settings."""
    if isinstance(error, RetryError):
        return error.kind in ("", "slow")
    if isinstance(error, RefusalError):
        return error.status in ROW_REFUSED and error.parameter is None
    return isinstance(error, RowError | WindowError)


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """The server, model and key that messages name or hide."""

    url: str
    model: str
    key_env: str | None = None
    key: str = field(default="", repr=False)

    def hide(self, text: str) -> str:
        """Replace the key in a text, in case a server repeats it."""
        return text.replace(self.key, "***") if self.key else text

    def gave_up(self, problem: TemporaryError, tries: int) -> RetryError:
        """Make the error for a failure that remained after all tries."""
        what = self.hide(str(problem))[:400]
        times = f" ({tries} tries)" if tries > 1 else ""
        repair = {
            "down": "start the server, or correct `source`; " + KEPT,
            "page": "is it a proxy, a login page, or a `source` without its /v1? " + KEPT,
            "slow": "raise timeout_s, or lower concurrency; " + KEPT,
            "busy": "lower concurrency, or set requests_per_minute; " + KEPT,
        }.get(problem.kind, KEPT)
        return RetryError(f"{self.url}: {what}{times}; {repair}", problem.kind)


def describe_row(error: IclError) -> str:
    """Describe why a row has no answer, without the repair, which is the same for every row."""
    return str(error).removesuffix(f"; {KEPT}")


def encode_body(body: Mapping[str, Any]) -> bytes:
    """Encode the request's JSON in UTF-8.

    Raises:
        RowError: the text cannot be sent.
    """
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise RowError(
            "the prompt holds half a surrogate pair, which UTF-8 cannot carry to a server; repair "
            "the data"
        ) from error


def read_message(asked: ServerAddress, response: httpx.Response) -> str:
    """Return a server's error text as one short line; hide the key before anything is cut off."""
    try:
        said = response.json()
    except ValueError:
        text = asked.hide(" ".join(re.sub(r"<[^>]*>", " ", response.text).split()))
        page = "html" in response.headers.get("content-type", "") or "<" in response.text[:20]
        return ("a web page" if page else "no JSON") + (f": {text[:120]!r}" if text else "")
    for name in ("error", "message", "detail"):
        if isinstance(said, dict) and said.get(name):
            said = said[name]
    text = " ".join((said if isinstance(said, str) else json.dumps(said)).split())
    return asked.hide(text)[:300]


def make_refusal(
    asked: ServerAddress, response: httpx.Response, body: Mapping[str, Any] | None = None
) -> Exception:
    """Make the exception for a response that is not 200; ``body`` is that of the request."""
    status, said = response.status_code, read_message(asked, response)
    quota = "insufficient_quota" in response.text
    if (status in AGAIN or status >= 500) and status not in NEVER and not quota:
        kind = "busy" if status in (429, 503, 529) else ""
        wait = _retry_after(response.headers)
        return TemporaryError(f"{status}: {said}", after_s=wait, everyone=bool(kind), kind=kind)
    parameter = _find_parameter(response, said, body or {})
    return _permanent(asked, response.url.path, status, said, response.headers, parameter)


def make_refusal_within(
    asked: ServerAddress, response: httpx.Response, error: Any, body: Mapping[str, Any] | None
) -> Exception:
    """Make the exception for an error inside a response of status 200, as proxies send it."""
    import httpx

    status = _read_status(error)
    if status is None:
        return make_error_of("200 with an error", error)
    inner = httpx.Response(status, json={"error": error}, request=response.request)
    return make_refusal(asked, inner, body)


def make_error_of(where: str, error: Any) -> TemporaryError:
    """Make a temporary failure of the error that a server reports in an answer or a stream."""
    said = error.get("message") if isinstance(error, Mapping) else error
    text = said if isinstance(said, str) else json.dumps(error, ensure_ascii=False, default=str)
    status = _read_status(error)
    busy = status in (429, 503, 529)
    told = f"{where}: {' '.join(text.split())}"
    return TemporaryError(told, everyone=busy, kind="busy" if busy else "")


def _read_status(error: Any) -> int | None:
    """Return the HTTP status that an error inside an answer names; None without one."""
    for name in ("code", "status"):
        value = error.get(name) if isinstance(error, Mapping) else None
        if str(value).isdecimal() and 400 <= int(str(value)) < 600:
            return int(str(value))
    return None


_TURNED_DOWN = re.compile(
    r"not supported|unsupported|not (?:allowed|permitted)|unknown|unrecognized|extra|unexpected|"
    r"only the default|must be|invalid|does not support|no longer",
    re.I,
)


def _find_parameter(response: httpx.Response, said: str, body: Mapping[str, Any]) -> str | None:
    """Find the setting in the body that a server does not accept, if its answer names one."""
    try:
        told = response.json()
    except ValueError:
        return None
    error = told.get("error") if isinstance(told, dict) else None
    named = error.get("param") if isinstance(error, dict) else None
    settings = [name for name in body if name not in ("model", "messages", "prompt")]
    if named in settings:
        return str(named)
    if not _TURNED_DOWN.search(said):
        return None
    return next((n for n in settings if re.search(rf"(?<![\w]){n}(?![\w])", said)), None)


def _permanent(
    asked: ServerAddress,
    path: str,
    status: int,
    said: str,
    headers: Mapping[str, str],
    parameter: str | None,
) -> IclError:
    if parameter is None and status in (401, 403):
        if asked.key_env is None:
            repair = "it requires a key: set api_key_env to the environment variable that holds it"
        else:
            repair = f"the key in {asked.key_env} is refused: export the right one"
        return RefusalError(f"{asked.url}: {repair} ({status}: {said})", status)
    if 300 <= status < 400:
        where = headers.get("location", "another place")
        return RefusalError(
            f"{asked.url} redirects to {where} ({status}); set `source` to that", status
        )
    if status in (400, 413, 422) and TOO_LONG.search(said):
        return WindowError(
            f"too long for {asked.model!r} at {asked.url} ({status}: {said}); set window: N in its "
            "entry, so that shots are dropped to fit, or lower max_tokens"
        )
    if parameter is None and status in (404, 405):
        return RefusalError(
            f"{asked.url} does not serve {asked.model!r} at {path} ({status}: {said}); correct "
            "`model`, or `source`, which ends in /v1 on most servers",
            status,
        )
    repair = ""
    if parameter is not None:
        repair = f"; leave it out with extra: {{{parameter}: null}} in its entry, or give it there"
    elif re.search(r"system\W{0,3}(role|message|prompt)|role\W{0,6}system", said, re.I):
        repair = "; move the text under [[system]] of the template into its [[instruction]]"
    return RefusalError(
        f"{asked.url} refuses the request ({status}: {said}){repair}", status, parameter
    )


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read the seconds of ``Retry-After``, a number or a date (RFC 9110, 10.2.3); else None."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
