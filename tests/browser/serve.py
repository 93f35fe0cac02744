"""Starts apps for tests: imports what they need once, and forks for each line of JSON it reads.

A line is ``{"port", "model", "folder", "experiment", "out", "errors"}``: the child serves the app
on that model with ``folder`` as its working folder, writes its address to the file ``out`` and
what it complains of to ``errors``. The answer is a line with its process id.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from icl.core.registry import register
from icl.core.types import ChoiceScore, OnToken, Output, Prompt, Sampling, TokenScore
from icl.engines.table import TableEngine
from icl.workbench.web.launch import serve


@register("engine", "talker")
@dataclass
class Talker(TableEngine):
    """Writes ``text`` to every prompt, a word every ``delay_s``."""

    text: str = ""
    delay_s: float = 0.0

    def generate(
        self,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        on_token: OnToken | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[tuple[int, Output]]:
        """All words, whatever the stop strings; ends at the next one when stopped."""
        assert on_token is not None and stop is not None
        said = ""
        finish = "end"
        for word in self.text.split(" "):
            if stop.is_set():
                finish = "cancelled"
                break
            on_token(0, f" {word}")
            said += f" {word}"
            time.sleep(self.delay_s)
        yield 0, Output(said, finish, 1, len(said.split()))


@register("engine", "echo")
@dataclass
class Echo(TableEngine):
    """Writes the query back, as a model may, and tells the probabilities of tokens."""

    default: Literal["hash"] | None = "hash"

    def inspect(self, prompt: Prompt, answer: str = "", top: int = 8) -> list[TokenScore]:
        """Every word, with itself as what else could have stood there."""
        tokens = self.tokens(Prompt(prompt.text + answer))
        return [TokenScore(one, -1.0, 1, ((one.text, -1.0),)) for one in tokens]

    def _text(self, prompt: Prompt) -> str:
        return prompt.query


@register("engine", "slow")
@dataclass
class Slow(TableEngine):
    """Takes ``delay_s`` before each batch that it ranks."""

    delay_s: float = 1.0

    def score(self, items: Sequence[tuple[Prompt, str]]) -> Iterator[tuple[int, ChoiceScore]]:
        """As the table says, late."""
        time.sleep(self.delay_s)
        yield from super().score(items)


def start(asked: dict[str, Any]) -> int:
    """Serve the app in a child of this process; returns its process id."""
    if child := os.fork():
        return child
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.chdir(asked["folder"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, os.devnull), (2, asked["errors"])):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
    status = 1
    try:
        serve(
            asked["model"],
            port=asked["port"],
            experiment=asked["experiment"],
            ready=lambda url: Path(asked["out"]).write_text(url, "utf-8"),
        )
        status = 0
    except SystemExit:  # the end of a test
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    for name in ("gradio", "transformers", "uvicorn", "icl.workbench.web.tabs"):
        import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children that ended leave nothing behind
    for line in sys.stdin:
        print(start(json.loads(line)), flush=True)
