"""The answer panel: streaming, stop, verdicts, cards."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import gradio as gr

from icl.core.errors import IclError
from icl.experiment.condition import Condition, Request
from icl.workbench.answer import GenerationProgress, ModelAnswer, rank, stream_answer
from icl.workbench.answer_shelf import KeptAnswer, PageAnswers, answer_key
from icl.workbench.calibrated_answer import calibrate_answer
from icl.workbench.feedback import card, note
from icl.workbench.screen import Screen
from icl.workbench.shot_influence import ShotInfluence, influence
from icl.workbench.template_files import keep_version
from icl.workbench.web.captions import caption, error_caption
from icl.workbench.web.form_values import screen_of
from icl.workbench.web.playground.answer_view import answer_html
from icl.workbench.web.playground.context import PlaygroundContext
from icl.workbench.web.tabs import ENGINE, QUICK
from icl.workbench.web.widgets import wait_in_queue

__all__ = ["AnswerPanel", "place_of"]

ENDS = {
    "stop": "ended by a stop string",
    "end": "ended by the model",
    "length": "cut at the longest answer",
    "cancelled": "stopped",
    "reasoning": "ended inside its reasoning",
    "filter": "ended by the server's content filter",
    "refusal": "refused by the model",
}
LEAST_FOR_A_RATE = 8
"""Fewest tokens for which a rate is shown: of two or three it is chance."""


Updates = dict[Any, Any]
"""Component -> new value; other components stay as they are."""


class AnswerPanel:
    """The buttons Run and Stop, and the answer, which is stored until its page is closed."""

    def __init__(self, context: PlaygroundContext) -> None:
        self.context, self.app, self.work = context, context.app, context.work
        self.at = context.at
        self._stops: dict[str, threading.Event] = {}

    def wire(self) -> None:
        """Wire the events of the components."""
        at, inputs = self.at, self.context.inputs
        buttons = [at.run, at.stop]
        asked = at.run.click(self.arm, None, [at.status, at.noted, *buttons], **QUICK).then(
            wait_in_queue(self.app.queue, "an answer", at.status, self.answer, self._stop, caption),
            inputs,
            [at.status, at.answered],
            **ENGINE,
        )
        asked.failure(self.fail, None, at.status, **QUICK)
        asked.then(self.disarm, None, buttons, **QUICK).then(**self.context.preview_event, **QUICK)
        at.stop.click(self.halt, None, at.stop, **QUICK)
        for verdict in ("good", "bad", "corrected"):
            button = getattr(at, verdict)
            button.click(self.note, [gr.State(verdict), at.correction], at.noted, **QUICK)
        at.card.click(self.save_card, None, at.noted, **QUICK)
        left = wait_in_queue(
            self.app.queue, "leaving shots out", at.shots_status, self.leave_out, None, caption
        )
        at.leave_out.click(left, None, at.shots_status, **ENGINE)
        self.app.leaves.append(self.leave)

    def _page(self, request: gr.Request) -> PageAnswers:
        return self.context.answers.of(str(request.session_hash))

    # ---- running

    def arm(self, request: gr.Request) -> list[Any]:
        """Prepare a run, before it waits in the queue: a new stop event, the buttons."""
        self._halt(request)
        self._stops[str(request.session_hash)] = threading.Event()
        return [
            caption("waiting for the model"),
            caption(""),
            gr.Button(interactive=False),
            gr.Button(interactive=True),
        ]

    def disarm(self) -> list[Any]:
        """Reset the buttons after a run, however it ended."""
        return [gr.Button(interactive=True), gr.Button(interactive=False)]

    def fail(self) -> Any:
        """Report that a run failed because of a bug or a full queue."""
        return error_caption("failed: the queue is full, or a bug that the app's terminal tells")

    def _stop(self, request: gr.Request) -> threading.Event:
        """Return the stop event of this page's run."""
        return self._stops.get(str(request.session_hash), threading.Event())

    def halt(self, request: gr.Request) -> Any:
        """Stop this page's run, waiting or running."""
        stop = self._stops.get(str(request.session_hash))
        if stop is not None:
            stop.set()
        return gr.Button(interactive=False)

    def _halt(self, request: gr.Request) -> None:
        stop = self._stops.pop(str(request.session_hash), None)
        if stop is not None:
            stop.set()

    def leave(self, request: gr.Request) -> None:
        """Stop the run of a page that was closed, and forget its answers."""
        self._halt(request)
        self.context.answers.leave(str(request.session_hash))

    def answer(self, request: gr.Request, *values: Any) -> Iterator[Updates]:
        """Rank the labels or generate, yielding at most three times a second."""
        at, page, stop = self.at, self._page(request), self._stop(request)
        try:
            screen = screen_of(self.work, values)
            condition = self.work.bind(screen).condition
            yield from self._open(condition, stop)
            if stop.is_set():
                yield {at.status: caption("stopped before it began")}
                return
            keep_version(self.work.base, screen.name, screen.text)
            self.work.release_others(condition)
            asked = condition.request(condition.examples[0])
            made = KeptAnswer(answer_key(condition, asked), place_of(screen))
            page.begin(made)
            try:
                way = self._rank if condition.ranks else self._write
                for line in way(condition, asked, made, screen, stop):
                    yield {at.status: line, at.answered: answer_html(page, screen.calibrator)}
            finally:
                page.end()
        except IclError as error:
            yield {at.status: error_caption(error)}

    def _open(self, condition: Condition, stop: threading.Event) -> Iterator[Updates]:
        opening = self.context.tokenizer(condition)
        opening.begin(condition.engine)
        while opening.busy and not stop.is_set():
            yield {self.at.status: caption("opening the model's tokenizer, once")}
            time.sleep(0.2)

    def _rank(
        self,
        condition: Condition,
        asked: Request,
        made: KeptAnswer,
        screen: Screen,
        stop: threading.Event,
    ) -> Iterator[Any]:
        count = len(asked.choices)
        yield caption(f"scoring {count} labels; the first time loads the weights")
        found = rank(condition, asked)
        if stop.is_set():
            yield caption("stopped")
            return
        made.answer = found
        line = f"row id {asked.example.id}: best of the {count} labels; {found.seconds:.1f} s"
        yield caption(line)
        if screen.calibrator:
            yield caption(f"{line}; scoring the prompts that {screen.calibrator} needs")
            try:
                made.calibrated[screen.calibrator] = calibrate_answer(found, screen.calibrator)
            except IclError as error:
                made.calibrated[screen.calibrator] = str(error)
            yield caption(line)

    def _write(
        self,
        condition: Condition,
        asked: Request,
        made: KeptAnswer,
        screen: Screen,
        stop: threading.Event,
    ) -> Iterator[Any]:
        yield caption("asking; the first time loads the weights")
        for progress in stream_answer(condition, asked, stop):
            step = progress.step
            made.text, made.answer = progress.text, progress.answer
            made.stopped = step.output is not None and step.output.finish == "cancelled"
            yield caption(f"row id {asked.example.id}: {_generation_line(step)}")
        made.stopped = made.answer is None

    # ---- what becomes of an answer

    def _own(self, request: gr.Request) -> ModelAnswer | None:
        """Return the whole answer to what the screen asks."""
        kept = self._page(request).usable
        return None if kept is None else kept.whole

    def note(self, verdict: str, correction: str, request: gr.Request) -> Any:
        """Store the user's verdict on the current answer."""
        made = self._own(request)
        if made is None:
            return caption("run first: a verdict is on the answer to this row")
        try:
            path = note(self.work.base, made, verdict, correction or None)
        except IclError as error:
            return error_caption(error)
        return caption(
            f"{verdict}: saved in {path.name}; icl feedback {path.name} makes shots from it"
        )

    def save_card(self, request: gr.Request) -> Any:
        """Save the current answer as one HTML page."""
        made = self._own(request)
        if made is None:
            return caption("run first: a card shows the answer to this row")
        try:
            path = card(self.work.base, made)
        except IclError as error:
            return error_caption(error)
        return caption(f"saved {path.relative_to(self.work.base)}: one file, to be opened or sent")

    def leave_out(self, request: gr.Request) -> Iterator[Any]:
        """Show the influence of every shot on the current answer."""
        made = self._own(request)
        if made is None or not made.request.shots:
            yield caption("run with shots first: then each of them can be left out")
            return
        yield caption(f"asking {len(made.request.shots) + 1} prompts")
        try:
            found = influence(made)
        except IclError as error:
            yield error_caption(error)
            return
        yield caption("\n".join(_influence_line(one) for one in found))


def place_of(screen: Screen) -> str:
    """Name a screen's row as its page does."""
    return "the typed row" if screen.own else f"row {screen.row}"


def _influence_line(one: ShotInfluence) -> str:
    """Describe the influence of a shot: ``without 17: alarm_set (wrong), -1.25 nats``."""
    answer = ""
    if one.flips:
        verdict = {True: " (right)", False: " (wrong)", None: ""}[one.right]
        answer = f"; without it the answer is {one.label}{verdict}"
    return f"{one.shot}: adds {one.adds:+.2f} nats to the right answer{answer}"


def _generation_line(made: GenerationProgress) -> str:
    """Describe how far a generation is, or how it ended and how fast it was."""
    if made.output is None:
        return f"generating, {made.seconds:.1f} s"
    rate, tokens = "", made.output.output_tokens
    if made.tokens_per_s and tokens >= LEAST_FOR_A_RATE:
        rate = f", {made.tokens_per_s:.3g} a second once begun"
    return f"{tokens} tokens in {made.seconds:.1f} s{rate}; {ENDS[made.output.finish]}"
