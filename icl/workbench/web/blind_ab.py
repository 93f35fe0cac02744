"""The tab Blind A/B: the user judges pairs of outputs without knowing their conditions.

The logic is in :mod:`icl.scoring.blind_ab`. Texts go only to components that show them as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import gradio as gr

from icl.core.errors import ConfigError, IclError
from icl.experiment.settings import join_axes
from icl.records.paths import find_runs
from icl.records.results import ConditionResult, find_varying_axes, load_run
from icl.scoring.blind_ab import Pair, append, preference_rows, read_verdicts, tally_verdicts, write
from icl.workbench.web.form_values import browser_text, error_box, status_box
from icl.workbench.web.tabs import QUICK, App
from icl.workbench.web.widgets import chooser

__all__ = ["BlindTab"]


FILE = "blind.jsonl"
EXPORT = "preferences.jsonl"
RUNS = "runs"


@dataclass
class _JudgingSession:
    """The pair of conditions that a page judges, and its current row."""

    pair: Pair
    rows: list[str]
    chosen: tuple[Any, Any, Any]
    """Run and conditions as they were chosen."""
    place: int = 0


class BlindTab:
    """The tab's components and event handlers."""

    def __init__(self, app: App) -> None:
        self.app, self.work = app, app.work
        self._reading: dict[str, _JudgingSession] = {}

    def build(self) -> None:
        """Lay out the tab inside an open ``gr.Tab``, and wire its events."""
        with gr.Row(elem_classes="running"):
            self.run = chooser(
                self._runs(), value=None, label="Run", elem_id="b-run", scale=3, min_width=140
            )
            self.a = chooser(
                [], value=None, label="First condition", elem_id="b-a", scale=4, min_width=160
            )
            self.b = chooser(
                [], value=None, label="Second condition", elem_id="b-b", scale=4, min_width=160
            )
            start = gr.Button(
                "Begin",
                variant="primary",
                elem_id="b-begin",
                size="md",
                elem_classes="runs",
                min_width=80,
            )
        self.input = gr.Textbox(
            label="Row", lines=2, max_lines=8, interactive=False, elem_id="b-input"
        )
        with gr.Row():
            self.left = gr.Textbox(
                label="Left",
                lines=5,
                max_lines=20,
                interactive=False,
                elem_id="b-left",
                min_width=260,
            )
            self.right = gr.Textbox(
                label="Right",
                lines=5,
                max_lines=20,
                interactive=False,
                elem_id="b-right",
                min_width=260,
            )
        with gr.Row():
            buttons = {
                name: gr.Button(
                    title, elem_id=f"b-{name}-wins", size="md", min_width=90, interactive=False
                )
                for name, title in (
                    ("left", "1 · Left is better"),
                    ("tie", "2 · Neither"),
                    ("right", "3 · Right is better"),
                    ("skip", "4 · Skip"),
                )
            }
        self.status = gr.Textbox(
            show_label=False,
            container=False,
            interactive=False,
            lines=1,
            max_lines=8,
            elem_id="b-told",
            label="State",
            placeholder="choose a run and two of its conditions, then Begin; verdicts go to "
            f"{FILE}, names stay hidden until you reveal them",
        )
        with gr.Row():
            reveal = gr.Button(
                "Reveal who is preferred",
                elem_id="b-reveal",
                size="md",
                min_width=140,
                interactive=False,
            )
            export = gr.Button(
                f"Export to {EXPORT}",
                elem_id="b-export",
                size="md",
                min_width=140,
                interactive=False,
            )
        view = [self.input, self.left, self.right, self.status]
        live = [*buttons.values(), reveal, export]
        self.run.focus(lambda: gr.Dropdown(self._runs()), None, self.run, **QUICK)
        self.run.change(self.conditions, self.run, [self.a, self.b, self.status], **QUICK)
        gr.on(
            [self.run.change, self.a.input, self.b.input],
            self.end,
            [self.run, self.a, self.b],
            [self.input, self.left, self.right, *live],
            **QUICK,
        )
        start.click(self.begin, [self.run, self.a, self.b], view, **QUICK).then(
            self.enable, None, live, **QUICK
        )
        for name, button in buttons.items():
            button.click(self.judge, gr.State(name), view, **QUICK).then(
                self.enable, None, live, **QUICK
            )
        reveal.click(self.reveal, None, self.status, **QUICK)
        export.click(self.export, None, self.status, **QUICK)
        self.app.leaves.append(self.leave)

    def _runs(self) -> list[str]:
        return [folder.name for folder in find_runs(self.work.base / RUNS)]

    def leave(self, request: gr.Request) -> None:
        """Forget the session of a page that was closed."""
        self._reading.pop(str(request.session_hash), None)

    def _load(self, name: Any) -> Any:
        if name not in self._runs():
            raise ConfigError(f"no run {str(name)!r} in {RUNS}/; run an experiment first")
        return load_run(str(name), self.work.base / RUNS)

    def conditions(self, run: str) -> list[Any]:
        """List the conditions of a run in the two choosers."""
        try:
            found = self._load(run).conditions
        except IclError as error:
            return [gr.skip(), gr.skip(), error_box(error)]
        apart = find_varying_axes(found)
        names = [
            (browser_text(f"{number}: {_condition_name(one, apart)}", 200), str(number))
            for number, one in enumerate(found, 1)
        ]
        second = "2" if len(names) > 1 else None
        return [gr.Dropdown(names, value="1"), gr.Dropdown(names, value=second), status_box("")]

    def end(self, run: Any, a: Any, b: Any, request: gr.Request) -> list[Any]:
        """Empty the page when another run or condition is chosen: it is to be begun first."""
        made = self._reading.get(str(request.session_hash))
        if made is not None and (made.chosen == (run, a, b) or run not in self._runs()):
            return [gr.skip()] * 9  # nothing else is chosen: a name half typed, or the same again
        self.leave(request)
        return ["", "", "", *self.enable(request)]

    def enable(self, request: gr.Request) -> list[Any]:
        """Enable the buttons of verdicts while there is a row, the others once it was begun."""
        made = self._reading.get(str(request.session_hash))
        row = made is not None and made.place < len(made.rows)
        return [gr.Button(interactive=on) for on in [row] * 4 + [made is not None] * 2]

    def begin(self, run: str, a: str, b: str, request: gr.Request) -> list[Any]:
        """Show the first row without a verdict."""
        try:
            loaded = self._load(run)
            pair = Pair(loaded.name, *(loaded.condition(str(one or "")) for one in (a, b)))
            rows = pair.rows(read_verdicts(self.work.base / FILE))
            made = _JudgingSession(pair, rows, (run, a, b))
            self._reading[str(request.session_hash)] = made
            return self._show_row(made)
        except IclError as error:
            return [gr.skip(), gr.skip(), gr.skip(), error_box(error)]

    def _show_row(self, made: _JudgingSession, note: str = "") -> list[Any]:
        left = len(made.rows) - made.place
        if not left:
            done = (
                "every row that the two answer differently has a verdict; reveal who is preferred"
            )
            return ["", "", "", status_box(done)]
        name = made.rows[made.place]
        sides = made.pair.sides(name)
        example = sides[0].example(sides[0].record(name))
        fields = "\n".join(f"{key}: {value}" for key, value in example.inputs.items())
        texts = [browser_text(made.pair.output(one, name)) for one in sides]
        return [
            browser_text(fields, 20_000),
            *texts,
            status_box(f"{note}{left} row{'s' * (left != 1)} to read"),
        ]

    def judge(self, choice: str, request: gr.Request) -> list[Any]:
        """Store a verdict, and show the next row."""
        made = self._reading.get(str(request.session_hash))
        if made is None or made.place >= len(made.rows):
            return [
                gr.skip(),
                gr.skip(),
                gr.skip(),
                status_box("begin first: there is no row to judge"),
            ]
        note = "skipped; "
        try:
            if choice != "skip":
                now = datetime.now(UTC).isoformat(timespec="seconds")
                append(self.work.base / FILE, made.pair.judged(made.rows[made.place], choice, now))
                note = f"saved in {FILE}; "
            made.place += 1
            return self._show_row(made, note)
        except IclError as error:
            return [gr.skip(), gr.skip(), gr.skip(), error_box(error)]

    def reveal(self, request: gr.Request) -> Any:
        """Show which condition is preferred, with the interval."""
        made = self._reading.get(str(request.session_hash))
        if made is None:
            return status_box("begin first: then this shows who is preferred")
        try:
            found = tally_verdicts(read_verdicts(self.work.base / FILE), *made.pair.names)
        except IclError as error:
            return error_box(error)
        pair = made.pair.a, made.pair.b
        one, two = (_condition_name(condition, find_varying_axes(pair)) for condition in pair)
        return status_box(f"“{two}” against “{one}”: {found}")

    def export(self) -> Any:
        """Write all verdicts as rows of chosen and rejected outputs."""
        path = self.work.base / EXPORT
        try:
            rows = preference_rows(read_verdicts(self.work.base / FILE))
            write(path, rows)
        except IclError as error:
            return error_box(error)
        return status_box(
            f"{len(rows)} pair{'s' * (len(rows) != 1)} of chosen and rejected outputs in {EXPORT}"
        )


def _condition_name(condition: ConditionResult, apart: Sequence[str]) -> str:
    """Name a condition by the settings in which it differs from others."""
    words = filter(None, (condition.axes.get(axis) for axis in apart))
    return " ".join(words) or join_axes(condition.axes)
