"""The playground's panels in a real browser: rows, shots, tokens, models, feedback, reload."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from icl.core.probabilities import label_shares
from icl.records.results import load_run
from tests.browser.conftest import serving
from tests.browser.test_app import (
    HOSTILE,
    choose,
    prompt,
    run,
    until,
    until_prompt,
    value,
    write,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("desk")


@pytest.fixture(scope="module")
def tiny(tiny_model: Path, folder: Path) -> Iterator[str]:
    with serving({"source": str(tiny_model), "width": "fp32"}, folder) as address:
        yield address


def tab(page: Any, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def box(page: Any, name: str) -> str:
    return value(page, name)


def until_box(page: Any, name: str, pattern: str) -> str:
    return until(page, name, pattern)


LAST_LINE = """() => {
  const scroller = document.querySelector("#template .cm-scroller");
  scroller.scrollTop = scroller.scrollHeight;
  const last = [...document.querySelectorAll("#template .cm-line")].at(-1);
  return last.getBoundingClientRect().bottom
    - document.querySelector("#template").getBoundingClientRect().bottom;
}"""
"""How far the editor's last line lies below the editor, once that is scrolled to its end."""
SHOTS = "() => [...document.querySelectorAll('#shots input')].map(one => one.value)"


def shots(page: Any) -> list[str]:
    """The ids of the shots, which the list knows and does not show."""
    return [str(name) for name in page.evaluate(SHOTS)]


def until_shots(page: Any, wanted: list[str]) -> None:
    page.wait_for_function(
        f"wanted => JSON.stringify(({SHOTS})()) === JSON.stringify(wanted)", arg=wanted
    )


def test_shots_by_hand_tokens_and_the_exported_run(
    tiny: str, folder: Path, open_page: Callable[[str], Any]
) -> None:
    page = open_page(tiny)
    page.fill("#k input", "2")
    until(page, "problem", r"; 2 shots$")
    until(page, "counts", r"^\d+ = ")
    tab(page, "Shots")
    first, second = shots(page)
    page.locator("#shots input").nth(1).check()
    page.click("#up")
    until_shots(page, [second, first])
    page.click("#pin")
    page.wait_for_function("() => document.querySelector('#shots').innerText.includes('pinned')")
    told = run(page, "of the 60 labels")
    assert re.match(r"row id 2: best of ", told)
    verdict = value(page, "verdict")
    scored = box(page, "scored")
    assert re.match(r"acc (0|100)\.0; macro-F1", scored)
    page.click("#leave-out")
    lines = until_box(page, "shots-told", "adds [+-]").splitlines()
    assert [line.split(":")[0] for line in lines] == [second, first]
    page.click("#good")
    until_box(page, "noted", "^good: saved in feedback.jsonl")
    page.click("#card")
    until_box(page, "noted", r"^saved cards/2-\w{8}.html")
    tab(page, "Tokens")
    page.click("#inspect")
    until_box(page, "expected", r"^\d+ tokens; click one")
    page.locator("#heat .text").nth(5).click()
    assert "rank" in until_box(page, "expected", "rank")
    tab(page, "As experiment")
    shown = prompt(page) if page.is_visible("#prompt") else ""
    page.fill("#export-name textarea, #export-name input", "mine")
    page.click("#export-save")
    until_box(page, "exported", r"^saved mine.yaml with shots/\w+.jsonl; now: icl run mine.yaml")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "icl.cli", "run", "mine.yaml"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (records,) = folder.glob("runs/conditions/*/records.jsonl")
    record = json.loads(records.read_text())
    (kept,) = (json.loads(line) for line in (folder / "feedback.jsonl").read_text().splitlines())
    assert record["request"] == kept["request"]
    (ran,) = load_run("mine", folder / "runs").conditions
    (share,) = [max(label_shares(one.logprobs)) for one in ran.records.values()]
    shown_share = float(re.search(r" ([\d.]+) %", verdict)[1])  # type: ignore[index]
    assert shown_share == pytest.approx(100 * share, rel=6e-3)  # three digits are shown
    assert [shot[0] for shot in record["shots"]] == [second, first] == kept["shots"]
    assert not shown or kept["prompt"] == shown


def test_rows_are_found_and_typed(tiny: str, open_page: Callable[[str], Any]) -> None:
    page = open_page(tiny)
    tab(page, "Row")
    page.fill("#wanted textarea, #wanted input", "alarm")
    page.wait_for_function("() => document.querySelector('#found').innerText.includes('Found:')")
    page.click("#found input")
    page.get_by_role("option").first.click()
    page.wait_for_function("() => document.querySelector('#row input').value != '1'")
    page.check("#typed input")
    page.wait_for_selector("#field0 textarea, #field0 input")
    page.fill("#field0 textarea, #field0 input", "canary <b>row</b>")
    until_prompt(page, "canary <b>row</b>")
    # A text as it is: in its own direction, wrapped, and nothing hidden.
    page.fill("#field0 textarea, #field0 input", f"שלום\u202e {'日本語の文' * 8}")
    until_prompt(page, "שלום\\u202e 日本語")
    assert page.locator("#prompt .mark").get_attribute("title") == "U+202E right-to-left override"
    assert page.locator("#prompt pre[dir=auto]").count() == 1
    assert page.evaluate(
        "[...document.querySelectorAll('#prompt pre')].every(one => "
        "one.scrollWidth <= one.clientWidth)"
    )
    assert page.locator("#field0 textarea[dir=auto], #field0 input[dir=auto]").count() == 1
    page.uncheck("#typed input")


