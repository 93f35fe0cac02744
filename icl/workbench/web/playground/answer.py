"""The answer panel: streaming, stop, scores, feedback, cards."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from icl.core.errors import IclError
from icl.core.number_text import format_percent
from icl.core.types import Output
from icl.experiment.condition import Condition, Request
from icl.workbench.answer import GenerationProgress, ModelAnswer, generated_answer, rank, stream
from icl.workbench.calibrated_answer import calibrate_answer
from icl.workbench.feedback import card, note
from icl.workbench.shot_influence import ShotInfluence, influence
from icl.workbench.template_files import keep_version
from icl.workbench.web.form_values import browser_text, error_box, screen_of, status_box
from icl.workbench.web.playground.context import PlaygroundContext
from icl.workbench.web.playground.layout import TOP
from icl.workbench.web.tabs import ENGINE, QUICK
from icl.workbench.web.widgets import wait_in_queue

__all__ = ["AnswerPanel"]

ENDS = {
    "stop": "ended by a stop string",
    "end": "ended by the model",
    "length": "cut at the longest answer",
    "cancelled": "stopped",
    "reasoning": "ended inside its reasoning",
    "filter": "ended by the server's content filter",
    "refusal": "refused by the model",
}


Updates = dict[Any, Any]
"""Component -> new value; other components stay as they are."""


class AnswerPanel:
    """The buttons Run and Stop, and the answer, which is stored until its page is closed."""

    def __init__(self, context: PlaygroundContext) -> None:
        self.context, self.app, self.work = context, context.app, context.work
        self.at = context.at
        self._stops: dict[str, threading.Event] = {}
        self._answers: dict[str, ModelAnswer] = {}
        self._calibrated: dict[str, str] = {}

    def wire(self) -> None:
        """Wire the events of the components."""
        at, inputs = self.at, self.context.inputs
        buttons = [at.run, at.stop]
        answer = [at.status, at.labels, at.changed, at.calibrated, at.output, at.scored, at.slots]
        asked = at.run.click(self.arm, None, [*answer, at.noted, *buttons], **QUICK).then(
            wait_in_queue(self.app.queue, "an answer", at.status, self.answer, self._stop),
            inputs,
            answer,
            **ENGINE,
        )
        asked.failure(self.fail, None, at.status, **QUICK)
        asked.then(self.disarm, None, buttons, **QUICK).then(**self.context.preview_event, **QUICK)
        at.stop.click(self.halt, None, at.stop, **QUICK)
        at.calibrator.change(
            self.calibrate, at.calibrator, [at.calibration, at.changed, at.calibrated], **QUICK
        )
        for verdict in ("good", "bad", "corrected"):
            button = getattr(at, verdict)
            button.click(self.note, [gr.State(verdict), at.correction], at.noted, **QUICK)
        at.card.click(self.save_card, None, at.noted, **QUICK)
        left = wait_in_queue(self.app.queue, "leaving shots out", at.shots_status, self.leave_out)
        at.leave_out.click(left, None, at.shots_status, **ENGINE)
        self.app.leaves.append(self.leave)

    # ---- running

    def arm(self, request: gr.Request) -> list[Any]:
        """Prepare a run, before it waits in the queue: new stop event, buttons, empty answer."""
        self.leave(request)
        self._stops[str(request.session_hash)] = threading.Event()
        return [
            status_box("waiting for the model"),
            None,
            "",
            None,
            "",
            "",
            gr.HTML("", visible=False),
            "",
            gr.Button(interactive=False),
            gr.Button(interactive=True),
        ]

    def calibrate(self, chosen: str | None, request: gr.Request) -> list[Any]:
        """Show the chart of the calibrated answer if a calibrator is chosen.

        Empty it, unless a run was quicker than this event and filled it by the same calibrator.
        """
        name = f"Calibrated: {browser_text(chosen or '', 60)}"
        if chosen and self._calibrated.get(str(request.session_hash)) == chosen:
            return [gr.Column(visible=True), gr.skip(), gr.Label(label=name)]
        return [gr.Column(visible=bool(chosen)), "", gr.Label(None, label=name)]

    def disarm(self) -> list[Any]:
        """Reset the buttons after a run, however it ended."""
        return [gr.Button(interactive=True), gr.Button(interactive=False)]

    def fail(self) -> Any:
        """Report that a run failed because of a bug or a full queue."""
        message = "failed: the queue is full, or a bug that the app's terminal describes"
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
        self._calibrated.pop(str(request.session_hash), None)

    def answer(self, request: gr.Request, *values: Any) -> Iterator[Updates]:
        """Rank the labels or generate, yielding at most ten times a second."""
        at = self.at
        key = str(request.session_hash)
        stop = self._stops.get(key, threading.Event())
        try:
            screen = screen_of(self.work, values)
            condition = self.work.bind(screen).condition
            yield from self._open(condition, stop)
            if stop.is_set():
                yield {at.status: status_box("stopped before it began")}
                return
            keep_version(self.work.base, screen.name, screen.text)
            self.work.release_others(condition)
            asked = condition.request(condition.examples[0])
            way = self._rank if condition.ranks else self._write
            yield from way(key, condition, asked, stop)
            made = self._answers.get(key)
            if condition.ranks and screen.calibrator and made and not stop.is_set():
                self._calibrated[key] = screen.calibrator
                yield from self._show_calibrated(made, screen.calibrator)
        except IclError as error:
            yield {at.status: error_box(error)}

    def _open(self, condition: Condition, stop: threading.Event) -> Iterator[Updates]:
        opening = self.context.tokenizer(condition)
        opening.begin(condition.engine)
        while opening.busy and not stop.is_set():
            yield {self.at.status: "opening the model's tokenizer, once"}
            time.sleep(0.2)

    def _rank(
        self, key: str, condition: Condition, asked: Request, stop: threading.Event
    ) -> Iterator[Updates]:
        at, count = self.at, len(asked.choices)
        yield {at.status: f"scoring {count} labels; the first time loads the weights"}
        made = rank(condition, asked)
        if stop.is_set():
            yield {at.status: "stopped"}
            return
        self._answers[key] = made
        yield {
            at.status: status_box(_ranking_line(made)),
            at.labels: _bars(made, made.ranking),
            at.scored: _scores_line(made),
        }

    def _show_calibrated(self, made: ModelAnswer, chosen: str) -> Iterator[Updates]:
        """Show the calibrated answer below the plain one."""
        at = self.at
        yield {at.changed: status_box("scoring the prompts it needs besides the row")}
        try:
            found = calibrate_answer(made, chosen)
        except IclError as error:
            yield {at.changed: error_box(error)}
            return
        yield {at.changed: status_box(found.words()), at.calibrated: _bars(made, found.ranking)}

    def _write(
        self, key: str, condition: Condition, asked: Request, stop: threading.Event
    ) -> Iterator[Updates]:
        at = self.at
        yield {at.status: "asking; the first time loads the weights", at.output: ""}
        outputs: list[Output] = []
        seconds, texts = 0.0, ""
        for place, prompt in enumerate(asked.to_generate):
            about = f"{asked.choices[place].text}:" if asked.prompts else ""
            for made in stream(condition.engine, prompt, condition.sampling, stop):
                line = status_box(f"row id {asked.example.id}: {_generation_line(made)}")
                scored = {}
                if made.output is not None:
                    outputs.append(made.output)
                    seconds += made.seconds
                    whole = len(outputs) == len(asked.to_generate)
                    if whole and self._stops.get(key) is stop:  # the page is still open
                        self._answers[key] = generated_answer(condition, asked, outputs, seconds)
                        answered = self._answers[key]
                        drawn = gr.HTML(answered.slots, visible=bool(answered.slots))
                        scored = {at.scored: _scores_line(answered), at.slots: drawn}
                shown = browser_text(texts + about + made.text)
                yield {at.status: line, at.output: shown, **scored}
            texts += f"{about}{made.text}\n"
            if stop.is_set():
                return

    # ---- what becomes of an answer

    def note(self, verdict: str, correction: str, request: gr.Request) -> Any:
        """Store the user's verdict on the current answer."""
        made = self._answers.get(str(request.session_hash))
        if made is None:
            return status_box("run first: a verdict is on an answer")
        try:
            path = note(self.work.base, made, verdict, correction or None)
        except IclError as error:
            return error_box(error)
        return status_box(
            f"{verdict}: saved in {path.name}; icl feedback {path.name} makes shots from it"
        )

    def save_card(self, request: gr.Request) -> Any:
        """Save the current answer as one HTML page."""
        made = self._answers.get(str(request.session_hash))
        if made is None:
            return status_box("run first: a card shows an answer")
        try:
            path = card(self.work.base, made)
        except IclError as error:
            return error_box(error)
        return status_box(
            f"saved {path.relative_to(self.work.base)}: one file, to be opened or sent"
        )

    def leave_out(self, request: gr.Request) -> Iterator[Any]:
        """Show the influence of every shot on the current answer."""
        made = self._answers.get(str(request.session_hash))
        if made is None or not made.request.shots:
            yield status_box("run with shots first: then each of them can be left out")
            return
        yield status_box(f"asking {len(made.request.shots) + 1} prompts")
        try:
            found = influence(made)
        except IclError as error:
            yield error_box(error)
            return
        yield status_box("\n".join(_influence_line(one) for one in found))


