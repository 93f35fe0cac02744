"""The playground in a real browser: what it shows, and that hostile text stays text."""

from __future__ import annotations

import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from icl.core.safe_text import clean
from tests.browser.conftest import COOKIES, serving

HOSTILE = [
    "<script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=2>",
    '<img src="http://192.0.2.1/x.png">',
    "<svg onload=window.pwned=3>",
    "<svg/onload=window.pwned=3><style>*{display:none}</style>",
    "<style>body{display:none}</style>",
    '<meta http-equiv="refresh" content="0;url=http://192.0.2.1/">',
    '<iframe src="javascript:window.parent.pwned=4"></iframe>',
    '<a href="javascript:window.pwned=5">x</a>',
    "[x](javascript:window.pwned=6)",
    "![x](http://192.0.2.1/y.png)",
    "${window.pwned=7}",
    "{{window.pwned=8}}",
    "`window.pwned=9`",
    "</script><script>window.pwned=10</script>",
    "</textarea><script>window.pwned=11</script>",
    '"><script>window.pwned=12</script>',
    "' onmouseover='window.pwned=13",
    "<details open ontoggle=window.pwned=14>",
    "<body onload=window.pwned=15>",
    "<input autofocus onfocus=window.pwned=16>",
    "<video><source onerror=window.pwned=17></video>",
    "<math><mtext><script>window.pwned=18</script></mtext></math>",
    "<template><script>window.pwned=19</script></template>",
    "<object data=http://192.0.2.1/z></object>",
    "<link rel=stylesheet href=http://192.0.2.1/a.css>",
    "<base href=http://192.0.2.1/>",
    "<form action=http://192.0.2.1/><button>go</button></form>",
    "$$\\href{javascript:window.pwned=20}{x}$$",
    "&lt;script&gt;window.pwned=21&lt;/script&gt;",
    "\\u003cscript\\u003ewindow.pwned=22\\u003c/script\\u003e",
    "%3Cscript%3Ewindow.pwned=23%3C/script%3E",
    "\u202eevil\u202c \u200bzero\u200b",
    "\x00nul",
    "\x1b[31mred\x1b[0m",
    "\ud800 half \udfff",
    '=HYPERLINK("http://192.0.2.1/")',
    "javascript:window.pwned=24",
    "data:text/html,<script>window.pwned=25</script>",
    "x" * 20_000,
]


PAIR = "{{ source }}||| {{ target }}"
SAID = "{{ utt }}||| {{ label }}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("app")


@pytest.fixture(scope="module")
def tiny(tiny_model: Path, folder: Path) -> Iterator[str]:
    with serving({"source": str(tiny_model)}, folder) as address:
        yield address


def value(page: Any, name: str) -> str:
    """What a text box, a caption or a text of the answer holds; "" if it is not there."""
    return str(
        page.evaluate(
            """name => {
                const at = document.getElementById(name);
                const box = at?.querySelector("textarea, input");
                if (box) return box.value;
                const said = at?.querySelector(".caption");
                return said ? said.textContent : !at || at.matches(".block") ? "" : at.textContent;
            }""",
            name,
        )
    )


def until(page: Any, name: str, pattern: str) -> str:
    """What it holds, once that matches."""
    end = time.monotonic() + 60
    while not re.search(pattern, found := value(page, name)):
        assert time.monotonic() < end, f"#{name} is {found!r}, not {pattern!r}"
        page.wait_for_timeout(50)
    return found


def more(page: Any) -> None:
    """Open what stands under More."""
    page.click("#more button")
    page.wait_for_selector("#seed input", state="visible")


def prompt(page: Any) -> str:
    """The prompt as it stands on the screen."""
    return str(page.text_content("#prompt pre.textfield"))


def until_prompt(page: Any, text: str) -> str:
    page.wait_for_function(
        "text => document.querySelector('#prompt .textfield').textContent.includes(text)", arg=text
    )
    return prompt(page)


def export(page: Any) -> str:
    return "\n".join(page.locator("#export .cm-line").all_inner_texts())


def choose(page: Any, name: str, option: str) -> None:
    page.click(f"#{name} input")  # its own options: those of another may still be fading out
    page.locator(f"#{name}").get_by_role("option", name=option, exact=True).click()


