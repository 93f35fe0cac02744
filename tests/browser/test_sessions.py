"""Several sessions at once, each with a word of its own: none ever meets another's.

What is saved or run is on disk for all, as it is for ``icl run``: templates, runs, feedback. So
nobody saves or runs under a name here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from icl.run import run as run_experiment
from tests.browser.conftest import serving
from tests.browser.test_app import until, until_prompt, write
from tests.browser.test_desk import tab, until_box
from tests.experiment import write as write_experiment

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
    until_box(page, "noted", "^corrected: kept in feedback.jsonl")
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


def recorded(page: Any, word: str) -> list[dict[str, Any]]:
    """What a page sends for a preview, its tokens and one of them, a check, and columns."""
    sent: list[dict[str, Any]] = []
    page.on("request", lambda asked: _note(asked, sent))
    write(page, SAID.format(word))
    until_prompt(page, word)
    tab(page, "Tokens")
    page.click("#inspect")
    until_box(page, "expected", r"^\d+ tokens; click one")
    fill(page, "place", "4")
    until_box(page, "expected", "rank 1")
    compare(page, word)
    compared(page, word)
    tab(page, "Experiment")
    until(page, "x-check", "^fine")
    estimated(page, word)
    return sent


def _note(asked: Any, sent: list[dict[str, Any]]) -> None:
    if asked.method == "POST" and asked.url.endswith(("/run/predict", "/queue/join")):
        sent.append({"path": asked.url.partition("/gradio_api")[2], **asked.post_data_json})


def test_what_is_recorded(app: str, open_page: Callable[..., Any]) -> None:
    page = open_page(app)
    for one in recorded(page, "canaryq"):
        print(json.dumps(one)[:200])
