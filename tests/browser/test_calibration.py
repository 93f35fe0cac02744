"""Bars calibrated and not, in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import serving
from tests.browser.test_app import choose, export, more, run, until, value


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("app")
    with serving({"engine": "table", "default": "hash"}, folder) as address:
        yield address


def test_calibrated_bars_stand_beside_the_plain_ones(
    table: str, open_page: Callable[[str], Any]
) -> None:
    page = open_page(table)
    run(page, "of the 60 labels")
    assert page.locator("#calibrated").count() == 0
    more(page)
    choose(page, "calibrator", "contextual")
    page.wait_for_selector("#calibrated", state="visible")
    run(page, "of the 60 labels")
    until(page, "changed", r"^contextual: the answer (stays|changes from \w+ to \w+)")
    for bars in ("#labels", "#calibrated-labels"):
        assert page.locator(f"{bars}  li").count() in (8, 9)
        assert page.locator(bars).inner_text().count("✓") == 1
    assert page.locator("#labels").inner_text() != page.locator("#calibrated-labels").inner_text()
    page.get_by_role("tab", name="As experiment").click()
    page.wait_for_function("() => document.querySelector('#export').innerText.includes('calib')")
    assert "calibrate: [contextual]" in export(page)
    page.reload()
    page.wait_for_selector("#prompt .textfield .text")
    more(page)
    page.wait_for_function("() => document.querySelector('#calibrator input').value !== ''")
    assert page.input_value("#calibrator input") == "contextual"
    page.fill("#calibrator input", "batch")
    page.keyboard.press("Enter")
    run(page, "of the 60 labels")
    until(page, "changed", "^batch corrects a row by the other rows, and here is one; write ")
    assert page.locator("#labels  li").count() in (8, 9)
    choose(page, "name", "translation/plain")
    until(page, "problem", "^fine; generates text")
    page.wait_for_selector("#calibrator", state="hidden")
    page.wait_for_selector(".band")  # over the answer to another template


def test_a_choice_that_is_answered_after_the_run_keeps_its_answer(
    table: str, open_page: Callable[[str], Any]
) -> None:
    page = open_page(table)
    held: list[Any] = []

    def hold(route: Any) -> None:
        """Hold the first preview with the calibrator batch."""
        late = not held and "batch" in route.request.post_data_json["data"]
        held.append(route) if late else route.continue_()

    page.route("**/run/predict*", hold)
    more(page)
    choose(page, "calibrator", "contextual")
    run(page, "of the 60 labels")
    until(page, "changed", "^contextual: ")
    page.fill("#calibrator input", "batch")
    page.keyboard.press("Enter")
    run(page, "of the 60 labels")
    until(page, "changed", "^batch corrects a row")
    (chosen,) = held
    with page.expect_response(lambda reply: reply.request == chosen.request):
        chosen.continue_()
    page.wait_for_timeout(500)
    assert value(page, "changed").startswith("batch corrects a row")
