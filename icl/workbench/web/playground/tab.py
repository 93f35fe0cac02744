"""The tab Playground: a template, one row, its exact prompt, and the model's answer.

Every handler reads the components as a :class:`~icl.workbench.screen.Screen` and shows what the
functions of :mod:`icl.workbench` return. Texts go only to components that show them as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import gradio as gr

from icl.core.errors import IclError
from icl.experiment.condition import Request
from icl.reports.card import split_prompt
from icl.workbench.model_status import TokenizerLoaders
from icl.workbench.row_cache import summary
from icl.workbench.screen import Screen, ShotEdits
from icl.workbench.template_files import fields_of, template_choices
from icl.workbench.web.form_values import (
    FIELDS,
    PARTS,
    UnstrippedText,
    browser_text,
    error_box,
    one_line,
    screen_of,
    status_box,
    values_by_part,
)
from icl.workbench.web.playground.answer import AnswerPanel
from icl.workbench.web.playground.choose import ChooserPanel, place_choosers
from icl.workbench.web.playground.context import PlaygroundContext, PromptPreview
from icl.workbench.web.playground.layout import PlaygroundLayout, calibrator_chooser
from icl.workbench.web.playground.panels import ModelPanel, RowPanel, ShotPanel, TokenPanel
from icl.workbench.web.playground.save import SavePanel
from icl.workbench.web.tabs import QUICK, App
from icl.workbench.web.widgets import SECRET, NewestAnswer
from icl.workbench.window_meter import WindowMeter, measure
from icl.workbench.workbench import ScreenCondition

__all__ = ["PlaygroundTab"]


KEY = "icl-playground"
"""Key under which the browser stores the values."""
SHADES = {
    "special": "#888888",
    "instruction": "#8a63d2",
    "shots": "#2f81c7",
    "query": "#d9822b",
    "answer": "#b0b0b0",
}


class PlaygroundTab:
    """The tab's components and event handlers."""

    def __init__(self, app: App) -> None:
        self.app, self.work = app, app.work
        self.tokenizers = TokenizerLoaders()
        self._preview_values: dict[str, tuple[Any, ...]] = {}
        self.first = self.work.first_screen()

    def build(self) -> None:
        """Lay out the tab inside an open ``gr.Tab``, and wire its events."""
        at = self.at = PlaygroundLayout(
            self.first,
            template_choices(self.work.base),
            list(self.work.sources),
            self.work.sources[self.first.data],
            list(self.work.models),
        )
        self.inputs = [getattr(at, part) for part in PARTS]
        self.ready = gr.State(False)
        self.store = gr.BrowserState(None, storage_key=KEY, secret=SECRET)
        self.preview_outputs = [
            at.prompt,
            at.counts,
            at.meter,
            at.problem,
            at.reference,
            at.row,
            at.export,
            at.shots,
            at.timer,
            self.store,
        ]
        newest = NewestAnswer(discard=self.leave)
        self.preview_event = newest.event(
            self.preview, [self.ready, *self.inputs], self.preview_outputs
        )
        follow = newest.handler(self.follow, len(self.preview_outputs))
        self.context = PlaygroundContext(
            self.app, self.first, self.tokenizers, at, self.inputs, self.preview_event, self.store
        )
        chosen = (at.name, at.data)  # they open more than themselves: previewed once that is done
        parts = [part for part in self.inputs if part not in chosen and part is not at.hand]
        changed = [part.change for part in (*parts, at.open_template, at.open_data)]
        gr.on(
            [*changed, at.timer.tick],
            trigger_mode="always_last",
            **{**self.preview_event, "fn": follow},
            **QUICK,
        )
        self._wire_template(at)
        self.choosers = ChooserPanel(self.context)
        self.choosers.wire()
        SavePanel(self.context).wire()
        RowPanel(self.context, self.choosers.data_event).wire()
        ShotPanel(self.context).wire()
        ModelPanel(self.context).wire()
        TokenPanel(self.context).wire()
        AnswerPanel(self.context).wire()
        self.typed = [
            at.file,
            at.wanted,
            at.correction,
            at.pool_wanted,
            at.shot_file,
            at.export_name,
        ]
        self.restore_outputs = [
            *self.inputs,
            at.open_template,
            at.open_data,
            self.ready,
        ]  # what restore sets
        self.handover_outputs = [
            *self.restore_outputs,
            at.labels,
            at.calibration,
            at.output,
            at.reference,
            at.status,
        ]
        restoring = {"fn": self.restore, "inputs": [self.store], "outputs": self.restore_outputs}
        first = {
            "fn": self.first_preview,
            "inputs": [self.store, *self.inputs],
            "outputs": self.preview_outputs,
        }
        self.app.loads += [[restoring], [first]]
        self.app.leaves += [self.leave, newest.leave]

    def _wire_template(self, at: PlaygroundLayout) -> None:
        for button, step in ((at.back, -1), (at.forth, 1)):
            button.click(partial(self.move, step), self.inputs, at.row, **QUICK)
        newest = NewestAnswer()
        gr.on(
            [at.text.change, at.typed.change],
            trigger_mode="always_last",
            **newest.event(self.show_fields, [at.typed, at.text, at.name], [*at.fields, at.answer]),
            **QUICK,
        )
        self.app.leaves.append(newest.leave)

    # ---- what is set

    def restore(self, kept: Any) -> list[Any]:
        """Restore the values stored in the browser if they are valid; list the templates."""
        choices = template_choices(self.work.base)
        if not _fits_page(kept):
            return [gr.Dropdown(choices=choices), *[gr.skip()] * (len(PARTS) + 1), True]
        made = {part: kept[part] for part in PARTS}
        if made["name"] not in choices:
            made["name"] = self.first.name
        source = self.work.sources.get(str(made["data"]))
        if source is None:  # an upload of an earlier start, or another experiment
            made["data"] = self.first.data
            source = self.work.sources[self.first.data]
        made["hand"] = ShotEdits.of(made["hand"]).as_json()
        made["text"] = UnstrippedText(made["text"] or "")
        shape = {
            "name": gr.Dropdown(choices=choices, value=made["name"]),
            **place_choosers(source, made["locale"], made["source"], made["target"]),
            "calibrator": calibrator_chooser(source, str(made["calibrator"] or "")),
            "max_tokens": gr.Number(value=made["max_tokens"], visible=source.writes),
        }
        return [*({**made, **shape}[part] for part in PARTS), made["name"], made["data"], True]

    def hand_over(self, screen: Screen) -> list[Any]:
        """Open a screen: return values of :attr:`handed`."""
        own = dict(zip([f"field{n}" for n in range(FIELDS)], screen.own.values(), strict=False))
        texts = {part: getattr(screen, part) for part in PARTS if hasattr(screen, part)}
        typed = {"typed": bool(screen.own), "hand": screen.hand.as_json()}
        writes = self.work.source(screen).writes
        made = self.restore({**dict.fromkeys(PARTS, ""), **texts, **own, **typed})
        bars = [gr.Label(None, visible=not writes), gr.Column(visible=bool(screen.calibrator))]
        return [*made, *bars, gr.Textbox("", visible=writes), gr.Textbox(visible=writes), ""]

    def first_preview(self, request: gr.Request, kept: Any, *values: Any) -> list[Any]:
        """Render the preview of a page just opened, unless stored values will replace it."""
        if _fits_page(kept) and kept != values_by_part(values):
            return [gr.skip()] * len(self.preview_outputs)
        return self.preview(request, False, *values)

    def follow(self, request: gr.Request, ready: bool, *values: Any) -> list[Any]:
        """Render the preview unless it shows these values: a choice changes several components."""
        if self._preview_values.get(str(request.session_hash)) == values:
            return [gr.skip()] * len(self.preview_outputs)
        return self.preview(request, ready, *values)

    def leave(self, request: gr.Request) -> None:
        """Forget the values of a page that was closed."""
        self._preview_values.pop(str(request.session_hash), None)

    def preview(self, request: gr.Request, ready: bool, *values: Any) -> list[Any]:
        """Show the exact prompt of the screen, its tokens, and the experiment that sends it."""
        self.leave(request)
        keep = values_by_part(values) if ready else gr.skip()
        try:
            screen = screen_of(self.work, values)
            view = self.context.view(screen)
            export = self.work.export(screen)
        except IclError as error:
            return [
                gr.HighlightedText(elem_classes="stale"),
                gr.Textbox(elem_classes="stale"),
                gr.skip(),
                error_box(error),
                gr.skip(),
                gr.skip(),
                f"# {one_line(error)}",
                gr.skip(),
                gr.Timer(active=False),
                keep,
            ]
        opening = self.context.tokenizer(view.condition)
        waits = screen != self.first and not view.counted and opening.failure is None
        meter = self._meter(view)
        count = 1 if screen.own else len(self.work.rows(screen))
        if not waits and ready:
            self._preview_values[str(request.session_hash)] = values
        return [
            gr.HighlightedText(_pieces(view.request), elem_classes=[]),
            gr.Textbox(self._counts(view, meter), elem_classes=[]),
            _meter_bar(meter) if meter else gr.skip(),
            status_box(_description(view)),
            browser_text(
                "\n".join(view.request.example.gold_texts or view.request.example.targets)
            ),
            gr.Number(label=f"Row of {count}"),
            browser_text(_header(screen, export.files) + export.text),
            _radio(shot_choices(view.seen, view.request, screen), marked_shot(values)),
            gr.Timer(active=waits),
            keep,
        ]

    def _meter(self, view: PromptPreview) -> WindowMeter | None:
        if not view.counted:
            return None
        return measure(view.condition, view.request)

    def _counts(self, view: PromptPreview, meter: WindowMeter | None) -> str:
        if meter is None:
            opening = self.context.tokenizer(view.condition)
            if opening.failure is not None:
                return browser_text(opening.failure, 2000)
            if opening.busy:
                return "opening the model's tokenizer; until then all shots are shown, fit or not"
            return "counted once something changes or runs, which opens the model's tokenizer"
        return browser_text(meter.text(), 2000)

    def show_fields(self, request: gr.Request, typed: bool, text: str, name: str) -> list[Any]:
        """Show a text box for each field of the template while the user types a row."""
        names: list[str] = []
        if typed:
            try:
                names = fields_of(self.work.sandbox.bind(text, name, "en").file)[:FIELDS]
            except IclError:  # the preview tells it; the boxes stay as they are meanwhile
                return [gr.skip()] * (FIELDS + 1)
        boxes = [
            gr.Textbox(label=browser_text(names[n], 60), visible=True)
            if n < len(names)
            else gr.Textbox(visible=False)
            for n in range(FIELDS)
        ]
        return [*boxes, gr.Textbox(visible=typed)]

    # ---- rows

    def move(self, step: int, *values: Any) -> Any:
        """Go to the next or previous row."""
        try:
            count = len(self.work.rows(screen_of(self.work, values)))
        except IclError:
            return gr.skip()
        row = values_by_part(values)["row"]
        return max(1, min(int(row or 1) + step, count))


