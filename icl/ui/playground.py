"""The tab Playground: a template, one row, its exact prompt, and what the model answers.

Nothing is decided here: every handler turns the screen into a :class:`icl.ui.state.Screen` and
shows what the functions below it say. Texts go only to components that show them as text.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import gradio as gr

from icl.conditions import Condition, Request
from icl.engines.table import Uncounted
from icl.errors import ConfigError, IclError
from icl.registry import lookup
from icl.templates import read_template
from icl.ui.layout import PARTS, TOP, Layout
from icl.ui.model import Opening, Progress, score, stream
from icl.ui.state import (
    MINE,
    SAMPLES,
    Screen,
    Workplace,
    bars,
    part_counts,
    rows_there,
    save_template,
    shown,
    spans,
    template_choices,
    template_text,
)

__all__ = ["Playground"]

FIRST = "intent/plain"
ENDS = {
    "stop": "ended by a stop string",
    "end": "ended by the model",
    "length": "cut at the longest answer",
    "cancelled": "stopped",
}
BOUNDS = {"row": (1, 10**9), "k": (0, 64), "seed": (0, 2**31), "max_tokens": (1, 4096)}
"""What the screen's numbers may be."""


@dataclass(frozen=True)
class _View:
    """What a preview found."""

    condition: Condition
    request: Request
    counted: bool