def _influence_line(one: ShotInfluence) -> str:
    """Describe the influence of a shot: ``without 17: alarm_set (wrong), -1.25 nats``."""
    answer = ""
    if one.flips:
        verdict = {True: " (right)", False: " (wrong)", None: ""}[one.right]
        answer = f"; without it the answer is {one.label}{verdict}"
    return f"{one.shot}: adds {one.adds:+.2f} nats to the right answer{answer}"


def _scores_line(answer: ModelAnswer) -> str:
    """List the metrics of this one row."""
    found, notes = answer.scores()
    parts = [f"{name} {value:.1f}" for name, value in found.items()]
    return browser_text("; ".join([*parts, *notes]), 2000)


def _generation_line(made: GenerationProgress) -> str:
    """Describe how far a generation is, or how it ended and how fast it was."""
    if made.output is None:
        return f"generating, {made.seconds:.1f} s"
    rate = f", {made.tokens_per_s:.1f} tokens/s" if made.tokens_per_s else ""
    return (
        f"{made.output.output_tokens} tokens in {made.seconds:.1f} s{rate}; "
        f"{ENDS[made.output.finish]}"
    )


def _bars(made: ModelAnswer, ranking: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Return the shares of the most probable labels and of the right one, which is marked."""
    targets = made.request.example.targets
    return {
        f"{'✓ ' if label in targets else ''}{browser_text(label, 80)}": share
        for place, (label, share) in enumerate(ranking)
        if place < TOP or label in targets[:1]
    }


def _ranking_line(made: ModelAnswer) -> str:
    """Describe which label won, and the rank of the correct one."""
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
