"""The components of the tab Compare, and their layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from icl.core.registry import names
from icl.workbench.answer_matrix import MODES
from icl.workbench.row_sources import RowSource
from icl.workbench.side_by_side import FORMS, LETTERS
from icl.workbench.web.compare.matrix import EMPTY, PICK_CELL
from icl.workbench.web.widgets import WIDTHS, chooser, run_row

__all__ = [
    "SHARED_INPUTS",
    "COLUMN_INPUTS",
    "CROSS",
    "CompareLayout",
    "DIFF_COLOURS",
    "ROW_INPUTS",
]


SHARED_INPUTS = (
    "data",
    "locale",
    "source",
    "target",
    "n",
    "row",
    "seed",
    "max_tokens",
    "playground",
    "many",
    "templates",
    "models",
)
"""Inputs that all columns share."""
ROW_INPUTS = ("data", "locale", "source", "target", "row", "max_tokens")
"""Inputs that choose the rows; hidden while the Playground chooses them."""
COLUMN_INPUTS = ("template", "model", "width", "select", "k", "seed")
"""Inputs of each column."""
DIFF_COLOURS = {"only the first": "#cf3b3b", "only the other": "#2e9e5b"}


CROSS = "prompts × models"
"""The choice of columns that takes each of several prompts with each of several models."""


class CompareLayout:
    """The tab's components, laid out inside an open ``gr.Tab``."""

    def __init__(
        self,
        templates: Sequence[str],
        data: Sequence[str],
        source: RowSource,
        models: Sequence[str],
        first: str,
    ) -> None:
        self.shared: dict[str, Any] = {}
        self.columns: list[dict[str, Any]] = []
        self.groups: list[Any] = []
        with gr.Row():
            self._shared_inputs(data, source)
        with gr.Row(visible=False, elem_id="c-cross") as self.cross:
            self._crossed_inputs(templates, models, first)
        with gr.Row(elem_classes="columns"):
            for place in range(FORMS):
                self._column(place, templates, models, first)
        with gr.Row(elem_classes="running"):
            self.run, self.stop, self.status = run_row(
                "c",
                "Run all",
                "Ctrl+Enter runs; answers to several rows are saved and reused",
            )
        self._matrix()
        self.table = gr.Dataframe(
            headers=["", "settings", "score", "n", "against A", "wins – ties – losses", "p"],
            datatype="str",
            type="array",
            interactive=False,
            wrap=True,
            elem_id="c-table",
            label="Scores, with 95 % intervals; differences on the same rows",
            visible=False,
            column_widths=[40, 250, 150, 50, 190, 450, 70],
        )
        self._prompts()

    def _shared_inputs(self, data: Sequence[str], of: RowSource) -> None:
        made = self.shared
        made["data"] = chooser(
            list(data), value=of.name, label="Data", elem_id="c-data", scale=3, min_width=150
        )
        for part, title, values in (
            ("locale", "Locale", of.locales),
            ("source", "From", of.sources),
            ("target", "To", of.targets),
        ):
            made[part] = chooser(
                list(values),
                value=None,
                label=title,
                elem_id=f"c-{part}",
                visible=bool(values),
                scale=2,
                min_width=110,
            )
        made["n"] = gr.Number(
            20,
            label="Rows sampled (1: one row)",
            elem_id="c-n",
            scale=2,
            min_width=110,
        )
        made["row"] = gr.Number(1, label="Row number", elem_id="c-row", scale=1, min_width=80)
        made["seed"] = gr.Number(
            0, label="Seed of the sample", elem_id="c-seed", scale=1, min_width=70
        )
        made["max_tokens"] = gr.Number(
            64,
            label="Answer, max. tokens",
            elem_id="c-max_tokens",
            scale=1,
            min_width=90,
            visible=of.writes,
        )
        made["playground"] = gr.Checkbox(
            False,
            label="Row of the Playground",
            elem_id="c-desk",
            scale=2,
            min_width=150,
            container=True,
        )
        made["many"] = gr.Radio(
            [2, 3, 4, CROSS], value=2, label="Columns", elem_id="c-many", scale=4, min_width=260
        )

    def _crossed_inputs(self, templates: Sequence[str], models: Sequence[str], first: str) -> None:
        made = self.shared
        for part, title, choices, value in (
            ("templates", "Prompts", templates, first),
            ("models", "Models", models, models[0]),
        ):
            made[part] = chooser(
                list(choices),
                value=[value],
                multiselect=True,
                label=f"{title} (other settings are those of A)",
                elem_id=f"c-{part}",
                min_width=260,
            )

    def _column(
        self, place: int, templates: Sequence[str], models: Sequence[str], first: str
    ) -> None:
        letter, made = LETTERS[place], {}
        with gr.Column(min_width=230, visible=place < 2, elem_id=f"c-{letter}") as group:
            made["template"] = chooser(
                list(templates),
                value=first,
                elem_id=f"c-template{letter}",
                label=f"{letter}: template",
            )
            with gr.Row():
                made["model"] = chooser(
                    list(models),
                    value=models[0],
                    label="Model",
                    scale=3,
                    elem_id=f"c-model{letter}",
                    min_width=110,
                )
                made["width"] = chooser(
                    [("as given", ""), *[(w, w) for w in WIDTHS[1:]]],
                    value="",
                    label="Width",
                    elem_id=f"c-width{letter}",
                    scale=2,
                    min_width=80,
                )
            with gr.Row():
                selectors = [name for name in names("selector") if name != "fixed"]
                made["select"] = chooser(
                    selectors,
                    value="random",
                    label="Shots",
                    scale=3,
                    elem_id=f"c-select{letter}",
                    min_width=90,
                )
                made["k"] = gr.Number(
                    0 if place == 0 else 4,
                    label="k",
                    scale=2,
                    elem_id=f"c-k{letter}",
                    min_width=50,
                )
                made["seed"] = gr.Number(
                    0, label="Seed", scale=2, min_width=50, elem_id=f"c-seed{letter}"
                )
        self.columns.append(made)
        self.groups.append(group)

    def _matrix(self) -> None:
        """Lay out the answers, and below them the one that was clicked, with its verdict."""
        with gr.Row(elem_classes="running"):
            self.mode = gr.Radio(
                list(MODES), value=MODES[0], label="Rows", elem_id="c-mode", scale=3, min_width=220
            )
            self.pattern = gr.Textbox(
                "",
                label="Search (regular expression)",
                max_lines=1,
                elem_id="c-pattern",
                scale=3,
                min_width=150,
            )
            self.hidden = _columns_chooser("c-hidden", "Hidden columns")
            self.wide = _columns_chooser("c-wide", "Widened columns")
            self.page = gr.Number(
                1, label="Page", precision=0, elem_id="c-page", scale=1, min_width=70
            )
        self.counted = gr.Textbox(
            show_label=False,
            container=False,
            interactive=False,
            lines=1,
            elem_id="c-counted",
            label="Rows shown",
            placeholder="run to see the answers of all columns side by side",
        )
        self.matrix = gr.HTML(EMPTY, elem_id="c-matrix", js_on_load=PICK_CELL)
        with gr.Row(elem_classes="columns"):
            self._cell()

    def _cell(self) -> None:
        self.output = gr.Textbox(
            label="Answer (click one above)",
            lines=3,
            max_lines=12,
            interactive=False,
            elem_id="c-output",
            min_width=260,
            scale=3,
        )
        self.reference = gr.Textbox(
            label="Right answer",
            lines=3,
            max_lines=12,
            min_width=160,
            interactive=False,
            elem_id="c-reference",
            scale=2,
        )
        with gr.Column(min_width=260, scale=3):
            with gr.Row():
                self.correction = gr.Textbox(
                    "", label="It should be", max_lines=3, elem_id="c-correction", min_width=110
                )
                self.comment = gr.Textbox(
                    "", label="Comment", max_lines=3, elem_id="c-comment", min_width=110
                )
            with gr.Row():
                self.verdicts = {
                    name: gr.Button(title, elem_id=f"c-{name}", size="sm", min_width=70)
                    for name, title in (
                        ("good", "Good"),
                        ("bad", "Bad"),
                        ("corrected", "Corrected"),
                    )
                }
                self.export = gr.Button("Export rows", elem_id="c-export", size="sm", min_width=100)
            self.noted = gr.Textbox(
                show_label=False,
                container=False,
                interactive=False,
                lines=1,
                max_lines=3,
                elem_id="c-noted",
                label="Saved",
                placeholder="a verdict on the answer, with the comment, goes to feedback.jsonl",
            )

    def _prompts(self) -> None:
        with gr.Row():
            self.first = gr.Dropdown(
                list(LETTERS[:2]),
                value="A",
                label="Prompt of",
                elem_id="c-first",
                scale=1,
                min_width=80,
            )
            self.other = gr.Dropdown(
                list(LETTERS[:2]),
                value="B",
                label="against",
                elem_id="c-other",
                scale=1,
                min_width=80,
            )
            self.chosen = gr.Textbox(
                "",
                label="Row id (click an answer, or type one)",
                elem_id="c-chosen",
                max_lines=1,
                scale=3,
                min_width=160,
            )
            self.column = gr.Dropdown(
                list(LETTERS[:2]),
                value="A",
                label="Answer of",
                elem_id="c-column",
                scale=1,
                min_width=80,
            )
            self.check = gr.Textbox(
                label="Check",
                interactive=False,
                lines=1,
                max_lines=3,
                elem_id="c-check",
                scale=5,
                min_width=200,
            )
        self.diff = gr.HighlightedText(
            label="Differences of the prompts, word by word",
            show_legend=True,
            show_inline_category=False,
            color_map=DIFF_COLOURS,
            elem_id="c-diff",
            interactive=False,
            show_label=False,
        )


def _columns_chooser(name: str, title: str) -> Any:
    return gr.Dropdown(
        list(LETTERS[:2]),
        value=[],
        multiselect=True,
        label=title,
        elem_id=name,
        scale=2,
        min_width=120,
    )
