"""Whom the page answers: host names, origins, the token and its cookie, passwords in turn."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from icl.workbench.web import launch
from icl.workbench.web.guard import LOOPBACK, OFF, Guard

SECRET = "s3cret-token"
COOKIE = f"icl-token-7860={SECRET}"


class Inner:
    """The app behind: says that it was reached, or that a password was wrong."""

    def __init__(self, status: int = 200) -> None:
        self.status, self.reached, self.at_once, self.most = status, 0, 0, 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.reached += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b"inside"})
        self.at_once -= 1


async def ask(
    guard: Guard,
    method: str = "GET",
    url: str = "/",
    server: str = "127.0.0.1",
    *,
    kind: str = "http",
    client: str = "127.0.0.1",
    **headers: str,
) -> tuple[int, dict[str, str], str]:
    """Status, headers and text of an answer; ``host`` is ours unless it is given."""
    path, _, query = url.partition("?")
    named = {"host": "127.0.0.1:7860", **{k.replace("_", "-"): v for k, v in headers.items()}}
    scope = {
        "type": kind,
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(k.encode(), v.encode()) for k, v in named.items() if v != "-"],
        "server": (server, 7860),
        "client": (client, 5),
        "scheme": "http",
    }
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    await guard(scope, receive, send)
    if kind != "http":
        return sent[0]["code"], {}, ""
    found = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
    return sent[0]["status"], found, sent[1]["body"].decode()


def answer(guard: Guard, method: str = "GET", url: str = "/", **more: str) -> Any:
    return asyncio.run(ask(guard, method, url, **more))


@pytest.mark.parametrize(
    "host",
    ["evil.example:7860", "evil.example", "127.0.0.1.evil.example:7860", "localhost.evil.example",
     "192.168.1.2:7860", "0.0.0.0:7860", "127.0.0.2:7860", "user@127.0.0.1:7860", "[::2]:7860",
     "127.0.0.1:7860:1", "127.0.0.1:x", "localhost..", "2130706433:7860", "", "-"],
)  # fmt: skip
def test_other_hosts_are_refused_even_with_the_cookie(host: str) -> None:
    inner = Inner()
    for method, path in (("GET", "/"), ("POST", "/gradio_api/upload"), ("OPTIONS", "/config")):
        status, headers, told = answer(
            Guard(inner, token=SECRET),
            method,
            path,
            host=host,
            cookie=f"{COOKIE}; icl-token-80={SECRET}",
        )
        assert status == 403 and "access-control-allow-origin" not in headers
        assert "is not this page's; accepted: 127.0.0.1, ::1, localhost;" in told
        assert told.count("\n") == 1
    assert inner.reached == 0


@pytest.mark.parametrize(
    "host", ["127.0.0.1:7860", "LocalHost:7860", "localhost.:7860", "[::1]:7860", "[0:0::1]:7860"]
)
def test_own_names_are_accepted_as_they_may_be_spelled(host: str) -> None:
    inner = Inner()
    assert answer(Guard(inner, token=SECRET), host=host, cookie=COOKIE)[0] == 200
    assert answer(Guard(inner, token=SECRET), host=host)[0] == 403
    assert inner.reached == 1


def test_a_forwarded_port_has_a_cookie_of_its_own() -> None:
    guard = Guard(Inner(), token=SECRET)
    _, headers, _ = answer(guard, url=f"/?token={SECRET}", host="localhost:9000")
    assert headers["set-cookie"].startswith(f"icl-token-9000={SECRET}; ")
    assert answer(guard, host="localhost:9000", cookie=f"icl-token-9000={SECRET}")[0] == 200
    assert answer(guard, host="localhost:9000", cookie=COOKIE)[0] == 403


def test_two_host_headers_are_none() -> None:
    inner = Inner()
    guard = Guard(inner, token=SECRET)
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "scheme": "http",
        "headers": [
            (b"host", b"127.0.0.1:7860"),
            (b"host", b"evil.example"),
            (b"cookie", COOKIE.encode()),
        ],
    }
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(guard(scope, send, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 403 and inner.reached == 0


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", {"origin": "http://127.0.0.1:7860"}, 200),
        ("POST", {}, 200),  # no browser: they all send the origin
        ("POST", {"origin": "http://evil.example"}, 403),
        ("POST", {"origin": "http://evil.example:7860"}, 403),
        ("POST", {"origin": "http://127.0.0.1:9999"}, 403),  # another app of this machine
        ("POST", {"origin": "http://localhost:7860"}, 403),  # ours, but not the one asked
        ("POST", {"origin": "null"}, 403),
        ("POST", {"origin": "file://"}, 403),
        ("POST", {"origin": "http://a@127.0.0.1:7860"}, 403),
        ("POST", {"referer": "http://evil.example/x"}, 403),
        ("POST", {"referer": "http://127.0.0.1:7860/?run=1"}, 200),
        ("OPTIONS", {"origin": "http://evil.example"}, 403),
        ("GET", {"origin": "http://evil.example"}, 403),
        ("GET", {"origin": "null"}, 200),
        ("GET", {"referer": "http://chat.example/"}, 200),
    ],
)
def test_only_its_own_page_may_ask(method: str, headers: dict[str, str], status: int) -> None:
    guard = Guard(Inner(), token=SECRET)
    assert answer(guard, method, "/gradio_api/run/x", cookie=COOKIE, **headers)[0] == status


def test_a_link_elsewhere_opens_it_and_nothing_else_embeds_it() -> None:
    guard = Guard(Inner(), token=SECRET)
    link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
    assert answer(guard, cookie=COOKIE, sec_fetch_dest="document", **link)[0] == 200
    assert answer(guard, cookie=COOKIE, sec_fetch_dest="iframe", **link)[0] == 403
    assert answer(guard, cookie=COOKIE, sec_fetch_site="same-site")[0] == 403
    assert answer(guard, cookie=COOKIE, sec_fetch_site="same-origin")[0] == 200
    told = answer(guard, "POST", cookie=COOKIE, sec_fetch_dest="document", **link)
    assert told[0] == 403 and "another page requested this one" in told[2]


def test_the_token_becomes_a_cookie_and_the_rest_of_the_link_stays() -> None:
    inner = Inner()
    guard = Guard(inner, token=SECRET)
    url = f"/?run=a%20b&token={SECRET}&condition=1&record=r%26t"
    status, headers, _ = answer(guard, url=url)
    assert status == 303 and inner.reached == 0
    assert headers["location"] == "/?run=a%20b&condition=1&record=r%26t"
    assert headers["set-cookie"] == f"{COOKIE}; Path=/; HttpOnly; SameSite=Lax"
    assert answer(guard, url=f"/?token={SECRET}")[1]["location"] == "/"
    for path in ("//evil.example/x", "/\\evil.example"):
        assert answer(guard, url=f"{path}?token={SECRET}")[1]["location"].startswith("/evil")


def test_without_the_token_a_page_says_where_it_stands() -> None:
    inner = Inner()
    guard = Guard(inner, token=SECRET)
    for more in ({}, {"cookie": "icl-token-7860=old"}, {"cookie": f"other={SECRET}"}):
        status, headers, told = answer(guard, accept="text/html,*/*", **more)
        assert status == 403 and headers["content-type"].startswith("text/html")
        assert "open the one that icl app printed in its terminal" in told
        assert "<script" not in told and SECRET not in told
    assert answer(guard, url="/?token=old&run=x", cookie=COOKIE)[0] == 403
    assert answer(guard, "POST", f"/gradio_api/queue/join?token={SECRET}")[0] == 403
    assert answer(guard, kind="websocket")[0] == 1008
    assert inner.reached == 0


def test_what_describes_the_page_is_off() -> None:
    inner = Inner()
    for path in OFF:
        assert answer(Guard(inner, token=SECRET), url=path, cookie=COOKIE)[0] == 404
    assert inner.reached == 0


def test_wrong_passwords_wait_their_turn_and_no_other_client_does() -> None:
    inner = Inner(400)
    guard = Guard(inner, delay_s=0.05)

    async def guesses() -> tuple[list[float], float]:
        began = time.perf_counter()

        async def guess(client: str) -> float:
            await ask(guard, "POST", "/login", client=client)
            return time.perf_counter() - began

        attack = [asyncio.create_task(guess("10.0.0.9")) for _ in range(4)]
        other = await asyncio.create_task(guess("10.0.0.7"))
        return await asyncio.gather(*attack), other

    took, other = asyncio.run(guesses())
    assert sorted(took)[-1] >= 0.2 and other < 0.15  # one behind the other; and at once
    assert inner.reached == 5

    async def flood() -> list[int]:
        made = [ask(guard, "POST", "/login/", client="10.0.0.9") for _ in range(12)]
        return [status for status, _, _ in await asyncio.gather(*made)]

    assert asyncio.run(flood()).count(429) == 4
    assert guard.n_waiting == 0, "what is known of a client is forgotten"


def test_a_right_password_does_not_wait() -> None:
    began = time.perf_counter()
    assert answer(Guard(Inner(200), delay_s=5), "POST", "/login")[0] == 200
    assert time.perf_counter() - began < 1


def test_on_all_addresses_it_answers_to_the_one_that_was_reached() -> None:
    hosts = launch.accepted_hosts("0.0.0.0", "bench.example, ")
    guard = Guard(Inner(), hosts, here=True)
    assert answer(guard, host="10.0.0.5:7860", server="10.0.0.5")[0] == 200
    assert answer(guard, host="10.0.0.5:7860", server="::ffff:10.0.0.5")[0] == 200
    assert answer(guard, host="10.0.0.6:7860", server="10.0.0.5")[0] == 403
    assert answer(guard, host="bench.example")[0] == 200
    assert "ICL_APP_HOSTS=NAME,NAME" in answer(guard, host="evil.example")[2]


def test_the_names_accepted_are_those_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "bench.lab")
    assert launch.accepted_hosts("127.0.0.1", None) == list(LOOPBACK)
    assert launch.accepted_hosts("127.8.8.8", None) == [*LOOPBACK, "127.8.8.8"]
    named = [*LOOPBACK, "bench.lab", "bench.local"]
    assert launch.accepted_hosts("0.0.0.0", None) == named
    assert launch.accepted_hosts("::", "a,b") == [*named, "a", "b"]


def test_the_address_printed_can_be_opened() -> None:
    assert launch.address_of("127.0.0.1", 1) == "http://127.0.0.1:1/"
    assert launch.address_of("fd00::7", 1) == "http://[fd00::7]:1/"
    for everywhere in ("0.0.0.0", "::"):
        made = launch.address_of(everywhere, 1)
        assert "0.0.0.0" not in made and "[::]" not in made
