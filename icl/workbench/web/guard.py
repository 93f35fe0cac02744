"""The page's access control: a request needs one of its host names, its origin and its token."""

from __future__ import annotations

import asyncio
import hmac
import html
import ipaddress
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote_plus, urlsplit

__all__ = ["Guard", "LOOPBACK", "TOKEN", "cookie_name"]


Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Names that always mean this machine."""
TOKEN = "token"  # noqa: S105 - the name of a parameter
"""Name of the query parameter with the token."""
SAFE = ("GET", "HEAD")
OFF = (
    "/openapi.json",
    "/docs",
    "/redoc",
    "/monitoring",
    "/gradio_api/openapi.json",
    "/gradio_api/info",
    "/gradio_api/deep_link",
    "/gradio_api/proxy=",
    "/gradio_api/dev/",
    "/gradio_api/runs",
    "/gradio_api/run-history",
    "/gradio_api/vibe-",
    "/gradio_api/undo-vibe-",
    "/gradio_api/profiling",
    "/gradio_api/call/",
    "/gradio_api/api/",
    "/gradio_api/mcp",
)
"""Prefixes of Gradio paths that the page never requests."""
MOST_GUESSES = 8
"""Most password attempts of one client that wait at the same time."""
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+)(?::(\d{1,5}))?")
_TOKEN_NEEDED = (
    "this page answers only its own address: open the one that icl app printed in its terminal, "
    "with ?token=… in it; it changes with every start"
)


def cookie_name(port: str | int) -> str:
    """Return the cookie's name; it has the port, since all ports of a host share their cookies."""
    return f"icl-token-{port}"


