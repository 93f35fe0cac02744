"""Tables and styled text for a terminal, in which nothing of a text is markup or a control."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from icl.core.safe_text import clean

__all__ = ["SafeConsole", "make_text"]


def make_text(text: str, style: str = "") -> Text:
    """Return a text for a console, in which nothing is markup and every control is drawn.

    rich leaves out some controls without a word, so they are drawn before it sees them.
    """
    return Text(clean(text), style=style)


class SafeConsole(Console):
    """A console of rich that reads no markup and lets no control character of a text through."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return the text as rich lays it out, drawn before its width is measured."""
        return super().render_str(clean(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield the parts of what is printed; what did not come as a plain text is drawn here."""
        for part in super().render(renderable, options):
            yield part if part.control else part._replace(text=clean(part.text))
