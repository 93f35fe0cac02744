"""Every engine keeps the contract, and the contract's checks are able to fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from icl.core.types import ChoiceScore, Output, Prompt, Token
from icl.engines.contract import check_engine
from icl.engines.hf.engine import HFEngine
from icl.engines.openai import OpenAIEngine
from icl.engines.protocol import Engine
from icl.engines.table import TableEngine
from tests.servers import Server

Serve = Callable[..., Server]


def made(server: Server, **options: Any) -> OpenAIEngine:
    entry = server.entry(**options)
    entry.pop("engine")
    return OpenAIEngine(**entry)


def test_table_keeps_the_contract() -> None:
    check_engine(TableEngine(default="hash"))


def test_hf_keeps_the_contract(tiny_model: Path) -> None:
    check_engine(HFEngine(str(tiny_model), device="cpu"))


@pytest.mark.parametrize(
    ("offers", "ranks"),
    [
        ({"counts": True}, True),
        ({}, True),
        ({"echo": False}, True),
        ({"echo": False, "top": 0, "knows_n": False}, False),
        ({"completions": False, "top": 0}, False),
    ],
)
def test_openai_keeps_the_contract(serve: Serve, offers: dict[str, Any], ranks: bool) -> None:
    engine = made(serve(**offers))
    same: Engine = engine  # the protocol, checked by mypy
    check_engine(same, ranks=ranks)


class Broken(TableEngine):
    """Breaks one promise at a time."""

    how = ""

    def generate(self, prompts: Sequence[Prompt], *rest: Any) -> Iterator[tuple[int, Output]]:
        prompts = list(prompts)
        if self.how == "streaming":
            rest = (*rest[:1], None, *rest[2:])
        if self.how == "cancelling":
            rest = rest[:2]
        if self.how == "stop strings":
            prompts = [replace(prompt, stop=()) for prompt in prompts]
        found = list(super().generate(prompts, *rest))
        if self.how == "determinism and order" and len(found) == 4:
            found = [(i, found[i - 1][1]) for i in range(4)]
        if self.how == "outputs":
            found = found[:-1]
        if self.how == "samples":
            found = [(i, replace(output, sample=0)) for i, output in found]
        yield from found

    def score(self, items: Sequence[tuple[Prompt, str]]) -> Iterator[tuple[int, ChoiceScore]]:
        for index, score in super().score(items):
            more = index * 0.01 if self.how == "scores" else 0.0
            if self.how == "rows of the same prompt":
                more += len(items) * 0.01
            yield index, replace(score, logprob=score.logprob - more)

    def tokens(self, prompt: Prompt) -> list[Token]:
        found = super().tokens(prompt)
        return found[:1] if self.how == "tokens" else found

    def check_window(self, prompt: Prompt, n_more: int) -> int:
        if self.how == "long prompts":
            return len(self.tokens(prompt))
        return super().check_window(prompt, n_more)

    def identity(self) -> dict[str, Any]:
        return {
            "kind": "table",
            "object": id(object()) if self.how == "identity" else 0,
            "again": self.__dict__.setdefault("n", []).append(0)
            or (len(self.__dict__["n"]) if self.how == "identity" else 0),
        }


@pytest.mark.parametrize(
    "how",
    ["identity", "tokens", "outputs", "determinism and order", "stop strings", "streaming",
     "samples", "cancelling", "long prompts", "scores", "rows of the same prompt"],
)  # fmt: skip
def test_a_broken_promise_is_named(how: str) -> None:
    engine = Broken(default="hash")
    check_engine(engine)
    engine.how = how
    with pytest.raises(AssertionError, match=rf"Broken breaks \d+ promises .*\n(.*\n)*{how}: "):
        check_engine(engine)
