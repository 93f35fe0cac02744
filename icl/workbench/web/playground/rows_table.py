"""The components that run the screen's template on many rows, and the table of their answers."""

from __future__ import annotations

import gradio as gr

from icl.workbench.version_runs import HEAD, SHOWN
from icl.workbench.web.captions import caption_box

__all__ = ["ALL_ROWS", "FEW_ROWS", "THIS_ROW", "RowsTable", "RunChoice"]


THIS_ROW, FEW_ROWS, ALL_ROWS = "this row", "20 rows", "all rows"
WIDTHS = [80, 390, 190, 190, 90, 70, 230]
"""Pixels of the columns on a page of 1280."""


class RunChoice:
    """The chooser of the rows that Run sends, and the button for more than this row."""

    def __init__(self) -> None:
        self.run = gr.Button(
            "Run 20 rows",
            variant="primary",
            size="md",
            elem_id="run-rows",
            scale=2,
            min_width=80,
            visible=False,
        )
        self.rows = gr.Dropdown(
            [THIS_ROW, FEW_ROWS, ALL_ROWS],
            value=THIS_ROW,
            label="Run on",
            show_label=False,
            container=False,
            elem_id="run-on",
            scale=2,
            min_width=100,
        )


class RowsTable:
    """The score of a run on rows and its answers, one a line; hidden until there is a run."""

    def __init__(self) -> None:
        with gr.Column(visible=False, elem_id="rows-result") as self.box:
            self.status = caption_box("rows-told")
            self.details = caption_box("rows-details")
            with gr.Row(elem_classes="running"):
                self.show = gr.Radio(
                    list(SHOWN),
                    value=SHOWN[0],
                    show_label=False,
                    container=False,
                    elem_id="rows-show",
                    label="Show",
                    scale=4,
                    min_width=220,
                )
                self.page = gr.Number(
                    1,
                    label="Page",
                    precision=0,
                    minimum=1,
                    elem_id="rows-page",
                    min_width=90,
                    visible=False,
                )
            self.table = gr.Dataframe(
                headers=list(HEAD),
                datatype="str",
                type="array",
                interactive=False,
                wrap=True,
                elem_id="rows-table",
                label="Answers; a click puts the row on the screen",
                max_height=480,
                column_widths=WIDTHS,
            )
