"""The tab Playground: a template, one row, its exact prompt, and the model's answer.

Every handler reads the components as a :class:`~icl.workbench.screen.Screen` and shows what the
functions of :mod:`icl.workbench` return. Texts go only to components that show them as text, or
through :mod:`icl.workbench.web.safe_html`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import gradio as gr

from icl.core.errors import IclError
from icl.core.safe_text import clean
from icl.engines.table import UncountedEngine
from icl.experiment.condition import Condition, Request
from icl.experiment.lint import (
    find_condition_problems,
    find_template_problems,
    find_token_problems,
)
from icl.workbench.answer_shelf import AnswerShelf, PageAnswers, answer_key
from icl.workbench.model_status import TokenizerLoaders, describe_model
from icl.workbench.row_cache import summary
from icl.workbench.screen import Screen, ShotEdits
from icl.workbench.selector_words import explain_selector
from icl.workbench.template_files import fields_of, template_choices
from icl.workbench.web.captions import caption, error_caption
from icl.workbench.web.form_values import (
    FIELDS,
    PARTS,
    UnstrippedText,
    browser_text,
    one_line,
    screen_of,
    values_by_part,
)
from icl.workbench.web.playground.answer import AnswerPanel
from icl.workbench.web.playground.answer_view import answer_html
from icl.workbench.web.playground.choose import ChooserPanel, place_choosers
from icl.workbench.web.playground.context import PlaygroundContext, PromptPreview
from icl.workbench.web.playground.layout import PlaygroundLayout, calibrator_chooser
from icl.workbench.web.playground.panels import ModelPanel, RowPanel, ShotPanel, TokenPanel
from icl.workbench.web.playground.prompt_view import meter_html, prompt_html
from icl.workbench.web.playground.rows_panel import RowsPanel
from icl.workbench.web.playground.save import SavePanel
from icl.workbench.web.playground.table_file_panel import TableFilePanel
from icl.workbench.web.safe_html import caption_html
from icl.workbench.web.tabs import QUICK, App
from icl.workbench.web.widgets import NewestAnswer
from icl.workbench.window_meter import WindowMeter, measure
from icl.workbench.workbench import ScreenCondition

__all__ = ["PlaygroundTab"]


KEY = "icl-playground"
"""Key under which the browser stores the values."""


MOST_COUNTED = 200
"""Most choices whose tokens are checked for one screen, and most checks that are stored."""


class PlaygroundTab:
    """The tab's components and event handlers."""

    def __init__(self, app: App) -> None:
        self.app, self.work = app, app.work
        self.tokenizers = TokenizerLoaders()
        self.answers = AnswerShelf()
        self._counted: dict[tuple[str, tuple[str, ...], str], list[str]] = {}
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
        self.store = self.app.browser_state(KEY)
        self.preview_outputs = [
            at.prompt,
            at.meter,
            at.problem,
            at.row_facts,
            at.export,
            at.shots,
            at.explained,
            at.chip,
            at.answered,
            at.good,
            at.bad,
            at.corrected,
            at.card,
            at.timer,
            self.store,
        ]
        self.preview_event: dict[str, Any] = {
            "fn": self.preview_again,
            "outputs": at.timer,
        }
        """Asks for a preview, by the one event that makes all of them."""
        self.context = PlaygroundContext(
            self.app,
            self.first,
            self.tokenizers,
            at,
            self.inputs,
            self.preview_event,
            self.store,
            self.answers,
        )
        chosen = (at.name, at.data)  # they open more than themselves: previewed once that is done
        parts = [part for part in self.inputs if part not in chosen and part is not at.hand]
        changed = [part.change for part in (*parts, at.open_template, at.open_data)]
        newest = NewestAnswer(discard=self.leave)
        gr.on(
            [*changed, at.timer.tick],
            trigger_mode="always_last",
            **newest.event(self.follow, [self.ready, *self.inputs], self.preview_outputs),
            **QUICK,
        )
        self._wire_template(at)
        self.choosers = ChooserPanel(self.context)
        self.choosers.wire()
        SavePanel(self.context).wire()
        RowPanel(self.context).wire()
        ShotPanel(self.context).wire()
        ModelPanel(self.context).wire()
        TokenPanel(self.context).wire()
        AnswerPanel(self.context).wire()
        RowsPanel(self.context).wire()
        self.typed = [
            at.file,
            at.wanted,
            at.correction,
            at.pool_wanted,
            at.shot_file,
            at.export_name,
            at.run_choice.rows,
        ]
        self.restore_outputs = [
            *self.inputs,
            at.open_template,
            at.open_data,
            self.ready,
        ]  # what restore sets
        self.handover_outputs = [*self.restore_outputs, at.status]
        TableFilePanel(
            self.context, self.hand_over, self.handover_outputs, self.choosers.keep
        ).wire()
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
        try:
            source = self.work.source(Screen(made["name"], made["text"] or "", str(made["data"])))
        except IclError:  # a file of an earlier start, or another experiment
            made["data"] = self.first.data
            source = self.work.sources[self.first.data]
        made["hand"] = ShotEdits.of(made["hand"]).as_json()
        made["text"] = UnstrippedText(made["text"] or "")
        shape = {
            "data": gr.Dropdown(self._data_choices(made["data"]), value=made["data"]),
            "name": gr.Dropdown(choices=choices, value=made["name"]),
            **place_choosers(source, made["locale"], made["source"], made["target"]),
            "calibrator": calibrator_chooser(source, str(made["calibrator"] or "")),
            "max_tokens": gr.Number(value=made["max_tokens"], visible=source.writes),
        }
        return [*({**made, **shape}[part] for part in PARTS), made["name"], made["data"], True]

    def _data_choices(self, data: str) -> list[tuple[str, str]]:
        """List the sources; one that was uploaded is called by its file."""
        choices = [(name, name) for name in self.work.sources]
        if data not in self.work.sources:
            choices.append((browser_text(self.work.uploaded_table(data).name, 60), data))
        return choices

    def hand_over(self, screen: Screen) -> list[Any]:
        """Open a screen: return values of :attr:`handed`."""
        own = dict(zip([f"field{n}" for n in range(FIELDS)], screen.own.values(), strict=False))
        texts = {part: getattr(screen, part) for part in PARTS if hasattr(screen, part)}
        typed = {"typed": bool(screen.own), "hand": screen.hand.as_json()}
        return [*self.restore({**dict.fromkeys(PARTS, ""), **texts, **own, **typed}), caption("")]

    def first_preview(self, request: gr.Request, kept: Any, *values: Any) -> list[Any]:
        """Render the preview of a page just opened, unless stored values will replace it."""
        if _fits_page(kept) and kept != values_by_part(values):
            return [gr.skip()] * len(self.preview_outputs)
        return self.preview(request, False, *values)

    def preview_again(self, request: gr.Request) -> Any:
        """Render the preview again at the next tick, even if it shows these values already."""
        self.leave(request)
        return gr.Timer(active=True)

    def follow(self, request: gr.Request, ready: bool, *values: Any) -> list[Any]:
        """Render the preview unless it shows these values: a choice changes several components."""
        if self._preview_values.get(str(request.session_hash)) == values:
            stays = [gr.skip()] * len(self.preview_outputs)
            stays[self.preview_outputs.index(self.at.timer)] = gr.Timer(active=False)
            return stays
        return self.preview(request, ready, *values)

    def leave(self, request: gr.Request) -> None:
        """Forget the values of a page that was closed."""
        self._preview_values.pop(str(request.session_hash), None)

    def preview(self, request: gr.Request, ready: bool, *values: Any) -> list[Any]:
        """Show the exact prompt of the screen, its tokens, and the experiment that sends it."""
        self.leave(request)
        keep = values_by_part(values) if ready else gr.skip()
        page = self.answers.of(str(request.session_hash))
        given = values_by_part(values)
        chosen = [caption(explain_selector(str(given["select"])))]
        try:
            screen = screen_of(self.work, values)
            view = self.context.view(screen)
            export = self.work.export(screen)
            problems = self._problems(view)
        except IclError as error:
            page.asked = None
            return [
                gr.HTML(elem_classes="stale"),
                gr.skip(),
                error_caption(error),
                gr.skip(),
                f"# {one_line(error)}",
                gr.skip(),
                *chosen,
                gr.skip(),
                *self._answer_column(page, ""),
                gr.Timer(active=False),
                keep,
            ]
        page.asked = answer_key(view.condition, view.request)
        opening = self.context.tokenizer(view.condition)
        waits = screen != self.first and not view.counted and opening.failure is None
        meter = self._meter(view)
        if not waits and ready:
            self._preview_values[str(request.session_hash)] = values
        return [
            gr.HTML(prompt_html(view.request.prompt), elem_classes=[]),
            meter_html(meter, self._counts(view, meter)),
            _check(view, problems),
            caption(self._row_facts(screen, view)),
            browser_text(_header(screen, export.files) + export.text),
            _radio(shot_choices(view.seen, view.request, screen), marked_shot(values)),
            *chosen,
            caption(describe_model(view.condition.engine, self.work.model(screen))),
            *self._answer_column(page, screen.calibrator),
            gr.Timer(active=waits),
            keep,
        ]

    def _answer_column(self, page: PageAnswers, calibrator: str) -> list[Any]:
        """Return the answer and the buttons that need one."""
        usable = page.usable is not None
        return [answer_html(page, calibrator), *[gr.Button(interactive=usable)] * 4]

    def _problems(self, view: PromptPreview) -> list[str]:
        """List what ``icl lint`` says of the template, and of the screen's row and choices."""
        condition, request = view.condition, view.request
        file = condition.template.file
        found = [f"line {line}: {text}" for line, text in find_template_problems(file)]
        if request.example.targets:  # a typed row may lack an answer
            told = "\n".join(found)
            uncounted = replace(condition, engine=UncountedEngine(window=10**9))
            found += [text for text in find_condition_problems(uncounted) if text not in told]
        if view.counted and condition.method == "rank" and len(request.choices) <= MOST_COUNTED:
            found += self._token_problems(condition, request)
        return list(dict.fromkeys(found))

    def _token_problems(self, condition: Condition, request: Request) -> list[str]:
        """List choices whose tokens are trouble, counted anew only where their border changes."""
        choices = tuple(choice.text for choice in request.choices)
        key = (condition.point.engine_key, choices, request.prompt.text[-40:])
        if key not in self._counted:
            if len(self._counted) >= MOST_COUNTED:
                self._counted.clear()
            self._counted[key] = list(find_token_problems(condition, request))
        return self._counted[key]

    def _row_facts(self, screen: Screen, view: PromptPreview) -> str:
        if screen.own:
            return "typed row"
        count = len(self.work.rows(screen))
        split = self.work.source(screen).task["rows"].get("split")
        facts = [f"of {count}", f"id {view.request.example.id}", f"split {split}" if split else ""]
        return " · ".join(filter(None, facts))

    def _meter(self, view: PromptPreview) -> WindowMeter | None:
        if not view.counted:
            return None
        return measure(view.condition, view.request)

    def _counts(self, view: PromptPreview, meter: WindowMeter | None) -> str:
        if meter is None:
            opening = self.context.tokenizer(view.condition)
            if opening.failure is not None:
                return opening.failure
            if opening.busy:
                return "opening the model's tokenizer; until then all shots are shown, fit or not"
            return "counted once something changes or runs, which opens the model's tokenizer"
        return meter.text()

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
        facts = [f"{place}", template.label(shot.example) or "", summary(shot.example, 60)]
        facts += [f"score {score:.3f}"] if score is not None else []
        facts += ["pinned"] if name in screen.hand.pinned else []
        facts += [] if name in seen.scores else ["by hand"]
        found.append((browser_text(clean(" · ".join(filter(None, facts))), 200), name))
    by_id = {row.id: row for row in seen.condition.pool} if request.prompt.dropped else {}
    for name in request.prompt.dropped:
        said = summary(by_id[name], 60) if name in by_id else name
        found.append((browser_text(clean(f"dropped to fit · {said}"), 200), name))
    return found


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


