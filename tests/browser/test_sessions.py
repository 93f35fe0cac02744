"""Several sessions at once, each with a word of its own: none ever meets another's.

What is saved or run is on disk for all, as it is for ``icl run``: templates, runs, feedback. So
nobody saves or runs under a name here.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from icl.running.run import run as run_experiment
from tests.browser.conftest import COOKIES, serving
from tests.browser.test_app import until, until_prompt, write
from tests.browser.test_desk import tab, until_box
from tests.table_experiment import write as write_experiment

SAID = "---\ntask: classify\nlabel_field: intent\n---\n{} {{{{ utt }}}}||| {{{{ label }}}}"
KEPT = """() => JSON.stringify([document.documentElement.outerHTML, location.href,
  [...document.querySelectorAll("input, textarea")].map(one => one.value), {...localStorage}])"""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("sessions")
    run_experiment(str(write_experiment(folder)), Path(folder, "runs"))
    with serving({"engine": "echo", "window": 9000}, folder) as address:
        yield address


def fill(page: Any, name: str, text: str) -> None:
    page.fill(f"#{name} textarea, #{name} input", text)


def playground(page: Any, word: str) -> None:
    write(page, SAID.format(word))
    until_prompt(page, word)
    fill(page, "file", word)
    fill(page, "correction", word)
    tab(page, "Row")
    fill(page, "wanted", word)
    page.check("#typed input")
    page.wait_for_selector("#field0 textarea, #field0 input")
    fill(page, "field0", f"typed {word}")
    fill(page, "answer", word)
    until_prompt(page, f"typed {word}")
    tab(page, "Shots")
    fill(page, "pool-wanted", word)
    fill(page, "shot-file", word)
    tab(page, "As experiment")
    fill(page, "export-name", word)
    page.click("#run")


def answered(page: Any, word: str) -> None:
    until(page, "told", "of the 61 labels")
    page.click("#corrected")
    until_box(page, "noted", "^corrected: saved in feedback.jsonl")
    tab(page, "Tokens")
    page.click("#inspect")
    until_box(page, "expected", r"^\d+ tokens; click one")
    fill(page, "place", "2")
    until_box(page, "expected", "rank 1")
    page.wait_for_function(
        "word => document.querySelector('#heat').innerText.includes(word)", arg=word
    )


def compare(page: Any, word: str) -> None:
    tab(page, "Compare")
    fill(page, "c-n", "5")
    fill(page, "c-kB", "0")
    until(page, "c-check", "^A and B: ")
    page.click("#c-run")


def compared(page: Any, word: str) -> None:
    until(page, "c-counted", "^5 of 5 rows answered")
    fill(page, "c-chosen", word)
    fill(page, "c-templateB", word)
    page.keyboard.press("Enter")
    until(page, "c-check", f"column B: unknown template '{word}'")


def experiment(page: Any, word: str) -> None:
    tab(page, "Experiment")
    until(page, "x-check", "^fine")
    fill(page, "x-name", word)
    page.wait_for_function(
        "word => document.querySelector('#x-yaml').innerText.includes(word)", arg=word
    )
    page.click("#x-estimate")


def estimated(page: Any, word: str) -> None:
    until(page, "x-told", "^about")
    mistyped(page, word)


def mistyped(page: Any, word: str) -> None:
    page.click("#x-yaml .cm-content")
    page.keyboard.press("Control+End")
    page.keyboard.insert_text(f"\n{word}: 1")
    until(page, "x-check", f"unknown key '{word}'")


def looked_up(page: Any, word: str) -> None:
    tab(page, "Results")
    fill(page, "result-text", word)
    until_box(page, "result-page", ": 0 of")
    fill(page, "result-other", word)
    page.keyboard.press("Enter")
    until_box(page, "result-told", f"{word}")
    tab(page, "Blind A/B")
    fill(page, "b-run", word)
    page.keyboard.press("Enter")
    until_box(page, "b-told", f"no run '{word}'")


def test_no_page_meets_what_another_types(app: str, open_page: Callable[..., Any]) -> None:
    words = [f"canary{letter}" for letter in "abcd"]
    pages = [open_page(app) for _ in words]
    replies: list[list[Any]] = [[] for _ in words]
    for page, mine in zip(pages, replies, strict=True):
        page.on("requestfinished", lambda asked, mine=mine: mine.append(asked))
    steps = (playground, answered, compare, compared, experiment, estimated, looked_up)
    for step in steps:
        for page, word in zip(pages, words, strict=True):
            step(page, word)
    for page, word, mine in zip(pages, words, replies, strict=True):
        asked = [one for one in mine if "/gradio_api/" in one.url]
        texts = [one.post_data or "" for one in asked]
        texts += [reply.text() for one in asked if (reply := one.response()) is not None]
        seen = "\n".join([page.evaluate(KEPT), *texts])
        assert len(asked) > 20 and seen.count(word) > 20
        assert [other for other in words if other != word and other in seen] == []


# ---- the same questions, asked by many at once

WORD = "canary0x"


@dataclass(frozen=True)
class Asked:
    """A request as the page made it, to be made again for another session."""

    path: str
    body: str
    session: str

    def again(self, number: int) -> dict[str, Any]:
        """The same with the word of another session."""
        text = self.body.replace(WORD, f"canary{number}x")
        return dict(json.loads(text.replace(self.session, f"session{number}x")))


def recorded(page: Any) -> tuple[Asked, list[Asked]]:
    """What asks the model for tokens; and what is answered at once with the session's word."""
    asked: list[Any] = []
    page.on("requestfinished", lambda one: asked.append(one) if one.method == "POST" else None)
    write(page, SAID.format(WORD))
    until_prompt(page, WORD)
    tab(page, "Tokens")
    page.click("#inspect")
    until_box(page, "expected", r"^\d+ tokens; click one")
    words = page.inner_text("#heat .textfield").split()
    fill(page, "place", str(words.index(WORD, 1) + 1))
    until_box(page, "expected", WORD)
    tab(page, "Compare")
    until(page, "c-check", "^A and B: ")
    fill(page, "c-templateB", WORD)
    page.keyboard.press("Enter")
    until(page, "c-check", f"column B: unknown template '{WORD}'")
    tab(page, "Experiment")
    until(page, "x-check", "^fine")
    mistyped(page, WORD)
    queued, quick = [], []
    for one in asked:
        place = one.url.partition("/gradio_api")
        made = Asked(place[1] + place[2], one.post_data, one.post_data_json["session_hash"])
        if "/queue/join" in one.url and WORD in one.post_data:
            queued.append(made)
        elif "/run/" in one.url and WORD in one.response().text():
            quick.append(made)
    return queued[0], quick


