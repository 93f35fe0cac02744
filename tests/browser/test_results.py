"""The results tab in a real browser: filter, page, permalink, a record, and hostile texts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from icl.records.results import Run
from icl.running.run import run
from tests.browser.conftest import serving
from tests.hostile_page import HOSTILE, hostile_run
from tests.table_experiment import INTENTS, write

TABLE = {"engine": "table", "default": "hash"}
ROWS = 120


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two conditions of 120 rows."""
    folder = tmp_path_factory.mktemp("results")
    rows = [
        {
            "id": f"q{n}",
            "utt": f"wish {n} for {INTENTS[n % 3]}",
            "intent": INTENTS[n % 3],
            "split": "test" if n < ROWS else "train",
        }
        for n in range(ROWS + 9)
    ]
    tasks = [
        {
            "task": "intent",
            "prompt": "intent.j2",
            "rows": {"data": "rows", "split": "test"},
            "pool": {"split": "train"},
        }
    ]
    file = write(folder, tasks=tasks)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run(str(file), folder / "runs")


@pytest.fixture(scope="module")
def app(made: Run) -> Iterator[str]:
    with serving(TABLE, made.folder.parent.parent) as address:
        yield address


def results(page: Any) -> None:
    page.get_by_role("tab", name="Results", exact=True).click()
    page.wait_for_selector("#result-records [role=gridcell]")


def rows(page: Any, name: str = "result-records") -> list[list[str]]:
    """The cells of the rows that the browser has laid out."""
    found: list[list[str]] = page.evaluate(
        "name => [...document.querySelectorAll(`#${name} .virtual-row`)].map(row => "
        "[...row.querySelectorAll('[role=gridcell]')].map(cell => cell.innerText.trim()))",
        name,
    )
    return [row for row in found if any(row)]


def until(page: Any, name: str, pattern: str) -> str:
    from playwright.sync_api import expect

    part = page.locator(f"#{name} textarea, #{name} input").first
    expect(part).to_have_value(re.compile(pattern), timeout=30_000)
    return str(part.input_value())


def choose(page: Any, name: str, value: str) -> None:
    page.click(f"#{name} input")
    page.fill(f"#{name} input", value)
    page.keyboard.press("Enter")


def click(page: Any, name: str, text: str) -> None:
    """Click the row whose first cell is the text."""
    cells = page.locator(f"#{name} .first-column[role=gridcell]")
    cells.get_by_text(text, exact=True).first.click()


def test_conditions_pages_filters_and_a_record(
    app: str, made: Run, open_page: Callable[..., Any]
) -> None:
    page = open_page(app)
    results(page)
    first, second = (one.entry.fingerprint[:8] for one in made.conditions)
    table = rows(page, "result-conditions")
    assert [row[0] for row in table] == [first, second]
    score = made.conditions[0].scores[0]
    assert f"{score.value:.1f}" in table[0][2]
    assert f"[{score.low:.1f}, {score.high:.1f}]" in table[0]
    until(page, "result-page", "page 1 of 5: 120 of 120 records")
    seen = [row[0] for row in rows(page)]
    page.click("#result-forth")
    until(page, "result-page", "page 2 of 5")
    assert not set(seen) & {row[0] for row in rows(page)}
    choose(page, "result-show", "wrong")
    wrong = int(re.findall(r": (\d+) of", until(page, "result-page", "page 1 of .: .. of 120"))[0])
    right = sum(
        p.value in e.targets
        for p, e in zip(made.conditions[0].predictions(), made.conditions[0].examples, strict=True)
    )
    assert wrong == ROWS - right
    page.fill("#result-text input, #result-text textarea", "wish 7 set")
    until(page, "result-page", "page 1 of 1: ")
    choose(page, "result-show", "all")
    page.fill("#result-text input, #result-text textarea", "wish 77")
    until(page, "result-page", "page 1 of 1: 1 of 120")
    click(page, "result-records", "q77")
    until(page, "result-facts", r"record +q77\nanswer ")
    kept = made.conditions[0]
    assert "the same as was sent" in until(page, "result-facts", "rendered again")
    sent = kept.prompt(kept.record("q77")).text
    shown = page.locator("#result-prompt .textfield").inner_text()
    assert "".join(shown.split()) == "".join(sent.split())
    assert "✓ " + kept.examples[list(kept.records).index("q77")].targets[0] in (
        page.locator("#result-labels").inner_text()
    )
    page.click("#result-card")
    until(page, "result-noted", "^saved cards/q77-")
    assert list((made.folder.parent.parent / "cards").glob("q77-*.html"))


def test_a_sorted_table_still_opens_the_row_that_was_clicked(
    app: str, open_page: Callable[..., Any]
) -> None:
    page = open_page(app)
    results(page)
    page.locator("#result-records th .header-content").first.click()  # sorts in the browser
    page.wait_for_timeout(500)
    for place in (3, 0):
        wanted = rows(page)[place][0]
        click(page, "result-records", wanted)
        until(page, "result-facts", rf"record +{wanted}\n")


