"""Hostile texts in every place of the page that can show one: nothing runs, nothing is asked for.

Rows, labels, outputs, templates, models, runs, conditions, files and columns carry them. What
runs would end in an error of the page or a request, which fails the test by itself.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from icl.records.results import load_run
from icl.reports.page.page import report_page as report
from tests.browser.conftest import serving
from tests.browser.test_app import HOSTILE as SAID
from tests.browser.test_app import choose, more, run, until, until_prompt, value, write
from tests.browser.test_desk import box, tab, until_box
from tests.browser.test_results import click, results, rows
from tests.browser.test_table_file import drop
from tests.hostile_page import HOSTILE as MARKED
from tests.hostile_page import hostile_run

IMG = "<img src=x onerror=window.pwned=99>"
SHORT = [text for text in [*SAID, *MARKED] if len(text) < 1000]
WHOLE = "\n".join(text for text in SAID if len(text) < 1000)
MODEL = f"<q>{IMG}${{window.pwned=98}}"
DATA = f"d{IMG}"
SHOWN = [text.replace("\ud800", "\ufffd").replace("\udfff", "\ufffd") for text in SHORT]


def untouched(page: Any) -> None:
    """No text became an element or an attribute that does something."""
    made = page.evaluate(
        r"""() => [...document.querySelectorAll("*")].filter(one =>
            [...one.attributes].some(a => /^on/i.test(a.name) ||
              /^(src|href|action|data|srcdoc|poster|background|style)$/i.test(a.name)
              && /192\.0\.2|e\.vil|javascript:|^x$/i.test(a.value))
            || /^(iframe|object|embed|math|plaintext)$/i.test(one.tagName)
            || one.matches("base:not([href='./'])")
            || /^(script|style)$/i.test(one.tagName) && /mark\d|pwned|display:none}/.test(one.text
              ?? one.textContent) && !one.closest("head")
          ).map(one => one.outerHTML.slice(0, 200))"""
    )
    assert made == []
    assert page.evaluate("window.pwned") is None
    assert page.is_visible("#tabs")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs, one of them in a folder with a hostile name, and an experiment of hostile rows."""
    made = tmp_path_factory.mktemp("hostile")
    hostile_run(made)
    shutil.copytree(made / "runs" / "small", made / "runs" / IMG)
    lines = [{"id": "all", "question": WHOLE, "a": WHOLE, "split": "test"}]
    lines += [
        {"id": f"{split}{n}{IMG}", "question": f"{begin}{text}", "a": text, "split": split}
        for split, begin in (("test", ""), ("train", "shot: "))
        for n, text in enumerate(SHORT)
    ]
    (made / "lines.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name, end in (("q.j2", ""), (f"q{IMG}.j2", ":")):
        text = f"---\ntask: generate\n---\n[[example]]\n{{{{ question }}}}{end}||| {{{{ target }}}}"
        (made / name).write_text(text)
    entry = {
        "models": {MODEL: {"engine": "echo", "window": 9000}},
        "data": {DATA: {"format": "jsonl", "path": "lines.jsonl", "answer": "a"}},
        "tasks": [{"task": "generate", "prompt": "q.j2", "rows": {"data": DATA, "split": "test"},
                   "pool": {"split": "train"}}],
    }  # fmt: skip
    (made / "hostile.yaml").write_text(json.dumps(entry))
    return made


@pytest.fixture(scope="module")
def app(folder: Path) -> Iterator[str]:
    with serving({"engine": "echo", "window": 9000}, folder, "hostile.yaml") as address:
        yield address


def test_the_playground(
    app: str, folder: Path, tmp_path: Path, open_page: Callable[..., Any]
) -> None:
    page = open_page(app)
    choose(page, "name", f"q{IMG}.j2")
    until(page, "problem", "^generates text; row id all")
    page.fill("#k input", "16")
    more(page)
    page.fill("#max_tokens input", "4000")
    until(page, "problem", r"generates text.*[1-9] shots")
    assert [one for one in SHOWN[:32] if one not in page.inner_text("#prompt .textfield")] == []
    run(page, "ended by the model")
    assert [one for one in WHOLE.split("\n")[:30] if one not in value(page, "output")] == []
    page.fill("#correction textarea", WHOLE.replace("\x00", "").replace("\ud800", ""))
    page.click("#corrected")
    until_box(page, "noted", "^corrected: saved in feedback.jsonl")
    page.click("#card")
    until_box(page, "noted", r"^saved cards/")
    tab(page, "Tokens")
    page.click("#inspect")
    until_box(page, "expected", r"^\d+ tokens; click one")
    assert "onerror=window.pwned=2" in page.inner_text("#heat")
    page.fill("#place input", "3")
    until_box(page, "expected", "rank 1")
    tab(page, "Shots")
    assert page.locator("#shots label").count() == 16
    page.locator("#shots input").nth(2).check()
    page.click("#pin")
    page.wait_for_function("() => document.querySelector('#shots').innerText.includes('pinned')")
    page.fill("#pool-wanted textarea, #pool-wanted input", "pwned")
    page.click("#pool-found input")
    page.get_by_role("option").nth(3).wait_for()
    page.keyboard.press("Escape")
    tab(page, "Row")
    page.fill("#wanted textarea, #wanted input", "e")
    page.wait_for_function("() => document.querySelector('#found').innerText.includes('Found:')")
    page.click("#found input")
    page.get_by_role("option").nth(3).wait_for()
    page.keyboard.press("Escape")
    tab(page, "As experiment")
    page.wait_for_function("() => document.querySelector('#export').innerText.includes('pwned')")
    tab(page, "Template")
    page.fill("#file textarea, #file input", IMG)
    page.click("#save")
    until(page, "saved", "cannot name a template")
    untouched(page)
    file = tmp_path / f"{IMG}.csv"
    names = ",".join(f"{IMG}{number}" for number in range(3))
    file.write_text(f'{names}\n"{SAID[0]}","{IMG}",2\n"{SAID[1]}","{IMG}",3\n')
    drop(page, file)
    until_box(page, "uploaded", "which column holds the right answer")
    assert IMG in page.inner_text("#file-rows") and IMG in page.inner_text("#roles")
    choose(page, "role1", "answer")
    until_box(page, "uploaded", "at least 4 are needed")
    page.click("#keep-template")
    until_box(page, "file-done", "all rows are used and asked")
    page.wait_for_function("() => document.querySelector('#data input').value.includes('img')")
    untouched(page)


def test_errors_of_the_playground(app: str, open_page: Callable[..., Any]) -> None:
    page = open_page(app)
    for text in SAID[:12]:
        write(page, f"---\ntask: {json.dumps(text)}\n---\nx||| {{{{ target }}}}")
        until(page, "problem", "^(?!fine)")
    write(page, f"{{{{ '{SAID[1]}'.x.y }}}}||| {{{{ target }}}}")
    until(page, "problem", "^(?!fine)")
    tab(page, "Model")
    page.fill("#model input", "./<i onload=y>")
    page.keyboard.press("Enter")
    until(page, "problem", "no model at .*<i onload=y>")
    untouched(page)


def test_compare(app: str, open_page: Callable[..., Any]) -> None:
    page = open_page(app)
    tab(page, "Compare")
    until(page, "c-check", "^A and B: ")
    choose(page, "c-templateB", f"q{IMG}.j2")
    for letter in "AB":
        page.fill(f"#c-k{letter} input", "0")
    page.fill("#c-n input", "200")
    page.fill("#c-max_tokens input", "900")
    until(page, "c-check", "^A and B: two prompts")
    page.click("#c-run")
    until(page, "c-told", f"^{len(SHORT) + 1} rows; ")
    until(page, "c-counted", f"^{len(SHORT) + 1} of ")
    page.fill("#c-chosen textarea, #c-chosen input", "all")
    until(page, "c-output", "window.pwned=25")
    page.wait_for_function(
        "() => document.querySelector('#c-diff').innerText.includes('window.pwned=25')"
    )
    assert [
        t for t in WHOLE.split("\n")[:30] if t not in page.input_value("#c-output textarea")
    ] == []
    for number in (2, 3):
        page.fill("#c-page input", str(number))
        until(page, "c-counted", f"page {number} of")
    page.fill("#c-templateB input", "<i onload=y>")
    page.keyboard.press("Enter")
    until(page, "c-check", "column B: unknown template")
    untouched(page)


def test_experiment(app: str, open_page: Callable[..., Any]) -> None:
    page = open_page(app)
    tab(page, "Experiment")
    until(page, "x-check", "^fine")
    choose(page, "x-templates", f"q{IMG}.j2")
    page.fill("#x-n input", "3")
    page.fill("#x-ks input, #x-ks textarea", "0, 1")
    page.click("#x-write")  # the text is that of the file with which the app was started
    page.wait_for_function("() => document.querySelector('#x-yaml').innerText.includes('n: 3')")
    until(page, "x-check", "^fine")
    page.click("#x-estimate")
    until(page, "x-told", "^about ")
    page.wait_for_selector("#x-run:not([disabled])")
    assert "onerror" in page.inner_text("#x-costs")
    page.click("#x-run")
    until(page, "x-told", "records computed")
    page.locator("#x-scores", has_text="onerror").wait_for()
    page.wait_for_selector("#x-run:not([disabled])")
    page.fill("#x-name input, #x-name textarea", IMG)
    until(page, "x-check", "onerror")
    for text in SAID[:12]:
        page.click("#x-yaml .cm-content")
        page.keyboard.press("Control+a")
        page.keyboard.insert_text(f"{json.dumps(text)}: 1")
        until(page, "x-check", "^line 1: unknown key")
    page.click("#x-run")
    until(page, "x-told", "^line")
    untouched(page)


def test_results_under_a_hostile_name(
    app: str, folder: Path, open_page: Callable[..., Any]
) -> None:
    first = load_run(folder / "runs" / IMG).conditions[0].entry.fingerprint
    query = f"?run={quote(IMG)}&condition={first}&record={quote('te<u>r0')}"
    page = open_page(app + query, "#result-facts textarea")
    until_box(page, "result-facts", "record +te<u>r0")
    until_box(page, "result-link", "run=")
    for wanted in ("3", "4"):
        other = open_page(f"{app}?run={quote(IMG)}&condition={wanted}", "#result-told textarea")
        until_box(other, "result-page", "page 1 of")
        for place in range(2):
            row = rows(other)[place][0]
            click(other, "result-records", row)
            until_box(other, "result-facts", f"record +{row.split('<')[0]}")
        other.fill("#result-text input, #result-text textarea", IMG)
        until_box(other, "result-page", ": 0 of")
        choose(other, "result-show", "unparsed")
        other.fill("#result-other input", IMG)
        other.keyboard.press("Enter")
        until_box(other, "result-told", "onerror")
        for name in ("Plots", "Confusion", "Spread"):
            tab(other, name)
            other.wait_for_timeout(500)
        untouched(other)
    results(page)
    page.click("#result-run input")
    page.get_by_role("option").nth(1).wait_for()
    page.keyboard.press("Escape")
    page.click("#result-card")
    until_box(page, "result-noted", "^saved cards/")
    page.click("#result-hand")
    until_prompt(page, "in()")
    untouched(page)


def test_blind(app: str, folder: Path, open_page: Callable[..., Any]) -> None:
    page = open_page(app)
    tab(page, "Blind A/B")
    choose(page, "b-run", IMG)
    page.wait_for_function("() => document.querySelector('#b-b input').value.startsWith('2:')")
    page.click("#b-a input")
    page.get_by_role("option").nth(1).wait_for()
    page.keyboard.press("Escape")
    page.click("#b-begin")
    until_box(page, "b-told", r"^\d+ rows? to read$")
    for side in ("left", "tie", "right", "skip", "left"):
        before = box(page, "b-told")
        page.click(f"#b-{side}-wins")
        page.wait_for_function(
            "before => document.querySelector('#b-told textarea').value != before", arg=before
        )
    page.click("#b-reveal")
    until_box(page, "b-told", "onload")
    untouched(page)


def test_the_files_that_are_sent_to_others(
    app: str, folder: Path, browser: Any, open_page: Callable[..., Any]
) -> None:
    page = open_page(app)
    run(page, "ended by the model")
    page.click("#card")
    until_box(page, "noted", r"^saved cards/")
    (folder / "report.html").write_text(report(load_run(folder / "runs" / IMG)), "utf-8")
    for file in (folder / "report.html", *(folder / "cards").glob("*.html")):
        view = browser.new_page()
        events: list[str] = []
        view.on("console", lambda message, found=events: found.append(message.text))
        view.on("pageerror", lambda error, found=events: found.append(str(error)))
        view.on("request", lambda asked, found=events: found.append(asked.url))
        view.goto(file.as_uri())
        assert events == [file.as_uri()]
        assert view.locator("script, iframe, img, form, object, base").count() == 0
        view.close()
