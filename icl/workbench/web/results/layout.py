"""The components of the tab Results, and their layout."""

from __future__ import annotations

from typing import Any

import gradio as gr

from icl.workbench.browse_runs import FILTERS, ORDERS
from icl.workbench.web.differences import DifferencesPanel
from icl.workbench.web.style import COLOURS
from icl.workbench.web.widgets import chooser

__all__ = ["ResultsLayout"]


class ResultsLayout:
    """The tab's components, laid out inside an open ``gr.Tab``."""

    def __init__(self, differences: DifferencesPanel) -> None:
        self.differences = differences
        self.condition = gr.State("")
        self.record = gr.State("")
        self.number = gr.State(1)
        self.filtered = gr.State(None)  # the filters whose page is shown
        with gr.Row():
            self.run = gr.Dropdown(
                [],
                value=None,
                label="Run",
                elem_id="result-run",
                scale=4,
                allow_custom_value=True,
                min_width=180,
            )
            self.link = gr.Textbox(
                "",
                label="Link to this view",
                elem_id="result-link",
                interactive=False,
                max_lines=1,
                scale=6,
                min_width=200,
                buttons=["copy"],
            )
            self.again = gr.Button(
                "Read again", elem_id="result-again", size="md", scale=1, min_width=90
            )
        with gr.Row(elem_classes="running"):
            self.status = gr.Textbox(
                show_label=False,
                container=False,
                interactive=False,
                lines=1,
                max_lines=4,
                elem_id="result-told",
                label="State",
                scale=6,
                min_width=200,
            )
            self.report = gr.HTML("", elem_id="result-report", js_on_load=None)
        self.conditions = _text_table(
            "result-conditions", "Conditions: click one to see its records", 220
        )
        with gr.Row():
            with gr.Column(scale=11, min_width=320), gr.Tabs():
                with gr.Tab("Records", render_children=True):
                    self._records()
                with gr.Tab("Slices", id="slices") as self.slices_tab:
                    self.by = chooser(
                        [],
                        value=None,
                        label="Scores by label, length or field of the rows",
                        elem_id="result-by",
                    )
                    self.slices = gr.HTML("", elem_id="result-slices", js_on_load=None)
                with gr.Tab("Comparison", id="comparison") as self.comparison_tab:
                    self.differences.build()
                with gr.Tab("Plots", elem_id="tab-plots", id="plots") as self.plots_tab:
                    self.plots = gr.HTML("", elem_id="result-plots")
                with gr.Tab("Confusion", id="confusion") as self.confusion_tab:
                    self.confusion = gr.HTML("", elem_id="result-confusion")
                    self.pairs = _text_table("result-pairs", "Most frequent confusions", 300)
                with gr.Tab("Spread", id="spread") as self.spread_tab:
                    self.spreads = gr.HTML("", elem_id="result-spreads")
                    self.spread = _text_table(
                        "result-spread", "Spread over what should not matter", 420
                    )
            with gr.Column(scale=9, min_width=320):
                self._record()

    def _records(self) -> None:
        with gr.Row():
            self.show = chooser(
                list(FILTERS),
                value="all",
                label="Show",
                elem_id="result-show",
                scale=2,
                min_width=110,
            )
            self.order = chooser(
                list(ORDERS),
                value=ORDERS[0],
                label="Sort by",
                elem_id="result-order",
                scale=2,
                min_width=110,
            )
            self.other = chooser(
                [],
                value=None,
                label="Compare with (or RUN#CONDITION)",
                elem_id="result-other",
                scale=3,
                min_width=150,
            )
            self.text = gr.Textbox(
                "", label="Search", max_lines=1, elem_id="result-text", scale=3, min_width=110
            )
        self.records = _text_table("result-records", "Records: click one to open it", 620)
        with gr.Row(elem_id="result-pages"):
            self.back = gr.Button("◀", elem_id="result-back", size="md")
            self.page = gr.Textbox(
                "",
                show_label=False,
                container=False,
                interactive=False,
                max_lines=1,
                elem_id="result-page",
                label="Page",
            )
            self.forth = gr.Button("▶", elem_id="result-forth", size="md")

    def _record(self) -> None:
        self.facts = gr.Textbox(
            "",
            label="Record",
            lines=5,
            max_lines=14,
            interactive=False,
            elem_id="result-facts",
            placeholder="click a record to open it",
        )
        with gr.Row():
            self.card = gr.Button("Save card", elem_id="result-card", size="sm", min_width=80)
            self.hand = gr.Button(
                "Open in playground", elem_id="result-hand", size="sm", min_width=120
            )
        self.noted = gr.Textbox(
            show_label=False,
            container=False,
            interactive=False,
            lines=1,
            max_lines=3,
            elem_id="result-noted",
            label="Saved",
            placeholder="a card is one HTML file, to be sent",
        )
        self.output = gr.Textbox(
            "",
            label="Output",
            lines=3,
            max_lines=12,
            interactive=False,
            visible=False,
            elem_id="result-output",
        )
        self.labels = gr.Label(
            None,
            label="Most probable labels, and the gold label",
            num_top_classes=20,
            show_heading=False,
            visible=False,
            elem_id="result-labels",
        )
        self.prompt = gr.HighlightedText(
            None,
            label="Exact prompt",
            show_legend=True,
            show_inline_category=False,
            color_map=COLOURS,
            elem_id="result-prompt",
            interactive=False,
            show_label=False,
        )


def _text_table(name: str, label: str, height: int) -> Any:
    """Make a table of text cells."""
    return gr.Dataframe(
        {"headers": [""], "data": []},
        datatype="str",
        interactive=False,
        type="array",
        label=label,
        elem_id=name,
        max_height=height,
        buttons=[],
        wrap=True,
    )