async def at_once(address: str, first: Asked, others: list[Asked], sessions: int) -> list[str]:
    """The replies to every session, each asking what the page asked; session by session."""
    few = asyncio.Semaphore(8)  # sixteen may wait for the model
    each = httpx.Limits(max_connections=sessions)  # as many as there are browsers
    async with httpx.AsyncClient(
        base_url=address, timeout=600, limits=each, cookies=COOKIES[address]
    ) as client:

        async def inspected(number: int) -> str:
            async with few:
                (await client.post(first.path, json=first.again(number))).raise_for_status()
                data = "/gradio_api/queue/data"
                wanted = {"session_hash": f"session{number}x"}
                async with client.stream("GET", data, params=wanted) as reply:
                    return "\n".join([line async for line in reply.aiter_lines()])

        async def answer(one: Asked, number: int) -> str:
            reply = await client.post(one.path, json=one.again(number))
            return reply.raise_for_status().text

        tokens = await asyncio.gather(*map(inspected, range(sessions)))
        pairs = [(one, number) for number in range(sessions) for one in others]
        told = await asyncio.gather(*(answer(*pair) for pair in pairs))
    count = len(others)
    return [
        "\n".join([tokens[number], *told[number * count : (number + 1) * count]])
        for number in range(sessions)
    ]


@pytest.mark.parametrize("sessions", [10, pytest.param(250, marks=pytest.mark.slow)])
def test_requests_at_once_are_answered_to_their_own_session(
    app: str, sessions: int, open_page: Callable[..., Any]
) -> None:
    page = open_page(app)
    first, others = recorded(page)
    assert len(others) >= 4  # the prompt, a token, the columns, the file
    page.close()
    with ThreadPoolExecutor(1) as beside:  # Playwright's own loop runs in this thread
        replies = beside.submit(asyncio.run, at_once(app, first, others, sessions)).result()
    for number, reply in enumerate(replies):
        found = re.findall(r"canary\d+x", reply)
        assert set(found) == {f"canary{number}x"} and len(found) > len(others)
