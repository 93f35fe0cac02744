"""Every tab in a real browser, once: what `make test` runs of the browser tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from icl.running.run import run
from tests.browser.conftest import serving
from tests.browser.test_app import choose, until
from tests.browser.test_app import run as run_playground
from tests.browser.test_compare import opened as open_compare
from tests.browser.test_compare import run as run_compare
from tests.browser.test_experiment import opened as open_experiment
from tests.browser.test_results import results as open_results
from tests.browser.test_results import rows
from tests.table_experiment import write


def test_every_tab_does_what_it_is_for(tmp_path: Path, open_page: Callable[[str], Any]) -> None:
    file = write(tmp_path)
    entry = json.loads(file.read_text())
    file.write_text(json.dumps({**entry, "tasks": entry["tasks"][:1]}))
    run(file, tmp_path / "runs")
    with serving({"engine": "table", "default": "hash"}, tmp_path) as address:
        page = open_page(address)
        until(page, "problem", "^fine; ranks 60 labels")
        assert "best of the 60 labels" in run_playground(page, "^row id 2: best")
        assert page.locator("#verdict").inner_text().startswith("✗ ")

        open_compare(page)
        page.fill("#c-n input", "4")
        assert run_compare(page).startswith("4 rows; ")

        open_experiment(page)
        page.fill("#x-n input", "2")
        until(page, "x-check", "^fine; 2 conditions")
        page.click("#x-run")
        # Of those rows Compare has answered some, in the same run.
        until(page, "x-told", r"^\d+ records computed, \d+ reused; all of them in runs/grid$")

        page.get_by_role("tab", name="Blind A/B", exact=True).click()
        choose(page, "b-run", "small")
        page.wait_for_function("() => document.querySelector('#b-b input').value.startsWith('2:')")
        page.click("#b-begin")
        until(page, "b-told", r"^\d+ rows? to read$")
        page.click("#b-left-wins")
        until(page, "b-told", "^saved in blind.jsonl")

        open_results(page)
        assert rows(page, "result-conditions") and rows(page)
        page.locator("#result-records .first-column[role=gridcell]").first.click()
        page.wait_for_selector("#result-prompt .textfield .text")
        page.close()  # before the server
