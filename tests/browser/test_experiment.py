"""The tab Experiment in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from icl.records.results import load_run
from tests.browser.conftest import serving
from tests.browser.test_app import choose, until, value


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


@pytest.fixture(scope="module")
def slow_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("slow")


@pytest.fixture(scope="module")
def slow(slow_folder: Path) -> Iterator[str]:
    with serving({"engine": "slow", "default": "hash", "delay_s": 3.0}, slow_folder) as address:
        yield address


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
    until(page, "x-told", "^about .* in all; nothing was run or saved$")
    page.wait_for_selector("#x-run:not([disabled])")
    page.click("#x-run")
    until(page, "x-told", "^18 records computed, 0 reused; all of them in runs/grid$")
    page.wait_for_selector("#x-scores [role=gridcell]")
    assert "95 % interval" in page.inner_text("#x-scores")
    assert page.inner_text("#x-bar").startswith("all 18 rows; ")
    assert len(load_run("grid", folder / "runs").conditions) == 3
    until(page, "x-compared", "acc by shots, against 0")
    choose(page, "x-by", "k")
    until(page, "x-compared", "acc by k, against 0")
    choose(page, "x-baseline", "1")
    assert "Holm: p corrected for all 2 comparisons" in until(
        page, "x-compared", "acc by k, against 1"
    )
    page.wait_for_selector("#x-run:not([disabled])")
    page.click("#x-run")
    until(page, "x-told", "^0 records computed, 18 reused")
    page.click("#x-save")
    until(page, "x-told", r"^saved grid\.yaml; the same from a terminal: icl run grid\.yaml$")
    assert yaml.safe_load((folder / "grid.yaml").read_text()) == whole
    page.click("#x-open")
    page.wait_for_selector("#result-records [role=gridcell]")
    assert page.input_value("#result-run input") == "grid"


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


def records(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.glob("runs/conditions/*/records.jsonl")}


def test_what_was_stopped_goes_on_and_nothing_is_computed_twice(
    slow: str, slow_folder: Path, open_page: Callable[[str], Any]
) -> None:
    page = opened(open_page(slow))
    page.fill("#x-name input, #x-name textarea", "halved")
    page.fill("#x-n input", "20")
    until_text(page, "n: 20")
    until(page, "x-check", "^fine; 2 conditions")
    page.click("#x-run")
    until(page, "x-told", r": 8 of 20 rows")
    bar = page.locator("#x-bar progress")
    assert bar.get_attribute("max") == "40" and int(bar.get_attribute("value") or 0) >= 8
    assert re.search(r"\d+ of 40 rows; .* s left; .* in all", page.inner_text("#x-bar"))
    page.click("#x-stop")
    until(
        page,
        "x-told",
        "^stopped; finished answers are saved, and running again continues from them$",
    )
    page.wait_for_selector("#x-run:not([disabled])")
    before = records(slow_folder)
    kept = sum(content.count(b"\n") for content in before.values())
    assert 8 <= kept < 40
    page.click("#x-run")
    until(page, "x-told", f"^{40 - kept} records computed, {kept} reused; all of them in runs/hal")
    after = records(slow_folder)
    assert len(after) == 2
    for path, content in after.items():
        assert content.startswith(before.get(path, b""))
        ids = [json.loads(line)["id"] for line in content.splitlines()]
        assert len(ids) == len(set(ids)) == 20


def test_a_page_waits_for_another_and_says_so(slow: str, open_page: Callable[[str], Any]) -> None:
    first, second = opened(open_page(slow)), open_page(slow)
    first.fill("#x-name input, #x-name textarea", "long")
    first.fill("#x-seed input", "5")
    until_text(first, "seed: 5")
    first.click("#x-run")
    until(first, "x-told", r" of 60 rows|getting ready")
    second.click("#run")  # of the playground
    waits = until(second, "told", "^waiting, number 1 in the queue: ")
    assert "an experiment of another page is running, " in waits
    opened(second)
    second.click("#x-run")
    until(second, "x-told", "^waiting, number 2 in the queue: an experiment of another page ")
    second.click("#x-stop")
    until(second, "x-told", "^stopped while waiting: nothing was sent$")
    second.wait_for_selector("#x-run:not([disabled])")
    second.click("#x-estimate")
    until(second, "x-told", "^waiting, number 2 in the queue: an experiment of another page ")
    first.close()  # its run ends after the batch, and the others have their turns
    until(second, "x-told", "^about .* in all; nothing was run or saved$")
    second.get_by_role("tab", name="Playground", exact=True).click()
    until(second, "told", "^row id ")
