"""Ask the model and show the answer: streaming, stop, scores, feedback, cards."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from icl.core.errors import IclError
from icl.core.number_text import format_percent
from icl.experiment.condition import Condition, Request
from icl.workbench.answer import Answer, Progress, answered, rank, stream
from icl.workbench.calibrated_answer import recalibrated
from icl.workbench.feedback import card, note
from icl.workbench.shot_influence import Influence, influence
from icl.workbench.template_files import keep_version
from icl.workbench.web.form_values import screen_of, shown, told, wrong
from icl.workbench.web.playground.context import PlaygroundContext
from icl.workbench.web.playground.layout import TOP
from icl.workbench.web.tabs import ENGINE, QUICK
from icl.workbench.web.widgets import in_turn

__all__ = ["Answering"]

ENDS = {
    "stop": "ended by a stop string",
    "end": "ended by the model",
    "length": "cut at the longest answer",
    "cancelled": "stopped",
    "reasoning": "ended inside its reasoning",
}


Shown = dict[Any, Any]
"""Component -> new value; other components stay as they are."""


class Answering:
    """The buttons Run and Stop and all about the answer, which is kept until its page is closed."""

    def __init__(self, context: PlaygroundContext) -> None:
        self.context, self.app, self.work = context, context.app, context.work
        self.at = context.at
        self._stops: dict[str, threading.Event] = {}
        self._answers: dict[str, Answer] = {}

    def wire(self) -> None:
        """Wire the events of the components."""
        at, inputs = self.at, self.context.inputs
        buttons = [at.run, at.stop]
        answer = [at.told, at.labels, at.changed, at.calibrated, at.output, at.scored]
        asked = at.run.click(self.arm, None, [*answer, at.noted, *buttons], **QUICK).then(
            in_turn(self.app.turns, "an answer", at.told, self.answer, self._stop),
            inputs,
            answer,
            **ENGINE,
        )
        asked.failure(self.fail, None, at.told, **QUICK)
        asked.then(self.disarm, None, buttons, **QUICK).then(**self.context.previewing, **QUICK)
        at.stop.click(self.halt, None, at.stop, **QUICK)
        at.calibrator.change(
            self.calibrate, at.calibrator, [at.calibration, at.changed, at.calibrated], **QUICK
        )
        for verdict in ("good", "bad", "corrected"):
            button = getattr(at, verdict)
            button.click(self.note, [gr.State(verdict), at.correction], at.noted, **QUICK)
        at.card.click(self.save_card, None, at.noted, **QUICK)
        left = in_turn(self.app.turns, "leaving shots out", at.shots_told, self.leave_out)
        at.leave_out.click(left, None, at.shots_told, **ENGINE)
        self.app.leaves.append(self.leave)

    # ---- running

    def arm(self, request: gr.Request) -> list[Any]:
        """Prepare a run, before it waits in the queue: new stop event, buttons, empty answer."""
        self.leave(request)
        self._stops[str(request.session_hash)] = threading.Event()
        return [
            told("waiting for the model"),
            None,
            "",
            None,
            "",
            "",
            "",
            gr.Button(interactive=False),
            gr.Button(interactive=True),
        ]

    def calibrate(self, chosen: str | None) -> list[Any]:
        """Show the chart of the calibrated answer if a calibrator is chosen."""
        name = gr.Label(None, label=f"Calibrated: {shown(chosen or '', 60)}")
        return [gr.Column(visible=bool(chosen)), "", name]

    def disarm(self) -> list[Any]:
        """Reset the buttons after a run, however it ended."""
        return [gr.Button(interactive=True), gr.Button(interactive=False)]

    def fail(self) -> Any:
        """Report a run that failed by a bug or found the queue full."""
        message = "failed: too many are waiting, or the terminal that runs the app says why"
        return gr.Textbox(message, elem_classes="wrong")

    def _stop(self, request: gr.Request) -> threading.Event:
        """Return the stop event of this page's run."""
        return self._stops.get(str(request.session_hash), threading.Event())

    def halt(self, request: gr.Request) -> Any:
        """Stop this page's run, waiting or running."""
        stop = self._stops.get(str(request.session_hash))
        if stop is not None:
            stop.set()
        return gr.Button(interactive=False)

    def leave(self, request: gr.Request) -> None:
        """Stop the run of a page that was closed, and forget its answer."""
        stop = self._stops.pop(str(request.session_hash), None)
        if stop is not None:
            stop.set()
        self._answers.pop(str(request.session_hash), None)

    def answer(self, request: gr.Request, *values: Any) -> Iterator[Shown]:
        """Rank the labels or generate, yielding at most ten times a second."""
        at = self.at
        key = str(request.session_hash)
        stop = self._stops.get(key, threading.Event())
        try:
            screen = screen_of(self.work, values)
            condition = self.work.seen(screen).condition
            yield from self._open(condition, stop)
            if stop.is_set():
                yield {at.told: told("stopped before it began")}
                return
            keep_version(self.work.base, screen.name, screen.text)
            self.work.only(condition)
            asked = condition.request(condition.examples[0])
            way = self._rank if condition.ranks else self._write
            yield from way(key, condition, asked, stop)
            made = self._answers.get(key)
            if condition.ranks and screen.calibrator and made and not stop.is_set():
                yield from self._calibrated(made, screen.calibrator)
        except IclError as error:
            yield {at.told: wrong(error)}

    def _open(self, condition: Condition, stop: threading.Event) -> Iterator[Shown]:
        opening = self.context.opening(condition)
        opening.begin(condition.engine)
        while opening.busy and not stop.is_set():
            yield {self.at.told: "opening the model's tokenizer, once"}
            time.sleep(0.2)

    def _rank(
        self, key: str, condition: Condition, asked: Request, stop: threading.Event
    ) -> Iterator[Shown]:
        at, count = self.at, len(asked.choices)
        yield {at.told: f"scoring {count} labels; the first time loads the weights"}
        made = rank(condition, asked)
        if stop.is_set():
            yield {at.told: "stopped"}
            return
        self._answers[key] = made
        yield {
            at.told: told(_verdict(made)),
            at.labels: _bars(made, made.ranking),
            at.scored: _scores(made),
        }

    def _calibrated(self, made: Answer, chosen: str) -> Iterator[Shown]:
        """Show the calibrated answer below the plain one."""
        at = self.at
        yield {at.changed: told("asking what it needs beside the row")}
        try:
            found = recalibrated(made, chosen)
        except IclError as error:
            yield {at.changed: wrong(error)}
            return
        yield {at.changed: told(found.words()), at.calibrated: _bars(made, found.ranking)}

    def _write(
        self, key: str, condition: Condition, asked: Request, stop: threading.Event
    ) -> Iterator[Shown]:
        at = self.at
        yield {at.told: "asking; the first time loads the weights", at.output: ""}
        for made in stream(condition.engine, asked.prompt, condition.sampling, stop):
            line = told(f"row id {asked.example.id}: {_written(made)}")
            scored = {}
            if made.output is not None and self._stops.get(key) is stop:  # the page is still open
                self._answers[key] = answered(condition, asked, made.output, made.seconds)
                scored = {at.scored: _scores(self._answers[key])}
            yield {at.told: line, at.output: shown(made.text), **scored}

    # ---- what becomes of an answer

    def note(self, verdict: str, correction: str, request: gr.Request) -> Any:
        """Store the user's verdict on the answer on the screen."""
        made = self._answers.get(str(request.session_hash))
        if made is None:
            return told("run first: a verdict is on an answer")
        try:
            path = note(self.work.base, made, verdict, correction or None)
        except IclError as error:
            return wrong(error)
        return told(f"{verdict}: kept in {path.name}; icl feedback {path.name} makes shots of it")

    def save_card(self, request: gr.Request) -> Any:
        """Save the answer on the screen as one HTML page."""
        made = self._answers.get(str(request.session_hash))
        if made is None:
            return told("run first: a card shows an answer")
        try:
            path = card(self.work.base, made)
        except IclError as error:
            return wrong(error)
        return told(f"saved {path.relative_to(self.work.base)}: one file, to be opened or sent")

    def leave_out(self, request: gr.Request) -> Iterator[Any]:
        """Show the influence of every shot on the answer on the screen."""
        made = self._answers.get(str(request.session_hash))
        if made is None or not made.request.shots:
            yield told("run with shots first: then each of them can be left out")
            return
        yield told(f"asking {len(made.request.shots) + 1} prompts")
        try:
            found = influence(made)
        except IclError as error:
            yield wrong(error)
            return
        yield told("\n".join(_influence(one) for one in found))


