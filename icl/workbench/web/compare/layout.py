"""The components of the tab Compare, and their layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from icl.core.registry import names
from icl.workbench.row_sources import RowSource
from icl.workbench.side_by_side import LETTERS
from icl.workbench.web.widgets import WIDTHS, chooser, run_row

__all__ = [
    "SHARED_INPUTS",
    "COLUMN_INPUTS",
    "CompareLayout",
    "DIFF_COLOURS",
    "ROW_INPUTS",
    "row_widths",
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
)
"""Inputs that all columns share."""
ROW_INPUTS = ("data", "locale", "source", "target", "row", "max_tokens")
"""Inputs that choose the rows; hidden while the Playground chooses them."""
COLUMN_INPUTS = ("template", "model", "width", "select", "k", "seed")
"""Inputs of each column."""
DIFF_COLOURS = {"only A": "#cf3b3b", "only the other": "#2e9e5b"}


def row_widths(columns: int) -> list[int]:
    """Return column widths in pixels (id, input, reference, answers) for a page of 1280 pixels."""
    unit = 1110 // (5 + 2 * columns)
    return [90, 3 * unit, 2 * unit, *[2 * unit] * columns]


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
        with gr.Row(elem_classes="columns"):
            for place in range(len(LETTERS)):
                self._column(place, templates, models, first)
        with gr.Row(elem_classes="running"):
            self.run, self.stop, self.status = run_row(
                "c",
                "Run all",
                "Ctrl+Enter runs; answers to several rows are saved and reused",
            )
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
        self._answers()

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
            precision=0,
            elem_id="c-n",
            scale=2,
            min_width=110,
        )
        made["row"] = gr.Number(
            1, label="Row number", precision=0, elem_id="c-row", scale=1, min_width=80
        )
        made["seed"] = gr.Number(
            0, label="Seed of the sample", precision=0, elem_id="c-seed", scale=1, min_width=70
        )
        made["max_tokens"] = gr.Number(
            64,
            label="Answer, max. tokens",
            precision=0,
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
            [2, 3, 4], value=2, label="Columns", elem_id="c-many", scale=2, min_width=130
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
                    precision=0,
                    scale=2,
                    elem_id=f"c-k{letter}",
                    min_width=50,
                )
                made["seed"] = gr.Number(
                    0, label="Seed", precision=0, scale=2, min_width=50, elem_id=f"c-seed{letter}"
                )
        self.columns.append(made)
        self.groups.append(group)

    def _prompts(self) -> None:
        with gr.Row():
            self.other = gr.Radio(
                ["B"],
                value="B",
                label="Compare the prompt of A with",
                elem_id="c-other",
                scale=2,
                min_width=160,
            )
            self.chosen = gr.Textbox(
                "",
                label="Row id (click a row below, or type one)",
                elem_id="c-chosen",
                max_lines=1,
                scale=3,
                min_width=160,
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

    def _answers(self) -> None:
        with gr.Row(elem_classes="columns"):
            self.outputs = [
                gr.Textbox(
                    label=f"{letter} answers",
                    lines=2,
                    max_lines=10,
                    interactive=False,
                    visible=place < 2,
                    elem_id=f"c-output{letter}",
                    min_width=160,
                )
                for place, letter in enumerate(LETTERS)
            ]
            self.reference = gr.Textbox(
                label="Reference",
                lines=2,
                max_lines=10,
                min_width=160,
                interactive=False,
                elem_id="c-reference",
            )
        with gr.Row(elem_classes="running"):
            self.different = gr.Checkbox(
                False, label="Only rows answered differently", elem_id="c-different", min_width=220
            )
            self.page = gr.Number(1, label="Page", precision=0, elem_id="c-page", min_width=90)
            self.counted = gr.Textbox(
                show_label=False,
                container=False,
                interactive=False,
                lines=1,
                elem_id="c-counted",
                scale=4,
                min_width=160,
                label="Rows",
            )
        self.rows = gr.Dataframe(
            headers=["id", "input", "reference", *LETTERS[:2]],
            datatype="str",
            type="array",
            interactive=False,
            wrap=True,
            elem_id="c-rows",
            label="Answers; click a row",
            max_height=420,
            column_widths=row_widths(2),
        )
