"""The page under attack: by a name made to point here, by other pages, and without its token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.browser.chromium import chromium
from tests.browser.conftest import COOKIES, serving

SECRET = "canary-of-the-folder"
DRAFT = """async () => {
  const json = {"Content-Type": "application/json"};
  const asked = [["/config", {}], ["/theme.css", {}], ["/", {}], ["/openapi.json", {}],
    ["/gradio_api/info", {}], ["/gradio_api/heartbeat/x", {}],
    ["/gradio_api/queue/data?session_hash=x", {}],
    ["/gradio_api/file=rows.jsonl", {}]];
  const form = new FormData();
  form.append("files", new Blob(["a,b\\n1,2\\n"]), "rows.csv");
  asked.push(["/gradio_api/upload", {method: "POST", body: form}]);
  for (let at = 0; at < 40; at++)
    asked.push(["/gradio_api/run/predict", {method: "POST", headers: json,
      body: JSON.stringify({fn_index: at, data: [], session_hash: "x"})}]);
  asked.push(["/gradio_api/queue/join", {method: "POST", headers: json,
    body: JSON.stringify({fn_index: 3, data: ["draft"], session_hash: "x"})}]);
  const found = [];
  for (const [path, how] of asked) {
    const reply = await fetch(path, how);
    found.push([path, reply.status, await reply.text()]);
  }
  return found;
}"""
"""What a page of the attacker asks under its own name, so that it may read the answers."""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("app")
    (folder / "rows.jsonl").write_text(f'{{"id": "{SECRET}", "q": "a", "answer": "b"}}\n')
    with serving({"engine": "table", "default": "hash"}, folder) as address:
        yield address


@pytest.fixture
def victim(browser: Any, app: str) -> Iterator[Any]:
    """A browser that has the page's cookie, and whose resolver lets evil.example point here.

    What newer releases check of their own is off, since the page may rely on no browser's checks.
    """
    opened = browser.browser_type.launch(
        executable_path=chromium(),
        args=[
            "--no-sandbox",
            "--disable-gpu",
            "--host-resolver-rules=MAP evil.example 127.0.0.1",
            "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests",
        ],
    )
    context = opened.new_context()
    ((name, value),) = COOKIES[app].items()
    context.add_cookies([{"name": name, "value": value, "url": app}])
    yield context
    opened.close()


def attacker(context: Any, app: str, html: str = "<title>evil</title>") -> Any:
    """A page that came from evil.example at the app's port before its name pointed here."""
    place = f"{app.replace('127.0.0.1', 'evil.example')}attack.html"
    page = context.new_page()
    page.route(place, lambda route: route.fulfill(body=html, content_type="text/html"))
    page.goto(place)
    assert page.title() == "evil"
    return page


def test_a_rebound_name_reads_nothing_and_starts_nothing(victim: Any, app: str) -> None:
    found = attacker(victim, app).evaluate(DRAFT)
    assert len(found) == 50
    assert {status for _, status, _ in found} == {403}
    for _, _, text in found:
        assert "the host 'evil.example:" in text and text.count("\n") == 1
        assert SECRET not in text and "gradio" not in text
    own = victim.new_page()
    own.goto(app)
    answered = own.evaluate("async () => (await fetch('/config')).status")
    assert answered == 200  # the same request of the page itself


def test_a_rebound_name_that_is_opened_shows_one_line(victim: Any, app: str) -> None:
    page = victim.new_page()
    reply = page.goto(app.replace("127.0.0.1", "evil.example"))
    assert reply.status == 403
    assert "is not this page's; accepted: 127.0.0.1, ::1, localhost" in page.inner_text("p")
    assert page.locator("script").count() == 0


def test_another_page_can_neither_ask_nor_embed_it(victim: Any, app: str) -> None:
    evil = attacker(victim, app)
    statuses: dict[str, set[int]] = {}
    evil.on("response", lambda r: statuses.setdefault(r.url.removeprefix(app), set()).add(r.status))
    told = evil.evaluate(
        """async app => {
          const failed = [];
          const text = {method: "POST", body: '{"fn_index": 3, "data": []}', mode: "no-cors",
                        credentials: "include"};
          for (const [path, how] of [["gradio_api/run/predict", text],
              ["config", {mode: "no-cors", credentials: "include"}],
              ["theme.css", {credentials: "include"}]])
            await fetch(app + path, how).then(r => r.text(), e => failed.push(path));
          const frame = document.createElement("iframe");
          frame.src = app;
          await new Promise(done => { frame.onload = frame.onerror = done;
                                      document.body.append(frame); });
          return failed;
        }""",
        app,
    )
    assert "theme.css" in told  # what could be read is refused by the browser as well
    assert statuses and set().union(*statuses.values()) == {403}
    assert {"gradio_api/run/predict", "config", ""} <= statuses.keys()


def test_the_printed_address_lets_in_and_keeps_a_permalink(
    browser: Any, app: str, open_page: Callable[..., Any]
) -> None:
    locked = browser.new_context().new_page()
    assert locked.goto(app).status == 403
    assert "open the one that icl app printed" in locked.inner_text("p")
    assert locked.goto(f"{app}?token=old&run=x").status == 403
    locked.context.close()
    (token,) = COOKIES[app].values()
    known = COOKIES.pop(app)  # so that the address alone must let in
    try:
        page = open_page(f"{app}?run=none&token={token}&record=r1", "#tabs")
        assert page.url == f"{app}?run=none&record=r1"
        page.wait_for_selector("#tab-results, #result-told", state="attached")
        page.reload()
        page.wait_for_selector("#tabs")
        assert token not in page.content()
        assert page.evaluate("document.cookie") == ""  # no script can read it
    finally:
        COOKIES[app] = known


def test_a_link_of_a_chat_opens_the_page(victim: Any, app: str) -> None:
    link = f'<title>evil</title><a id="go" href="{app}?run=none">a record</a>'
    page = attacker(victim, app, link)
    page.click("#go")
    page.wait_for_selector("#tabs")
    assert page.url.startswith(f"{app}?run=none")
