"""Mounting the workbench in a browser: seconds until it can be used, beside bare Gradio.

The goal is 1.5 times a page of one text box made with Gradio alone. Both are opened by Chromium in
turn and reloaded, so that scripts come from its cache; the time ends when the prompt stands there,
or the text box. Wants Playwright and a Chromium (``pip install 'icl-workbench[test-browser]'``).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.first_page import BARE, WAIT_S, WORKBENCH
from icl.core.errors import IclError
from icl.records.manifest import describe_machine, list_versions

__all__ = ["GOAL", "MountedPage", "measure", "serving", "table"]

GOAL = 1.5
PAGES = {
    "icl app": ((WORKBENCH, "app", "--port"), "#prompt .text"),
    "bare Gradio": ((BARE,), "textarea"),
}
COUNT = "() => [window.gradio_config.components.length, window.gradio_config.dependencies.length]"


@dataclass(frozen=True)
class MountedPage:
    """A page that was opened several times."""

    components: int
    events: int
    seconds: Sequence[float]


@contextmanager
def serving(command: Sequence[str], folder: Path) -> Iterator[str]:
    """Start a server and yield the address to open, with its token if it has one.

    Raises:
        IclError: it ended, or did not listen within two minutes.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    printed = folder / f"printed-{port}"
    with printed.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", *command, str(port)],
            cwd=folder,
            env=environment,
            stdout=out,
            stderr=subprocess.PIPE,
        )
    try:
        began = time.perf_counter()
        while not _listens(port):
            if process.poll() is not None or time.perf_counter() - began > WAIT_S:
                process.kill()
                said = process.communicate()[1].decode(errors="replace").strip()
                raise IclError(f"no page within {WAIT_S:.0f} s: {said.splitlines()[-1:]}")
            time.sleep(0.05)
        time.sleep(1)  # the address is printed once it listens
        token = re.search(r"\?token=\S+", printed.read_text("utf-8"))
        yield f"http://127.0.0.1:{port}/{token[0] if token else ''}"
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def measure(times: int, program: str) -> dict[str, MountedPage]:
    """Open both pages in turn, ``times`` times each, with the Chromium at ``program``."""
    from playwright.sync_api import sync_playwright

    took: dict[str, list[float]] = {name: [] for name in PAGES}
    counts: dict[str, tuple[int, int]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        places = {
            name: stack.enter_context(serving(command, folder))
            for name, (command, _) in PAGES.items()
        }
        chromium = stack.enter_context(sync_playwright()).chromium
        browser = chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        pages = {name: browser.new_context().new_page() for name in PAGES}
        for turn in range(times + 1):
            for name, page in pages.items():
                if not turn:
                    page.goto(places[name])
                    page.wait_for_selector(PAGES[name][1])
                    components, events = page.evaluate(COUNT)
                    counts[name] = (components, events)
                    continue
                began = time.perf_counter()
                page.reload()
                page.wait_for_selector(PAGES[name][1])
                took[name].append(time.perf_counter() - began)
        browser.close()
    return {name: MountedPage(*counts[name], took[name]) for name in PAGES}


def table(found: dict[str, MountedPage]) -> str:
    """Components, events, median, least and most seconds of each, their ratio, and the goal."""
    lines = [
        f"{'until it can be used':<21}{'components':>11}{'events':>8}"
        f"{'median':>9}{'least':>9}{'most':>9}"
    ]
    middle = {name: statistics.median(page.seconds) for name, page in found.items()}
    lines += [
        f"{name:<21}{page.components:>11}{page.events:>8}{middle[name]:>7.2f} s"
        f"{min(page.seconds):>7.2f} s{max(page.seconds):>7.2f} s"
        for name, page in found.items()
    ]
    ours, bare = (middle[name] for name in PAGES)
    kept = "kept" if ours / bare <= GOAL else "missed"
    return "\n".join([*lines, f"{ours / bare:.2f} times bare Gradio; goal {GOAL}: {kept}"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=7, help="how often each page is opened")
    parser.add_argument("--chromium", required=True, help="the Chromium to open them with")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    given = parser.parse_args(arguments)
    try:
        found = measure(given.times, given.chromium)
    except IclError as error:
        sys.exit(f"error: {error}")
    print(table(found))
    if given.json is not None:
        made = {
            "pages": {name: vars(page) for name, page in found.items()},
            "goal": GOAL,
            "machine": describe_machine(),
            "versions": list_versions(),
        }
        given.json.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
