"""Tables and progress on a terminal: no markup is read, and no control of a text gets through."""

from __future__ import annotations

import io
import re

from rich.table import Table
from rich.text import Text

from icl.core.safe_console import SafeConsole, make_text
from icl.core.safe_text import is_clean
from icl.running.progress import Progress

EVIL = "a\x1b]0;t\x07[/b][red]:smile:\u202eb\x9b2J\r"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def without_own_controls(text: str) -> str:
    """The text without the colours and movements that rich itself writes."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", text)


def test_cells_titles_and_texts_are_drawn_as_they_are_laid_out() -> None:
    out = Terminal()
    console = SafeConsole(file=out, width=200, force_terminal=True, legacy_windows=False)
    table = Table(EVIL, title=EVIL)
    table.add_row(EVIL)
    table.add_row(Text(EVIL))
    console.print(table)
    console.print(EVIL, make_text(EVIL, "bold"))
    shown = without_own_controls(out.getvalue())
    assert is_clean(shown)
    assert shown.count("a␛]0;t␇[/b][red]:smile:\\u202eb\\x9b2J␍") == 5
    lines = [line for line in shown.split("\n") if line.startswith(("│", "┃"))]
    assert len({len(line) for line in lines[:2]}) == 1  # a mark's width is known to the table


def test_progress_draws_names_and_notes_on_a_terminal_and_elsewhere() -> None:
    for stream in (Terminal(), io.StringIO()):
        with Progress(stream) as progress:
            progress.begin(EVIL, done=0, total=1)
            progress.say(EVIL)
            progress.note(EVIL)
            progress.advance(rows=1, tokens=3)
        shown = without_own_controls(stream.getvalue())
        assert is_clean(shown), shown
        assert shown.count("[/b][red]:smile:\\u202eb\\x9b2J␍") >= 2
