"""The components of the card on which a table of the user's own gets a role for each column."""

from __future__ import annotations

import gradio as gr

from icl.data.columns import SUFFIXES
from icl.experiment.table_task import TASKS
from icl.workbench.table_card import ROLES
from icl.workbench.web.captions import caption_box

__all__ = ["GUESSED", "MOST_COLUMNS", "TableFile"]


MOST_COLUMNS = 12
"""Columns with a chooser of their role; of a wider table, those that are used come first."""
GUESSED = "guessed"


class TableFile:
    """The place to drop a file, its first rows, and what is to become of it."""

    def __init__(self) -> None:
        with gr.Accordion("Use my file", open=False, elem_id="use-file") as self.box:
            self.file = gr.File(
                label="Drop a table: CSV, TSV, XLSX, JSONL or Parquet; it stays on this machine",
                file_types=[*SUFFIXES, ".gz"],
                type="filepath",
                height=110,
                elem_id="upload",
            )
            self.status = caption_box("uploaded")
            with gr.Column(visible=False) as self.card:
                with gr.Row(elem_id="roles"):
                    self.roles = [
                        gr.Dropdown(
                            list(ROLES),
                            value=ROLES[-1],
                            label=f"column {place}",
                            visible=False,
                            elem_id=f"role{place}",
                            min_width=190,
                        )
                        for place in range(MOST_COLUMNS)
                    ]
                self.preview = gr.Dataframe(
                    headers=[""],
                    datatype="str",
                    type="array",
                    interactive=False,
                    wrap=True,
                    elem_id="file-rows",
                    label="The first rows",
                    max_height=260,
                )
                with gr.Row():
                    self.task = gr.Dropdown(
                        [GUESSED, *TASKS],
                        value=GUESSED,
                        label="Task",
                        elem_id="file-task",
                        min_width=140,
                    )
                    self.make = gr.Button(
                        "Make a template",
                        variant="primary",
                        size="md",
                        elem_id="make-template",
                        min_width=140,
                    )
                    self.keep = gr.Button(
                        "Keep my template", size="md", elem_id="keep-template", min_width=140
                    )
        self.done = caption_box("file-done")