def write(page: Any, text: str) -> None:
    """Put a whole template into the editor."""
    page.click("#template .cm-content")
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(text)


def run(page: Any, pattern: str) -> str:
    page.click("#run")
    told = until(page, "told", pattern)
    page.wait_for_selector("#run:not([disabled])")
    return told


def test_a_page_that_is_opened_needs_no_model(tiny: str, open_page: Callable[[str], Any]) -> None:
    page = open_page(tiny)
    until(page, "problem", "^fine; ranks 60 labels; row id 2; 3 shots")
    time.sleep(1)
    assert value(page, "counts").startswith("counted once something changes")
    shown = prompt(page)
    assert shown.startswith("Name the intent of each utterance to a voice assistant.\n\nUtterance:")
    assert shown.count("\n\n") == 4
    assert shown.endswith("\nIntent:")
    kinds = page.locator("#prompt .legend span").all_inner_texts()
    assert kinds == ["instruction", "shot input", "shot target", "query"]


def test_a_page_that_is_opened_asks_for_what_is_seen_alone(
    tiny: str, open_page: Callable[..., Any]
) -> None:
    page = open_page(tiny)
    page.wait_for_timeout(1500)
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url) if one.method == "POST" else None)
    page.reload()
    page.wait_for_selector("#prompt .textfield .text")
    page.wait_for_timeout(2000)
    # Four tabs put back what was typed, one looks for a permalink; one preview, of the Playground.
    assert len([url for url in asked if url.endswith("/predict")]) == 6
    asked.clear()
    page.get_by_role("tab", name="Results", exact=True).click()
    until(page, "result-told", "^no runs in ")
    assert asked


def test_edit_and_see(tiny: str, open_page: Callable[[str], Any]) -> None:
    page = open_page(tiny)
    page.fill("#k input", "2")  # as many as fit the tiny window, before and after the edit
    page.click("#template .cm-content")
    page.keyboard.press("Control+End")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("End")
    page.keyboard.type("!?")
    assert until_prompt(page, "!?").count("!?") == 2
    until(page, "counts", r"^\d+ = special 1, instruction \d+, shots \d+, query \d+; room for \d+")
    page.get_by_role("tab", name="As experiment").click()
    page.wait_for_function("() => document.querySelector('#export').innerText.includes('prompt')")
    assert re.search(r"prompt: prompts/plain-[0-9a-f]{8}\.j2", export(page))
    page.keyboard.press("Control+End")
    page.click("#template .cm-content")
    page.keyboard.press("Control+End")
    page.keyboard.type("{{ nope }}")
    problem = until(page, "problem", "intent/plain:13: ")
    assert "the target of a classify template may read only" in problem
    assert "stale" in str(page.get_attribute("#prompt", "class"))
    for _ in range(len("{{ nope }}")):
        page.keyboard.press("Backspace")
    until(page, "problem", "^fine")
    assert "stale" not in str(page.get_attribute("#prompt", "class"))


def test_what_is_chosen_changes_the_prompt(tiny: str, open_page: Callable[[str], Any]) -> None:
    page = open_page(tiny)
    page.get_by_role("tab", name="As experiment").click()
    first = prompt(page)
    page.click("#forth")
    until(page, "problem", "row id (?!2;)")
    assert prompt(page) != first
    page.click("#back")
    until(page, "problem", "row id 2;")
    page.wait_for_function("() => document.querySelector('#row input').value == '1'")
    page.fill("#k input", "1")
    until(page, "problem", r"; 1 shot$")
    assert prompt(page).count("\n\n") == 2
    choose(page, "select", "bm25")
    choose(page, "locale", "sw-KE")
    page.wait_for_function("() => document.querySelector('#export').innerText.includes('sw-KE')")
    assert "- {k: 1, select: bm25}" in export(page)
    choose(page, "name", "intent/native")
    more(page)
    choose(page, "words", "the row's")
    until_prompt(page, "Nia:")
    page.fill("#k input", "99")
    until(page, "problem", "^k is 99; a whole number from 0 to 64 is needed")