def test_the_tab_left_and_opened_again_shows_the_same(
    app: str, made: Run, open_page: Callable[..., Any]
) -> None:
    page = open_page(app)
    for name in ("Results", "Playground", "Results"):  # before the first time is answered
        page.get_by_role("tab", name=name, exact=True).click()
    page.wait_for_selector("#result-records [role=gridcell]")
    second = made.conditions[1].entry.fingerprint
    choose(page, "result-show", "different")
    choose(page, "result-other", f"small#{second[:8]}")
    said = until(page, "result-page", r": \d\d of 120")
    wanted = rows(page)[1][0]
    click(page, "result-records", wanted)
    until(page, "result-facts", rf"record +{wanted}\n")
    link = until(page, "result-link", f"record={wanted}$")
    page.get_by_role("tab", name="Playground", exact=True).click()
    page.get_by_role("tab", name="Results", exact=True).click()
    page.wait_for_timeout(2000)
    assert until(page, "result-page", r": \d\d of 120") == said
    until(page, "result-facts", rf"record +{wanted}\n")
    assert page.input_value("#result-other input").startswith("small#")
    assert page.url == link


def test_different_between_conditions(app: str, made: Run, open_page: Callable[..., Any]) -> None:
    page = open_page(app)
    results(page)
    choose(page, "result-show", "different")
    until(page, "result-told", "name another condition to see where the two differ")
    second = made.conditions[1].entry.fingerprint
    choose(page, "result-other", f"small#{second[:8]}")
    said = until(page, "result-page", r": \d\d of 120")
    a, b = (one.predictions() for one in made.conditions)
    values = {one.id: one.value for one in b}
    count = sum(values[one.id] != one.value for one in a)
    assert f": {count} of 120" in said
    assert all(row[2] != row[3] for row in rows(page))
    choose(page, "result-other", "nowhere#1")
    until(page, "result-told", "no run 'nowhere'")


def test_permalinks(app: str, made: Run, open_page: Callable[..., Any]) -> None:
    page = open_page(app)
    results(page)
    second = made.conditions[1].entry.fingerprint[:8]
    click(page, "result-conditions", second)
    until(page, "result-link", f"run=small&condition={second}$")
    wanted = rows(page)[4][0]
    click(page, "result-records", wanted)
    link = until(page, "result-link", f"record={wanted}$")
    assert page.url == link
    choose(page, "result-show", "wrong")
    page.click("#result-forth")
    said = until(page, "result-page", "page 2 of ")
    link = until(page, "result-link", f"show=wrong&number=2&record={wanted}$")
    page.wait_for_function("link => location.href === link", arg=link)
    other = open_page(link, "#result-facts textarea")
    until(other, "result-facts", rf"record +{wanted}\n")
    assert until(other, "result-page", "page 2 of ") == said
    assert [row[0] for row in rows(other)] == [row[0] for row in rows(page)]
    assert second in until(other, "result-facts", "condition")
    assert second in until(other, "result-told", "condition")
    other.reload()
    until(other, "result-facts", rf"record +{wanted}\n")
    for query, said in (
        ("?run=../../etc", "no run '../../etc'"),
        ("?run=small&condition=zz", "conditions are called 'zz'"),
        ("?run=small&condition=1&record=%3Cscript%3E", "no record '<script>'"),
        ("?run=nowhere&condition=1&record=r1", "no run 'nowhere'"),
        ("?run=" + "x" * 9000, "characters left out"),
        ("?run=small&condition=" + "y" * 9000, "characters left out"),
        ("?run=small&condition=1&record=" + "z" * 9000, "characters left out"),
        ("?run=small%00&condition=%F0%9F%99%82", "no run 'small"),
    ):
        other.goto(app + query)
        where = "result-facts" if "run=small&" in query and "record" in query else "result-told"
        line = until(other, where, re.escape(said))
        assert len(line.splitlines()) == 1 and len(line) < 700, line


def test_plots_confusion_and_spread(app: str, open_page: Callable[..., Any]) -> None:
    page = open_page(app)
    results(page)
    page.get_by_role("tab", name="Plots", exact=True).click()
    page.wait_for_selector("#result-plots svg")
    page.get_by_role("tab", name="Confusion", exact=True).click()
    page.wait_for_selector("#result-confusion td.same")
    heads = page.locator("#result-confusion tr:first-child th").all_inner_texts()
    assert [head.strip() for head in heads] == sorted(INTENTS)
    cells = page.locator("#result-confusion td").all_inner_texts()
    assert sum(int(cell) for cell in cells if cell.isdigit()) == ROWS
    page.wait_for_selector("#result-pairs [role=gridcell]")
    page.get_by_role("tab", name="Spread", exact=True).click()
    until(page, "result-told", "no conditions differ only in seed")


