"""The tab Results: the runs of a folder, their conditions, and every record with its prompt.

The logic is in :mod:`icl.workbench.browse_runs` and :mod:`icl.workbench.run_tables`.
Texts go only to components that show them as text.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import gradio as gr

from icl.core.errors import IclError
from icl.core.safe_text import clean
from icl.experiment.settings import join_axes
from icl.records.results import Run
from icl.reports.safe_text import shorten_middle
from icl.scoring.sensitivity import spreads
from icl.scoring.slices import list_slice_keys, slices
from icl.workbench.browse_runs import (
    FILTERS,
    ORDERS,
    RecordQuery,
    RunBrowser,
    copy_run,
    save_card,
)
from icl.workbench.experiment_draft import comparable_settings
from icl.workbench.record_to_screen import screen_of_record
from icl.workbench.run_tables import (
    condition_table,
    mix_ups,
    page_table,
    record_view,
    spread_table,
)
from icl.workbench.web.differences import DifferencesPanel
from icl.workbench.web.figures import figures, matrix, slice_figure, spread_figure
from icl.workbench.web.form_values import browser_text, error_box, status_box, table_value
from icl.workbench.web.results.layout import ResultsLayout
from icl.workbench.web.results.report import report_link
from icl.workbench.web.tabs import QUICK, App

__all__ = ["ResultsTab"]


PARTS = {"input": "shot input", "target": "shot target", "system": "instruction"}
"""Kind of a prompt's piece -> the name of its colour, if that differs."""
KINDS = {"instruction", "shot input", "shot target", "query"}
WIDTHS = [58, 78, 112, 112, 58, 58, 180]
"""Pixels of the columns of records; another condition's answers are as wide as the answers."""
LONGEST = 300
"""Most characters of a name in a link; error messages quote the name."""
LINK = """query => {
  const link = new URL(query || location.pathname, location.href);
  const theme = new URLSearchParams(location.search).get("__theme");
  if (theme) link.searchParams.set("__theme", theme);
  history.replaceState(null, "", link);
  return link.href;
}"""
"""Script that puts a link into the address bar; calling it twice changes nothing."""


