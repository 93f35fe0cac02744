"""A process that imports slow libraries once, and forks for each program that it is sent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
FORK = """
import importlib, json, os, sys, traceback
for name in sys.argv[1:]:
    importlib.import_module(name)
for line in sys.stdin:
    programs, folder = json.loads(line)
    children = []
    for at, code in enumerate(programs):
        if child := os.fork():
            children.append(child)
            continue
        os.chdir(folder)
        for number, name in ((0, os.devnull), (1, f"out-{at}.txt"), (2, f"err-{at}.txt")):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), number)
        status = 0
        try:
            exec(code, {"__name__": "__main__"})
        except SystemExit as end:
            status = end.code or 0
        except BaseException:
            traceback.print_exc()
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    ended = [os.waitpid(child, 0)[1] for child in children]
    print(json.dumps([os.waitstatus_to_exitcode(one) for one in ended]), flush=True)
"""


class Ended(NamedTuple):
    """What a program printed, and its exit status."""

    returncode: int
    stdout: str
    stderr: str


Forks = Callable[..., list[Ended]]
"""Runs programs at the same time, each in a process of its own: ``(folder, *codes)``."""


@contextmanager
def forks(*modules: str, environment: Mapping[str, str] | None = None) -> Iterator[Forks]:
    """Import modules in one process, and fork it for every program."""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", FORK, *modules],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        asks, answers = process.stdin, process.stdout

        def run(folder: Path, *codes: str) -> list[Ended]:
            asks.write(json.dumps([codes, str(folder)]) + "\n")
            asks.flush()
            line = answers.readline()
            assert line, "the process that forks is gone"
            return [
                Ended(
                    status, *((folder / f"{name}-{at}.txt").read_text() for name in ("out", "err"))
                )
                for at, status in enumerate(json.loads(line))
            ]

        yield run
