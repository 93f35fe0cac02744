"""Safe display of strangers' texts: invisible characters and terminal controls become marks.

Rows, labels, ids, names and errors may hold control characters, with which a text can recolour,
overwrite or reorder the text around it, and characters of no width, by which two texts that
look alike differ. Everything that is printed, and every report that is read, goes through
:func:`clean`; JSON and CSV keep the data as it is.

Source of the list: Unicode 16, categories Cc and Cf, and the fillers among the letters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

__all__ = ["clean", "describe_hidden", "is_clean", "split_hidden"]


_CLASSES = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and line feed, delete, C1
    "\xad\u061c\u200b\u200e\u200f\u2060-\u2064\ufeff"  # no width, or marks of direction
    "\u202a-\u202e\u2066-\u206f"  # embeddings, overrides, isolates
    "\u115f\u1160\u3164\uffa0\u17b4\u17b5\u180e"  # letters that are not seen
    "\ufff9-\ufffb\ufffe\uffff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e007f"  # tags: ASCII that nobody sees
    "\ud800-\udfff"  # halves of a character, which no terminal takes
)
_JOINED = "\u0530-\u1fff\u2600-\u2fff\ua000-\ud7ff\ufb1d-\ufefc\ufe0f\U00010a00-\U0001faff"
"""Scripts (and emoji) after which a joiner is needed: a mark there would break the shapes of
Persian or Hindi. After other characters a joiner only makes two texts differ."""
_DRAWN = re.compile(f"[{_CLASSES}]|(?<![{_JOINED}])[\u200c\u200d]")


def clean(text: str) -> str:
    r"""Return the text with every control or invisible character replaced by a mark.

    Tabs and line feeds stay. C0 controls become their pictures, all others their number.

    >>> clean("a\x00b\x1b[1m\udc80")
    'a␀b␛[1m\\udc80'
    >>> clean("user\u202etxt.exe, pay\u200bpal")
    'user\\u202etxt.exe, pay\\u200bpal'
    """
    return _DRAWN.sub(_draw, text)


def is_clean(text: str) -> bool:
    """Return whether :func:`clean` would leave a text unchanged."""
    return _DRAWN.search(text) is None


def split_hidden(text: str) -> Iterator[tuple[str, str | None]]:
    r"""Yield the text in pieces: (what is drawn, the hidden character that it replaces or None).

    >>> list(split_hidden("pay\u200bpal"))
    [('pay', None), ('\\u200b', '\u200b'), ('pal', None)]
    """
    end = 0
    for found in _DRAWN.finditer(text):
        if found.start() > end:
            yield text[end : found.start()], None
        yield _draw(found), found.group()
        end = found.end()
    if end < len(text):
        yield text[end:], None


def describe_hidden(character: str) -> str:
    r"""Return a hidden character's number and name.

    >>> describe_hidden("\u202e"), describe_hidden("\x00")
    ('U+202E right-to-left override', 'U+0000 control character')
    """
    name = unicodedata.name(character, "control character").lower()
    return f"U+{ord(character):04X} {name}"


def _draw(found: re.Match[str]) -> str:
    code = ord(found.group())
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