@dataclass
class Guard:
    """An ASGI app that refuses requests before they reach another app."""

    app: Application
    hosts: Iterable[str] = LOOPBACK
    """Host names and addresses that a request may use, with any port: a forwarded port
    (``ssh -L``) differs from the one listened on."""
    token: str | None = None
    """Token that every request must carry; None if a password is required instead."""
    here: bool = False
    """Whether to accept the address at which a connection arrived, too; for a server that listens
    on all addresses."""
    delay_s: float = 1.0
    """Seconds by which the answer to a wrong password is delayed."""
    _guesses: dict[str, asyncio.Lock] = field(
        default_factory=lambda: defaultdict(asyncio.Lock), init=False, repr=False
    )
    _waiting: dict[str, int] = field(
        default_factory=lambda: defaultdict(int), init=False, repr=False
    )

    @property
    def n_waiting(self) -> int:
        """Number of clients that wait for the answer to a wrong password."""
        return len(self._waiting.keys() | self._guesses.keys())

    def __post_init__(self) -> None:
        self.hosts = frozenset(map(_normalize_host, self.hosts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, turn a token into a cookie, or pass the request on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # the page opens no web sockets
            await send({"type": "websocket.close", "code": 1008})
            return
        asked = _PageRequest(scope)
        if (why := self._refusal(asked)) is not None:
            await _answer(send, asked, 403, why)
        elif self.token is not None and (given := asked.given_token) is not None:
            right = hmac.compare_digest(given.encode(), self.token.encode())
            if right and asked.method in SAFE:
                await self._let_in(send, asked, self.token)
            else:
                await _answer(send, asked, 403, _TOKEN_NEEDED)
        elif self.token is not None and not asked.carries(self.token):
            await _answer(send, asked, 403, _TOKEN_NEEDED)
        elif asked.path.startswith(OFF):
            await _answer(send, asked, 404, "there is nothing here")
        elif self.token is None and asked.method == "POST" and asked.path.strip("/") == "login":
            await self._login(scope, receive, send, asked)
        else:
            await self.app(scope, receive, send)

    # ---- what is refused

    def _refusal(self, asked: _PageRequest) -> str | None:
        """Return why a request is refused; None if it is for this page and comes from it."""
        if asked.host is None or not self._is_ours(asked.host[0], asked):
            shown = ", ".join(asked.header("host")) or "none"
            return (
                f"the host {shown[:200]!r} is not this page's; accepted: "
                f"{', '.join(sorted(self.hosts))}; further names: ICL_APP_HOSTS=NAME,NAME"
            )
        sent = asked.header("origin")
        if not sent and asked.method not in SAFE:
            sent = asked.header("referer")  # what old browsers send with a form
        if sent and not (sent == ["null"] and asked.method in SAFE):
            found = _origin(sent[0]) if len(sent) == 1 else None
            if found is None or found != asked.host:
                return f"the page {sent[0][:200]!r} is not this one, so its requests are refused"
        return _frame_refusal(asked)

    def _is_ours(self, name: str, asked: _PageRequest) -> bool:
        return name in self.hosts or (self.here and name == asked.reached)

    # ---- who comes in

    async def _let_in(self, send: Send, asked: _PageRequest, token: str) -> None:
        """Set the token as a cookie, and redirect to the address without it.

        ``Lax``, not ``Strict``: a link to a record that a colleague sent is opened from a chat or
        mail, and would come without a strict cookie. What changes anything is no plain link, and
        has its origin checked.
        """
        assert asked.host is not None
        name = cookie_name(asked.host[1])
        cookie = f"{name}={token}; Path=/; HttpOnly; SameSite=Lax"
        await _send(send, 303, b"", [("location", asked.without_token), ("set-cookie", cookie)])

    async def _login(self, scope: Scope, receive: Receive, send: Send, asked: _PageRequest) -> None:
        """Pass a password on, one at a time for each client; delay the answer to a wrong one."""
        client = asked.client
        if self._waiting[client] >= MOST_GUESSES:
            await _answer(send, asked, 429, "too many passwords at once; try again in a while")
            return
        self._waiting[client] += 1
        try:
            async with self._guesses[client]:

                async def late(message: Message) -> None:
                    if message["type"] == "http.response.start" and message["status"] >= 400:
                        await asyncio.sleep(self.delay_s)
                    await send(message)

                await self.app(scope, receive, late)
        finally:
            self._waiting[client] -= 1
            if not self._waiting[client]:
                del self._waiting[client], self._guesses[client]


class _PageRequest:
    """The parts of an HTTP request that the guard checks."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.method = str(scope["method"])
        self.path = str(scope["path"])
        hosts = self.header("host")
        self.host = _host(hosts[0], scope.get("scheme", "http")) if len(hosts) == 1 else None
        """Name and port; None if the header is missing, repeated or malformed."""

    def header(self, name: str) -> list[str]:
        """Return all values of a header."""
        return [v.decode("latin-1") for k, v in self.scope["headers"] if k == name.encode()]

    @property
    def client(self) -> str:
        """The client's address; for IPv6 its /64 network, all of which one machine has."""
        address = str((self.scope.get("client") or ("",))[0])
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return address
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
            return str(ipaddress.ip_network((parsed, 64), strict=False))
        return address

    @property
    def reached(self) -> str:
        """The address of this machine that the client connected to."""
        return _normalize_host(str((self.scope.get("server") or ("",))[0]))

    @property
    def _pairs(self) -> list[bytes]:
        return [pair for pair in self.scope["query_string"].split(b"&") if pair]

    @property
    def given_token(self) -> str | None:
        """The token in the address, if any."""
        for pair in self._pairs:
            name, _, value = pair.decode("latin-1").partition("=")
            if unquote_plus(name) == TOKEN:
                return unquote_plus(value)
        return None

    @property
    def without_token(self) -> str:
        """The address, from its root, without the token; the rest of the query is unchanged."""
        # One slash: two would be the begin of another host's address.
        path = "/" + quote(self.path.lstrip("/\\"))
        kept = [
            pair
            for pair in self._pairs
            if unquote_plus(pair.decode("latin-1").partition("=")[0]) != TOKEN
        ]
        query = quote(b"&".join(kept), safe="%&=+/:;,?@!$'()*~-._")
        return f"{path}?{query}" if kept else path

    def carries(self, token: str) -> bool:
        """Return whether the request's cookie holds the token."""
        assert self.host is not None
        wanted = cookie_name(self.host[1])
        for line in self.header("cookie"):
            for pair in line.split(";"):
                name, _, value = pair.strip().partition("=")
                if name == wanted and hmac.compare_digest(value.encode(), token.encode()):
                    return True
        return False


def _frame_refusal(asked: _PageRequest) -> str | None:
    """Return why a request from another page is refused: a script, a picture, a frame."""
    site = asked.header("sec-fetch-site") or ["none"]
    if site in (["none"], ["same-origin"]):
        return None
    opened = asked.header("sec-fetch-mode") == ["navigate"]
    if asked.method in SAFE and opened and asked.header("sec-fetch-dest") == ["document"]:
        return None  # a link on another page
    return "another page requested this one, which opens only by its own address"


def _normalize_host(name: str) -> str:
    """Normalize a host for comparison: lower case, no brackets, no final dot, one address form.

    >>> [_normalize_host(name) for name in ("LOCALHOST.", "[0:0::1]", "::ffff:10.0.0.7")]
    ['localhost', '::1', '10.0.0.7']
    """
    bare = name.strip("[]").lower()
    try:
        address = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return bare.removesuffix(".")
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _host(text: str, scheme: str) -> tuple[str, int] | None:
    """Parse name and port of a ``Host`` header.

    >>> _host("[::1]:7860", "http"), _host("localhost", "http"), _host("a b", "http")
    (('::1', 7860), ('localhost', 80), None)
    """
    found = _HOST.fullmatch(text)
    if found is None:
        return None
    port = int(found[2]) if found[2] else (443 if scheme == "https" else 80)
    return _normalize_host(found[1]), port


def _origin(text: str) -> tuple[str, int] | None:
    """Parse name and port of an origin or address; None if it is not HTTP."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or "@" in parts.netloc:
        return None
    return _host(parts.netloc, parts.scheme)


async def _answer(send: Send, asked: _PageRequest, status: int, why: str) -> None:
    """Answer with one line of text, as an HTML page for a browser."""
    if asked.method in SAFE and "text/html" in "".join(asked.header("accept")):
        body, kind = _page(why), "text/html; charset=utf-8"
    else:
        body, kind = f"{why}\n", "text/plain; charset=utf-8"
    sent = b"" if asked.method == "HEAD" else body.encode("utf-8", "replace")
    await _send(send, status, sent, [("content-type", kind)])


def _page(why: str) -> str:
    sentence = html.escape(f"{why[:1].upper()}{why[1:]}.")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>icl workbench</title>'
        '<meta name="viewport" content="width=device-width">'
        "<style>:root{color-scheme:light dark}body{font:1rem/1.6 system-ui,sans-serif;"
        "max-width:36rem;margin:18vh auto;padding:0 1.5rem}h1{font-size:1.2rem}</style>"
        f"<h1>icl workbench</h1><p>{sentence}</p></html>\n"
    )


async def _send(send: Send, status: int, body: bytes, headers: list[tuple[str, str]]) -> None:
    own = [
        ("content-length", str(len(body))),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'"),
    ]
    made = [(name.encode(), value.encode("latin-1")) for name, value in [*headers, *own]]
    await send({"type": "http.response.start", "status": status, "headers": made})
    await send({"type": "http.response.body", "body": body})
