"""The tab Compare: up to four settings side by side, their prompts, answers and scores.

The logic is in :mod:`icl.workbench.side_by_side`. Texts go only to components that show them as
text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from icl.core.errors import IclError
from icl.workbench.jobs import run_job
from icl.workbench.screen import Screen
from icl.workbench.side_by_side import (
    LETTERS,
    ColumnSettings,
    RowSelection,
    SideBySide,
    condition_of,
    request_of,
    run_columns,
)
from icl.workbench.template_files import template_choices
from icl.workbench.web.compare.layout import (
    COLUMN_INPUTS,
    DIFF_COLOURS,
    ROW_INPUTS,
    SHARED_INPUTS,
    CompareLayout,
    row_widths,
)
from icl.workbench.web.form_values import browser_text, error_box, one_line, screen_of, status_box
from icl.workbench.web.tabs import ENGINE, QUICK, App
from icl.workbench.web.widgets import (
    SECRET,
    NewestAnswer,
    PageStops,
    number,
    run_buttons,
    wait_in_queue,
)
from icl.workbench.word_diff import LEFT, RIGHT, word_diff

__all__ = ["CompareTab"]


KEY = "icl-compare"
PAGE_ROWS = 25
MOST_ROWS = 2000
_CELL = 300
"""Most characters of a cell; a click shows the whole text."""


class CompareTab:
    """The tab's components and event handlers."""

    def __init__(self, app: App) -> None:
        self.app, self.work = app, app.work
        self.stops = PageStops()
        self._made: dict[str, SideBySide] = {}
        self.first = app.tabs["Playground"].first
        self.tokenizers = app.tabs["Playground"].tokenizers
        self.store = gr.BrowserState(None, storage_key=KEY, secret=SECRET)

    def build(self) -> None:
        """Lay out the tab inside an open ``gr.Tab``, and wire its events."""
        work = self.work
        source = work.sources[self.first.data]
        at = self.at = CompareLayout(
            template_choices(work.base),
            list(work.sources),
            source,
            list(work.models),
            self.first.name,
        )
        for part in ("locale", "source", "target"):
            at.shared[part].value = getattr(self.first, part)
        self.inputs = [at.shared[part] for part in SHARED_INPUTS]
        self.inputs += [column[part] for column in at.columns for part in COLUMN_INPUTS]
        self.run_inputs = [*self.inputs, *self.app.tabs["Playground"].inputs]
        ready, store = gr.State(False), self.store
        newest = NewestAnswer()
        seen = newest.event(
            self.preview,
            [ready, at.chosen, at.other, *self.run_inputs],
            [at.diff, at.check, store],
        )
        changed = [part.change for part in [*self.inputs, at.chosen, at.other]]
        gr.on(changed, trigger_mode="always_last", **seen, **QUICK)
        # Not when the page opens, but when the tab does: the Playground has another row by then.
        self.app.page.select(**seen, **QUICK)
        turned = NewestAnswer()
        gr.on(
            [at.shared["data"].change, at.shared["playground"].change],
            **turned.event(self.turn_to, self.inputs, [at.shared[part] for part in ROW_INPUTS]),
            **QUICK,
        )
        at.shared["many"].change(
            self.show_columns, at.shared["many"], [*at.groups, *at.outputs, at.other], **QUICK
        )
        self._wire_run(at)
        listed = [at.rows, at.counted]
        at.different.change(self.turn_over, at.different, [at.page, *listed], **QUICK)
        at.page.change(self.turn, [at.different, at.page], listed, **QUICK)
        at.rows.select(self.choose, None, at.chosen, **QUICK)
        gr.on([at.chosen.change], self.answers, at.chosen, [*at.outputs, at.reference], **QUICK)
        restoring = {"fn": self.restore, "inputs": store, "outputs": [*self.inputs, ready]}
        self.app.loads.append([restoring])
        self.app.leaves += [self.leave, newest.leave, turned.leave]

    def _wire_run(self, at: CompareLayout) -> None:
        buttons = [at.run, at.stop]
        asking = at.run.click(self.arm, None, [at.status, *buttons], **QUICK).then(
            wait_in_queue(self.app.queue, "a comparison", at.status, self.answer, self.stops.of),
            self.run_inputs,
            [at.status, at.table],
            **ENGINE,
        )
        asking.failure(self.fail, None, at.status, **QUICK)
        asking.then(lambda: run_buttons(False), None, buttons, **QUICK).then(
            self.first_page, at.different, [at.page, at.rows, at.counted, at.chosen], **QUICK
        ).then(self.answers, at.chosen, [*at.outputs, at.reference], **QUICK)
        at.stop.click(self.stops.halt, None, at.stop, **QUICK)

    # ---- what is set

    def read(self, values: Sequence[Any]) -> tuple[RowSelection, list[ColumnSettings]]:
        """Read and check the components' values, since a browser may send anything.

        Raises:
            ConfigError: a number out of bounds.
        """
        given = dict(zip(SHARED_INPUTS, values, strict=False))

        def whole(part: str, low: int, high: int) -> int:
            return number(given[part], part, low, high)

        n, seed = whole("n", 1, MOST_ROWS), whole("seed", 0, 2**31)
        columns = self._columns(values, whole("many", 2, len(LETTERS)))
        if given["playground"]:
            shots = any(column.k for column in columns)
            selection = RowSelection.of(
                self._playground_screen(values[len(self.inputs) :]), n, seed, shots
            )
        else:
            selection = RowSelection(
                str(given["data"]),
                _optional_text(given["locale"]),
                _optional_text(given["source"]),
                _optional_text(given["target"]),
                n,
                whole("row", 1, 10**9),
                seed,
                whole("max_tokens", 1, 4096),
            )
        return selection, columns

    def _columns(self, values: Sequence[Any], many: int) -> list[ColumnSettings]:
        count = len(COLUMN_INPUTS)
        starts = range(len(SHARED_INPUTS), len(SHARED_INPUTS) + many * count, count)
        return [
            _column_settings(letter, values[start : start + count])
            for letter, start in zip(LETTERS, starts, strict=False)
        ]

    def _playground_screen(self, values: Sequence[Any]) -> Screen:
        """Read the screen of this page's Playground."""
        try:
            return screen_of(self.work, values)
        except IclError as error:
            raise type(error)(f"the Playground: {error}") from error

    def restore(self, kept: Any) -> list[Any]:
        """Restore the values stored in the browser, as far as they are still valid."""
        if not isinstance(kept, list) or len(kept) != len(self.inputs):
            return [*[gr.skip()] * len(self.inputs), True]
        values = list(kept)
        if values[0] not in self.work.sources:
            values[0] = self.first.data
        given = dict(zip(SHARED_INPUTS, values, strict=False))
        for part, made in zip(ROW_INPUTS, self._places(given), strict=True):
            values[SHARED_INPUTS.index(part)] = made
        return [*values, True]

    def turn_to(self, request: gr.Request, *values: Any) -> list[Any]:
        """Show the inputs of a data set; hide the others, and all for the Playground's row."""
        return self._places(dict(zip(SHARED_INPUTS, values, strict=False)))

    def _places(self, given: dict[str, Any]) -> list[Any]:
        source = self.work.sources.get(str(given["data"]))
        if source is None:
            return [gr.skip()] * len(ROW_INPUTS)
        here = not given["playground"]
        made: list[Any] = [gr.Dropdown(value=source.name, visible=here)]
        for part, values in (
            ("locale", source.locales),
            ("source", source.sources),
            ("target", source.targets),
        ):
            wanted = (given[part], getattr(self.first, part), *values)
            value = next((one for one in wanted if one in values), None)
            made.append(gr.Dropdown(list(values), value=value, visible=here and bool(values)))
        longest = gr.Number(value=given["max_tokens"], visible=here and source.writes)
        return [*made, gr.Number(value=given["row"], visible=here), longest]

    def show_columns(self, many: Any) -> list[Any]:
        """Show as many columns as the user chose."""
        many = many if many in (2, 3, 4) else 2
        shows = [place < many for place in range(len(LETTERS))]
        return [
            *(gr.Column(visible=show) for show in shows),
            *(gr.Textbox(visible=show) for show in shows),
            gr.Radio(list(LETTERS[1:many]), value="B"),
        ]

    # ---- prompts

    def preview(
        self, request: gr.Request, ready: bool, row: str, other: str, *values: Any
    ) -> list[Any]:
        """Compare the prompts of A and another column for one row, word by word."""
        keep = list(values[: len(self.inputs)]) if ready else gr.skip()
        try:
            selection, columns = self.read(values)
            place = LETTERS.find(str(other))
            place = place if 0 < place < len(columns) else 1
            first, second = (
                self._prompt_of(selection, columns[at], row, LETTERS[at]) for at in (0, place)
            )
        except IclError as error:
            return [gr.HighlightedText(elem_classes="stale"), error_box(error), keep]
        name = dict(zip((LEFT, RIGHT), DIFF_COLOURS, strict=True))
        pieces = [
            (browser_text(text), name.get(kind or "")) for text, kind in word_diff(first, second)
        ]
        same = "the same prompt" if first == second else "two prompts"
        where = "the row typed in the Playground" if selection.own else "this row"
        where += (
            "; rows are from the first half of the file, shots from the second" * selection.halved
        )
        return [
            gr.HighlightedText(pieces, elem_classes=[]),
            status_box(f"A and {LETTERS[place]}: {same} for {where}"),
            keep,
        ]

    def _prompt_of(
        self, selection: RowSelection, column: ColumnSettings, row: str, letter: str
    ) -> str:
        try:
            condition = condition_of(self.work, selection, column)
            opening = self.tokenizers.of(condition.point.engine_key)
            return browser_text(request_of(condition, row, opening.open).sent)
        except IclError as error:
            raise type(error)(f"column {letter}: {error}") from error

    # ---- running

    def arm(self, request: gr.Request) -> list[Any]:
        """Prepare a run, before it waits in the queue."""
        self.leave(request)
        self.stops.arm(request)
        return [status_box("waiting for the model"), *run_buttons(True)]

    def leave(self, request: gr.Request) -> None:
        """Stop the run of a page that was closed, and forget its results."""
        self.stops.leave(request)
        self._made.pop(str(request.session_hash), None)

    def fail(self) -> Any:
        """Report that a run failed because of a bug or a full queue."""
        message = "failed: the queue is full, or a bug that the app's terminal describes"
        return gr.Textbox(message, elem_classes="wrong")

    def answer(self, request: gr.Request, *values: Any) -> Iterator[list[Any]]:
        """Run every column, reporting progress four times a second."""
        stop = self.stops.of(request)
        try:
            selection, columns = self.read(values)
            for line, made in run_job(
                lambda progress: run_columns(self.work, selection, columns, progress), stop
            ):
                if made is None:
                    yield [status_box(line), gr.skip()]
                    continue
                self._made[str(request.session_hash)] = made
                head, lines = made.table()
                cells = [[browser_text(cell, _CELL) for cell in one] for one in lines]
                yield [status_box(_summary(made)), gr.Dataframe(cells, headers=head, visible=True)]
        except IclError as error:
            yield [error_box(error), gr.skip()]

    # ---- answers

    def first_page(self, different: bool, request: gr.Request) -> list[Any]:
        """Show the first page of a finished run, and choose its first row."""
        made = self._made.get(str(request.session_hash))
        if made is None:
            return [gr.skip()] * 4
        names = made.different() if different else list(made.examples)
        return [1, *self._page(made, different, 1), next(iter(names), "")]

    def turn_over(self, different: bool, request: gr.Request) -> list[Any]:
        """Show the first page after the filter changed."""
        return [1, *self.turn(different, 1, request)]

    def turn(self, different: bool, page: Any, request: gr.Request) -> list[Any]:
        """Show one page of rows."""
        made = self._made.get(str(request.session_hash))
        if made is None:
            return [gr.skip(), status_box("run first: then the rows appear here")]
        try:
            return self._page(made, different, number(page, "the page", 1, 10**6))
        except IclError as error:
            return [gr.skip(), status_box(one_line(error))]

    def _page(self, made: SideBySide, different: bool, page: int) -> list[Any]:
        count = len(made.different() if different else made.examples)
        pages = max(1, -(-count // PAGE_ROWS))
        page = min(page, pages)
        rows = made.rows(different, (page - 1) * PAGE_ROWS, PAGE_ROWS)
        cells = [[name, *(browser_text(cell, _CELL) for cell in rest)] for name, *rest in rows]
        head = ["id", "input", "reference", *LETTERS[: len(made.results)]]
        kind = "answered differently" if different else "answered"
        line = f"{count} of {len(made.examples)} rows {kind}; page {page} of {pages}"
        widths = row_widths(len(made.results))
        return [gr.Dataframe(cells, headers=head, column_widths=widths), status_box(line)]

    def choose(self, event: gr.SelectData) -> Any:
        """Return the id of the row that was clicked."""
        row = event.row_value
        return str(row[0]) if row else gr.skip()

    def answers(self, row: str, request: gr.Request) -> list[Any]:
        """Show each column's answer to one row, and the right one."""
        made = self._made.get(str(request.session_hash))
        if made is None or row not in made.examples:
            return ["" for _ in range(len(LETTERS) + 1)]
        texts = []
        for letter, answers, right in zip(LETTERS, made.answers, made.right, strict=False):
            verdict = ", right" if right[row] else ""
            texts.append(gr.Textbox(browser_text(answers[row]), label=f"{letter} answers{verdict}"))
        texts += [gr.Textbox("")] * (len(LETTERS) - len(texts))
        return [*texts, browser_text("\n".join(made.examples[row].targets))]


def _summary(made: SideBySide) -> str:
    count, differ = len(made.examples), len(made.different())
    if count == 1:
        return f"1 row; answered {'differently' if differ else 'alike'}"
    return f"{count} rows; {differ} of them answered differently"


def _column_settings(letter: str, values: Sequence[Any]) -> ColumnSettings:
    one = dict(zip(COLUMN_INPUTS, values, strict=True))
    template, model, width, select = (
        str(one[part] or "") for part in ("template", "model", "width", "select")
    )
    k, seed = number(one["k"], f"k of {letter}", 0, 64), one["seed"]
    return ColumnSettings(
        template, model, width, select, k, number(seed, f"the seed of {letter}", 0, 2**31)
    )


def _optional_text(value: Any) -> str | None:
    return None if value is None else str(value)
