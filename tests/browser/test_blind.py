"""The tab Blind A/B in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from icl.running.run import run
from tests.browser.conftest import serving
from tests.browser.test_app import choose, until
from tests.table_experiment import write

HOSTILE = "<img src=x onerror=window.pwned=1>${window.pwned=2}"


def test_verdicts_without_names(tmp_path: Path, open_page: Callable[[str], Any]) -> None:
    models = {"t": {"engine": "table", "default": "hash"}}
    file = write(tmp_path, models=models)
    entry = json.loads(file.read_text())
    file.write_text(json.dumps({**entry, "tasks": entry["tasks"][:1]}))
    rows = (tmp_path / "rows.jsonl").read_text().replace("about", f"{HOSTILE} about")
    (tmp_path / "rows.jsonl").write_text(rows)
    run(file, tmp_path / "runs")
    with serving(models["t"], tmp_path, "small.yaml") as address:
        page = open_page(address)
        page.get_by_role("tab", name="Blind A/B", exact=True).click()
        buttons = page.locator("button[id^=b-]:not(#b-begin)")
        assert [button.is_disabled() for button in buttons.all()] == [True] * 6
        page.keyboard.press("1")  # gives no verdict either
        choose(page, "b-run", "small")
        page.wait_for_function("() => document.querySelector('#b-b input').value.startsWith('2:')")
        page.click("#b-begin")
        until(page, "b-told", r"^\d+ rows? to read$")
        assert HOSTILE in until(page, "b-input", "utt: ")
        text = page.inner_text("#b-left") + page.inner_text("#b-right")
        assert "bm25" not in text
        page.click("#b-left-wins")
        until(page, "b-told", r"^saved in blind.jsonl; \d+ rows? to read$")
        page.click("#b-a input")
        page.locator("#b-a").get_by_role("option").nth(1).click()
        page.wait_for_selector("#b-left-wins:disabled")  # another pair is to be begun first
        page.click("#b-a input")
        page.locator("#b-a").get_by_role("option").nth(0).click()
        page.click("#b-begin")
        page.wait_for_selector("#b-left-wins:enabled")
        until(page, "b-told", r"^\d+ rows? to read$")
        page.focus("#b-run input")
        page.keyboard.press("3")  # typed into a field, so no verdict
        page.focus("#b-begin")
        until(page, "b-told", "^no run 'small3'")  # and the rows that were begun stay
        page.keyboard.press("2")
        until(page, "b-told", r"^saved in blind.jsonl; \d+ rows? to read$")
        page.click("#b-reveal")
        until(page, "b-told", "against .*: [01] wins?, 1 tie, [01] loss(es)?")
        page.click("#b-export")
        until(page, "b-told", "^1 pair of chosen and rejected outputs in preferences.jsonl$")
        assert page.evaluate("() => window.pwned") is None
        page.close()  # before the server
    kept = [json.loads(line) for line in (tmp_path / "blind.jsonl").read_text().splitlines()]
    assert len(kept) == 2 and kept[0]["better"] == kept[0]["left"] and kept[1]["better"] is None
