"""The round of the playground in a real browser: edit, run on rows, see what flipped."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.browser.conftest import serving
from tests.browser.test_app import choose, until, until_prompt, value, write

TABLE = {"engine": "table", "default": "hash"}


def cells(page: Any, column: int) -> list[str]:
    found = page.locator(f"#rows-table [data-testid$='-{column}'][data-testid^='cell-']")
    return [text.strip() for text in found.all_inner_texts()]


def test_an_edit_run_on_rows_shows_what_flipped(
    tmp_path: Path, open_page: Callable[[str], Any]
) -> None:
    with serving(TABLE, tmp_path) as address:
        page = open_page(address)
        until(page, "problem", "^fine; ranks 60 labels")
        assert not page.is_visible("#rows-result")
        choose(page, "run-on", "20 rows")
        page.click("#run-rows:has-text('Run 20 rows')")
        until(page, "rows-told", r"^20 rows · acc .* · no other version was run on these rows yet$")
        page.wait_for_selector("#run-rows:not([disabled])")
        text = "\n".join(page.locator("#template .cm-line").all_inner_texts())
        write(page, text.replace("Utterance", "Somebody says"))
        until_prompt(page, "Somebody says")
        page.click("#run-rows")
        told = until(page, "rows-told", r"^20 rows · .* · version 1: .* flipped right, \d+ flipped")
        assert re.search(r"p (= \d\.\d{3}|< 0\.001)$", told)
        details = value(page, "rows-details")
        assert "version 2 against version 1: both have answered the same 20" in details
        page.click("#rows-show label:has-text('changed')")
        until(page, "rows-told", r" · \d+ changed$")
        assert all(cell.startswith("was ") for cell in cells(page, 6))
        name, text = cells(page, 0)[0], cells(page, 1)[0]
        page.locator("#rows-table [data-testid='cell-0-1']").click()
        until(page, "problem", f"row id {name};")
        until_prompt(page, text.rstrip("…"))
        page.keyboard.press("Control+Enter")  # asks this row still
        until(page, "told", f"^row id {name}: ")
        records = sorted(tmp_path.glob("runs/conditions/*/records.jsonl"))
        assert len(records) == 2
        assert {len(path.read_text().splitlines()) for path in records} == {20}
        assert all(json.loads(path.read_text().splitlines()[0])["request"] for path in records)
        page.close()  # before the server
