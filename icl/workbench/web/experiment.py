"""The tab Experiment: a grid as a form and as YAML, its estimate, and its run.

The YAML decides: the form writes it until the user edits it, and then only on request. The
logic is in :mod:`icl.workbench.experiment_draft`. Texts go only to components that show them as
text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import gradio as gr

from icl.core.errors import ConfigError, IclError
from icl.core.registry import names
from icl.records.results import Run
from icl.running.estimate import HEAD
from icl.workbench.experiment_draft import (
    Draft,
    check,
    draft_yaml,
    estimate_draft,
    fault,
    file_draft,
    open_run,
    run_draft,
    save_draft,
)
from icl.workbench.jobs import JobProgress, run_job
from icl.workbench.run_tables import condition_table
from icl.workbench.template_files import template_choices
from icl.workbench.web.differences import DifferencesPanel
from icl.workbench.web.figures import progress_html
from icl.workbench.web.form_values import browser_text, error_box, status_box, table_value
from icl.workbench.web.tabs import ENGINE, QUICK, App
from icl.workbench.web.widgets import (
    WIDTHS,
    NewestAnswer,
    PageStops,
    chooser,
    number,
    run_buttons,
    run_row,
    wait_in_queue,
)

__all__ = ["ExperimentTab"]


KEY = "icl-experiment"
FORM = (
    "name",
    "data",
    "locales",
    "sources",
    "targets",
    "templates",
    "models",
    "widths",
    "ks",
    "selectors",
    "seeds",
    "n",
    "seed",
    "max_tokens",
    "compare",
)
COMPARE_CHOICES = [
    ("nothing", ""),
    *((name, name) for name in ("prompt", "model", "width", "shots", "k", "select", "locale")),
]


class ExperimentTab:
    """The tab's components and event handlers."""

    def __init__(self, app: App) -> None:
        self.app, self.work = app, app.work
        self.stops = PageStops()
        self.differences = DifferencesPanel(partial(open_run, app.work), "x")
        self.first = app.tabs["Playground"].first
        first, given = self.first, app.work.given
        self.given_text = given.text if given else ""
        self.draft = (
            file_draft(given, first.data)
            if given
            else Draft(
                "grid",
                first.data,
                [first.name],
                [first.model],
                [first.locale] if first.locale else [],
                [first.source] if first.source else [],
                [first.target] if first.target else [],
                ks=(0, 4),
                seeds=(0,),
            )
        )
        self.store = app.browser_state(KEY)
        self.text_store = app.browser_state(f"{KEY}-text")

    def build(self) -> None:
        """Lay out the tab inside an open ``gr.Tab``, and wire its events."""
        self.form: dict[str, Any] = {}
        with gr.Row():
            with gr.Column(scale=4, min_width=320):
                self._form()
            with gr.Column(scale=5, min_width=320):
                self._text()
        self._results()
        self._wire()

    # ---- layout

    def _form(self) -> None:
        work, draft = self.work, self.draft
        of, made = work.sources[draft.data], self.form
        with gr.Row():
            made["name"] = gr.Textbox(
                draft.name, label="Name", max_lines=1, elem_id="x-name", min_width=110
            )
            made["data"] = chooser(
                list(work.sources), value=draft.data, label="Data", elem_id="x-data", min_width=150
            )
        with gr.Row():
            for part, title, values, chosen in (
                ("locales", "Locales", of.locales, draft.locales),
                ("sources", "From", of.sources, draft.sources),
                ("targets", "To", of.targets, draft.targets),
            ):
                made[part] = _multi_chooser(
                    list(values),
                    [one for one in chosen if one in values],
                    title,
                    f"x-{part}",
                    visible=bool(values),
                )
        made["templates"] = _multi_chooser(
            template_choices(work.base), list(draft.templates), "Templates", "x-templates"
        )
        with gr.Row():
            made["models"] = _multi_chooser(
                list(work.models), list(draft.models), "Models", "x-models"
            )
            made["widths"] = _multi_chooser(
                list(WIDTHS[1:]), list(draft.widths), "Widths (none: as given)", "x-widths"
            )
        with gr.Row():
            made["ks"] = gr.Textbox(
                ", ".join(map(str, draft.ks)),
                label="Shots (k)",
                max_lines=1,
                elem_id="x-ks",
                min_width=80,
            )
            selectors = [name for name in names("selector") if name != "fixed"]
            made["selectors"] = _multi_chooser(
                selectors, list(draft.selectors), "Selector of shots", "x-selectors", scale=2
            )
            made["seeds"] = gr.Textbox(
                ", ".join(map(str, draft.seeds)),
                label="Shots drawn with seeds",
                max_lines=1,
                elem_id="x-seeds",
                min_width=80,
            )
        with gr.Row():
            made["n"] = gr.Number(draft.n, label="Rows", elem_id="x-n", min_width=80)
            made["seed"] = gr.Number(
                0, label="Rows drawn with seed", elem_id="x-seed", min_width=80
            )
            made["max_tokens"] = gr.Number(
                draft.max_tokens,
                label="Answer, max. tokens",
                min_width=90,
                elem_id="x-max_tokens",
                visible=of.writes,
            )
            made["compare"] = chooser(
                COMPARE_CHOICES,
                value=draft.compare,
                label="Compare by",
                elem_id="x-compare",
                min_width=110,
            )

    def _text(self) -> None:
        self.text = gr.Code(
            language="yaml",
            label="Experiment file (YAML)",
            interactive=True,
            lines=16,
            max_lines=16,
            elem_id="x-yaml",
            wrap_lines=True,
            buttons=["copy"],
        )
        self.text.value = self.given_text
        self.text.postprocess = lambda text: text  # Gradio's own strips white space
        self.check = gr.Textbox(
            label="Check", interactive=False, lines=2, max_lines=4, elem_id="x-check"
        )
        with gr.Row(elem_classes="running"):
            self.write = gr.Button("Write from form", elem_id="x-write", size="md", min_width=120)
            self.back = gr.Button("Restore", elem_id="x-back", size="md", min_width=120)
            self.save = gr.Button("Save file", elem_id="x-save", size="md", min_width=90)

    def _results(self) -> None:
        with gr.Row(elem_classes="running"):
            self.estimate = gr.Button("Estimate", elem_id="x-estimate", size="md", min_width=90)
            self.run, self.stop, self.status = run_row(
                "x", "Run", "Stop ends after the current batch; running again continues there"
            )
        self.bar = gr.HTML("", elem_id="x-bar", js_on_load=None)
        self.costs = gr.Dataframe(
            headers=list(HEAD),
            datatype="str",
            type="array",
            interactive=False,
            wrap=True,
            elem_id="x-costs",
            visible=False,
            label="Records still to compute",
            max_height=300,
        )
        with gr.Column(visible=False) as self.scored:
            self.scores = gr.Dataframe(
                {"headers": [""], "data": []},
                datatype="str",
                type="array",
                interactive=False,
                wrap=True,
                elem_id="x-scores",
                buttons=[],
                label="Scores, with 95 % intervals",
                max_height=420,
            )
            self.open = gr.Button("Open in Results", elem_id="x-open", size="sm", min_width=120)
            self.opened = gr.State("")
        self.differences.build()

    # ---- what calls what

    def _wire(self) -> None:
        inputs = [self.form[part] for part in FORM]
        ready, written, before = gr.State(False), gr.State(""), gr.State("")
        newest = NewestAnswer()
        filling = newest.event(
            self.fill,
            [ready, self.text, written, *inputs],
            [self.text, written, self.check, self.store],
        )
        gr.on([part.change for part in inputs], trigger_mode="always_last", **filling, **QUICK)
        self.text.change(
            self.look,
            [ready, self.text, written],
            [self.check, self.text_store],
            trigger_mode="always_last",
            **QUICK,
        )
        self.form["data"].change(
            self.turn_to,
            self.form["data"],
            [self.form[part] for part in ("locales", "sources", "targets", "max_tokens")],
            **QUICK,
        )
        self.write.click(
            self.overwrite, [self.text, *inputs], [self.text, written, before, self.check], **QUICK
        )
        self.back.click(self.swap, [self.text, before], [self.text, before], **QUICK)
        self.save.click(self.keep, self.text, self.status, **QUICK)
        self._wire_work(
            self.estimate, "an estimate", self.count, [self.status, self.bar, self.costs]
        )
        self._wire_work(
            self.run,
            "an experiment",
            self.start,
            [
                self.status,
                self.bar,
                self.costs,
                self.scored,
                self.scores,
                self.opened,
                *self.differences.outputs,
            ],
        )
        self.stop.click(self.stops.halt, None, self.stop, **QUICK)
        restoring = {
            "fn": self.restore,
            "inputs": [self.store, self.text_store],
            "outputs": [*inputs, self.text, written, ready],
        }
        self.app.loads.append([restoring])
        self.app.page.select(**{**filling, "fn": newest.handler(self.first_fill, 4)}, **QUICK)
        self.app.leaves += [self.stops.leave, newest.leave]

    def _wire_work(
        self, button: Any, what: str, work: Callable[..., Any], outputs: list[Any]
    ) -> None:
        turning = [self.estimate, self.run, self.stop]
        asked = button.click(self.arm, None, [self.status, *turning], **QUICK).then(
            wait_in_queue(self.app.queue, what, self.status, work, self.stops.of),
            self.text,
            outputs,
            **ENGINE,
        )
        asked.failure(self.fail, None, self.status, **QUICK)
        asked.then(
            lambda: [gr.Button(interactive=True), *run_buttons(False)], None, turning, **QUICK
        )

    # ---- form and text

    def read(self, values: Sequence[Any]) -> Draft:
        """Read and check the form, since a browser may send anything.

        Raises:
            ConfigError: a number out of bounds, or a text that is no list of numbers.
        """
        given = dict(zip(FORM, values, strict=True))
        lists = {
            part: [str(one) for one in given[part] or ()]
            for part in (
                "locales",
                "sources",
                "targets",
                "templates",
                "models",
                "widths",
                "selectors",
            )
        }
        return Draft(
            name=str(given["name"] or "").strip(),
            data=str(given["data"]),
            **lists,
            ks=_parse_numbers(given["ks"], "k", 64),
            seeds=_parse_numbers(given["seeds"], "seeds", 2**31),
            n=number(given["n"], "rows", 1, 10**7),
            seed=number(given["seed"], "draw", 0, 2**31),
            max_tokens=number(given["max_tokens"], "longest answer", 1, 4096),
            compare=str(given["compare"] or ""),
        )

    def fill(
        self, request: gr.Request, ready: bool, text: str, written: str, *values: Any
    ) -> list[Any]:
        """Write the form's YAML, unless the user edited the text."""
        keep = dict(zip(FORM, values, strict=True)) if ready else gr.skip()
        # The editor leaves out the last line break.
        if self.given_text and (text or "").rstrip() == self.given_text.rstrip():
            return [gr.skip(), gr.skip(), self._check_box(text), keep]
        if (text or "").rstrip() != written.rstrip():
            note = "the text was edited by hand, so the form leaves it; Write from form replaces it"
            return [gr.skip(), gr.skip(), status_box(note), keep]
        try:
            made = draft_yaml(self.work, self.read(values))
        except IclError as error:
            return [gr.skip(), gr.skip(), error_box(error), keep]
        return [browser_text(made), made, self._check_box(made), keep]

    def first_fill(
        self, request: gr.Request, ready: bool, text: str, written: str, *values: Any
    ) -> list[Any]:
        """Write the form's YAML when the tab is opened for the first time."""
        return [gr.skip()] * 4 if written else self.fill(request, ready, text, written, *values)

    def look(self, ready: bool, text: str, written: str) -> list[Any]:
        """Check the text; report an error with its line."""
        keep = {"text": text, "written": written} if ready else gr.skip()
        return [self._check_box(text or ""), keep]

    def _check_box(self, text: str) -> Any:
        try:
            return status_box(str(check(self.work, text)))
        except IclError as error:
            return gr.Textbox(browser_text(fault(text, error), 4000), elem_classes="wrong")

    def overwrite(self, text: str, *values: Any) -> list[Any]:
        """Overwrite the editor with the form's YAML; “Restore” brings the old text back."""
        try:
            made = draft_yaml(self.work, self.read(values))
        except IclError as error:
            return [gr.skip(), gr.skip(), gr.skip(), error_box(error)]
        return [
            browser_text(made),
            made,
            text if text != made else gr.skip(),
            self._check_box(made),
        ]

    def swap(self, text: str, before: str) -> list[Any]:
        """Swap the text with the one before it was overwritten."""
        return [before, text] if before else [gr.skip(), gr.skip()]

    def keep(self, text: str) -> Any:
        """Save the text as a file in the working folder."""
        try:
            path = save_draft(self.work, text or "")
        except IclError as error:
            return gr.Textbox(browser_text(fault(text or "", error), 4000), elem_classes="wrong")
        return status_box(f"saved {path.name}; the same from a terminal: icl run {path.name}")

    def turn_to(self, data: str) -> list[Any]:
        """Show the inputs of a data set and hide the others."""
        source = self.work.sources.get(str(data))
        if source is None:
            return [gr.skip()] * 4
        made: list[Any] = []
        for values, first in (
            (source.locales, self.first.locale),
            (source.sources, self.first.source),
            (source.targets, self.first.target),
        ):
            value = [first if first in values else values[0]] if values else []
            made.append(gr.Dropdown(list(values), value=value, visible=bool(values)))
        return [*made, gr.Number(visible=source.writes)]

    def restore(self, kept: Any, text: Any) -> list[Any]:
        """Restore the values stored in the browser, as far as they are still valid."""
        values: list[Any] = [gr.skip()] * len(FORM)
        if isinstance(kept, dict) and set(kept) == set(FORM):
            values = [kept[part] for part in FORM]
            source = self.work.sources.get(str(kept["data"]))
            for part in ("locales", "sources", "targets") if source else ():
                choices = list(getattr(source, part))
                values[FORM.index(part)] = gr.Dropdown(
                    choices, value=kept[part], visible=bool(choices)
                )
            if source is not None:
                longest = gr.Number(kept["max_tokens"], visible=source.writes)
                values[FORM.index("max_tokens")] = longest
        texts = [gr.skip(), gr.skip()]
        if isinstance(text, dict) and set(text) == {"text", "written"}:
            texts = [text["text"], text["written"]]
        return [*values, *texts, True]

    # ---- work

    def arm(self, request: gr.Request) -> list[Any]:
        """Prepare work, before it waits in the queue."""
        self.stops.arm(request)
        off = gr.Button(interactive=False)
        return [status_box("waiting for the model"), off, *run_buttons(True)]

    def fail(self) -> Any:
        """Report that work failed because of a bug or a full queue."""
        message = "failed: the queue is full, or a bug that the app's terminal describes"
        return gr.Textbox(message, elem_classes="wrong")

    def count(self, request: gr.Request, text: str) -> Iterator[list[Any]]:
        """Estimate what is left to compute, and how long it will take."""

        def work(progress: JobProgress) -> tuple[list[list[str]], str]:
            return estimate_draft(self.work, text or "", progress)

        for line, made in self._run_work(text, work, request):
            if made is None:
                yield [line, "", gr.skip()]
            else:
                cells = [[browser_text(cell, 300) for cell in one] for one in made[0]]
                yield [status_box(made[1]), "", gr.Dataframe(cells, visible=True)]

    def start(self, request: gr.Request, text: str) -> Iterator[list[Any]]:
        """Run everything that is missing, and show the scores."""
        shown: list[JobProgress] = []

        def work(progress: JobProgress) -> Run:
            shown.append(progress)
            return run_draft(self.work, text or "", progress)

        for line, made in self._run_work(text, work, request):
            bar = progress_html(shown[0].meter() if shown else None)
            if made is None:
                yield [line, bar, *[gr.skip()] * (4 + len(self.differences.outputs))]
                continue
            done = (
                f"{made.computed} records computed, {made.reused} reused; all of them in "
                f"runs/{made.name}"
            )
            yield [
                status_box(done),
                bar,
                gr.Dataframe(visible=False),  # outdated
                gr.Column(visible=True),
                table_value(condition_table(made)),
                made.name,
                *self.differences.of(made),
            ]

    def _run_work(
        self, text: str, work: Callable[[JobProgress], Any], request: gr.Request
    ) -> Iterator[tuple[Any, Any]]:
        """Run work in a thread; yield (status box, result or None)."""
        try:
            for line, made in run_job(work, self.stops.of(request)):
                yield status_box(line), made
        except IclError as error:
            yield (
                gr.Textbox(browser_text(fault(text or "", error), 4000), elem_classes="wrong"),
                None,
            )


def _multi_chooser(choices: list[str], value: list[str], label: str, name: str, **more: Any) -> Any:
    return chooser(
        choices, value=value, label=label, multiselect=True, elem_id=name, min_width=140, **more
    )


def _parse_numbers(text: Any, name: str, most: int) -> list[int]:
    """Parse numbers such as ``0, 4 8``.

    Raises:
        ConfigError: a word that is no number, or a number that is too large.
    """
    found = str(text or "").replace(",", " ").split()
    strange = [one for one in found if not one.isdecimal() or int(one) > most]
    if strange:
        raise ConfigError(f"{name}: {strange[0]!r} is no number from 0 to {most}; write: 0, 4, 8")
    return list(dict.fromkeys(map(int, found)))
