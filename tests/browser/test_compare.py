"""The tab Compare in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import serving
from tests.browser.test_app import HOSTILE, choose, until, until_prompt

TABLE = {"engine": "table", "default": "hash"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compare")


@pytest.fixture(scope="module")
def table(folder: Path) -> Iterator[str]:
    with serving(TABLE, folder) as address:
        yield address


def opened(page: Any) -> Any:
    page.get_by_role("tab", name="Compare", exact=True).click()
    until(page, "c-check", "^A and B: ")
    return page


def run(page: Any) -> str:
    page.click("#c-run")
    told = until(page, "c-told", "answered (differently|alike)$|wrong|column|failed")
    page.wait_for_selector("#c-run:not([disabled])")
    return told


def test_prompts_answers_and_scores_side_by_side(
    table: str, open_page: Callable[[str], Any]
) -> None:
    page = opened(open_page(table))
    assert "only the other" in page.inner_text("#c-diff")
    page.fill("#c-kB input", "0")
    until(page, "c-check", "^A and B: the same prompt for this row$")
    choose(page, "c-templateB", "intent/short")
    until(page, "c-check", "^A and B: two prompts")
    page.fill("#c-n input", "30")
    told = run(page)
    differ = int(re.fullmatch(r"30 rows; (\d+) of them answered differently", told)[1])  # type: ignore[index]
    assert 0 < differ <= 30
    page.wait_for_function(
        "() => document.querySelector('#c-table')?.innerText.includes('baseline')"
    )
    text = page.inner_text("#c-table")
    assert "baseline" in text and re.search(r"\d+ wins, \d+ ties, \d+ losses", text)
    until(page, "c-counted", "^30 of 30 rows answered; page 1 of 2$")
    page.fill("#c-page input", "2")
    until(page, "c-counted", "page 2 of 2$")
    page.click("#c-mode label:has-text('different')")
    until(page, "c-counted", f"^{differ} of 30 rows answered differently; page 1 of")
    cell = page.locator(".matrix td[data-column='1']").nth(1)
    name = cell.get_attribute("data-row")
    cell.click()
    page.wait_for_function(
        "id => document.querySelector('#c-chosen input, #c-chosen textarea').value == id", arg=name
    )
    answer = cell.locator("bdi").inner_text()
    until(page, "c-output", f"^{re.escape(answer)}$")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.wait_for_function(
        "was => ![was, ''].includes(document.querySelector('#c-output textarea').value)", arg=answer
    )
    assert page.locator(".matrix td[data-chosen]").get_attribute("data-column") == "0"


def test_prompts_times_models_searched_judged_and_exported(
    table: str, folder: Path, open_page: Callable[[str], Any]
) -> None:
    page = opened(open_page(table))
    page.click("#c-many label:has-text('models')")
    until(page, "c-check", "^1 prompts × 1 models are 1 columns; choose from 2 to 12$")
    for name in ("intent/short", "intent/instructed"):
        choose(page, "c-templates", name)
    page.keyboard.press("Escape")
    until(page, "c-check", "^A and B: two prompts")
    choose(page, "c-other", "C")
    until(page, "c-check", "^A and C: two prompts")
    page.fill("#c-n input", "12")
    assert run(page).startswith("12 rows; ")
    until(page, "c-counted", "^12 of 12 rows answered")
    heads = page.locator(".matrix thead th").all_inner_texts()
    assert [head[:1] for head in heads[2:]] == ["A", "B", "C"] and "acc" in heads[4]
    cell = page.locator(".matrix td[data-column='2']").first
    row, answer = cell.get_attribute("data-row"), cell.locator("bdi").inner_text()
    cell.click()
    until(page, "c-output", f"^{re.escape(answer)}$")
    page.fill("#c-comment textarea, #c-comment input", "<b>not</b> what was meant")
    page.click("#c-bad")
    until(page, "c-noted", f"^bad: C, row {row}; saved in feedback.jsonl$")
    page.get_by_text("bad – <b>not</b> what was meant").wait_for()
    choose(page, "c-hidden", "A")
    page.keyboard.press("Escape")
    page.wait_for_selector(".matrix td[data-column='0']", state="detached")
    page.fill("#c-pattern textarea, #c-pattern input", f"^{answer.upper()}$")
    found = int(until(page, "c-counted", r"^([1-9]|1[01]) of 12 rows").split()[0])
    assert page.locator(".matrix tbody tr").count() == found
    page.click("#c-export")
    until(page, "c-noted", "^saved matrix-1.jsonl")
    lines = [json.loads(line) for line in (folder / "matrix-1.jsonl").read_text().splitlines()]
    (own,) = (one for line in lines if line["id"] == row for one in line["answers"][1:])
    assert [own["column"], own["verdict"], own["comment"]] == [
        "C",
        "bad",
        "<b>not</b> what was meant",
    ]
    page.fill("#c-pattern textarea, #c-pattern input", "(")
    until(page, "c-counted", "^pattern: '\\(' is no regular expression")


def test_a_wrong_column_is_named_and_nothing_is_lost_on_reload(
    table: str, open_page: Callable[[str], Any]
) -> None:
    page = opened(open_page(table))
    page.fill("#c-kB input", "99")
    until(page, "c-check", "^k of B is 99; a whole number from 0 to 64 is needed$")
    page.fill("#c-kB input", "3")
    until(page, "c-check", "^A and B: two prompts")
    page.click("#c-many label:has-text('3')")
    page.wait_for_selector("#c-templateC")
    page.fill("#c-kC input", "1")
    page.wait_for_timeout(1000)
    page.reload()
    page.wait_for_selector("#prompt .textfield .text")
    opened(page)
    assert page.input_value("#c-kB input") == "3"
    page.wait_for_function("() => document.querySelector('#c-kC input')?.value == '1'")


def test_the_row_typed_in_the_playground(table: str, open_page: Callable[[str], Any]) -> None:
    page = open_page(table)
    page.get_by_role("tab", name="Row", exact=True).click()
    page.click("#typed input")
    page.wait_for_selector("#field0 textarea")
    page.fill("#field0 textarea", "wake me at nine")
    page.fill("#answer textarea", "alarm_set")
    until_prompt(page, "wake me at nine")
    opened(page)
    page.click("#c-desk input")
    until(page, "c-check", "^A and B: two prompts for the row typed in the Playground$")
    page.wait_for_selector("#c-data", state="hidden")
    assert "wake me at nine" in page.inner_text("#c-diff")
    assert re.fullmatch("1 row; answered (differently|alike)", run(page))
    until(page, "c-reference", "^alarm_set$")
    assert "wake me at nine" in page.inner_text("#c-matrix")
    page.get_by_role("tab", name="Playground", exact=True).click()
    page.fill("#field0 textarea", "play some jazz")
    until_prompt(page, "play some jazz")
    page.get_by_role("tab", name="Compare", exact=True).click()
    page.wait_for_function(
        "() => document.querySelector('#c-diff').innerText.includes('play some jazz')"
    )


def test_hostile_rows_and_answers_are_text(tmp_path: Path, open_page: Callable[[str], Any]) -> None:
    rows = [
        {"id": f"h{n}", "question": text, "a": text, "split": "test"}
        for n, text in enumerate(HOSTILE)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "rows.jsonl").write_text(lines)
    (tmp_path / "q.j2").write_text(
        "---\ntask: generate\n---\n[[example]]\n{{ question }}||| {{ target }}"
    )
    (tmp_path / "r.j2").write_text(
        "---\ntask: generate\n---\n[[example]]\n{{ question }}:||| {{ target }}"
    )
    said = {f"{text}:": text for text in HOSTILE if text.isprintable() and len(text) < 1000}
    model: dict[str, Any] = {**TABLE, "answers": said}
    entry = {
        "models": {"t": TABLE},
        "data": {"h": {"format": "jsonl", "path": "rows.jsonl", "answer": "a"}},
        "tasks": [{"task": "generate", "prompt": "q.j2", "rows": {"data": "h", "split": "test"}}],
    }
    (tmp_path / "hostile.yaml").write_text(json.dumps(entry))
    with serving(model, tmp_path, "hostile.yaml") as address:
        page = open_page(address)
        page.get_by_role("tab", name="Compare", exact=True).click()
        page.wait_for_selector("#c-run")
        for letter, name in (("A", "q.j2"), ("B", "r.j2")):
            choose(page, f"c-template{letter}", name)
            page.fill(f"#c-k{letter} input", "0")
        page.fill("#c-n input", "60")
        until(page, "c-check", "^A and B: two prompts")
        assert run(page).startswith("40 rows; ")
        until(page, "c-counted", "^40 of 40")
        for name in ("h1", "h0", "h3", "h11"):
            page.fill("#c-chosen textarea, #c-chosen input", name)
            page.wait_for_timeout(700)
        page.locator("#c-matrix", has_text="onerror").wait_for()
        assert page.locator(".matrix :is(script, img, b > b, u, form, style, meta)").count() == 0
        assert page.evaluate("() => window.pwned") is None
        page.close()  # before the server
