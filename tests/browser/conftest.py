"""The app in a process of its own, and a page that fails on anything it should not do."""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
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


class Starter:
    """The process that starts apps; it has imported what they need."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.browser.serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
        )
        atexit.register(self.end)

    def end(self) -> None:
        """End the process; the apps end with their tests."""
        self.process.kill()
        self.process.communicate()

    def start(self, asked: dict[str, Any]) -> int:
        """The process id of an app."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@cache
def starter() -> Starter:
    return Starter()


def is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def until(met: Callable[[], bool], seconds: float) -> bool:
    """Whether it is met within that time."""
    end = time.monotonic() + seconds
    while not met():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


@contextmanager
def serving(model: dict[str, Any], folder: Path, *experiment: str) -> Iterator[str]:
    """The address of the app on that model, with ``folder`` as its working folder.

    The token is left out of it, so that tests can add to it; :func:`open_page` brings its cookie.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as private:
        out, errors = Path(private, "out"), Path(private, "errors")
        process = starter().start(
            {
                "port": port,
                "model": model,
                "folder": str(folder),
                "experiment": (*experiment, None)[0],
                "out": str(out),
                "errors": str(errors),
            }
        )
        try:
            until(lambda: out.exists() or not is_there(process), 120)
            assert out.exists(), errors.read_text("utf-8")
            until(lambda: "?token=" in out.read_text("utf-8"), 5)
            address, _, token = out.read_text("utf-8").partition("?token=")
            assert address == f"http://127.0.0.1:{port}/" and token
            COOKIES[address] = {cookie_name(port): token}
            yield address
        finally:
            if is_there(process):
                os.kill(process, signal.SIGTERM)
            ended = until(lambda: not is_there(process), 20)
            told = errors.read_text("utf-8") if errors.exists() else ""
        assert ended, "the app does not end"
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