def _check(view: PromptPreview, problems: Sequence[str]) -> Any:
    """Say that a prompt can be sent, and what lint remarks on it."""
    said = _description(view)
    if not problems:
        return caption(f"fine; {said}")
    more = f"\n… and {len(problems) - 5} more" if len(problems) > 5 else ""
    listed = "\n".join(problems[:5])
    return gr.HTML(caption_html(f"{said}\n{listed}{more}", "remark"))


def _description(view: PromptPreview) -> str:
    """Describe a prompt without errors: labels, row, shots."""
    condition, shots = view.condition, view.request.shots
    choices = view.request.choices
    labels = f"ranks {len(choices)} labels" if condition.method == "rank" else "generates text"
    fallbacks = condition.template.fallbacks
    missing = f"; taken from the fallback language: {', '.join(fallbacks[:5])}" if fallbacks else ""
    return f"{labels}; row id {view.request.example.id}; {_count_shots(len(shots))}{missing}"


def _count_shots(count: int) -> str:
    return "1 shot" if count == 1 else f"{count or 'no'} shots"


def _header(screen: Screen, files: Any) -> str:
    """Describe how to run the experiment."""
    more = f", with {', '.join(files)} beside it" if files else ""
    return f"# Save below as a file{more}, then: icl run NAME.yaml\n"