class Playground:
    """The tab: its components, and what happens when they change."""

    def __init__(self, work: Workplace) -> None:
        self.work = work
        self.opening = Opening()
        self.first = Screen(FIRST, read_template(FIRST).text)
        self._stops: dict[str, threading.Event] = {}

    def build(self) -> None:
        """Lay out the tab inside an open ``gr.Blocks``, and say what calls what."""
        templates = template_choices(self.work.base)
        at = Layout(self.first, templates, _row_label(self.first))
        quick: dict[str, Any] = {
            "queue": False, "show_progress": "hidden", "api_visibility": "private",
        }  # fmt: skip
        self.inputs = [getattr(at, part) for part in PARTS]
        self.name = at.name
        self.previewed = [at.prompt, at.counts, at.problem, at.reference, at.row, at.export,
                          at.timer]  # fmt: skip
        # One event for all, so that a late answer never overwrites a newer one.
        gr.on(
            [*(part.change for part in self.inputs), at.timer.tick], self.preview, self.inputs,
            self.previewed, trigger_mode="always_last", **quick,
        )  # fmt: skip
        at.name.input(self.open_template, [at.name, at.data],
                      [at.text, at.data, at.problem, at.file], **quick)  # fmt: skip
        at.data.change(
            self.turn_to, at.data,
            [at.locale, at.source, at.target, at.max_tokens, at.labels, at.output, at.reference,
             at.told, at.row], **quick,
        )  # fmt: skip
        for button, step in ((at.back, -1), (at.forth, 1)):
            button.click(partial(self.move, step), [at.data, at.locale, at.row], at.row, **quick)
        at.save.click(self.save_as, [at.file, at.text, at.name], [at.name, at.saved], **quick).then(
            self.preview, self.inputs, self.previewed, **quick
        )
        self._wire_run(at, quick)

    def _wire_run(self, at: Layout, quick: dict[str, Any]) -> None:
        answered, buttons = [at.told, at.labels, at.output], [at.run, at.stop]
        asked = at.run.click(self.arm, None, [*answered, *buttons], **quick).then(
            self.answer, self.inputs, answered, concurrency_id="engine", concurrency_limit=1,
            show_progress="hidden", api_visibility="private",
        )  # fmt: skip
        asked.failure(self.fail, None, at.told, **quick)
        asked.then(self.disarm, None, buttons, **quick).then(
            self.preview, self.inputs, self.previewed, **quick
        )
        at.stop.click(self.halt, None, at.stop, **quick)

    # ---- what happens

    def screen(self, values: Sequence[Any]) -> Screen:
        """The components' values, which a browser may send as it likes."""
        given = dict(zip(PARTS, values, strict=True))
        for part, (low, high) in BOUNDS.items():
            value = given[part]
            if not isinstance(value, int | float) or not low <= value <= high:
                raise ConfigError(f"{part} is {value!r}; a number from {low} to {high} is needed")
            given[part] = int(value)
        screen = Screen(**given)
        if screen.name not in template_choices(self.work.base):
            template_text(screen.name, "en", self.work.base)  # says which there are
        return screen

    def list_templates(self) -> Any:
        """What can be opened now; files may have come since the app was started."""
        return gr.Dropdown(choices=template_choices(self.work.base))

    def preview(self, *values: Any) -> list[Any]:
        """The exact prompt of what is set, its tokens, and the experiment that sends it."""
        try:
            screen = self.screen(values)
            view = self._view(screen)
            export = self.work.export(screen)
        except IclError as error:
            return [
                gr.HighlightedText(elem_classes="stale"),
                gr.Textbox(elem_classes="stale"),
                _wrong(error),
                gr.skip(), gr.skip(), f"# {_one_line(error)}", gr.Timer(active=False),
            ]  # fmt: skip
        waits = screen != self.first and not view.counted and self.opening.failure is None
        return [
            gr.HighlightedText(_pieces(view.request), elem_classes=[]),
            gr.Textbox(self._counts(view), elem_classes=[]),
            gr.Textbox(_check(view), elem_classes=[]),
            shown("\n".join(view.request.example.targets)),
            gr.Number(label=_row_label(screen)),
            shown(export),
            gr.Timer(active=waits),
        ]

    def _view(self, screen: Screen) -> _View:
        condition = self.work.condition(screen)
        if screen != self.first:  # a page that was only opened needs no model
            self.opening.begin(condition.engine)
        counted = self.opening.open
        asked = condition if counted else replace(condition, engine=Uncounted(window=10**9))
        return _View(condition, asked.request(condition.examples[0]), counted)

    def _counts(self, view: _View) -> str:
        if not view.counted:
            if self.opening.failure is not None:
                return shown(self.opening.failure, 2000)
            if self.opening.busy:
                return "opening the model's tokenizer; until then all shots are shown, fit or not"
            return "counted once something changes or runs, which opens the model's tokenizer"
        request, room = view.request, view.condition.room
        counts = part_counts(request.prompt, view.condition.engine.tokens(request.prompt))
        parts = ", ".join(f"{part} {n}" for part, n in counts.items() if n)
        dropped = request.prompt.dropped
        left_out = f"\ndropped to fit: {', '.join(dropped)}" if dropped else ""
        return shown(
            f"{request.tokens:,} = {parts}; room for {room - request.tokens:,} more{left_out}", 2000
        )

    def open_template(self, name: str, data: str) -> list[Any]:
        """A template from the list, with a data set of its kind."""
        try:
            text = template_text(name, "en", self.work.base)
            fits = data if name.endswith(".j2") else _data_for(read_template(name).kind, data)
        except IclError as error:
            return [gr.skip(), gr.skip(), _wrong(error), gr.skip()]
        own = name.removeprefix(f"{MINE}/").removesuffix(".j2") if name.endswith(".j2") else ""
        return [text, fits, gr.skip(), own]

    def turn_to(self, data: str) -> list[Any]:
        """Show what belongs to a data set and hide the rest."""
        sample = SAMPLES[data]
        writes = lookup("task", sample.task).methods[0] == "generate"
        pairs = bool(sample.lines)
        return [
            gr.Dropdown(visible=not pairs), gr.Dropdown(visible=pairs), gr.Dropdown(visible=pairs),
            gr.Number(visible=writes), gr.Label(None, visible=not writes),
            gr.Textbox("", visible=writes), gr.Textbox(visible=writes), "", 1,
        ]  # fmt: skip

    def move(self, step: int, data: str, locale: str, row: float | None) -> int:
        """The next or previous row, within what is there."""
        return max(1, min(int(row or 1) + step, rows_there(data, locale)))

    def save_as(self, file: str, text: str, name: str) -> list[Any]:
        """Write the editor's text under a name of the user's own."""
        try:
            made = save_template(self.work.base, file, text, name)
        except IclError as error:
            return [gr.skip(), _wrong(error)]
        choices = template_choices(self.work.base)
        return [gr.Dropdown(choices, value=made), gr.Textbox(f"saved {made}", elem_classes=[])]

    # ---- asking the model

    def arm(self, request: gr.Request) -> list[Any]:
        """Before a run waits its turn: a stop of its own, buttons turned, old answer gone."""
        self.leave(request)
        self._stops[str(request.session_hash)] = threading.Event()
        told = gr.Textbox("waiting for the model", elem_classes=[])
        return [told, None, "", gr.Button(interactive=False), gr.Button(interactive=True)]

    def disarm(self) -> list[Any]:
        """After a run, however it ended."""
        return [gr.Button(interactive=True), gr.Button(interactive=False)]

    def fail(self) -> Any:
        """After a run that broke off by a fault of our own, or found no place to wait."""
        told = "failed: too many are waiting, or the terminal that runs the app says why"
        return gr.Textbox(told, elem_classes="wrong")

    def halt(self, request: gr.Request) -> Any:
        """Stop this session's run, waiting or under way."""
        stop = self._stops.get(str(request.session_hash))
        if stop is not None:
            stop.set()
        return gr.Button(interactive=False)

    def leave(self, request: gr.Request) -> None:
        """A page that is closed stops what it asked for."""
        stop = self._stops.pop(str(request.session_hash), None)
        if stop is not None:
            stop.set()

    def answer(self, request: gr.Request, *values: Any) -> Iterator[list[Any]]:
        """Rank the labels, or write; yields at most ten times a second."""
        stop = self._stops.get(str(request.session_hash), threading.Event())
        try:
            condition = self.work.condition(self.screen(values))
            yield from self._open(condition, stop)
            if stop.is_set():
                yield [gr.Textbox("stopped before it began"), gr.skip(), gr.skip()]
                return
            asked = condition.request(condition.examples[0])
            ways = {"rank": self._rank, "generate": self._write}
            yield from ways[condition.method](condition, asked, stop)
        except IclError as error:
            yield [_wrong(error), gr.skip(), gr.skip()]

    def _open(self, condition: Condition, stop: threading.Event) -> Iterator[list[Any]]:
        self.opening.begin(condition.engine)
        while self.opening.busy and not stop.is_set():
            yield ["opening the model's tokenizer, once", gr.skip(), gr.skip()]
            time.sleep(0.2)

    def _rank(
        self, condition: Condition, asked: Request, stop: threading.Event
    ) -> Iterator[list[Any]]:
        count = len(condition.choices)
        yield [f"scoring {count} labels; the first time loads the weights", gr.skip(), gr.skip()]
        began = time.perf_counter()
        ranking = bars(condition.choices, score(condition.engine, asked, condition.choices))
        seconds = time.perf_counter() - began
        if stop.is_set():
            yield ["stopped", None, gr.skip()]
            return
        right = condition.template.label(asked.example)
        chart = {f"{'✓ ' if label == right else ''}{shown(label, 80)}": probability
                 for label, probability in ranking[:TOP]}  # fmt: skip
        told = f"row id {asked.example.id}: {_verdict(ranking, right, seconds)}"
        yield [shown(told, 2000), chart, gr.skip()]

    def _write(
        self, condition: Condition, asked: Request, stop: threading.Event
    ) -> Iterator[list[Any]]:
        yield ["asking; the first time loads the weights", gr.skip(), ""]
        for made in stream(condition.engine, asked.prompt, condition.sampling, stop):
            told = f"row id {asked.example.id}: {_written(made)}"
            yield [shown(told, 2000), gr.skip(), shown(made.text)]