def test_ranking(tiny: str, open_page: Callable[[str], Any]) -> None:
    page = open_page(tiny)
    told = run(page, "of the 60 labels")
    assert re.match(r"row id 2: best of the 60 labels; [\d.]+ s$", told)
    assert re.match(
        r"[✓✗] \w+ [\d.]+ %(right: email_query, \d+\w\w, [\d.]+ %)?", value(page, "verdict")
    )
    bars = page.locator("#labels li").count()
    assert bars in (8, 9)  # the right label is shown wherever it stands
    assert page.locator("#labels").inner_text().count("✓") == 1
    assert page.locator("#answered summary").inner_text() == f"{60 - bars} more"
    # What the loop needs stands above the fold, the query in sight.
    for part in ("#template", "#prompt .query", "#verdict", "#run", "#row", "#select"):
        box = page.locator(part).last.bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 800, part
    # The answer belongs to its prompt: it is another's beside the next row, and comes back.
    page.wait_for_selector("#good:enabled")
    page.click("#forth")
    page.wait_for_selector(".band >> text=answer to row 1 as it was · Run to ask this one")
    page.wait_for_selector("#good:disabled")
    assert page.locator(".answer.stale #verdict").count() == 1
    page.click("#back")
    page.wait_for_selector(".band", state="detached")
    page.wait_for_selector("#good:enabled")
    until(page, "counts", r"^\d+ = ")


def test_generation(tiny: str, open_page: Callable[[str], Any]) -> None:
    page = open_page(tiny)
    choose(page, "name", "translation/plain")
    until(page, "problem", "^fine; generates text; row id 0")
    page.fill("#k input", "0")
    more(page)
    page.fill("#max_tokens input", "12")
    told = run(page, r"tokens in [\d.]+ s")
    assert re.match(r"row id 0: \d+ tokens in [\d.]+ s", told)
    assert value(page, "reference").startswith("Maya hat ihren Regenschirm")
    assert page.locator("#labels").count() == 0


def test_shots_that_do_not_fit_are_dropped(tiny: str, open_page: Callable[[str], Any]) -> None:
    page = open_page(tiny)
    page.fill("#k input", "16")
    counts = until(page, "counts", "dropped to fit: ")
    dropped = counts.partition("dropped to fit: ")[2].split(", ")
    assert 1 <= len(dropped) <= 16
    assert prompt(page).count("Utterance:") == 17 - len(dropped)


def test_save_and_open_again(tiny: str, folder: Path, open_page: Callable[[str], Any]) -> None:
    page = open_page(tiny)
    page.get_by_role("tab", name="As experiment").click()
    text = "---\ntask: generate\n---\n[[example]]\n{{ source }}  \n=>||| {{ target }}\n\n"
    choose(page, "data", "samples/translation")
    write(page, text)
    until_prompt(page, "=>")
    page.fill("#file textarea, #file input", "../evil")
    page.click("#save")
    until(page, "saved", "cannot name a template")
    page.fill("#file textarea, #file input", "mine")
    page.click("#save")
    until(page, "saved", r"^saved prompts/mine\.j2")
    saved = (folder / "prompts" / "mine.j2").read_text()
    assert saved == text
    page.wait_for_function("() => document.querySelector('#export').innerText.includes('mine.j2')")
    assert "prompt: prompts/mine.j2" in export(page)
    # What icl lint says of it: the white space at the end is sent, too, and nothing ends an answer.
    found = until(page, "problem", "^generates text; row id 0")
    assert "line 7: white space at the end of the target" in found and "no `stop:`" in found
    again = open_page(tiny)
    choose(again, "name", "prompts/mine.j2")
    choose(again, "data", "samples/translation")
    until_prompt(again, "=>")
    assert prompt(again) == prompt(page)


def test_a_template_without_end_leaves_the_page_alive(
    tiny: str, open_page: Callable[[str], Any]
) -> None:
    page, other = open_page(tiny), open_page(tiny)
    write(page, "x {{ 9**(9**9) }}||| {{ target }}")
    other.click("#forth")
    until(other, "problem", "row id (?!2;)")
    until(page, "problem", "worked for more than 1 s and was stopped")
    write(page, "---\ntask: classify\nlabel_field: intent\n---\nSay {{ utt }}||| {{ label }}")
    until(page, "problem", "^fine")


@pytest.fixture(scope="module")
def talker(folder: Path) -> Iterator[str]:
    words = " ".join(f"word{n}" for n in range(2000))
    model = {"engine": "talker", "default": "hash", "text": words, "delay_s": 0.2}
    with serving(model, folder) as address:
        yield address


