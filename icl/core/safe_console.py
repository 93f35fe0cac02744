"""A console of rich that reads no markup in texts and shows control characters as marks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from icl.core.safe_text import clean

__all__ = ["SafeConsole", "make_text"]


def make_text(text: str, style: str = "") -> Text:
    """Return a text for a console, without markup and with every control character as a mark.

    rich silently drops some control characters, so they are replaced before it reads the text.
    """
    return Text(clean(text), style=style)


class SafeConsole(Console):
    """A console of rich that reads no markup and shows every control character as a mark."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return the text as rich lays it out; marks are inserted before its width is measured."""
        return super().render_str(clean(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield the parts to print; insert marks into those that did not come as plain text."""
        for part in super().render(renderable, options):
            yield part if part.control else part._replace(text=clean(part.text))