def _influence(one: Influence) -> str:
    """``without 17: alarm_set (wrong), -1.25 nats``."""
    answer = ""
    if one.flips:
        verdict = {True: " (right)", False: " (wrong)", None: ""}[one.right]
        answer = f"; without it the answer is {one.label}{verdict}"
    return f"{one.shot}: adds {one.adds:+.2f} nats to the right answer{answer}"


def _scores(answer: Answer) -> str:
    """List the metrics of this one row."""
    found, notes = answer.scores()
    parts = [f"{name} {value:.1f}" for name, value in found.items()]
    return shown("; ".join([*parts, *notes]), 2000)


def _written(made: Progress) -> str:
    """Say how far a generation is, or how it ended and how fast it was."""
    if made.output is None:
        return f"writing, {made.seconds:.1f} s"
    rate = f", {made.tokens_per_s:.1f} tokens/s" if made.tokens_per_s else ""
    return (
        f"{made.output.output_tokens} tokens in {made.seconds:.1f} s{rate}; "
        f"{ENDS[made.output.finish]}"
    )


def _bars(made: Answer, ranking: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Return the shares of the most probable labels and of the right one, which is marked."""
    targets = made.request.example.targets
    return {
        f"{'✓ ' if label in targets else ''}{shown(label, 80)}": share
        for place, (label, share) in enumerate(ranking)
        if place < TOP or label in targets[:1]
    }


def _verdict(made: Answer) -> str:
    """Say which label won, and the rank of the correct one."""
    ranking = made.ranking
    best, share = ranking[0]
    line = f"row id {made.request.example.id}: {best} with {format_percent(share)}"
    line += f" of the {len(ranking)} labels"
    labels = [label for label, _ in ranking]
    right = next((one for one in made.request.example.targets if one in labels), None)
    if right == best:
        line += "; correct"
    elif right is not None:
        place = labels.index(right)
        share = ranking[place][1]
        line += f"; correct is {right}, in place {place + 1} with {format_percent(share)}"
    return f"{line}; {made.seconds:.1f} s"
