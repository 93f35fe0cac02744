"""Texts of rows and models in HTML: escaped, in their own direction, nothing hidden."""

from __future__ import annotations

import html
import re

import pytest

from icl.core.safe_text import clean, split_hidden
from icl.core.types import Prompt
from icl.workbench.web.playground.prompt_view import prompt_html, token_html
from icl.workbench.web.playground.save import difference_html
from icl.workbench.web.safe_html import attribute, caption_html, inline_html, text_html
from tests.browser.test_app import HOSTILE


def shown(made: str) -> str:
    """The text that a browser shows of an HTML text."""
    return html.unescape(re.sub("<[^>]*>", "", made))


@pytest.mark.parametrize("text", [one for one in HOSTILE if len(one) < 1000])
def test_a_hostile_text_is_shown_as_it_is(text: str) -> None:
    wanted = clean(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    for made in (text_html(text), inline_html(text, 1000), caption_html(text)):
        assert shown(made) == wanted
        bare = re.sub(r"</?(span|bdi|p)\b[^<>]*>", "", made)
        assert not re.search(r"[<>{}$`]", bare)
    assert not re.search(r'["<>{}]', attribute(text))


def test_hidden_characters_are_marks_with_a_name() -> None:
    made = text_html("user\u202etxt.exe")
    assert '<span class="mark" title="U+202E right-to-left override">\\u202e</span>' in made
    assert "".join(drawn for drawn, _ in split_hidden("a\x00b\u200bc")) == clean("a\x00b\u200bc")
    assert "mark" not in text_html("می\u200cخواهم")  # a joiner that the script needs


def test_every_text_has_its_own_direction() -> None:
    prompt = Prompt(" שלום", instruction="Say\nit", shots=(("a", " b"),))
    for made in (prompt_html(prompt), token_html([("a", None)], None), inline_html("שלום")):
        assert 'dir="auto"' in made
    assert shown(re.sub(r'<div class="legend">.*?</div>', "", prompt_html(prompt))) == prompt.text


def test_tokens_of_an_appended_answer_are_marked() -> None:
    made = token_html([("Intent", "over 50 %"), (":", "under 1 %"), (" a", None)], 2)
    assert re.findall(r'class="text ([^"]*)" data-token="(\d)"', made) == [
        ("grade0", "1"),
        ("grade3", "2"),
        ("first appended", "3"),
    ]
    assert "appended: the answer" in made
    assert "appended" not in token_html([("Intent", None)], None)


def test_a_difference_shows_both_texts() -> None:
    made = difference_html("Name the <b>", "Name its <b>")
    assert "<del>the</del><ins>its</ins>" in made and "<b>" not in made
