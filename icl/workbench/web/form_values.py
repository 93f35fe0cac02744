"""Conversion between browser values and a :class:`~icl.workbench.screen.Screen`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from icl.core import errors
from icl.core.errors import ConfigError
from icl.core.safe_text import clean
from icl.workbench.run_tables import TextTable
from icl.workbench.screen import Screen, ShotEdits
from icl.workbench.template_files import fields_of, template_text
from icl.workbench.web.widgets import number
from icl.workbench.workbench import Workbench

__all__ = [
    "FIELDS",
    "PARTS",
    "UnstrippedText",
    "one_line",
    "screen_of",
    "browser_text",
    "values_by_part",
    "status_box",
    "error_box",
    "table_value",
]


FIELDS = 6
"""Most fields of a typed row."""
PARTS = (
    "name",
    "text",
    "data",
    "locale",
    "source",
    "target",
    "words",
    "row",
    "select",
    "k",
    "seed",
    "max_tokens",
    "model",
    "width",
    "chat",
    "calibrator",
    "typed",
    "answer",
    "hand",
    *(f"field{number}" for number in range(FIELDS)),
)
"""The components whose values make up a screen."""

BOUNDS = {"row": (1, 10**9), "k": (0, 64), "seed": (0, 2**31), "max_tokens": (1, 4096)}
"""The bounds of the screen's numbers."""
_MOST_CHARS = 100_000
"""Most characters of one text in the browser; the prompt that is sent is never cut."""


class UnstrippedText(str):
    r"""A text that keeps white space at its ends, because that is part of the prompt."""

    __slots__ = ()

    def strip(self, chars: str | None = None, /) -> str:
        """Return the text itself."""
        return self


def screen_of(work: Workbench, values: Sequence[Any]) -> Screen:
    """Make a screen from the components' values; check them, as a browser may send anything."""
    given = dict(zip(PARTS, values, strict=True))
    fields = [str(given.pop(f"field{number}") or "") for number in range(FIELDS)]
    typed = bool(given.pop("typed"))
    for part, (low, high) in BOUNDS.items():
        given[part] = number(given[part], part, low, high)
    hand = ShotEdits.of(given.pop("hand"))
    texts: dict[str, Any] = dict(given)
    for part in ("model", "width", "chat", "calibrator", "answer"):
        texts[part] = str(texts[part] or "")
    screen = Screen(hand=hand, **texts)
    template_text(screen.name, "en", work.base)  # says which there are
    if not typed:
        return replace(screen, answer="")
    names = fields_of(work.template(screen).file)
    if len(names) > FIELDS:
        raise ConfigError(
            f"{screen.name} reads {len(names)} fields, {FIELDS} can be typed; use a file"
        )
    own = dict(zip(names, fields, strict=False))
    return replace(screen, own=own)


def values_by_part(values: Sequence[Any]) -> dict[str, Any]:
    """Return the values by part, as the browser stores them across a reload."""
    return dict(zip(PARTS, values, strict=True))


def status_box(text: str) -> Any:
    """Make a text box with a message."""
    return gr.Textbox(browser_text(clean(text), 4000), elem_classes=[])


def error_box(error: BaseException) -> Any:
    """Make a text box with an error."""
    return gr.Textbox(browser_text(clean(str(error)), 4000), elem_classes="wrong")


def one_line(error: BaseException) -> str:
    """Format an error in one line."""
    return browser_text(clean(errors.join_lines(error)), 300)


def browser_text(text: str, most: int = _MOST_CHARS) -> str:
    r"""Make a text safe for a browser: replace lone surrogates, cut a long text.

    >>> browser_text("a\ud800b"), browser_text("abcdef", 3)
    ('a\ufffdb', 'abc… (3 more characters)')
    """
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    left = len(whole) - most
    return whole if left <= 0 else f"{whole[:most]}… ({left:,} more characters)"


def table_value(found: TextTable | None, marked: str | None = None) -> Mapping[str, Any]:
    """Return a table as its component takes it.

    Args:
        found: the table; None shows an empty one.
        marked: first cell of the row that is open, whose cells are shaded.
    """
    if found is None:
        return {"headers": [""], "data": []}
    shade = "background: var(--marked); font-weight: 600"
    styles = [[shade if row[0] == marked else "" for _ in row] for row in found.rows]
    value: dict[str, Any] = {
        "headers": [browser_text(head) for head in found.headers],
        "data": [[browser_text(cell) for cell in row] for row in found.rows],
    }
    return value | ({"metadata": {"styling": styles}} if marked is not None else {})
