"""Texts of strangers in a report: white space marked, long ones shortened, languages named.

The page template escapes, and :func:`icl.core.safe_text.clean` replaces control characters; all
texts here are still plain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from icl.core.errors import DataError
from icl.core.languages import find_language

__all__ = ["Mark", "find_html_language", "mark_white_space", "shorten_middle"]


MOST_MARKS = 1000
"""Most marks in one text; after them white space is unmarked, so that a page stays small."""
_INVISIBLE = {
    "\u00a0": "NBSP", "\u00ad": "SHY", "\u061c": "ALM", "\u200b": "ZWSP", "\u200e": "LRM",
    "\u200f": "RLM", "\u2028": "LS", "\u2029": "PS", "\u202a": "LRE", "\u202b": "RLE",
    "\u202c": "PDF", "\u202d": "LRO", "\u202e": "RLO", "\u2060": "WJ", "\u2066": "LRI",
    "\u2067": "RLI", "\u2068": "FSI", "\u2069": "PDI", "\ufeff": "BOM",
}  # fmt: skip
"""Names in the Unicode standard. The joiners U+200C and U+200D are not marked: a mark between
letters would break the shapes of Persian or Hindi."""
_MARKED = re.compile(
    rf"(?P<newline>\n)|(?P<tab>\t)|(?P<hidden>[{''.join(_INVISIBLE)}])"
    r"|(?P<space>(?:\A|(?<=\n)) +| +(?=\n|\Z)| {2,})"
)


def shorten_middle(text: str, most: int) -> str:
    """Return a text with the middle left out if it is longer than ``most`` characters.

    >>> shorten_middle("abcdefghijkl", 8)
    'abcdef … 4 characters left out … kl'
    """
    if len(text) <= most:
        return text
    tail = most // 4
    left = len(text) - most
    return f"{text[: most - tail]} … {left:,} characters left out … {text[len(text) - tail :]}"


@dataclass(frozen=True, slots=True)
class Mark:
    """A piece of text of one kind."""

    kind: str
    """``plain``, ``newline``, ``tab``, ``space`` (at a border, or doubled) or ``hidden``."""
    text: str
    name: str = ""
    """Name of a hidden character; empty for other kinds."""


def mark_white_space(text: str) -> Iterator[Mark]:
    r"""Split a text into pieces, so that white space which a reader would miss can be shown.

    >>> [mark.kind for mark in mark_white_space("one two \n")]
    ['plain', 'space', 'newline']
    """
    at = 0
    for number, found in enumerate(_MARKED.finditer(text)):
        if number >= MOST_MARKS:
            break
        if found.start() > at:
            yield Mark("plain", text[at : found.start()])
        yield Mark(found.lastgroup or "plain", found.group(), _INVISIBLE.get(found.group(), ""))
        at = found.end()
    if at < len(text):
        yield Mark("plain", text[at:])


def find_html_language(tag: str | None) -> str:
    """Return the ``lang`` attribute for a data set's locale; empty if it is no language.

    >>> find_html_language("deu_Latn"), find_html_language("zh-TW"), find_html_language("no tag")
    ('de-Latn', 'zh-Hant', '')
    """
    if tag:
        with suppress(DataError):
            found = find_language(tag)
            return found.code if found.script == "Zzzz" else f"{found.code}-{found.script}"
    return ""