def shot_choices(seen: ScreenCondition, request: Request, screen: Screen) -> list[tuple[str, str]]:
    """List (description, id) of each shot in the order sent, dropped ones last."""
    found = []
    template = seen.condition.template
    for place, shot in enumerate(request.shots, 1):
        name = shot.example.id
        score = seen.scores.get(name)
        facts = [f"{place}", name, template.label(shot.example) or ""]
        facts += [f"score {score:.3f}"] if score is not None else []
        facts += ["pinned"] if name in screen.hand.pinned else []
        facts += [] if name in seen.scores else ["by hand"]
        facts.append(summary(shot.example, 60))
        found.append((browser_text(" · ".join(filter(None, facts)), 200), name))
    return found + [(f"dropped to fit · {name}", name) for name in request.prompt.dropped]


def _fits_page(kept: Any) -> bool:
    """Return whether stored values fit this page."""
    return isinstance(kept, dict) and set(kept) == set(PARTS)


def marked_shot(values: Sequence[Any]) -> str | None:
    """Return the shot that was moved or pinned last."""
    hand = values_by_part(values)["hand"]
    return hand.get("marked") if isinstance(hand, dict) else None


def _radio(choices: list[tuple[str, str]], marked: str | None) -> Any:
    """Fill the list of shots; select the marked shot only if it is still in the list."""
    there = any(name == marked for _, name in choices)
    return gr.Radio(choices, value=marked if there else None)


