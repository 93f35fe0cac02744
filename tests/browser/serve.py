"""Serves the app on a model given as JSON, for tests: PORT MODEL [EXPERIMENT]."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

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


if __name__ == "__main__":
    serve(
        json.loads(sys.argv[2]),
        port=int(sys.argv[1]),
        experiment=(*sys.argv[3:], None)[0],
        ready=lambda url: print(url, flush=True),
    )
