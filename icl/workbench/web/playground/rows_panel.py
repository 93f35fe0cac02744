"""Running the screen's template on many rows: progress, stop, filters, a row put on the screen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from icl.core.errors import IclError
from icl.workbench.jobs import run_job
from icl.workbench.run_history import RunHistory
from icl.workbench.version_runs import SHOWN, VersionPage, VersionRun, find_row, run_version
from icl.workbench.web.captions import caption, error_caption
from icl.workbench.web.form_values import browser_text, screen_of
from icl.workbench.web.playground.context import PlaygroundContext
from icl.workbench.web.playground.rows_table import ALL_ROWS, FEW_ROWS
from icl.workbench.web.tabs import ENGINE, QUICK
from icl.workbench.web.widgets import PageStops, number, wait_in_queue

__all__ = ["RowsPanel"]


ROWS: dict[str, int | None] = {FEW_ROWS: 20, ALL_ROWS: None}
"""Choice -> number of rows that are drawn."""
VERDICT, BEFORE = 4, 6
"""Columns of the table that are coloured."""
COLOURS = {"right": "var(--right)", "wrong": "var(--wrong)", "off target": "var(--wrong)"}

SCROLL = "() => document.querySelector('#rows-result')?.scrollIntoView({block: 'nearest'})"
"""Script that brings the table, which is below the prompt, into view."""

Updates = dict[Any, Any]
"""Component -> new value; other components stay as they are."""


class RowsPanel:
    """The button for many rows, and the table, whose run is held until its page is closed."""

    def __init__(self, context: PlaygroundContext) -> None:
        self.context, self.work = context, context.work
        self.history = RunHistory(self.work.base)
        self.stops = PageStops()
        self._made: dict[str, VersionRun] = {}

    def wire(self) -> None:
        """Wire the events of the components."""
        at, app = self.context.at, self.context.app
        choice, result = at.run_choice, at.rows_result
        buttons = [at.run, choice.run, at.stop]
        shown = [result.status, result.details, result.show, result.page, result.table]
        choice.rows.change(self.choose, choice.rows, [at.run, choice.run], **QUICK)
        armed = choice.run.click(self.arm, None, [result.box, result.status, *buttons], **QUICK)
        armed.then(None, None, None, js=SCROLL, **QUICK)
        asked = armed.then(
            wait_in_queue(
                app.queue, "a run on rows", result.status, self.run, self.stops.of, caption
            ),
            [choice.rows, *self.context.inputs],
            shown,
            **ENGINE,
        )
        asked.failure(self.fail, None, result.status, **QUICK)
        asked.then(self.disarm, None, buttons, **QUICK).then(None, None, None, js=SCROLL, **QUICK)
        at.stop.click(self.stops.halt, None, at.stop, **QUICK)
        table = [result.status, result.page, result.table]
        result.show.input(self.first_page, result.show, table, **QUICK)
        result.page.input(self.turn, [result.show, result.page], table, **QUICK)
        result.table.select(
            self.put, self.context.inputs, [at.row, at.typed, result.status], **QUICK
        )
        app.leaves.append(self.leave)

    # ---- running

    def choose(self, rows: str | None) -> list[Any]:
        """Put the choice on the button; that of this row stays in the page for Ctrl+Enter."""
        many = rows in ROWS
        return [
            gr.Button(visible="hidden" if many else True),
            gr.Button(f"Run {rows}" if many else "Run", visible=many),
        ]

    def arm(self, request: gr.Request) -> list[Any]:
        """Prepare a run, before it waits in the queue."""
        self.stops.arm(request)
        busy = gr.Button(interactive=False)
        waiting = caption("waiting for the model")
        return [gr.Column(visible=True), waiting, busy, busy, gr.Button(interactive=True)]

    def disarm(self) -> list[Any]:
        """Reset the buttons after a run, however it ended."""
        ready = gr.Button(interactive=True)
        return [ready, ready, gr.Button(interactive=False)]

    def fail(self) -> Any:
        """Report that a run failed because of a bug or a full queue."""
        message = "failed: the queue is full, or a bug that the app's terminal describes"
        return error_caption(message)

    def leave(self, request: gr.Request) -> None:
        """Stop the run of a page that was closed, and forget its answers."""
        page = str(request.session_hash)
        self.stops.leave(request)
        self.history.forget(page)
        self._made.pop(page, None)

    def run(self, request: gr.Request, rows: str, *values: Any) -> Iterator[Updates]:
        """Ask the rows, reporting progress four times a second; then show the table."""
        result, page = self.context.at.rows_result, str(request.session_hash)
        try:
            screen = screen_of(self.work, values)
            job = run_job(
                lambda progress: run_version(
                    self.work, self.history, page, screen, ROWS.get(rows), progress
                ),
                self.stops.of(request),
            )
            for line, made in job:
                if made is None:
                    yield {result.status: caption(line)}
                    continue
                self._made[page] = made
                yield self._whole(made)
        except IclError as error:
            yield {result.status: error_caption(error)}

    def _whole(self, made: VersionRun) -> Updates:
        """Show a run that has ended."""
        result, details = self.context.at.rows_result, made.details()
        status, number, table = self._table(made, SHOWN[0], 1)
        return {
            result.status: status,
            result.details: caption("\n".join(details)),
            result.show: SHOWN[0],
            result.page: number,
            result.table: table,
        }

    # ---- the table

    def first_page(self, show: str, request: gr.Request) -> list[Any]:
        """Show the first page of a filter."""
        return self.turn(show, 1, request)

    def turn(self, show: str, page: Any, request: gr.Request) -> list[Any]:
        """Show a page of rows."""
        made = self._made.get(str(request.session_hash))
        if made is None:
            return [caption("run on rows first: then they appear here"), gr.skip(), gr.skip()]
        try:
            return self._table(made, show, number(page, "the page", 1, 10**6))
        except IclError as error:
            return [error_caption(error), gr.skip(), gr.skip()]

    def _table(self, made: VersionRun, show: str, page: int) -> list[Any]:
        found = made.page(show, page)
        where = f" · {found.found:,} {show}" if show != SHOWN[0] else ""
        label = f"Page of {found.pages}"
        return [
            caption(f"{made.headline()}{where}"),
            gr.Number(found.number, label=label, visible=found.pages > 1),
            _coloured(found),
        ]

    def put(self, event: gr.SelectData, request: gr.Request, *values: Any) -> list[Any]:
        """Put the row that was clicked on the screen."""
        made = self._made.get(str(request.session_hash))
        if made is None or not event.row_value:
            return [gr.skip()] * 3
        try:
            screen = screen_of(self.work, values)
            row = find_row(self.work, screen, made, str(event.row_value[0]))
        except IclError as error:
            return [gr.skip(), gr.skip(), error_caption(error)]
        return [row, False, gr.skip()]


def _coloured(found: VersionPage) -> dict[str, Any]:
    """Return a page of rows as its component takes it, right ones green and wrong ones red."""
    rows = [[browser_text(cell) for cell in row] for row in found.table.rows]
    styles = []
    for row, verdict in zip(rows, found.verdicts, strict=True):
        style = [""] * len(row)
        style[VERDICT] = f"color: {COLOURS[verdict]}" if verdict in COLOURS else ""
        if "← flipped" in row[BEFORE]:
            style[BEFORE] = style[VERDICT]
        styles.append(style)
    return {
        "headers": list(found.table.headers),
        "data": rows,
        "metadata": {"styling": styles, "display_value": rows},
    }
