"""The playground by keyboard alone, and that nothing on it moves while an answer comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.browser.conftest import serving
from tests.browser.test_app import choose, more, run, until

FIXED = ["run", "stop", "prompt", "template", "told", "meter", "answered", "good", "noted"]
"""What a mouse may be over, or an eye on."""
WATCH = """names => {
  window.places = {};
  const look = () => {
    for (const name of names) {
      const box = document.getElementById(name).getBoundingClientRect();
      const place = [box.x, box.y + scrollY, box.width, box.height].map(Math.round).join(" ");
      (window.places[name] ??= new Set()).add(place);
    }
    requestAnimationFrame(look);
  };
  look();
}"""
SEEN = "() => Object.fromEntries(Object.entries(window.places).map(([k, v]) => [k, [...v]]))"
FOCUSED = """() => {
  const part = document.activeElement;
  if (!part || part === document.body) return null;
  let block = part;
  while (block && !block.id.match(/^[a-z][a-z_-]*[0-9]?$/)) block = block.parentElement;
  const labels = [...(part.labels ?? [])].map(one => one.textContent.trim()).join(" ");
  const box = part.getBoundingClientRect();
  return {
    id: block ? block.id : "", code: part.matches(".cm-content"), role: part.role ?? part.tagName,
    name: part.getAttribute("aria-label") || labels || part.textContent.trim() || part.title || "",
    seen: box.width > 0 && box.height > 0,
  };
}"""
ORDER = ["name", "data", "locale", "template", "file", "save", "undo", "versions", "back", "row",
         "forth", "prompt", "select", "k", "more", "run", "correction"]  # fmt: skip
"""Controls of a page that was just opened, as they are read: Stop and verdicts are disabled."""


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    words = " ".join(f"word{n}" for n in range(200))
    model = {"engine": "talker", "default": "hash", "text": words, "delay_s": 0.01}
    with serving(model, tmp_path_factory.mktemp("app")) as address:
        yield address


def test_nothing_moves_while_an_answer_comes(talker: str, open_page: Callable[[str], Any]) -> None:
    page = open_page(talker)
    more(page)
    choose(page, "calibrator", "contextual")
    until(page, "problem", "^fine; ranks")
    until(page, "counts", r"^\d+ = ")
    page.evaluate(WATCH, FIXED)
    run(page, "of the 60 labels")
    until(page, "changed", "^contextual: the answer ")
    moved = {name: places for name, places in page.evaluate(SEEN).items() if len(places) > 1}
    assert not moved
    page.reload()
    page.wait_for_selector("#prompt .textfield .text")
    choose(page, "name", "translation/plain")
    until(page, "problem", "^fine; generates text")
    until(page, "counts", r"^\d+ = ")
    page.evaluate(WATCH, FIXED)
    run(page, "ended by the model")
    until(page, "output", "word199$")
    moved = {name: places for name, places in page.evaluate(SEEN).items() if len(places) > 1}
    assert not moved


def walked(page: Any, most: int = 120) -> list[dict[str, Any]]:
    """Where Tab leads, until it is where it was first; a list that closes leaves it nowhere.

    A prompt that is drawn anew takes the focus with it, so the walk waits for its count.
    """
    until(page, "problem", "^fine; ")
    until(page, "counts", r"^\d+ = ")
    found: list[dict[str, Any]] = []
    for _ in range(most):
        page.keyboard.press("Tab")
        now = page.evaluate(FOCUSED)
        if now is None:
            continue
        if now in found[:1]:
            return found
        found.append(now)
    pytest.fail(f"Tab does not come round; last in {[one['id'] for one in found[-6:]]}")


def test_tab_reaches_every_control_in_the_order_read(
    talker: str, open_page: Callable[[str], Any]
) -> None:
    page = open_page(talker)
    stops = walked(page)
    reached = list(dict.fromkeys(stop["id"] for stop in stops))
    assert [name for name in reached if name in ORDER] == ORDER
    assert not [stop for stop in stops if not stop["name"] or not stop["seen"]]
    told = {stop["id"]: stop["name"] for stop in stops}
    assert [told[name] for name in ("back", "forth", "template")] == [
        "Previous row",
        "Next row",
        "Template",
    ]
    # Neither key edits: Tab passes the editor by, Escape leaves it, for a control and not nowhere.
    for key in ("Tab", "Escape"):
        page.click("#template .cm-content")
        before = page.text_content("#template .cm-content")
        page.keyboard.press(key)
        assert page.evaluate(FOCUSED) is not None and not page.evaluate(FOCUSED)["code"]
        assert page.text_content("#template .cm-content") == before


@pytest.mark.parametrize(
    ("tab", "wanted"),
    [
        ("Row", ["wanted", "chance", "found", "typed"]),
        ("Shots", ["shots", "up", "down", "pin", "remove", "reset", "pool-wanted", "pool-found",
                   "shot-file", "keep-shots", "leave-out"]),
        ("Model", ["model", "width", "chat", "load", "unload", "look"]),
        ("Tokens", ["inspect", "place"]),
        ("As experiment", ["export-name", "export-save"]),
    ],
)  # fmt: skip
def test_tab_reaches_what_stands_in_the_other_tabs(
    talker: str, open_page: Callable[[str], Any], tab: str, wanted: list[str]
) -> None:
    page = open_page(talker)
    page.get_by_role("tab", name=tab, exact=True).click()
    page.wait_for_selector(f"#{wanted[-1]}", state="visible")
    page.evaluate("document.activeElement.blur(); window.getSelection().removeAllRanges()")
    page.focus("#name input")
    stops = walked(page)
    reached = list(dict.fromkeys(stop["id"] for stop in stops))
    assert [name for name in reached if name in wanted] == wanted
    assert not [stop for stop in stops if not stop["name"] or not stop["seen"]]
