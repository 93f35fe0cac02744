"""The tab Experiment in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from icl.results import load_run
from tests.browser.conftest import serving
from tests.browser.test_app import until, value


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("experiment")


@pytest.fixture(scope="module")
def table(folder: Path) -> Iterator[str]:
    with serving({"engine": "table", "default": "hash"}, folder) as address:
        yield address


def opened(page: Any) -> Any:
    page.get_by_role("tab", name="Experiment", exact=True).click()
    page.wait_for_selector("#x-yaml .cm-content")
    until(page, "x-check", ".")
    return page


def text(page: Any) -> str:
    return "\n".join(page.locator("#x-yaml .cm-line").all_inner_texts())


def until_text(page: Any, wanted: str) -> None:
    page.wait_for_function(
        "wanted => document.querySelector('#x-yaml').innerText.includes(wanted)", arg=wanted
    )


def test_the_form_writes_estimates_runs_and_goes_on(
    table: str, folder: Path, open_page: Callable[[str], Any]
) -> None:
    page = opened(open_page(table))
    until(page, "x-check", "^fine; 2 conditions")
    page.fill("#x-n input", "6")
    until_text(page, "n: 6")
    page.fill("#x-ks input, #x-ks textarea", "0, 1, 2")
    until_text(page, "k: 2")
    until(page, "x-check", "^fine; 3 conditions of 3 kinds of shots$")
    whole = yaml.safe_load(text(page))
    assert [len(whole["grid"]["shots"]), whole["tasks"][0]["rows"]["n"]] == [3, 6]
    page.click("#x-estimate")
    until(page, "x-told", "^about .* in all; nothing was run or kept$")
    page.wait_for_selector("#x-run:not([disabled])")
    page.click("#x-run")
    until(page, "x-told", "^18 records computed, 0 reused; all of them in runs/grid$")
    assert re.search(r"acc +95 % int", until(page, "x-scores", "acc"))
    assert len(load_run("grid", folder / "runs").conditions) == 3
    page.wait_for_selector("#x-run:not([disabled])")
    page.click("#x-run")
    until(page, "x-told", "^0 records computed, 18 reused")
    page.click("#x-save")
    until(page, "x-told", r"^saved grid\.yaml; the same from a terminal: icl run grid\.yaml$")
    assert yaml.safe_load((folder / "grid.yaml").read_text()) == whole


def test_hand_edits_count_and_survive(table: str, open_page: Callable[[str], Any]) -> None:
    page = opened(open_page(table))
    until(page, "x-check", "^fine")
    page.click("#x-yaml .cm-content")
    page.keyboard.press("Control+End")
    page.keyboard.press("Enter")
    page.keyboard.press("Home")
    page.keyboard.type("gird: 1")
    until(page, "x-check", r"^line \d+: (unknown key 'gird'. Did you mean 'grid'|not YAML)")
    page.fill("#x-n input", "9")
    until(page, "x-check", "^the text was edited by hand")
    assert "n: 60" in text(page) and "gird" in text(page)
    page.wait_for_timeout(1000)
    page.reload()
    page.wait_for_selector("#prompt .textfield .text")
    opened(page)
    until_text(page, "gird")
    assert page.input_value("#x-n input") == "9"
    page.click("#x-run")
    until(page, "x-told", r"^line \d+: ")
    page.wait_for_selector("#x-run:not([disabled])")
    page.click("#x-write")
    until_text(page, "n: 9")
    until(page, "x-check", "^fine")
    page.click("#x-back")
    until_text(page, "gird")


def test_what_a_page_must_not_start(table: str, open_page: Callable[[str], Any]) -> None:
    page = opened(open_page(table))
    until(page, "x-check", "^fine")
    page.click("#x-yaml .cm-content")
    page.keyboard.press("Control+a")
    page.keyboard.insert_text("plugins: [evil]\n" + text(page))
    assert "line 1: the plug-in 'evil' is Python code, which this page does not start" in until(
        page, "x-check", "plug-in"
    )
    page.click("#x-run")
    until(page, "x-told", "plug-in")
    assert "records" not in value(page, "x-told")
