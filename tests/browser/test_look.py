"""Every tab at 400 px and at 1280 × 800, in light and dark: nothing cut off, all of it readable."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from icl.records.results import Run
from icl.running.run import run as run_experiment
from tests.browser.conftest import serving
from tests.browser.test_app import choose, run, until, write
from tests.browser.test_desk import tab, until_box
from tests.browser.test_results import click
from tests.browser.test_table_file import drop
from tests.table_experiment import write as write_experiment

CONTROLS = {
    "Playground": "#name #data #select #k #more #template #save #row #run #run-on #stop #told",
    "Compare": "#c-data #c-n #c-many #c-templateA #c-templateB #c-kB #c-run #c-stop #c-told",
    "Experiment": "#x-name #x-data #x-templates #x-ks #x-yaml #x-check #x-write #x-save #x-run",
    "Results": "#result-run #result-link #result-show #result-text #result-records #result-forth",
    "Blind A/B": "#b-run #b-a #b-b #b-begin #b-left #b-right #b-left-wins #b-skip-wins #b-reveal",
}
"""What a reader must be able to reach on every tab."""
FAINT = r"""() => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const paint = canvas.getContext("2d", {willReadFrequently: true});
  const rgba = colour => {
    paint.clearRect(0, 0, 1, 1);
    paint.fillStyle = colour;
    paint.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = paint.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, under) => [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3]));
  const paper = one => {
    const above = [];
    for (let at = one; at; at = at.parentElement) {
      const {backgroundColor, backgroundImage} = getComputedStyle(at);
      const colour = rgba(backgroundColor);
      const shade = /^linear-gradient\(rgba\(0, 0, 0, ([\d.]+)\)/.exec(backgroundImage);
      if (shade) above.push([0, 0, 0, Number(shade[1])]);
      above.push(colour);
      if (colour[3] === 1) break;
    }
    return above.reverse().reduce((under, top) => over(top, under), [255, 255, 255]);
  };
  const light = colour => {
    const [r, g, b] = colour.map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = new Map();
  const check = (one, style, text) => {
    if (!text.trim() || !one.checkVisibility({opacityProperty: true, visibilityProperty: true}))
      return;
    const box = one.getBoundingClientRect();
    if (box.width < 2 || box.height < 2 || one.closest("button:disabled, .stale")) return;
    const under = paper(one);
    const ink = rgba(style.webkitTextFillColor || style.color);
    for (let at = one; at; at = at.parentElement) {
      const {opacity, filter} = getComputedStyle(at);
      ink[3] *= opacity;
      const darker = /^brightness\(([\d.]+)\)$/.exec(filter);
      if (darker) for (const i of [0, 1, 2]) ink[i] *= darker[1];
    }
    const [high, low] = [light(over(ink, under)), light(under)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5) {
      const at = one.closest("[id]")?.id ?? "";
      found.set(`${at} ${one.tagName}.${one.className}`, 
        `${ratio.toFixed(2)} ${text.slice(0, 40)}`);
    }
  };
  const nodes = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (nodes.nextNode()) {
    const one = nodes.currentNode.parentElement;
    if (!one.matches("script, style, option, textarea"))
      check(one, getComputedStyle(one), nodes.currentNode.data);
  }
  for (const one of document.querySelectorAll("input, textarea")) {
    if (one.matches("[type=checkbox], [type=radio], [type=range], [type=file]")) continue;
    if (one.value) check(one, getComputedStyle(one), one.value);
    else check(one, getComputedStyle(one, "::placeholder"), one.placeholder);
  }
  return Object.fromEntries(found);
}"""
"""Visible texts with less than 4.5:1 against what lies under them (WCAG 2.2, 1.4.3), disabled
buttons and outdated previews left out, as it does; where they stand -> ratio and text."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("look")
    file = write_experiment(folder)
    entry = json.loads(file.read_text())
    file.write_text(json.dumps({**entry, "tasks": entry["tasks"][:1]}))
    return run_experiment(str(file), folder / "runs")


@pytest.fixture(scope="module")
def app(made: Run) -> Iterator[str]:
    folder: Path = made.folder.parent.parent
    with serving({"engine": "echo", "window": 9000}, folder) as address:
        yield address


def fill(page: Any, made: Run) -> Iterator[str]:
    """Use every tab, so that there is something to read; yields where it is."""
    run(page, "labels")
    page.click("#more button")
    page.click("#versions button")
    for name in ("Row", "Shots", "Model", "Template"):
        tab(page, name)
        yield f"Playground, {name}"
    tab(page, "Tokens")
    page.click("#inspect")
    until_box(page, "expected", "tokens; click one")
    yield "Playground, Tokens"
    tab(page, "As experiment")
    yield "Playground, As experiment"
    tab(page, "Exact prompt")
    choose(page, "run-on", "20 rows")
    page.click("#run-rows")
    until(page, "rows-told", "^20 rows · acc ")
    page.wait_for_selector("#rows-table [role=gridcell]")
    yield "Playground, on rows"
    drop(page, made.folder / "manifest.json")
    until(page, "uploaded", "^manifest.json")
    yield "Playground, no table"
    page.click("#use-file > button")
    write(page, "---\ntask: nothing\n---\n{{")
    until(page, "problem", "^(?!fine)")
    yield "Playground, wrong"
    tab(page, "Compare")
    page.fill("#c-kB input", "0")
    until(page, "c-check", "^A and B: ")
    page.click("#c-run")
    until(page, "c-counted", "rows answered")
    yield "Compare"
    tab(page, "Experiment")
    until(page, "x-check", "^fine")
    page.click("#x-estimate")
    until(page, "x-told", "^about")
    yield "Experiment"
    tab(page, "Results")
    page.wait_for_selector("#result-records [role=gridcell]")
    click(page, "result-records", made.conditions[0].examples[1].id)
    until_box(page, "result-facts", "record ")
    yield "Results"
    for name in ("Plots", "Confusion", "Spread"):
        tab(page, name)
        page.wait_for_timeout(500)
        yield f"Results, {name}"
    tab(page, "Blind A/B")
    page.fill("#b-run input", "small")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('#b-b input').value.startsWith('2:')")
    page.click("#b-begin")
    until_box(page, "b-told", "rows? to read$|every row")
    yield "Blind A/B"


STILL = "* { transition: none !important; animation: none !important; }"


def test_what_is_written_can_be_read_and_nothing_is_cut_off(
    app: str, made: Run, open_page: Callable[..., Any]
) -> None:
    page = open_page(app)
    page.add_style_tag(content=STILL)
    faults: dict[str, Any] = {}
    for place in fill(page, made):
        for theme in ("light", "dark"):
            page.evaluate(f"document.body.classList.toggle('dark', {json.dumps(theme == 'dark')})")
            if found := page.evaluate(FAINT):
                faults[f"{place}, {theme}"] = found
        page.set_viewport_size({"width": 400, "height": 800})
        page.wait_for_timeout(100)
        across = page.evaluate("document.documentElement.scrollWidth")
        if across > 400:
            faults[f"{place}, narrow"] = across
        page.set_viewport_size({"width": 1280, "height": 800})
    assert faults == {}, json.dumps(faults, indent=1)


def test_everything_is_in_reach_on_a_narrow_screen(app: str, open_page: Callable[..., Any]) -> None:
    page = open_page(app)
    page.set_viewport_size({"width": 400, "height": 800})
    for name, controls in CONTROLS.items():
        if not page.get_by_role("tab", name=name, exact=True).is_visible():
            page.locator("#tabs .overflow-menu > button").first.click()
            page.locator("#tabs .overflow-dropdown").get_by_text(name, exact=True).click()
        else:
            tab(page, name)
        for control in controls.split():
            part = page.locator(control)
            part.scroll_into_view_if_needed()
            box = part.bounding_box()
            assert box is not None and box["x"] >= 0 and box["width"] >= 30, control
            assert box["x"] + box["width"] <= 400, control


def test_an_answer_moves_nothing(app: str, open_page: Callable[..., Any]) -> None:
    page = open_page(app)
    places = (
        "() => ['run', 'told', 'answered', 'good', 'prompt'].map(name => "
        "document.getElementById(name).getBoundingClientRect().top)"
    )
    before = page.evaluate(places)
    run(page, "labels")
    assert page.evaluate(places) == before
    choose(page, "name", "summarization/plain")
    until(page, "problem", "^fine; generates text")
    before = page.evaluate(places)
    run(page, "ended by|cut at")
    assert page.evaluate(places) == before
