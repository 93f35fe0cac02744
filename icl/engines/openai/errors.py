"""What a server's answer means: whether asking again may help, and the one line that says why."""

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
    "TemporaryError",
    "encode_body",
    "read_message",
    "make_refusal",
]


if TYPE_CHECKING:
    import httpx

AGAIN = (408, 409, 425, 429)
"""Client errors that asking again may mend; so may every server error but 501 and 505."""
NEVER = (501, 505)
TOO_LONG = re.compile(
    r"context.{0,12}(length|size|window)|maximum.{0,20}(context|tokens|length)|too long|"
    r"exceed_context|exceeds? .{0,40}(context|limit)",
    re.I,
)
KEPT = "what was answered is kept: run the same command again"


class TemporaryError(Exception):
    """A failure that asking again may mend."""

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
        """Whether all requests should pause, not this one alone."""
        self.kind = kind
        """``down``, ``page``, ``slow``, ``busy`` or empty."""


class RetryError(EngineError):
    """A failure that did not mend; ``kind`` as in :class:`TemporaryError`."""

    def __init__(self, text: str, kind: str) -> None:
        super().__init__(text)
        self.kind = kind


class RefusalError(EngineError):
    """The server understood and said no; ``status`` tells how."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Who is asked, for messages."""

    url: str
    model: str
    key_env: str | None = None
    key: str = field(default="", repr=False)

    def hide(self, text: str) -> str:
        """The text without the key, should a server repeat it."""
        return text.replace(self.key, "***") if self.key else text

    def gave_up(self, problem: TemporaryError, tries: int) -> RetryError:
        """The error for a failure that did not mend."""
        what = self.hide(str(problem))[:400]
        times = f" ({tries} tries)" if tries > 1 else ""
        repair = {
            "down": "start the server, or correct `source`; " + KEPT,
            "page": "is it a proxy, a login page, or a `source` without its /v1? " + KEPT,
            "slow": "raise timeout_s, or lower concurrency; " + KEPT,
            "busy": "lower concurrency, or set requests_per_minute; " + KEPT,
        }.get(problem.kind, KEPT)
        return RetryError(f"{self.url}: {what}{times}; {repair}", problem.kind)


def encode_body(body: Mapping[str, Any]) -> bytes:
    """The request's JSON in UTF-8.

    Raises:
        EngineError: the text cannot be sent.
    """
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise EngineError(
            "the prompt holds half a surrogate pair, which UTF-8 cannot carry to a server; repair "
            "the data"
        ) from error


def read_message(asked: ServerAddress, response: httpx.Response) -> str:
    """What a server says, as one short line; the key is hidden before anything is cut off."""
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


def make_refusal(asked: ServerAddress, response: httpx.Response) -> Exception:
    """The exception for an answer that is not 200."""
    status, said = response.status_code, read_message(asked, response)
    quota = "insufficient_quota" in response.text
    if (status in AGAIN or status >= 500) and status not in NEVER and not quota:
        kind = "busy" if status in (429, 503, 529) else ""
        wait = _retry_after(response.headers)
        return TemporaryError(f"{status}: {said}", after_s=wait, everyone=bool(kind), kind=kind)
    return _permanent(asked, response.url.path, status, said, response.headers)


def _permanent(
    asked: ServerAddress, path: str, status: int, said: str, headers: Mapping[str, str]
) -> IclError:
    if status in (401, 403):
        if asked.key_env is None:
            repair = "it wants a key: set api_key_env to the environment variable that holds it"
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
    if status in (404, 405):
        return RefusalError(
            f"{asked.url} does not serve {asked.model!r} at {path} ({status}: {said}); correct "
            "`model`, or `source`, which ends in /v1 on most servers",
            status,
        )
    return RefusalError(f"{asked.url} refuses the request ({status}: {said})", status)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of ``Retry-After``, given as a number or as a date (RFC 9110, 10.2.3)."""
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