def _pieces(request: Request) -> list[tuple[str, str | None]]:
    """Return the prompt's pieces for the browser, cut at what it can show."""
    left, found = 100_000, []
    for text, kind in split_prompt(request.prompt):
        found.append((browser_text(text, left), kind))
        left -= len(text)
        if left <= 0:
            break
    return found


def _meter_bar(meter: WindowMeter) -> str:
    """Draw the window as a bar of HTML, which contains only icl's own names and numbers."""
    parts = "".join(
        f'<i style="width:{100 * count / meter.window:.2f}%;background:{SHADES[part]}" '
        f'title="{part}: {count}"></i>'
        for part, count in meter.shares().items()
    )
    return f'<div class="meter" role="img" aria-label="{meter.window} tokens">{parts}</div>'


def _description(view: PromptPreview) -> str:
    """Describe a prompt without errors: labels, row, shots."""
    condition, shots = view.condition, view.request.shots
    chosen = ", ".join(shot.example.id for shot in shots) or "none"
    choices = view.request.choices
    labels = f"ranks {len(choices)} labels" if condition.method == "rank" else "generates text"
    fallbacks = condition.template.fallbacks
    missing = f"; taken from the fallback language: {', '.join(fallbacks[:5])}" if fallbacks else ""
    return f"fine; {labels}; row id {view.request.example.id}; shots: {chosen}{missing}"


def _header(screen: Screen, files: Any) -> str:
    """Describe how to run the experiment."""
    more = f", with {', '.join(files)} beside it" if files else ""
    return f"# Save below as a file{more}, then: icl run NAME.yaml\n"
