"""Using a table of the user's own: its roles, a template for them, or its rows alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from icl.core.errors import ConfigError, IclError
from icl.workbench.screen import Screen
from icl.workbench.table_card import ROLES, TableCard, open_table
from icl.workbench.template_files import save_template, template_choices, template_text
from icl.workbench.web.captions import caption, error_caption
from icl.workbench.web.form_values import browser_text, screen_of
from icl.workbench.web.playground.context import PlaygroundContext
from icl.workbench.web.playground.table_file import GUESSED, MOST_COLUMNS
from icl.workbench.web.tabs import QUICK

__all__ = ["TableFilePanel"]


_MOST_NAMES = 50
"""Names that are tried for a template; so many of one table are enough."""


class TableFilePanel:
    """The card of a table, which is stored until its page is closed.

    Args:
        context: what the panels share.
        hand_over: returns the values of ``handed`` that open a screen.
        handed: the components that opening a screen changes.
        keep: stores the edits of the template that is closed, and returns a note of that.
    """

    def __init__(
        self,
        context: PlaygroundContext,
        hand_over: Callable[[Screen], list[Any]],
        handed: Sequence[Any],
        keep: Callable[[str, str], Any],
    ) -> None:
        self.context, self.work = context, context.work
        self.hand_over, self.handed, self.keep_edits = hand_over, list(handed), keep
        self._cards: dict[str, TableCard] = {}

    def wire(self) -> None:
        """Wire the events of the components."""
        at, of = self.context.at, self.context.at.table_file
        card = [of.status, of.card, of.preview, of.make, of.keep, of.task, *of.roles]
        of.file.upload(self.open, of.file, card, **QUICK)
        of.file.clear(self.close, None, [of.status, of.card], **QUICK)
        gr.on(
            [chooser.input for chooser in (*of.roles, of.task)],
            self.assign,
            [of.task, *of.roles],
            [of.status, of.make, of.keep],
            trigger_mode="always_last",
            **QUICK,
        )
        shown = [*self.handed, at.saved, of.status, of.box, of.done]
        for button, use in ((of.make, self.make), (of.keep, self.keep_template)):
            button.click(use, self.context.inputs, shown, **QUICK).then(
                **self.context.preview_event, **QUICK
            )
        self.context.app.leaves.append(self.leave)

    def leave(self, request: gr.Request) -> None:
        """Forget the card of a page that was closed."""
        self._cards.pop(str(request.session_hash), None)

    def close(self, request: gr.Request) -> list[Any]:
        """Close the card when its file is taken away; rows that are used stay."""
        self.leave(request)
        return [caption(""), gr.Column(visible=False)]

    def open(self, path: str, request: gr.Request) -> list[Any]:
        """Store a file that was dropped, guess the roles of its columns, and show the card."""
        try:
            file = Path(path)
            card = open_table(self.work.keep_file(file.name, file.read_bytes()))
        except IclError as error:
            self.leave(request)
            told = error_caption(error)
            skipped = [gr.skip()] * (4 + MOST_COLUMNS)
            return [told, gr.Column(visible=False), *skipped]
        self._cards[str(request.session_hash)] = card
        names = _offered(card)
        roles = [
            gr.Dropdown(
                value=card.roles[names[place]], label=browser_text(names[place], 60), visible=True
            )
            if place < len(names)
            else gr.Dropdown(value=ROLES[-1], visible=False)
            for place in range(MOST_COLUMNS)
        ]
        table = {
            "headers": [browser_text(name, 60) for name in card.roles],
            "data": [[browser_text(cell) for cell in row] for row in card.preview()],
        }
        told, make, keep = self._state(card)
        return [told, gr.Column(visible=True), table, make, keep, GUESSED, *roles]

    def assign(self, request: gr.Request, task: str, *roles: str) -> list[Any]:
        """Give the columns the roles of the choosers, and report the result."""
        card = self._cards.get(str(request.session_hash))
        if card is None:
            return [caption("drop the file again"), gr.skip(), gr.skip()]
        given = dict(zip(_offered(card), roles, strict=False))
        made = card.assign(given, None if task == GUESSED else task)
        self._cards[str(request.session_hash)] = made
        return self._state(made)

    def _state(self, card: TableCard) -> list[Any]:
        """Say what was guessed, or what is wrong; enable the buttons that can be used."""
        told = caption("\n".join(card.lines()))
        if card.problem:
            told = error_caption(card.problem)
        reads = ROLES[0] in card.roles.values()
        return [told, gr.Button(interactive=card.draft is not None), gr.Button(interactive=reads)]

    # ---- what becomes of it

    def make(self, request: gr.Request, *values: Any) -> list[Any]:
        """Make a template from the roles, save it, and open it with the table's rows."""
        return self._use(request, values, self._with_template)

    def keep_template(self, request: gr.Request, *values: Any) -> list[Any]:
        """Open the table's rows for the template that is open."""
        return self._use(request, values, self._with_rows)

    def _use(
        self,
        request: gr.Request,
        values: Sequence[Any],
        screen_with: Callable[[TableCard, Screen], tuple[Screen, str]],
    ) -> list[Any]:
        nothing = [gr.skip()] * (len(self.handed) + 1)
        card = self._cards.get(str(request.session_hash))
        try:
            if card is None:
                raise ConfigError("drop the file again: this page no longer has it")
            before = screen_of(self.work, values)
            screen, said = screen_with(card, before)
            turned = screen.name != before.name
            edited = self.keep_edits(before.name, before.text) if turned else ""
        except IclError as error:
            return [*nothing, error_caption(error), gr.skip(), caption("")]
        saved = caption(edited) if turned else gr.skip()
        return [*self.hand_over(screen), saved, gr.skip(), gr.Accordion(open=False), caption(said)]

    def _with_template(self, card: TableCard, before: Screen) -> tuple[Screen, str]:
        made, table = card.starter()
        data = self.work.add_table(made.rows, table)
        name = self._save(card.name.partition(".")[0], made.template)
        one, other = made.pair or (None, None)
        screen = Screen(
            name,
            made.template,
            data,
            None,
            one,
            other,
            select=made.select,
            k=made.k,
            max_tokens=made.max_tokens,
            model=before.model,
            width=before.width,
            chat=before.chat,
        )
        counts = f"{made.copy.test} test rows, {made.copy.pool} may be shots"
        return screen, f"made {name}; {counts}; now Run"

    def _with_rows(self, card: TableCard, before: Screen) -> tuple[Screen, str]:
        rows, table = card.rows()
        data = self.work.add_table(rows, table)
        screen = Screen(
            before.name,
            before.text,
            data,
            None,
            None,
            None,
            before.words,
            select=before.select,
            k=before.k if table.split else 0,
            seed=before.seed,
            max_tokens=before.max_tokens,
            model=before.model,
            width=before.width,
            chat=before.chat,
        )
        if table.split:
            return screen, "the rows are used, split as said; shots come from the split train"
        return screen, "all rows are used and asked; without a split there are no shots, so k is 0"

    def _save(self, stem: str, text: str) -> str:
        """Save a template under the first free name; one with the same text is used again."""
        for number in range(1, _MOST_NAMES):
            name = stem if number == 1 else f"{stem}-{number}"
            path = f"prompts/{name}.j2"
            if path not in template_choices(self.work.base):
                return save_template(self.work.base, name, text, "")
            if template_text(path, "en", self.work.base) == text:
                return path
        raise ConfigError(f"prompts/ has {_MOST_NAMES} templates called {stem}; delete some")


def _offered(card: TableCard) -> list[str]:
    """List the columns whose roles can be chosen: those with a role first in a wide table."""
    names = list(card.roles)
    if len(names) <= MOST_COLUMNS:
        return names
    used = [name for name in names if card.roles[name] != ROLES[-1]]
    return [*used, *(name for name in names if name not in used)][:MOST_COLUMNS]
