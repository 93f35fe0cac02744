"""The components of the tab Playground, and their layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from icl.core.registry import names
from icl.workbench.calibrated_answer import supported_calibrators
from icl.workbench.row_sources import RowSource
from icl.workbench.screen import Screen, ShotEdits
from icl.workbench.selector_words import explain_selector
from icl.workbench.web.captions import caption_box
from icl.workbench.web.form_values import FIELDS
from icl.workbench.web.playground.answer_view import EMPTY
from icl.workbench.web.playground.rows_table import RowsTable, RunChoice
from icl.workbench.web.playground.table_file import TableFile
from icl.workbench.web.widgets import WIDTHS, chooser

__all__ = ["PlaygroundLayout", "calibrator_chooser"]


KEYS = '<p class="caption" id="keys">Escape or Tab leaves the editor; Ctrl+] and Ctrl+[ indent</p>'


PICK_TOKEN = """
element.addEventListener("click", event => {
  const token = event.target.closest("[data-token]");
  if (token) trigger("select", {index: Number(token.dataset.token), value: ""});
});
"""
"""Script that tells which token was clicked, from 1."""


def calibrator_chooser(source: RowSource, value: str = "") -> Any:
    """Make the chooser of a calibrator; it lists those that work on one row."""
    names, others = supported_calibrators(source.calibrators)
    return chooser(
        [("none", ""), *[(name, name) for name in names]],
        value=value,
        elem_id="calibrator",
        label=f"Calibration (of many rows only: {', '.join(others)})",
        visible=source.method == "rank",
    )


class PlaygroundLayout:
    """The tab's components, laid out inside an open ``gr.Tab``."""

    def __init__(
        self,
        first: Screen,
        templates: Sequence[str],
        data: Sequence[str],
        source: RowSource,
        models: Sequence[str],
    ) -> None:
        self.first, self.of = first, source
        self.hand = gr.State(ShotEdits().as_json())
        self.opened = gr.State(None)  # [template, number] of the version that was opened last
        self.open_template, self.open_data = gr.State(first.name), gr.State(first.data)
        self.chip = gr.HTML("", elem_id="chip", js_on_load=None)
        with gr.Row(elem_id="choosers"):
            self._choosers(templates, data)
        self.table_file = TableFile()
        with gr.Row(elem_id="desk"):
            with gr.Column(scale=10, min_width=320), gr.Tabs():
                with gr.Tab("Template", render_children=True):
                    self._template()
                with gr.Tab("Row", render_children=True, elem_id="tab-row"):
                    self._row()
                with gr.Tab("Shots", render_children=True, elem_id="tab-shots"):
                    self._shots()
                with gr.Tab("Model", render_children=True, elem_id="tab-model"):
                    self._model(models)
            with gr.Column(scale=11, min_width=320):
                self._row_buttons()
                with gr.Tabs():
                    with gr.Tab("Exact prompt", render_children=True):
                        self._prompt()
                    with gr.Tab("Tokens", render_children=True, elem_id="tab-tokens"):
                        self._tokens()
                    with gr.Tab("As experiment", render_children=True, elem_id="tab-export"):
                        self._export()
                self._shot_choosers()
            with gr.Column(scale=8, min_width=260):
                self._answer()
        self.rows_result = RowsTable()
        self.timer = gr.Timer(0.3, active=False)

    def _choosers(self, templates: Sequence[str], data: Sequence[str]) -> None:
        first, of = self.first, self.of
        self.name = gr.Dropdown(
            list(templates),
            value=first.name,
            label="Template",
            elem_id="name",
            scale=3,
            min_width=160,
        )
        self.data = chooser(
            list(data), value=first.data, label="Data", elem_id="data", scale=3, min_width=150
        )
        self.locale = chooser(
            list(of.locales),
            value=first.locale,
            label="Locale",
            elem_id="locale",
            visible=bool(of.locales),
            scale=2,
            min_width=100,
        )
        pairs = bool(of.sources)
        self.source = chooser(
            list(of.sources),
            value=first.source,
            label="From",
            elem_id="source",
            visible=pairs,
            scale=2,
            min_width=110,
        )
        self.target = chooser(
            list(of.targets),
            value=first.target,
            label="To",
            elem_id="target",
            visible=pairs,
            scale=2,
            min_width=110,
        )

    def _shot_choosers(self) -> None:
        first = self.first
        with gr.Row(elem_id="shot-choosers"):
            selectors = [name for name in names("selector") if name != "fixed"]
            self.select = chooser(
                selectors,
                value=first.select,
                label="Shots chosen by",
                elem_id="select",
                scale=3,
                min_width=130,
            )
            self.k = gr.Number(first.k, label="How many (k)", elem_id="k", scale=2, min_width=90)
        self.explained = caption_box("explained", explain_selector(first.select))
        with gr.Accordion("More: seed, prompt language, calibration", open=False, elem_id="more"):
            with gr.Row():
                self.seed = gr.Number(
                    first.seed, label="Seed", elem_id="seed", scale=1, min_width=70
                )
                self.words = chooser(
                    [("English", "en"), ("the row's", "row")],
                    value=first.words,
                    elem_id="words",
                    label="Prompt language",
                    scale=2,
                    min_width=120,
                )
                self.max_tokens = gr.Number(
                    first.max_tokens,
                    label="Longest answer, in tokens",
                    elem_id="max_tokens",
                    visible=self.of.writes,
                    scale=2,
                    min_width=120,
                )
            self.calibrator = calibrator_chooser(self.of)

    def _template(self) -> None:
        self.text = gr.Code(
            language="jinja2",
            label="Template",
            elem_id="template",
            lines=14,
            max_lines=14,
            wrap_lines=True,
            interactive=True,
            buttons=["copy"],
        )
        self.text.value = self.first.text  # given above, it would lose white space at its ends
        gr.HTML(KEYS, js_on_load=None)
        self.problem = caption_box("problem")
        with gr.Row(elem_id="template-buttons"):
            self.file = gr.Textbox(
                placeholder="name, or folder/name",
                show_label=False,
                container=False,
                max_lines=1,
                elem_id="file",
                scale=3,
                min_width=110,
                label="Save as",
            )
            self.save = gr.Button("Save", elem_id="save", size="md", scale=1, min_width=60)
            self.undo = gr.Button("Undo", elem_id="undo", size="md", scale=1, min_width=60)
        self.saved = caption_box("saved", "every text that is saved or run is kept as a version")
        with gr.Accordion("Versions", open=False, elem_id="versions") as self.versions:
            self.version = chooser(
                [],
                value=None,
                label="Version, by the first line that it changed",
                elem_id="version",
            )
            self.difference = gr.HTML("", elem_id="difference", js_on_load=None)
            self.take_back = gr.Button(
                "Open this version", elem_id="take-back", size="sm", min_width=90
            )

    def _row(self) -> None:
        with gr.Row():
            self.wanted = gr.Textbox(
                label="Search the rows", elem_id="wanted", max_lines=1, scale=3, min_width=120
            )
            self.chance = gr.Button(
                "Random row", elem_id="chance", size="md", scale=1, min_width=100
            )
        self.found = chooser([], value=None, label="Found", elem_id="found")
        self.typed = gr.Checkbox(False, label="Type a row of my own", elem_id="typed")
        self.fields = [
            gr.Textbox(
                "",
                label=f"field {number}",
                visible=False,
                lines=1,
                max_lines=6,
                elem_id=f"field{number}",
            )
            for number in range(FIELDS)
        ]
        for number, field in enumerate(self.fields):
            setattr(self, f"field{number}", field)
        self.answer = gr.Textbox(
            "", label="Right answer, if known", visible=False, lines=1, elem_id="answer"
        )

    def _shots(self) -> None:
        self.shots = gr.Radio([], label="Sent in this order", elem_id="shots")
        with gr.Row(elem_id="shot-buttons"):
            self.up = gr.Button("▲ Up", elem_id="up", size="sm", min_width=50)
            self.down = gr.Button("▼ Down", elem_id="down", size="sm", min_width=50)
            self.pin = gr.Button("Pin", elem_id="pin", size="sm", min_width=50)
            self.remove = gr.Button("Remove", elem_id="remove", size="sm", min_width=60)
            self.reset = gr.Button("Reset", elem_id="reset", size="sm", min_width=50)
        with gr.Row():
            self.pool_wanted = gr.Textbox(
                label="Search the pool", elem_id="pool-wanted", max_lines=1, scale=2, min_width=100
            )
            self.pool_found = chooser(
                [], value=None, label="Add a shot", elem_id="pool-found", scale=3, min_width=130
            )
        with gr.Row():
            self.shot_file = gr.Textbox(
                placeholder="name in shots/",
                show_label=False,
                container=False,
                max_lines=1,
                elem_id="shot-file",
                scale=3,
                min_width=110,
                label="Shot file",
            )
            self.keep_shots = gr.Button(
                "Save shots", elem_id="keep-shots", size="md", scale=2, min_width=80
            )
            self.leave_out = gr.Button(
                "Leave each out", elem_id="leave-out", size="md", scale=2, min_width=100
            )
        self.shots_status = caption_box(
            "shots-told",
            "pinned shots stay for every row and seed; Leave each out asks what each of them adds",
        )

    def _model(self, models: Sequence[str]) -> None:
        self.model = chooser(
            list(models),
            value=models[0],
            label="Model: a name, hub id, folder, .gguf or pypi:…",
            elem_id="model",
        )
        with gr.Row():
            self.width = chooser(
                [("as given", ""), *[(w, w) for w in WIDTHS[1:]]],
                value="",
                label="Width",
                elem_id="width",
                min_width=90,
            )
            chats = [("as given", ""), *[(c, c) for c in ("never", "auto", "always")]]
            self.chat = chooser(
                chats, value="", label="Chat template", elem_id="chat", min_width=90
            )
        with gr.Row():
            self.load = gr.Button("Load", elem_id="load", size="md", min_width=60)
            self.unload = gr.Button("Unload", elem_id="unload", size="md", min_width=60)
            self.look = gr.Button("What is here", elem_id="look", size="md", min_width=90)
        self.model_status = caption_box("model-told")
        self.here = gr.Dataframe(
            headers=["model", "family", "fp32", "bf16", "int8", "nf4", "fits"],
            datatype="str",
            interactive=False,
            elem_id="here",
            wrap=True,
            max_height=200,
            visible=False,
            type="array",
            label="Models on this machine",
        )

    def _prompt(self) -> None:
        self.prompt = gr.HTML("", elem_id="prompt", js_on_load=None)
        self.meter = gr.HTML('<div class="meter"></div>', elem_id="meter", js_on_load=None)

    def _row_buttons(self) -> None:
        with gr.Row(elem_id="rows"):
            self.back = gr.Button("◀", elem_id="back", size="md")
            self.row = gr.Number(
                self.first.row,
                label="Row",
                show_label=False,
                container=False,
                elem_id="row",
                min_width=70,
            )
            self.forth = gr.Button("▶", elem_id="forth", size="md")
            self.row_facts = caption_box("row-facts")

    def _tokens(self) -> None:
        self.inspect = gr.Button(
            "What did the model expect at each token?", elem_id="inspect", size="md"
        )
        self.heat = gr.HTML("", elem_id="heat", js_on_load=PICK_TOKEN)
        self.place = gr.Number(
            1, label="Token", precision=0, elem_id="place", minimum=1, min_width=80
        )
        self.expected = caption_box("expected", "click a token, or give its number")

    def _export(self) -> None:
        self.export = gr.Code(
            language="yaml",
            interactive=False,
            show_label=False,
            elem_id="export",
            lines=18,
            max_lines=18,
            buttons=["copy"],
        )
        with gr.Row():
            self.export_name = gr.Textbox(
                placeholder="name of the experiment",
                show_label=False,
                container=False,
                max_lines=1,
                elem_id="export-name",
                scale=3,
                min_width=110,
                label="Experiment",
            )
            self.export_save = gr.Button(
                "Save", elem_id="export-save", size="md", scale=1, min_width=60
            )
        self.exported = caption_box("exported", "icl run sends exactly this prompt, byte for byte")

    def _answer(self) -> None:
        with gr.Row(elem_id="answer-buttons"):
            self.run = gr.Button(
                "Run", variant="primary", size="md", elem_id="run", scale=2, min_width=80
            )
            self.run_choice = RunChoice()
            self.stop = gr.Button(
                "Stop", interactive=False, size="md", elem_id="stop", scale=1, min_width=70
            )
        self.status = caption_box("told", "Run, or Ctrl+Enter")
        self.answered = gr.HTML(EMPTY, elem_id="answered", js_on_load=None)
        with gr.Row(elem_id="feedback"):
            self.good = _verdict_button("Good", "good", 50)
            self.bad = _verdict_button("Bad", "bad", 50)
            self.corrected = _verdict_button("Corrected:", "corrected", 70)
            self.card = _verdict_button("Save card", "card", 70)
        self.correction = gr.Textbox(
            placeholder="what it should have answered",
            show_label=False,
            container=False,
            lines=1,
            max_lines=4,
            elem_id="correction",
            label="Correction",
        )
        self.noted = caption_box("noted", "verdicts go to feedback.jsonl")


def _verdict_button(title: str, name: str, width: int) -> Any:
    """Make a button that needs the answer to what the screen asks, and is off without one."""
    return gr.Button(title, elem_id=name, size="sm", min_width=width, interactive=False)
