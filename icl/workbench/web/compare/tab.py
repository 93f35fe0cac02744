"""The tab Compare: prompts and models side by side, their answers to the same rows, their scores.

The logic is in :mod:`icl.workbench.side_by_side` and :mod:`icl.workbench.answer_matrix`. Texts go
only to components that show them as text, or are escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from icl.core.errors import IclError
from icl.core.safe_text import clean
from icl.workbench.answer_matrix import AnswerMatrix, MatrixQuery
from icl.workbench.jobs import run_job
from icl.workbench.screen import Screen
from icl.workbench.side_by_side import (
    FORMS,
    LETTERS,
    ColumnSettings,
    RowSelection,
    SideBySide,
    condition_of,
    cross,
    request_of,
    run_columns,
)
from icl.workbench.template_files import template_choices
from icl.workbench.web.compare.layout import (
    COLUMN_INPUTS,
    CROSS,
    DIFF_COLOURS,
    ROW_INPUTS,
    SHARED_INPUTS,
    CompareLayout,
)
from icl.workbench.web.compare.matrix import matrix_html
from icl.workbench.web.form_values import browser_text, error_box, screen_of, status_box
from icl.workbench.web.tabs import ENGINE, QUICK, App
from icl.workbench.web.widgets import (
    NewestAnswer,
    PageStops,
    number,
    run_buttons,
    wait_in_queue,
)
from icl.workbench.word_diff import LEFT, RIGHT, word_diff

__all__ = ["CompareTab"]


KEY = "icl-compare"
MOST_ROWS = 2000
_CELL = 300
"""Most characters of a cell of the table of scores."""


class CompareTab:
    """The tab's components and event handlers."""

    def __init__(self, app: App) -> None:
        self.app, self.work = app, app.work
        self.stops = PageStops()
        self._made: dict[str, AnswerMatrix] = {}
        self.first = app.tabs["Playground"].first
        self.tokenizers = app.tabs["Playground"].tokenizers
        self.store = app.browser_state(KEY)

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
            [ready, at.chosen, at.first, at.other, *self.run_inputs],
            [at.diff, at.check, store],
        )
        changed = [part.change for part in [*self.inputs, at.chosen, at.first, at.other]]
        gr.on(changed, trigger_mode="always_last", **seen, **QUICK)
        # Not when the page opens, but when the tab does: the Playground has another row by then.
        self.app.page.select(**seen, **QUICK)
        turned = NewestAnswer()
        gr.on(
            [at.shared["data"].change, at.shared["playground"].change],
            **turned.event(self.turn_to, self.inputs, [at.shared[part] for part in ROW_INPUTS]),
            **QUICK,
        )
        counted = NewestAnswer()
        columns = [at.first, at.other, at.column, at.hidden, at.wide]
        crossed = [at.columns[0]["template"], at.columns[0]["model"]]
        gr.on(
            [at.shared[part].change for part in ("many", "templates", "models")],
            trigger_mode="always_last",
            **counted.event(
                self.show_columns,
                [at.shared[part] for part in ("many", "templates", "models")],
                [at.cross, *at.groups, *crossed, *columns],
            ),
            **QUICK,
        )
        self._wire_matrix(at)
        self._wire_run(at)
        restoring = {"fn": self.restore, "inputs": store, "outputs": [*self.inputs, ready]}
        self.app.loads.append([restoring])
        self.app.leaves += [self.leave, newest.leave, turned.leave, counted.leave]

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
            self.first_page,
            self.query,
            [at.page, at.matrix, at.counted, at.chosen, at.column],
            **QUICK,
        ).then(self.cell, [at.chosen, at.column], self.cell_outputs, **QUICK)
        at.stop.click(self.stops.halt, None, at.stop, **QUICK)

    def _wire_matrix(self, at: CompareLayout) -> None:
        self.query = [at.mode, at.pattern, at.hidden, at.wide, at.chosen, at.column]
        self.cell_outputs = [at.output, at.reference, at.correction, at.comment]
        listed = [at.matrix, at.counted]
        newest, turned, chosen = NewestAnswer(), NewestAnswer(), NewestAnswer()
        gr.on(
            [part.change for part in (at.mode, at.pattern, at.hidden)],
            trigger_mode="always_last",
            **newest.event(self.turn_over, self.query, [at.page, *listed]),
            **QUICK,
        )
        gr.on(
            [at.page.change, at.wide.change],
            trigger_mode="always_last",
            **turned.event(self.turn, [at.page, *self.query], listed),
            **QUICK,
        )
        at.matrix.select(self.choose, None, [at.chosen, at.column], **QUICK)
        gr.on(
            [at.chosen.change, at.column.change],
            trigger_mode="always_last",
            **chosen.event(self.cell, [at.chosen, at.column], self.cell_outputs),
            **QUICK,
        )
        judged = [at.chosen, at.column, at.correction, at.comment]
        for verdict, button in at.verdicts.items():
            button.click(self.judge, [gr.State(verdict), *judged], at.noted, **QUICK).then(
                self.turn_again, [at.page, *self.query], listed, **QUICK
            )
        at.export.click(self.export, self.query, at.noted, **QUICK)
        self.app.leaves += [newest.leave, turned.leave, chosen.leave]

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
        columns = self._columns(values, given)
        if given["playground"]:
            screen = self._playground_screen(values[len(self.inputs) :])
            selection = RowSelection.of(screen, n, seed)
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

    def _columns(self, values: Sequence[Any], given: dict[str, Any]) -> list[ColumnSettings]:
        count = len(COLUMN_INPUTS)
        crossed = given["many"] == CROSS
        many = 1 if crossed else number(given["many"], "many", 2, FORMS)
        starts = range(len(SHARED_INPUTS), len(SHARED_INPUTS) + many * count, count)
        columns = [
            _column_settings(letter, values[start : start + count])
            for letter, start in zip(LETTERS, starts, strict=False)
        ]
        if not crossed:
            return columns
        templates, models = (
            [str(one) for one in given[part] or ()] for part in ("templates", "models")
        )
        return cross(columns[0], templates, models)

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

    def show_columns(
        self, request: gr.Request, many: Any, templates: Any, models: Any
    ) -> list[Any]:
        """Show as many columns as the user chose."""
        crossed = many == CROSS
        forms = many if many in range(2, FORMS + 1) else 2
        count = len(templates or ()) * len(models or ()) if crossed else forms
        letters = list(LETTERS[: max(2, min(count, len(LETTERS)))])
        return [
            gr.Row(visible=crossed),
            *(gr.Column(visible=place < (1 if crossed else forms)) for place in range(FORMS)),
            *(gr.Dropdown(visible=not crossed) for _ in range(2)),
            gr.Dropdown(letters, value="A"),
            gr.Dropdown(letters, value="B"),
            gr.Dropdown(letters, value="A"),
            *(gr.Dropdown(letters, value=[]) for _ in range(2)),
        ]

    # ---- prompts

    def preview(
        self, request: gr.Request, ready: bool, row: str, one: str, other: str, *values: Any
    ) -> list[Any]:
        """Compare the prompts of two columns for one row, word by word."""
        keep = list(values[: len(self.inputs)]) if ready else gr.skip()
        try:
            selection, columns = self.read(values)
            places = [
                place if 0 <= (place := LETTERS.find(str(letter) or "?")) < len(columns) else usual
                for usual, letter in enumerate((one, other))
            ]
            first, second = (
                self._prompt_of(selection, columns[at], row, LETTERS[at]) for at in places
            )
        except IclError as error:
            return [gr.HighlightedText(elem_classes="stale"), error_box(error), keep]
        letters = [LETTERS[at] for at in places]
        name = dict(zip((LEFT, RIGHT), DIFF_COLOURS, strict=True))
        pieces = [
            (browser_text(text), name.get(kind or "")) for text, kind in word_diff(first, second)
        ]
        same = "the same prompt" if first == second else "two prompts"
        where = "the row typed in the Playground" if selection.own else "this row"
        return [
            gr.HighlightedText(pieces, elem_classes=[]),
            status_box(f"{' and '.join(letters)}: {same} for {where}"),
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
                self._made[str(request.session_hash)] = AnswerMatrix(made, self.work.base)
                head, lines = made.table()
                cells = [[browser_text(cell, _CELL) for cell in one] for one in lines]
                yield [status_box(_summary(made)), gr.Dataframe(cells, headers=head, visible=True)]
        except IclError as error:
            yield [error_box(error), gr.skip()]

    # ---- answers

    def first_page(self, request: gr.Request, *query: Any) -> list[Any]:
        """Show the first page of a finished run, and choose its first answer."""
        made = self._made.get(str(request.session_hash))
        if made is None:
            return [gr.skip()] * 5
        try:
            first = next(iter(made.find(self._query(query))), "")
        except IclError:  # the page tells it
            first = ""
        shown = self._page(made, 1, [*query[:-2], first, "A"])
        return [1, *shown, browser_text(clean(first)), "A"]

    def turn_over(self, request: gr.Request, *query: Any) -> list[Any]:
        """Show the first page after the filter changed."""
        return [1, *self.turn(request, 1, *query)]

    def turn_again(self, request: gr.Request, page: Any, *query: Any) -> list[Any]:
        """Show the page with a new verdict."""
        return self.turn(request, page, *query)

    def turn(self, request: gr.Request, page: Any, *query: Any) -> list[Any]:
        """Show one page of rows."""
        made = self._made.get(str(request.session_hash))
        if made is None:
            return [gr.skip(), status_box("run first: then the answers appear here")]
        try:
            return self._page(made, number(page, "the page", 1, 10**6), query)
        except IclError as error:
            return [gr.skip(), error_box(error)]

    def _query(self, values: Sequence[Any]) -> MatrixQuery:
        """Read the filter, since a browser may send anything."""
        mode, pattern, hidden, *_ = values
        return MatrixQuery(str(mode), str(pattern or ""), hidden=tuple(_places(hidden)))

    def _page(self, made: AnswerMatrix, page: int, query: Sequence[Any]) -> list[Any]:
        try:
            found = made.page(self._query(query), page)
        except IclError as error:
            return [gr.skip(), error_box(error)]
        *_, wide, row, letter = query
        column = LETTERS.find(str(letter) or "?")
        html = matrix_html(found, made.heads, _places(wide), (str(row), column))
        kind = {"different": "answered differently", "wrong": "answered wrongly by a column"}
        line = (
            f"{found.found} of {found.of} rows {kind.get(str(query[0]), 'answered')}; "
            f"page {found.number} of {found.pages}"
        )
        return [html, status_box(line)]

    def choose(self, event: gr.SelectData) -> list[Any]:
        """Return the row and the column of the cell that was chosen."""
        place = event.index
        if not isinstance(place, int) or not 0 <= place < len(LETTERS):
            return [gr.skip(), gr.skip()]
        return [str(event.value), LETTERS[place]]

    def cell(self, request: gr.Request, row: str, letter: str) -> list[Any]:
        """Show one answer whole, the right one, and the verdict on it."""
        made = self._made.get(str(request.session_hash))
        column = LETTERS.find(str(letter) or "?")
        if made is None or not row:
            return [gr.Textbox("", label="Answer (click one above)"), "", "", ""]
        try:
            key = made.key(row)
            one = made.cell(key, column)
        except IclError as error:
            return [error_box(error), "", "", ""]
        verdict = {True: ", right", False: ", wrong", None: ""}[one.right]
        return [
            gr.Textbox(
                browser_text(one.answer), label=f"{letter} answers{verdict}", elem_classes=[]
            ),
            browser_text("\n".join(made.made.examples[key].targets)),
            browser_text(one.correction),
            browser_text(one.comment),
        ]

    def judge(
        self,
        verdict: str,
        row: str,
        letter: str,
        correction: str,
        comment: str,
        request: gr.Request,
    ) -> Any:
        """Store the user's verdict on the chosen answer."""
        made = self._made.get(str(request.session_hash))
        if made is None or not row:
            return status_box("run first, then click an answer: a verdict is on one answer")
        try:
            path = made.judge(
                row, LETTERS.find(str(letter) or "?"), verdict, correction or None, comment or ""
            )
        except IclError as error:
            return error_box(error)
        return status_box(f"{verdict}: {letter}, row {row}; saved in {path.name}")

    def export(self, request: gr.Request, *query: Any) -> Any:
        """Write the rows that are found, with their verdicts, as a new file."""
        made = self._made.get(str(request.session_hash))
        if made is None:
            return status_box("run first: then there are answers to export")
        try:
            path = made.export(self._query(query))
        except IclError as error:
            return error_box(error)
        return status_box(f"saved {path.name}: a line a row, with the answers and your verdicts")


def _places(letters: Any) -> list[int]:
    """Return the places of columns by their letters, without what is no letter."""
    given = letters if isinstance(letters, list) else []
    return [LETTERS.index(one) for one in given if isinstance(one, str) and one in [*LETTERS]]


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
