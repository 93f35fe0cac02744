"""The report in a real browser: nothing runs, nothing is asked for, nothing is cut off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from icl.reports.page.page import report_page
from tests.hostile_page import hostile_run


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    file = folder / "report.html"
    run = hostile_run(folder)
    command = ("icl", "run", f"{'longname' * 9}.yaml")
    run = replace(run, manifest=replace(run.manifest, command=command))
    file.write_text(report_page(run), "utf-8")
    return file


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_hostile_texts_are_read_and_not_obeyed(
    browser: Any, report: Path, width: int, scheme: str
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    view = context.new_page()
    events: list[str] = []
    view.on("console", lambda message: events.append(f"console: {message.text}"))
    view.on("dialog", lambda dialog: events.append(f"dialog: {dialog.message}"))
    view.on("pageerror", lambda error: events.append(f"error: {error}"))
    view.on("request", lambda asked: events.append(asked.url))
    view.goto(report.as_uri())
    assert events == [report.as_uri()]
    assert view.evaluate("document.documentElement.scrollWidth") <= width
    assert view.locator("script, iframe, img, form, object, base").count() == 0
    assert view.title().endswith("icl report")
    paper = view.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(253, 253, 252)") is (scheme == "light")
    context.close()


def test_what_is_folded_is_printed(browser: Any, report: Path) -> None:
    view = browser.new_page()
    view.goto(report.as_uri())
    folded = view.locator("details:not([open]) .inside").first
    assert not folded.is_visible()
    view.emulate_media(media="print")
    assert folded.bounding_box()["height"] > 20
    view.close()
