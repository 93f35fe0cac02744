"""The app in a process of its own, and a page that fails on anything it should not do."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from icl.workbench.web.guard import cookie_name
from tests.browser.chromium import REPAIR, chromium

ROOT = Path(__file__).parents[2]
COOKIES: dict[str, dict[str, str]] = {}
"""Address of an app -> the cookie that its printed address would bring."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [name for name in ("gradio", "playwright") if importlib.util.find_spec(name) is None]
    reason = f"no {' and no '.join(missing)}: pip install 'icl-workbench[test-browser]'"
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.browser)
            if missing:
                item.add_marker(pytest.mark.skip(reason=reason))


@contextmanager
def serving(model: dict[str, Any], folder: Path, *experiment: str) -> Iterator[str]:
    """The address of the app on that model, with ``folder`` as its working folder.

    The token is left out of it, so that tests can add to it; :func:`open_page` brings its cookie.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "tests.browser.serve",
            str(port),
            json.dumps(model),
            *experiment,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
    )
    assert process.stdout is not None and process.stderr is not None
    try:
        address, _, token = process.stdout.readline().strip().partition("?token=")
        assert address == f"http://127.0.0.1:{port}/" and token, process.stderr.read()
        COOKIES[address] = {cookie_name(port): token}
        yield address
    finally:
        process.terminate()
        _, told = process.communicate(timeout=20)
    assert "Traceback" not in told, told


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    program = chromium()
    if program is None:
        pytest.skip(f"no Chromium; {REPAIR}")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"]
        )
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[[str], Any]]:
    """Opens pages; each fails the test on an error, a dialog, or a request to another machine."""
    faults: list[str] = []
    contexts = []

    def watch(page: Any) -> None:
        page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
        page.on("popup", lambda popup: faults.append(f"popup {popup.url}"))
        page.on("download", lambda download: faults.append(f"download {download.url}"))

    def check(request: Any) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:http://127.0.0.1:")):
            faults.append(f"request to {request.url}")

    def opened(address: str, ready: str = "#prompt .textfield .text") -> Any:
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        contexts.append(context)
        for place, cookies in COOKIES.items():
            if address.startswith(place):
                context.add_cookies(
                    [
                        {"name": name, "value": value, "url": place}
                        for name, value in cookies.items()
                    ]
                )
        context.on("request", check)
        page = context.new_page()
        page.set_default_timeout(60_000)
        watch(page)
        page.goto(address)
        page.wait_for_selector(ready)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not faults