def test_nothing_typed_is_lost_on_reload(tiny: str, open_page: Callable[[str], Any]) -> None:
    page = open_page(tiny)
    choose(page, "locale", "sw-KE")
    write(page, "---\ntask: classify\nlabel_field: intent\n---\nkept {{ utt }}||| {{ label }}")
    until_prompt(page, "kept ")
    page.fill("#row input", "3")
    page.fill("#k input", "1")
    until(page, "problem", r"ranks 60 labels.*1 shot")  # kept with the preview
    until(page, "counts", r"^\d+ = ")
    before = prompt(page)
    page.reload()
    page.wait_for_selector("#prompt .textfield .text")
    until_prompt(page, "kept ")
    page.wait_for_function("() => document.querySelector('#k input').value == '1'")
    page.wait_for_function("() => document.querySelector('#locale input').value == 'sw-KE'")
    page.wait_for_function("() => document.querySelector('#row input').value == '3'")
    until_prompt(page, before.splitlines()[-1])
    assert prompt(page) == before


def test_a_late_answer_of_older_values_is_not_shown(
    tiny: str, open_page: Callable[[str], Any]
) -> None:
    page = open_page(tiny)
    page.fill("#row input", "37")
    until(page, "problem", "^fine.*row id (?!2;)")
    until(page, "counts", r"^\d+ = ")
    page.wait_for_timeout(500)  # what did not fit leaves the prompt
    before = prompt(page)
    held: list[Any] = []

    def hold(route: Any) -> None:
        """Holds the first preview of the stored values, of several sent at the same moment."""
        first = not held and 37 in route.request.post_data_json["data"]
        held.append(route) if first else route.continue_()

    page.route("**/run/predict*", hold)
    page.reload()
    page.wait_for_selector("#prompt .textfield .text")
    until_prompt(page, before.splitlines()[-2])
    (first,) = held
    asked = first.request.post_data_json
    asked["data"][asked["data"].index(37)] = 1  # as if it had left before the row was restored
    with page.expect_response(lambda reply: reply.request == first.request):
        first.continue_(post_data=json.dumps(asked))
    page.wait_for_timeout(500)
    assert prompt(page) == before


def test_versions_and_undo(tiny: str, open_page: Callable[[str], Any]) -> None:
    page = open_page(tiny)
    page.fill("#k input", "0")
    for word in ("Eins", "Zwei"):
        write(
            page,
            f"---\ntask: classify\nlabel_field: intent\n---\n{word} {{{{ utt }}}}"
            "||| {{ label }}",
        )
        until_prompt(page, word)
        page.fill("#file textarea, #file input", "undone")
        page.click("#save")
        until(page, "saved", r"^saved prompts/undone\.j2")
        page.wait_for_timeout(300)
    page.click("#undo")
    until_prompt(page, "Eins")
    until(page, "saved", "^version 1 again; nothing is lost")
    page.click("#versions button")
    page.click("#version input")
    options = page.get_by_role("option")
    told = [" · ".join(text.split(" · ")[:2]) for text in options.all_inner_texts()]
    assert told == ["2 · Zwei {{ utt }}||| {{ label }}", "1 · ---"]
    options.first.click()
    page.wait_for_selector("#difference del >> text=Zwei")
    assert page.locator("#difference ins").all_inner_texts() == ["Eins"]
    page.click("#take-back")
    until_prompt(page, "Zwei")
    page.click("#undo")  # after a run, too, it finds the edit
    until_prompt(page, "Eins")
    write(page, "---\ntask: classify\nlabel_field: intent\n---\nDrei {{ utt }}||| {{ label }}")
    until_prompt(page, "Drei")
    run(page, "of the 60 labels")
    page.click("#undo")
    until_prompt(page, "Eins")


def test_a_model_is_loaded_and_unloaded(tiny: str, open_page: Callable[[str], Any]) -> None:
    page = open_page(tiny)
    tab(page, "Model")
    page.click("#load")
    until_box(page, "model-told", r"loaded as fp32.* loaded in [\d.]+ s$")
    page.click("#unload")
    until_box(page, "model-told", "^unloaded")
    page.fill("#model input", "./no-such-folder")
    page.keyboard.press("Enter")
    until(page, "problem", "no model at .*no-such-folder'; name a folder with config.json")


