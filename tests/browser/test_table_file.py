"""A table of the user's own in a real browser: drop, roles, template, run."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.browser.conftest import serving
from tests.browser.test_app import choose, export, until, until_prompt

WISHES = ("order", "refund", "hours", "thanks")


def drop(page: Any, file: Path) -> None:
    """Open the card, and put a file into it."""
    if not page.is_visible("#upload"):
        page.click("#use-file > button")
    page.set_input_files("#upload input[type=file]", str(file))


def test_a_table_becomes_a_template_in_four_steps(
    tmp_path: Path, open_page: Callable[[str], Any]
) -> None:
    sides = ["test"] * 8 + ["train"] * 16
    lines = [
        f"please see to my matter number {n},{WISHES[n % 4]},C{n % 4},{side}"
        for n, side in enumerate(sides)
    ]
    file = tmp_path / "mails <b>.csv"
    file.write_text("\n".join(["text,wish,code,part", *lines]))
    with serving({"engine": "table", "default": "hash"}, tmp_path) as address:
        page = open_page(address)
        until(page, "problem", "^fine; ranks 60 labels")
        drop(page, tmp_path / "mails <b>.csv")
        told = until(page, "uploaded", "^task: classify: 4 different answers in 24 rows")
        assert "reads: text" in told and "hidden: code: the answer itself" in told
        assert page.locator("#file-rows [role=row]").count() >= 6
        roles = [page.input_value(f"#role{place} input") for place in range(4)]
        assert roles == ["text", "answer", "gives the answer away", "ignore"]
        choose(page, "role3", "split")
        until(page, "uploaded", "8 test rows, 16 may be shots, as its column split says")
        page.click("#make-template")
        until_prompt(page, "Text: please see to my matter number 0")
        until(page, "problem", r"^fine; ranks 4 labels; row id 0; 4 shots$")
        until(
            page,
            "file-done",
            "^made prompts/mails-b.j2; 8 test rows, 16 may be shots; now Run$",
        )
        assert page.input_value("#name input") == "prompts/mails-b.j2"
        page.wait_for_selector("#upload", state="hidden")
        assert page.input_value("#data input") == "mails-b.csv"  # as Gradio stores it
        choose(page, "run-on", "all rows")
        page.click("#run-rows")
        until(page, "rows-told", "^8 rows · acc ")
        page.wait_for_selector("#run-rows:not([disabled])")
        page.get_by_role("tab", name="As experiment", exact=True).click()
        page.wait_for_function(
            "() => document.querySelector('#export').innerText.includes('uploaded')"
        )
        assert re.search(r"split: test", export(page)) and "split: train" in export(page)
        page.close()  # before the server
