"""Nothing typed is lost on reload: the boxes that no other test of a tab types into."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from icl.running.run import run
from tests.browser.conftest import serving
from tests.browser.test_desk import tab, until_box
from tests.table_experiment import write

TYPED = {
    "Template": ("file",), "Row": ("wanted",), "Shots": ("pool-wanted", "shot-file"),
    "As experiment": ("export-name",),
}  # fmt: skip
"""Tab inside the playground -> its boxes."""


@pytest.fixture
def app(tmp_path: Path) -> Iterator[str]:
    run(str(write(tmp_path)), tmp_path / "runs")
    with serving({"engine": "table", "default": "hash"}, tmp_path) as address:
        yield address


def fill(page: Any, name: str) -> None:
    page.fill(f"#{name} textarea, #{name} input", f"typed-{name}")


def test_texts_are_there_again(app: str, open_page: Callable[..., Any]) -> None:
    page = open_page(app)
    fill(page, "correction")
    for place, names in TYPED.items():
        tab(page, place)
        for name in names:
            fill(page, name)
    tab(page, "Results")
    fill(page, "result-text")
    until_box(page, "result-page", ": 0 of")
    page.wait_for_function("location.search.includes('text=typed-result-text')")
    for _ in range(2):  # what was put back is kept, too
        page.reload()
        page.wait_for_selector("#prompt .textfield .text", state="attached")  # Results is open
        until_box(page, "correction", "^typed-correction$")
        page.wait_for_timeout(2000)
    until_box(page, "correction", "^typed-correction$")
    tab(page, "Playground")
    for place, names in TYPED.items():
        tab(page, place)
        for name in names:
            until_box(page, name, f"^typed-{name}$")
    tab(page, "Results")
    until_box(page, "result-text", "^typed-result-text$")
    until_box(page, "result-page", ": 0 of")
    # Another tab of the browser begins with that, and then has a draft of its own.
    other = page.context.new_page()
    other.goto(app)
    other.wait_for_selector("#prompt .textfield .text")
    until_box(other, "correction", "^typed-correction$")
    other.fill("#correction textarea", "in the other tab")
    other.wait_for_timeout(1500)
    for one, text in ((page, "typed-correction"), (other, "in the other tab")):
        one.reload()
        one.wait_for_selector("#correction textarea", state="attached")
        until_box(one, "correction", f"^{text}$")
    other.close()
    page.close()  # before the server
