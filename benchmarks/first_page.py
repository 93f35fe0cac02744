"""Starting the web workbench: seconds from the command to its first page, beside bare Gradio.

The goal is 6 s. Both are whole processes, started in turn: ``icl app``, and a page of one text box
made with Gradio alone, which is what any such app has to spend. No model is loaded by either.
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
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from icl.core.errors import IclError
from icl.records.manifest import describe_machine, list_versions

__all__ = ["BARE", "GOAL_S", "first_page", "measure", "table"]

GOAL_S = 6.0
WAIT_S = 120.0
WORKBENCH = "import sys; from icl.cli import main; sys.argv[0] = 'icl'; main()"
BARE = """
import sys
import gradio as gr
gr.Interface(lambda name: f"Hello {name}", "text", "text", analytics_enabled=False).launch(
    server_name="127.0.0.1", server_port=int(sys.argv[1]), quiet=True, share=False, ssr_mode=False
)
"""
COMMANDS = {
    "icl app": (WORKBENCH, "app", "--port"),
    "bare Gradio": (BARE,),
}


def first_page(command: Sequence[str], folder: Path) -> float:
    """Seconds from the start of the process until its page and the page's parts were answered.

    Raises:
        IclError: the process ended, or was silent for two minutes.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = {
        **os.environ,
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    printed = folder / f"printed-{port}"
    began = time.perf_counter()
    with printed.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", *command, port],
            cwd=folder,
            env=environment,
            stdout=out,
            stderr=subprocess.PIPE,
        )
    try:
        while not _answers(f"http://127.0.0.1:{port}/", printed):
            if process.poll() is not None or time.perf_counter() - began > WAIT_S:
                process.kill()
                said = process.communicate()[1].decode(errors="replace").strip()
                raise IclError(f"no page within {WAIT_S:.0f} s: {said.splitlines()[-1:]}")
            time.sleep(0.02)
        return time.perf_counter() - began
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _answers(address: str, printed: Path) -> bool:
    """Whether the page is there, with the description of its parts.

    The workbench opens to the address that it printed alone, whose token it makes a cookie.
    """
    token = re.search(r"\?token=\S+", printed.read_text("utf-8"))
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    try:
        for path in (token[0] if token else "", "config"):
            with opener.open(address + path, timeout=WAIT_S) as reply:
                if reply.status != 200 or not reply.read():
                    return False
    except (urllib.error.URLError, ConnectionError):
        return False
    return True


def measure(times: int) -> dict[str, list[float]]:
    """Seconds of each start, both in turn; what was read from the disk the first time is not."""
    took: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(times + 1):
            for name, command in COMMANDS.items():
                seconds = first_page(command, Path(folder))
                if turn:
                    took[name].append(seconds)
    return took


def table(took: dict[str, list[float]]) -> str:
    """Median, least and most seconds of each, their ratio, and the goal."""
    lines = [f"{'to the first page':<20}{'median':>9}{'least':>9}{'most':>9}{'starts':>9}"]
    middle = {name: statistics.median(seconds) for name, seconds in took.items()}
    lines += [
        f"{name:<20}{middle[name]:>7.2f} s{min(seconds):>7.2f} s{max(seconds):>7.2f} s"
        f"{len(seconds):>9}"
        for name, seconds in took.items()
    ]
    ours, bare = (middle[name] for name in COMMANDS)
    kept = "kept" if ours <= GOAL_S else "missed"
    return "\n".join([*lines, f"{ours / bare:.2f} times bare Gradio; goal {GOAL_S:.0f} s: {kept}"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2 starts of each instead of 7")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    given = parser.parse_args(arguments)
    try:
        took = measure(2 if given.quick else 7)
    except IclError as error:
        sys.exit(f"error: {error}")
    print(table(took))
    if given.json is not None:
        made = {
            "seconds": took,
            "goal_s": GOAL_S,
            "machine": describe_machine(),
            "versions": list_versions(),
        }
        given.json.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
