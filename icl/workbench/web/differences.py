"""Differences between conditions of a run by a setting, as ``icl compare RUN --by`` prints them.

The logic is in :func:`icl.reports.comparison.render_comparison`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from icl.core.errors import IclError
from icl.records.results import Run
from icl.reports.comparison import render_comparison
from icl.workbench.experiment_draft import comparable_settings
from icl.workbench.web.form_values import browser_text, error_box
from icl.workbench.web.tabs import QUICK
from icl.workbench.web.widgets import chooser

__all__ = ["DifferencesPanel"]


class DifferencesPanel:
    """Two choosers and a text box, hidden until a run has something to compare.

    Args:
        open_run: opens a run by its name.
        key: prefix of the components' ids.
    """

    def __init__(self, open_run: Callable[[str], Run], key: str) -> None:
        self._open, self.key = open_run, key

    def build(self) -> None:
        """Lay out the components in an open column, and wire their events."""
        self.run = gr.State("")
        with gr.Row(visible=False, elem_id=f"{self.key}-differences") as self.row:
            self.by = chooser([], label="Compare by", elem_id=f"{self.key}-by", min_width=120)
            self.baseline = chooser(
                [], label="Against", elem_id=f"{self.key}-baseline", min_width=120
            )
        self.text = gr.Textbox(
            label="Differences, with 95 % intervals",
            interactive=False,
            lines=6,
            max_lines=40,
            elem_id=f"{self.key}-compared",
            elem_classes="printed",
            visible=False,
        )
        self.outputs = [self.run, self.row, self.by, self.baseline, self.text]
        self.by.input(self.turn, [self.run, self.by], [self.baseline, self.text], **QUICK)
        self.baseline.input(self.show, [self.run, self.by, self.baseline], self.text, **QUICK)

    def of(self, run: Run) -> list[Any]:
        """Return the values of :attr:`outputs` for a finished run, by its ``compare:``."""
        settings = comparable_settings(run)
        asked = run.manifest.compare
        by = asked.by if asked else next(iter(settings), "")
        baseline = None if asked is None or asked.baseline is None else str(asked.baseline)
        against, text = self._by(run.name, settings, by, baseline)
        return [
            run.name,
            gr.Row(visible=bool(settings)),
            gr.Dropdown(list(settings), value=by or None),
            against,
            text,
        ]

    def turn(self, run: str, by: str) -> list[Any]:
        """Compare by another setting."""
        try:
            return self._by(run, comparable_settings(self._open(run)), str(by), None)
        except IclError as error:
            return [gr.skip(), error_box(error)]

    def _by(
        self, run: str, settings: dict[str, list[str]], by: str, baseline: str | None
    ) -> list[Any]:
        values = settings.get(by, [])
        baseline = baseline or next(iter(values), None)
        against = gr.Dropdown(
            [(browser_text(value, 200), value) for value in values], value=baseline
        )
        return [against, self.show(run, by, baseline or "") if by else gr.Textbox(visible=False)]

    def show(self, run: str, by: str, baseline: str) -> Any:
        """Show the table and its summary in words."""
        try:
            text = render_comparison(self._open(run), str(by), str(baseline or "") or None)
        except IclError as error:
            return error_box(error)
        return gr.Textbox(browser_text(text), visible=True, elem_classes="printed")