def test_control_enter_runs(tiny: str, open_page: Callable[[str], Any]) -> None:
    page = open_page(tiny)
    page.click("#template .cm-content")
    before = page.locator("#template .cm-line").count()
    page.keyboard.press("Control+Enter")
    until(page, "told", "of the 60 labels")
    assert page.locator("#template .cm-line").count() == before


def test_two_pages_do_not_see_each_other(tiny: str, open_page: Callable[[str], Any]) -> None:
    one, other = open_page(tiny), open_page(tiny)
    for page, word in ((one, "CANARY-A"), (other, "CANARY-B")):
        write(
            page,
            f"---\ntask: classify\nlabel_field: intent\n---\n{word} {{{{ utt }}}}"
            "||| {{ label }}",
        )
        until_prompt(page, word)
    run(one, "labels")
    one.wait_for_selector("#good:enabled")
    assert other.is_disabled("#good")
    assert "CANARY-A" not in other.content() and "CANARY-B" not in one.content()


def test_narrow_and_dark(tiny: str, open_page: Callable[[str], Any]) -> None:
    page = open_page(tiny)
    page.set_viewport_size({"width": 400, "height": 800})
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.locator("#run").scroll_into_view_if_needed()
    assert page.is_visible("#run")
    below = page.evaluate(LAST_LINE)
    page.set_viewport_size({"width": 1280, "height": 500})
    assert below <= 0 and page.evaluate(LAST_LINE) <= 0


@pytest.fixture(scope="module")
def hostile(folder: Path) -> Iterator[str]:
    rows = [{"text": text, "label": text[:40]} for text in HOSTILE]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    experiment = {
        "models": {"t": {"engine": "table", "default": "hash"}},
        "data": {"<b>rows</b>": {"format": "jsonl", "path": "rows.jsonl", "answer": "label"}},
        "tasks": [{"task": "classify", "prompt": "hostile.j2",
                   "rows": {"data": "<b>rows</b>", "lines": [1, 20]}, "pool": {"lines": [21, 39]}}],
    }  # fmt: skip
    (folder / "hostile.j2").write_text("---\ntask: classify\n---\nSay {{ text }}||| {{ label }}")
    (folder / "hostile.yaml").write_text(json.dumps(experiment))
    with serving({"engine": "table", "default": "hash"}, folder, "hostile.yaml") as address:
        yield address


def test_hostile_rows_stay_text_in_every_panel(
    hostile: str, folder: Path, open_page: Callable[[str], Any]
) -> None:
    page = open_page(hostile)
    write(page, "---\ntask: classify\n---\n{{ text }}||| {{ label }}")
    page.fill("#k input", "16")
    until(page, "problem", "^fine; ranks")
    run(page, "labels")
    tab(page, "Shots")
    assert page.locator("#shots label").count() == 16
    page.fill("#pool-wanted textarea, #pool-wanted input", "pwned")
    page.click("#pool-found input")
    page.wait_for_timeout(1000)
    tab(page, "Row")
    page.fill("#wanted textarea, #wanted input", "a")
    page.wait_for_timeout(1000)
    page.click("#found input")
    page.wait_for_timeout(500)
    page.keyboard.press("Escape")
    page.click("#card")
    saved = until_box(page, "noted", r"^saved cards/")
    assert page.evaluate("window.pwned") is None
    assert page.evaluate("document.querySelectorAll('#shots img, #shots script').length") == 0
    assert "<script" not in (folder / saved.split(":")[0].removeprefix("saved ")).read_text()


def test_one_choice_makes_one_preview_and_keeps_what_was_typed(
    tiny: str, open_page: Callable[[str], Any]
) -> None:
    page = open_page(tiny)
    made: list[str] = []
    page.on("response", lambda reply: made.append(reply.url) if _previews(reply) else None)
    choose(page, "name", "translation/plain")
    until(page, "problem", "^fine; generates text")
    until(page, "counts", r"^\d+ = ")  # the timer that waits for the tokenizer has rung
    page.wait_for_timeout(2000)
    made.clear()
    choose(page, "name", "translation/native")
    page.wait_for_timeout(2500)
    assert len(made) == 1
    tab(page, "As experiment")  # the library's own text, to the last line break
    page.wait_for_function(
        "() => document.querySelector('#export').innerText.includes('translation/native')"
    )
    tab(page, "Exact prompt")
    assert box(page, "saved") == ""
    text = "---\ntask: generate\n---\nmine {{ source }}||| {{ target }}"
    write(page, text)
    until_prompt(page, "mine ")
    page.click("#name input")  # looked at, and left without a choice
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    page.wait_for_timeout(1000)
    assert "mine " in prompt(page)
    choose(page, "name", "intent/plain")
    until(page, "saved", "the edited text of translation/native is saved")
    until_prompt(page, "Name the intent")
    choose(page, "name", "translation/native")
    until(page, "problem", "^fine; generates text")
    page.click("#undo")
    until_prompt(page, "mine ")


def _previews(reply: Any) -> bool:
    """Whether a reply brought a prompt; those that find nothing to change bring none."""
    return reply.request.method == "POST" and "textfield" in reply.text()