class ResultsTab:
    """The tab's components and event handlers."""

    def __init__(self, app: App) -> None:
        self.app, self.work = app, app.work
        roots = [self.work.base / "runs", Path.cwd() / "runs"]
        unique = list(dict.fromkeys(root.resolve() for root in roots))
        self.browser = RunBrowser(unique, self.work.sandbox.rendering)
        self.differences = DifferencesPanel(self.browser.run, "result-compare")

    def build(self) -> None:
        """Lay out the tab inside an open ``gr.Tab``, and wire its events."""
        at = self.at = ResultsLayout(self.differences)
        self.place = [at.run, at.condition]
        self.filters = [at.show, at.text, at.order, at.other]
        self.typed = [at.text]
        self.linked = [at.text]
        self.linking = [*self.place, at.record, at.number, *self.filters]
        self.list_outputs = [at.records, at.page, at.number, at.status]
        self.record_outputs = [at.facts, at.prompt, at.labels, at.output, at.record, at.noted]
        self._wire_run(at)
        self._wire_records(at)
        self._wire_parts(at)
        for tab, make, parts in (
            (at.plots_tab, self.plots, [at.plots]),
            (at.confusion_tab, self.confusion, [at.confusion, at.pairs]),
            (at.spread_tab, self.spread, [at.spreads, at.spread]),
        ):
            tab.select(make, self.place, [*parts, at.status], **QUICK)
        at.link.change(None, at.link, at.link, js=LINK, **QUICK)

    def _wire_parts(self, at: ResultsLayout) -> None:
        """Wire slices, comparison and report of the open run, and the way here from Experiment."""
        compared = [*self.differences.outputs, at.status]
        at.comparison_tab.select(self.comparison, at.run, compared, **QUICK)
        sliced = [*self.place, at.by]
        shown = [at.by, at.slices, at.status]
        at.slices_tab.select(self.slices, sliced, shown, **QUICK)
        at.by.input(self.slices, sliced, shown, **QUICK)
        experiment = self.app.tabs["Experiment"]
        experiment.open.click(
            lambda run: [gr.Tabs(selected="results"), run, "", "", 1],
            experiment.opened,
            [self.app.top, at.run, at.condition, at.record, at.number],
            **QUICK,
        )

    def _wire_run(self, at: ResultsLayout) -> None:
        run = [at.conditions, at.condition, at.other, at.status]
        records = {
            "fn": self.records,
            "inputs": [*self.place, at.number, *self.filters],
            "outputs": self.list_outputs,
        }
        record = {
            "fn": self.record,
            "inputs": [*self.place, at.record],
            "outputs": self.record_outputs,
        }
        link = {"fn": self.link, "inputs": self.linking, "outputs": at.link}
        mark = {"fn": self.mark, "inputs": self.place, "outputs": [at.conditions, at.report]}
        follow = (mark, records, record, link)
        opened = [self.app.top, at.run, at.condition, at.record, at.number, *self.filters]
        opened.append(at.filtered)
        arrive = {"fn": self.arrive, "outputs": opened}
        show = {"fn": self.show_run, "inputs": self.place, "outputs": run}
        self.app.loads.append([arrive])
        event = self.app.page.select(self.look, at.run, at.run, **QUICK)
        for step in (show, mark, records, record, {**link, "fn": self.link_on_arrival}):
            event = event.then(**step, **QUICK)
        event = at.run.input(
            self.turn_to, self.place, [at.condition, at.record, at.number, at.other], **QUICK
        ).then(**show, **QUICK)
        for step in follow:
            event = event.then(**step, **QUICK)
        event = at.again.click(self.list_again, at.run, at.run, **QUICK).then(**show, **QUICK)
        for step in follow:
            event = event.then(**step, **QUICK)
        event = at.conditions.select(
            self.choose, None, [at.condition, at.record, at.number], **QUICK
        )
        for step in follow:
            event = event.then(**step, **QUICK)
        self.follow = {"record": record, "link": link, "records": records}

    def _wire_records(self, at: ResultsLayout) -> None:
        asked = [*self.place, at.number, *self.filters]
        gr.on(
            [at.show.change, at.order.change, at.other.change, at.text.change],
            self.refilter,
            [at.filtered, *asked],
            [at.filtered, *self.list_outputs],
            trigger_mode="always_last",
            **QUICK,
        ).then(**self.follow["link"], **QUICK)
        for button, step in ((at.back, -1), (at.forth, 1)):
            button.click(partial(self.records, step=step), asked, self.list_outputs, **QUICK).then(
                **self.follow["link"], **QUICK
            )
        at.records.select(self.pick, None, at.record, **QUICK).then(
            **self.follow["record"], **QUICK
        ).then(**self.follow["link"], **QUICK)
        self._wire_hand(at)
        at.card.click(self.save, [*self.place, at.record], at.noted, **QUICK)

    def _wire_hand(self, at: ResultsLayout) -> None:
        playground = self.app.tabs["Playground"]
        parts = [*playground.handover_outputs, playground.at.saved, self.app.top, at.noted]
        asked = [*self.place, at.record, playground.at.open_template, playground.at.text]
        at.hand.click(self.hand_over, asked, parts, **QUICK).then(
            **playground.preview_event, **QUICK
        )

    # ---- which run, condition and record

    def arrive(self, request: gr.Request) -> list[Any]:
        """Open the target of a permalink; do nothing if there is none."""
        asked = {key: shorten_middle(value, LONGEST) for key, value in request.query_params.items()}
        if not asked.get("run"):
            return [gr.skip()] * (6 + len(self.filters))
        page = asked.get("number", "1")
        filters = [
            asked.get("show", FILTERS[0]),
            asked.get("text", ""),
            asked.get("order", ORDERS[0]),
            asked.get("against") or None,
        ]
        return [
            gr.Tabs(selected="results"),
            gr.Dropdown(self.browser.names(), value=asked["run"]),
            asked.get("condition", ""),
            asked.get("record", ""),
            int(page) if page.isdecimal() and len(page) < 8 else 1,
            *filters,
            filters,
        ]

    def look(self, run: str | None) -> Any:
        """List the runs when the tab is opened, and open the newest if none is open."""
        names = self.browser.names()
        return gr.Dropdown(names, value=run or next(iter(names), None))

    def link_on_arrival(self, request: gr.Request, *place: Any) -> Any:
        """Show the link of a page opened by a permalink; other pages keep their address."""
        return self.link(*place) if request.query_params.get("run") else gr.skip()

    def list_again(self, run: str | None) -> Any:
        """List the runs again."""
        return gr.Dropdown(self.browser.names(), value=run)

    def turn_to(self, run: str | None, condition: str) -> list[Any]:
        """Clear the previous run's view. Keep it if the user only opened the chooser."""
        try:
            found = self.browser.run(run or "").conditions
        except IclError:  # what shows the run tells it
            found = ()
        stays = any(condition and one.entry.fingerprint == condition for one in found)
        return [gr.skip()] * 4 if stays else ["", "", 1, None]

    def show_run(self, run: str | None, condition: str) -> list[Any]:
        """Show the conditions of a run, and choose the first if none is chosen."""
        if not run:
            where = " and ".join(str(root) for root in self.browser.roots)
            return [
                table_value(None),
                "",
                gr.skip(),
                status_box(f"no runs in {where} yet: icl run FILE"),
            ]
        try:
            made = self.browser.run(run)
            first = made.conditions[0].entry.fingerprint if made.conditions else ""
            others = [
                (_condition_name(made, one.entry.fingerprint), one.entry.fingerprint)
                for one in made.conditions
            ]
            state = "" if made.manifest.finished else "; not finished"
            return [
                table_value(condition_table(made)),
                condition or first,
                gr.Dropdown(others),
                status_box(f"{len(made.conditions)} conditions in {made.folder}{state}"),
            ]
        except IclError as error:
            return [table_value(None), "", gr.skip(), error_box(error)]

    def choose(self, event: gr.SelectData) -> list[Any]:
        """Choose the condition whose row was clicked, by its fingerprint."""
        return [str(event.row_value[0]), "", 1]

    def pick(self, event: gr.SelectData) -> str:
        """Return the id of the record whose row was clicked."""
        return str(event.row_value[0])

    def link(
        self,
        run: str | None,
        condition: str,
        record: str,
        number: int,
        show: str,
        text: str,
        order: str,
        other: str | None,
    ) -> str:
        """Return the query parameters of a link to the current view, its filters and page."""
        if not run or not record and not condition:
            return ""
        parts = {
            "run": run,
            "condition": condition[:8],
            "show": show if show != FILTERS[0] else "",
            "text": (text or "")[:LONGEST],
            "order": order if order != ORDERS[0] else "",
            "against": other or "",
            "number": str(number) if (number or 1) > 1 else "",
            "record": record,
        }
        return "?" + urlencode({name: value for name, value in parts.items() if value})

    # ---- records

    def records(
        self,
        run: str | None,
        condition: str,
        number: int,
        show: str,
        text: str,
        order: str,
        other: str | None,
        step: int | None = 0,
    ) -> list[Any]:
        """Show a page of the records that the filters find; without a step, the first."""
        if not run or not condition:
            return [table_value(None), "", 1, gr.skip()]
        try:
            opened = self.browser.open(run, condition)
            against = self.browser.resolve(other, run) if other else None
            wanted = 1 if step is None else int(number or 1) + step
            page = opened.page(RecordQuery(show, text or "", order), wanted, against)
        except IclError as error:
            return [gr.skip(), gr.skip(), gr.skip(), error_box(error)]
        said = f"page {page.number} of {page.pages}: {page.found:,} of {page.of:,} records"
        name = _condition_name(opened.run, opened.fingerprint)
        return [
            gr.Dataframe(
                table_value(page_table(page, against is not None)),
                column_widths=[*WIDTHS[:3], *WIDTHS[2 : 2 + (against is not None)], *WIDTHS[3:]],
            ),
            said,
            page.number,
            status_box(f"condition {name}"),
        ]

    def refilter(
        self, filtered: Any, run: str | None, condition: str, number: int, *filters: Any
    ) -> list[Any]:
        """Show the first page of other filters; a link has set its own, with its page."""
        if filtered == list(filters):
            return [gr.skip()] * (1 + len(self.list_outputs))
        return [list(filters), *partial(self.records, step=None)(run, condition, number, *filters)]

    def record(self, run: str | None, condition: str, key: str) -> list[Any]:
        """Show a record with its prompt and its answer."""
        if not run or not condition or not key:
            return ["", None, gr.Label(None, visible=False), gr.Textbox("", visible=False), "", ""]
        try:
            opened = self.browser.open(run, condition)
            view = record_view(opened, opened.key(key))
        except IclError as error:
            return [
                error_box(error),
                None,
                gr.Label(None, visible=False),
                gr.Textbox("", visible=False),
                "",
                gr.skip(),
            ]
        pieces = [(browser_text(piece.text), _colour_of(piece.kind)) for piece in view.prompt]
        return [
            status_box(f"record     {opened.key(key)}\n{view.facts}"),
            pieces,
            gr.Label(dict(view.bars) or None, visible=bool(view.bars)),
            gr.Textbox(browser_text(view.output), visible=bool(view.output)),
            key,
            "",
        ]

    def save(self, run: str | None, condition: str, key: str) -> Any:
        """Save the record as one HTML page."""
        if not run or not key:
            return status_box("open a record first: a card shows an answer")
        try:
            opened = self.browser.open(run, condition)
            path = save_card(self.work.base, opened, opened.key(key))
        except IclError as error:
            return error_box(error)
        return status_box(
            f"saved {path.relative_to(self.work.base)}: one file, to be opened or sent"
        )

    def hand_over(
        self, run: str | None, condition: str, key: str, name: str, text: str
    ) -> list[Any]:
        """Open the record in the playground, whose edited template is stored as a version."""
        playground = self.app.tabs["Playground"]
        none = [gr.skip()] * (len(playground.handover_outputs) + 2)
        if not run or not key:
            return [*none, status_box("open a record first")]
        try:
            opened = self.browser.open(run, condition)
            edited = playground.choosers.keep(name, text)
            screen, said = screen_of_record(self.work, opened, opened.key(key))
        except IclError as error:
            return [*none, error_box(error)]
        return [
            *playground.hand_over(screen),
            edited,
            gr.Tabs(selected="playground"),
            status_box(said),
        ]

    # ---- beside the records

    def mark(self, run: str | None, condition: str) -> list[Any]:
        """Shade the open condition in its table, and link the report page of its run."""
        if not run or not condition:
            return [gr.skip(), ""]
        try:
            made = self.browser.run(run)
            opened = made.condition(condition).entry.fingerprint
        except IclError:  # the status line tells it
            return [gr.skip(), ""]
        link = report_link(run) if self.app.reports else ""
        return [table_value(condition_table(made), opened[:8]), link]

    def comparison(self, run: str | None) -> list[Any]:
        """Compare the conditions of the run by a setting."""
        outputs = len(self.differences.outputs)
        if not run:
            return [gr.skip()] * (outputs + 1)
        try:
            made = self.browser.run(run)
            if not comparable_settings(made):
                return [
                    *[gr.skip()] * outputs,
                    status_box("nothing to compare: the conditions of this run are alike"),
                ]
            return [*self.differences.of(made), gr.skip()]
        except IclError as error:
            return [*[gr.skip()] * outputs, error_box(error)]

    def slices(self, run: str | None, condition: str, by: str | None) -> list[Any]:
        """Show the score of the condition by a label, a length or a field of its rows."""
        if not run or not condition:
            return [gr.skip(), "", gr.skip()]
        try:
            opened = self.browser.open(run, condition).condition
            keys = list_slice_keys(opened)
            chosen = by or keys[0]
            drawn = slice_figure(slices(opened, chosen))
        except IclError as error:
            return [gr.skip(), "", error_box(error)]
        names = [(browser_text(clean(key), 80), key) for key in keys]
        return [gr.Dropdown(names, value=chosen), drawn, gr.skip()]

    def plots(self, run: str | None, condition: str) -> list[Any]:
        """Plot scores by number of shots and by locale."""
        try:
            return ["" if not run else figures(self.browser.run(run)), gr.skip()]
        except IclError as error:
            return [gr.skip(), error_box(error)]

    def confusion(self, run: str | None, condition: str) -> list[Any]:
        """Show which labels the condition mixes up."""
        if not run or not condition:
            return [gr.skip(), gr.skip(), gr.skip()]
        try:
            found = mix_ups(self.browser.open(run, condition))
        except IclError as error:
            return ["", table_value(None), error_box(error)]
        if found is None:
            return [
                "",
                table_value(None),
                status_box("no labels with right answers to mix up here"),
            ]
        return [matrix(found[0]), table_value(found[1]), gr.skip()]

    def spread(self, run: str | None, condition: str) -> list[Any]:
        """Show how much the scores vary over seeds, orders, prompts and layouts."""
        try:
            found = [] if not run else spreads(copy_run(self.browser.run(run)))
        except IclError as error:
            return ["", table_value(None), error_box(error)]
        if not found:
            return [
                "",
                table_value(None),
                status_box("no conditions differ only in seed, order, prompt or layout"),
            ]
        return [spread_figure(found), table_value(spread_table(found)), gr.skip()]


def _condition_name(run: Run, fingerprint: str) -> str:
    """Name a condition by its fingerprint and settings."""
    condition = next(one for one in run.conditions if one.entry.fingerprint == fingerprint)
    words = join_axes(condition.axes, " · ")
    return browser_text(f"{fingerprint[:8]}  {words}", 200)


def _colour_of(kind: str) -> str | None:
    """Return the colour name of a prompt's piece; None for separators."""
    named = PARTS.get(kind, kind)
    return named if named in KINDS else None