def test_slices_comparison_and_report_are_one_click_away(
    app: str, made: Run, open_page: Callable[..., Any]
) -> None:
    page = open_page(app)
    results(page)
    second = made.conditions[1]
    click(page, "result-conditions", second.entry.fingerprint[:8])
    until(page, "result-told", f"condition {second.entry.fingerprint[:8]}")
    page.wait_for_function(
        """name => [...document.querySelectorAll("#result-conditions [role=gridcell]")].some(
          cell => cell.innerText.trim() === name && getComputedStyle(cell).fontWeight >= 600)""",
        arg=second.entry.fingerprint[:8],
    )
    page.get_by_role("tab", name="Slices", exact=True).click()
    page.wait_for_selector("#result-slices svg")
    names = page.locator("#result-slices th").all_inner_texts()
    assert [name.strip() for name in names] == ["all rows", *sorted(INTENTS)]
    assert f"{second.scores[0].value:.1f}" in page.inner_text("#result-slices")
    choose(page, "result-by", "characters")
    page.get_by_text(re.compile(r"^\d+ to \d+$")).first.wait_for()
    page.get_by_role("tab", name="Comparison", exact=True).click()
    until(page, "result-compare-compared", "acc by shots, against 0")
    link = page.locator("#result-report a")
    assert link.get_attribute("href") == "/report?run=small"
    answer = page.request.get(f"{app}report?run=small")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.status == 200 and "<h1" in answer.text() and "small" in answer.text()
    missing = page.request.get(f"{app}report?run=<b>nowhere")
    assert missing.status == 404 and missing.headers["content-type"].startswith("text/plain")
    assert "no run '<b>nowhere'" in missing.text()
    bare = page.context.browser.new_context()
    assert bare.request.get(f"{app}report?run=small").status == 403
    bare.close()


def test_hostile_texts_stay_text(tmp_path: Path, open_page: Callable[..., Any]) -> None:
    made = hostile_run(tmp_path)
    with serving(TABLE, tmp_path) as address:
        page = open_page(address)
        results(page)
        seen = ""
        for number, condition in enumerate(made.conditions):
            click(page, "result-conditions", condition.entry.fingerprint[:8])
            until(page, "result-told", f"condition {condition.entry.fingerprint[:8]}")
            for place in (2, 6):
                wanted = rows(page)[place][0]
                click(page, "result-records", wanted)
                until(page, "result-facts", rf"record +{re.escape(wanted)}\n")
            seen += page.locator("#result-records").inner_text()
            if number < 2:
                page.click("#result-forth")
                until(page, "result-page", "page 2")
                seen += page.locator("#result-records").inner_text()
        for tab in ("Plots", "Confusion"):
            page.get_by_role("tab", name=tab, exact=True).click()
            page.wait_for_timeout(1500)
        assert len(set(re.findall(r"mark\d+", seen))) >= len(HOSTILE) // 2
        inside = "#tab-results, [id^=result-]"
        for tag in ("script", "iframe", "object", "form", "base", "meta", "b", "u", "img"):
            assert page.locator(f":is({inside}) {tag}:not([class*=svelte])").count() == 0, tag
        link = page.input_value("#result-link textarea, #result-link input")
        again = open_page(link, "#result-facts textarea")
        until(again, "result-facts", "record ")
        for one in (again, page):  # before the server goes
            one.close()


def test_open_in_the_playground(app: str, made: Run, open_page: Callable[..., Any]) -> None:
    page = open_page(app)
    results(page)
    wanted = rows(page)[3][0]
    page.click("#result-hand")
    until(page, "result-noted", "open a record first")
    click(page, "result-records", wanted)
    until(page, "result-facts", rf"record +{wanted}\n")
    page.click("#result-hand")
    page.wait_for_selector("#prompt .textfield .text")
    kept = made.conditions[0]
    query = kept.prompt(kept.record(wanted)).query
    page.wait_for_function(
        "text => document.querySelector('#prompt').innerText.replace(/\\s+/g, '').includes(text)",
        arg="".join(query.split()),
    )
    # The link of what is open in Results stays, for the way back.
    page.wait_for_selector("#tab-playground", state="visible")
    assert f"run=small&condition={made.conditions[0].entry.fingerprint[:8]}" in page.url
    page.get_by_role("tab", name="Results", exact=True).click()
    until(page, "result-link", rf"record={wanted}$")
    until(page, "result-facts", rf"record +{wanted}\n")


def test_the_template_of_a_strangers_run_costs_its_prompt_alone(
    tmp_path: Path, open_page: Callable[..., Any]
) -> None:
    run(str(write(tmp_path)), tmp_path / "runs")
    for file in (tmp_path / "runs" / "conditions").glob("intent-*/condition.json"):
        text = file.read_text().replace("Name the intent.", "{{ 9**(9**9) }}")
        file.write_text(text)
    with serving(TABLE, tmp_path) as address:
        page = open_page(f"{address}?run=small&condition=1&record=r3", "#result-facts textarea")
        facts = until(page, "result-facts", "worked for more than 1 s and was stopped")
        assert "right      alarm_set" in facts
        page.wait_for_selector("#result-labels >> text=alarm_set")
        for button in ("#result-card", "#result-hand"):
            page.click(button)
            until(page, "result-noted", "worked for more than 1 s and was stopped")
        click(page, "result-records", "r4")
        until(page, "result-facts", "record +r4\n")
        page.close()  # before the server