def test_stop(talker: str, open_page: Callable[[str], Any]) -> None:
    page = open_page(talker)
    choose(page, "name", "translation/plain")
    until(page, "problem", "^fine; generates text")
    page.click("#run")
    until(page, "output", "word5 ")
    until(page, "told", "generating")
    before = len(value(page, "output").split())
    page.click("#stop")
    told = until(page, "told", "stopped$")
    page.wait_for_selector("#run:not([disabled])")
    said = value(page, "output")
    time.sleep(0.5)
    assert value(page, "output") == said
    assert len(said.split()) - before <= 200, "words after Stop, of 2000 in all"
    assert int(re.findall(r"(\d+) tokens", told)[0]) == len(said.split())
    page.wait_for_selector("#answered .halted >> text=half an answer has no score")
    assert page.locator("#scored").count() == 0 and page.is_disabled("#good")
    # A page that goes away frees the engine for the next one.
    page.click("#run")
    until(page, "output", "word5 ")
    page.close()
    other = open_page(talker)
    choose(other, "name", "translation/plain")
    until(other, "problem", "^fine; generates text")
    other.click("#run")
    until(other, "output", "word5 ")
    other.click("#stop")
    until(other, "told", "stopped$")


@pytest.fixture(scope="module")
def hostile(folder: Path) -> Iterator[str]:
    model = {"engine": "talker", "default": "hash", "text": "\n".join(HOSTILE)}
    with serving(model, folder) as address:
        yield address


def test_hostile_text_is_text(hostile: str, open_page: Callable[[str], Any]) -> None:
    page = open_page(hostile)
    choose(page, "name", "translation/plain")
    until(page, "problem", "^fine; generates text")
    run(page, "ended by the model")
    said = value(page, "output")
    for one in HOSTILE:
        shown = clean(one.replace("\ud800", "\ufffd").replace("\udfff", "\ufffd"))
        assert shown in said, one
    page.get_by_role("tab", name="As experiment").click()
    raw = "{% raw %}" + "\n".join(HOSTILE[:32]) + "{% endraw %}"
    write(page, f"---\n# x\n---\n[[instruction]]\n{raw}\n[[example]]\n{PAIR}")
    until_prompt(page, HOSTILE[31])
    assert "\n".join(HOSTILE[:32]) in prompt(page)
    write(page, "---\n" + HOSTILE[0] + ": 1\n---\nx||| {{ target }}")
    until(page, "problem", re.escape(HOSTILE[0]))
    labels = "".join(f"  {one!r}: w{n}\n" for n, one in enumerate(HOSTILE[:12]))
    choose(page, "data", "samples/intent")
    write(page, f"---\ntask: classify\nlabels:\n  email_query: mail\n{labels}---\n{SAID}")
    page.fill("#k input", "0")
    until(page, "problem", "^fine; ranks 13 labels")
    run(page, "of the 13 labels")
    page.click("#answered summary")
    charted = page.locator("#answered").inner_text()
    assert all(one in charted for one in HOSTILE[:12])
    assert page.evaluate("window.pwned") is None
    assert page.is_visible("#run")


def fetch(address: str, **headers: str) -> tuple[int, Any]:
    request = urllib.request.Request(address, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, reply.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers


def test_what_the_server_refuses(tiny: str) -> None:
    ((name, value),) = COOKIES[tiny].items()
    known = {"Cookie": f"{name}={value}"}
    assert fetch(tiny, **known)[0] == 200
    assert fetch(tiny)[0] == 403
    for path in ("/etc/passwd", "app.py", str(Path(__file__)), os.environ.get("HOME", "/root")):
        assert fetch(f"{tiny}gradio_api/file={path}", **known)[0] in (403, 404)
    status, headers = fetch(f"{tiny}config", Origin="http://evil.example", **known)
    assert status == 403 and "access-control-allow-origin" not in headers
    _, headers = fetch(f"{tiny}config", Origin="null", **known)
    assert headers.get("access-control-allow-origin") != "null"
    for off in ("monitoring", "openapi.json", "docs", "gradio_api/openapi.json"):
        assert fetch(f"{tiny}{off}", **known)[0] == 404