def _data_for(kind: str, data: str) -> str:
    """The data set itself if it is of the template's kind, else the first that is."""
    fitting = [name for name, sample in SAMPLES.items() if lookup("task", sample.task).kind == kind]
    return data if data in fitting or not fitting else fitting[0]


def _pieces(request: Request) -> list[tuple[str, str | None]]:
    """The prompt's pieces for the browser; together at most what it can show."""
    left, pieces = 100_000, []
    for text, kind in spans(request.prompt):
        pieces.append((shown(text, left), kind))
        left -= len(text)
        if left <= 0:
            break
    return pieces


def _check(view: _View) -> str:
    """What the template is, where nothing is wrong with it."""
    condition, shots = view.condition, view.request.shots
    chosen = ", ".join(shot.example.id for shot in shots) or "none"
    labels = f"ranks {len(condition.choices)} labels" if condition.choices else "writes"
    fallbacks = condition.template.fallbacks
    missing = f"; taken from the fallback language: {', '.join(fallbacks[:5])}" if fallbacks else ""
    return shown(
        f"fine; {labels}; row id {view.request.example.id}; shots: {chosen}{missing}", 2000
    )


def _written(made: Progress) -> str:
    """How far a generation is, or how it ended and how fast it was."""
    if made.output is None:
        return f"writing, {made.seconds:.1f} s"
    rate = f", {made.tokens_per_s:.1f} tokens/s" if made.tokens_per_s else ""
    return (
        f"{made.output.output_tokens} tokens in {made.seconds:.1f} s{rate}; "
        f"{ENDS[made.output.finish]}"
    )


def _verdict(ranking: Sequence[tuple[str, float]], right: str | None, seconds: float) -> str:
    """Which label won, and where the correct one stands."""
    best, probability = ranking[0]
    told = f"{best} with {_percent(probability)} of the {len(ranking)} labels"
    if right is not None:
        place = [label for label, _ in ranking].index(right)
        told += "; correct" if place == 0 else (
            f"; correct is {right}, in place {place + 1} with {_percent(ranking[place][1])}"
        )  # fmt: skip
    return f"{told}; {seconds:.1f} s"


def _row_label(screen: Screen) -> str:
    return f"Row of {rows_there(screen.data, screen.locale)}"


def _percent(probability: float) -> str:
    return f"{100 * probability:.3g}%"


def _wrong(error: BaseException) -> Any:
    return gr.Textbox(shown(str(error), 2000), elem_classes="wrong")


def _one_line(error: BaseException) -> str:
    return shown(" ".join(str(error).split()), 300)
