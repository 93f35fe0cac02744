"""The panels next to the template: rows, shots, the model, and token probabilities."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import gradio as gr

from icl.core.errors import IclError
from icl.core.number_text import format_percent
from icl.core.types import TokenScore
from icl.engines.protocol import ClosableEngine, InspectableEngine
from icl.experiment.condition import Request
from icl.workbench.model_status import colour_grade, facts, list_models, load_weights
from icl.workbench.row_cache import search, summary
from icl.workbench.screen import FilesInMemory, Screen, ShotEdits, arrange_shots, shot_file
from icl.workbench.web.captions import caption, error_caption
from icl.workbench.web.form_values import browser_text, screen_of
from icl.workbench.web.playground.context import PlaygroundContext
from icl.workbench.web.playground.prompt_view import token_html
from icl.workbench.web.tabs import ENGINE, QUICK
from icl.workbench.web.widgets import wait_in_queue
from icl.workbench.workbench import ScreenCondition

__all__ = ["ModelPanel", "RowPanel", "ShotPanel", "TokenPanel"]


class RowPanel:
    """The search, and the button for a random row."""

    def __init__(self, context: PlaygroundContext) -> None:
        self.context, self.work = context, context.work

    def wire(self) -> None:
        """Wire the events of the components."""
        at, inputs = self.context.at, self.context.inputs
        gr.on(
            [at.wanted.submit, at.wanted.change],
            self.find,
            [at.wanted, *inputs],
            at.found,
            trigger_mode="always_last",
            **QUICK,
        )
        at.found.input(lambda row: row or gr.skip(), at.found, at.row, **QUICK)
        at.chance.click(self.chance, inputs, at.row, **QUICK)

    def find(self, wanted: str, *values: Any) -> Any:
        """List the rows that contain the words."""
        try:
            rows = self.work.rows(screen_of(self.work, values))
        except IclError as error:
            return gr.Dropdown([], value=None, label=browser_text(str(error), 200))
        found = search(rows, wanted)
        choices = [(browser_text(f"{n} · {summary(row)}", 200), n) for n, row in found]
        more = "the first 50 of more" if len(found) == 50 else f"{len(found)} rows"
        return gr.Dropdown(choices, value=None, label=f"Found: {more}")

    def chance(self, *values: Any) -> Any:
        """Go to a random row."""
        try:
            return random.randint(1, len(self.work.rows(screen_of(self.work, values))))
        except IclError:  # the preview tells it
            return gr.skip()


class ShotPanel:
    """The list of shots, and the buttons that change it."""

    def __init__(self, context: PlaygroundContext) -> None:
        self.context, self.work = context, context.work

    def wire(self) -> None:
        """Wire the events of the components."""
        at, inputs = self.context.at, self.context.inputs
        for button, change in (
            (at.up, partial(_move, -1)),
            (at.down, partial(_move, 1)),
            (at.pin, _pin),
            (at.remove, _remove),
        ):
            button.click(
                partial(self.change, change),
                [at.shots, *inputs],
                [at.hand, at.shots_status],
                **QUICK,
            ).then(**self.context.preview_event, **QUICK)
        at.reset.click(
            lambda: [ShotEdits().as_json(), caption("")], None, [at.hand, at.shots_status], **QUICK
        ).then(**self.context.preview_event, **QUICK)
        gr.on(
            [at.pool_wanted.submit, at.pool_wanted.change],
            self.find,
            [at.pool_wanted, *inputs],
            at.pool_found,
            trigger_mode="always_last",
            **QUICK,
        )
        at.pool_found.input(
            self.add, [at.pool_found, *inputs], [at.hand, at.shots_status], **QUICK
        ).then(**self.context.preview_event, **QUICK)
        at.keep_shots.click(self.keep, [at.shot_file, *inputs], at.shots_status, **QUICK)

    def _ids(self, screen: Screen) -> list[str]:
        seen = self.work.bind(screen)
        return arrange_shots(seen.scores, screen.hand, screen.k)

    def change(
        self,
        change: Callable[[Screen, Sequence[str], str], ShotEdits],
        name: str | None,
        *values: Any,
    ) -> list[Any]:
        """Move, pin or remove the marked shot."""
        try:
            screen = screen_of(self.work, values)
            ids = self._ids(screen)
        except IclError as error:
            return [gr.skip(), error_caption(error)]
        if name not in ids:
            return [gr.skip(), caption("mark a shot in the list first")]
        return [change(screen, ids, str(name)).as_json() | {"marked": name}, caption("")]

    def find(self, wanted: str, *values: Any) -> Any:
        """List the pool rows that contain the words."""
        try:
            pool = self.work.bind(screen_of(self.work, values)).condition.pool
        except IclError as error:
            return gr.Dropdown([], value=None, label=browser_text(str(error), 200))
        found = search(pool, wanted)
        choices = [
            (browser_text(f"{row.id} · {', '.join(row.targets[:1])} · {summary(row)}", 200), row.id)
            for _, row in found
        ]
        return gr.Dropdown(choices, value=None, label=f"Add a shot: {len(found)} found")

    def add(self, name: str | None, *values: Any) -> list[Any]:
        """Pin a pool row."""
        screen = screen_of(self.work, values)
        if not name or name in screen.hand.pinned:
            return [gr.skip(), gr.skip()]
        return [screen.hand.toggle_pin(name).as_json(), caption(f"{name} is pinned")]

    def keep(self, file: str, *values: Any) -> Any:
        """Save the shots of the prompt as a shot file."""
        try:
            view = self.context.view(screen_of(self.work, values))
            name, content = shot_file(file, view.request.shots)
            FilesInMemory({name: content}).write(self.work.base)
        except IclError as error:
            return error_caption(error)
        return caption(f"saved {name}; in an experiment: shots: [{{file: {name}}}]")


def _move(by: int, screen: Screen, ids: Sequence[str], name: str) -> ShotEdits:
    return screen.hand.move(ids, name, by)


def _pin(screen: Screen, ids: Sequence[str], name: str) -> ShotEdits:
    return screen.hand.toggle_pin(name)


def _remove(screen: Screen, ids: Sequence[str], name: str) -> ShotEdits:
    return screen.hand.remove(name)


class ModelPanel:
    """Load and unload the model, and list the models on this machine."""

    def __init__(self, context: PlaygroundContext) -> None:
        self.context, self.work = context, context.work

    def wire(self) -> None:
        """Wire the events of the components."""
        at, queue = self.context.at, self.context.app.queue
        status = at.model_status
        look = wait_in_queue(queue, "the list of models", status, self.look, None, caption)
        at.look.click(look, None, [at.here, at.model, status], **ENGINE)
        load = wait_in_queue(queue, "the loading of a model", status, self.load, None, caption)
        at.load.click(load, self.context.inputs, status, **ENGINE).then(
            **self.context.preview_event, **QUICK
        )
        unload = wait_in_queue(
            queue, "the unloading of a model", status, self.unload, None, caption
        )
        at.unload.click(unload, self.context.inputs, status, **ENGINE).then(
            **self.context.preview_event, **QUICK
        )

    def look(self, request: gr.Request) -> Iterator[list[Any]]:
        """List the models on this machine, without the network."""
        yield [gr.skip(), gr.skip(), caption("looking at what is here")]
        rows, room = list_models()
        known = dict.fromkeys([*self.work.models, *(row[0] for row in rows)])
        shown_rows = [[browser_text(cell, 300) for cell in row] for row in rows]
        yield [gr.Dataframe(shown_rows, visible=True), gr.Dropdown(list(known)), caption(room)]

    def load(self, request: gr.Request, *values: Any) -> Iterator[Any]:
        """Load the weights, reporting progress four times a second."""
        try:
            engine = self.work.engine(screen_of(self.work, values))
            began = time.perf_counter()
            for step in load_weights(engine):
                yield caption(step)
            yield caption(f"{facts(engine)}; loaded in {time.perf_counter() - began:.1f} s")
        except IclError as error:
            yield error_caption(error)

    def unload(self, request: gr.Request, *values: Any) -> Any:
        """Free the memory of the weights."""
        try:
            engine = self.work.engine(screen_of(self.work, values))
        except IclError as error:
            return error_caption(error)
        if not isinstance(engine, ClosableEngine):
            return caption("this engine holds no weights")
        engine.close()
        return caption("unloaded; the next run loads it again")


class TokenPanel:
    """The probability of every token, and the most probable tokens in its place."""

    def __init__(self, context: PlaygroundContext) -> None:
        self.context, self.work = context, context.work
        self._tokens: dict[str, list[TokenScore]] = {}

    def wire(self) -> None:
        """Wire the events of the components."""
        at = self.context.at
        self.context.app.leaves.append(self.leave)
        inspect = wait_in_queue(
            self.context.app.queue, "the token view", at.expected, self.inspect, None, caption
        )
        at.inspect.click(inspect, self.context.inputs, [at.heat, at.expected], **ENGINE)
        at.heat.select(self.select, None, at.place, **QUICK)
        at.place.change(self.look, at.place, at.expected, trigger_mode="always_last", **QUICK)

    def leave(self, request: gr.Request) -> None:
        """Forget the tokens of a page that was closed."""
        self._tokens.pop(str(request.session_hash), None)

    def inspect(self, request: gr.Request, *values: Any) -> Iterator[list[Any]]:
        """Show every token of the prompt, and of the answer or the right label after it."""
        yield [gr.skip(), caption("asking the model")]
        try:
            screen = screen_of(self.work, values)
            seen = self.work.bind(screen)
            self.work.release_others(seen.condition)
            asked = seen.condition.request(seen.example)
            engine = seen.condition.engine
            if not isinstance(engine, InspectableEngine):
                yield [gr.skip(), caption("this engine does not report token probabilities")]
                return
            answer, what = self._appended(request, seen, asked)
            found = engine.inspect(asked.prompt, answer)
            end = len(asked.sent)
            begin = next(
                (n for n, one in enumerate(found) if one.token.end > end),
                None,
            )
        except IclError as error:
            yield [gr.skip(), error_caption(error)]
            return
        self._tokens[str(request.session_hash)] = found
        pieces = [(one.token.text, colour_grade(one.logprob)) for one in found]
        said = f"{len(found)} tokens; click one, or give its number"
        if begin is not None:
            said += f"; from token {begin + 1} on they are {what}, appended to the prompt"
        yield [token_html(pieces, begin), caption(said)]

    def _appended(
        self, request: gr.Request, seen: ScreenCondition, asked: Request
    ) -> tuple[str, str]:
        """Return the text to append to the prompt, and what it is."""
        condition = seen.condition
        if condition.method == "generate":
            kept = self.context.answers.of(str(request.session_hash)).usable
            return ("", "") if kept is None else (kept.text, "the model's answer")
        right = condition.template.label(asked.example)
        text = next((choice.text for choice in asked.choices if choice.label == right), "")
        return text, "the right label"

    def select(self, event: gr.SelectData) -> int:
        """Return the number of the token that was clicked, from 1."""
        return int(event.index)

    def look(self, request: gr.Request, place: float | None) -> Any:
        """Show one token, and the most probable ones in its place."""
        found = self._tokens.get(str(request.session_hash), [])
        if not place or not 1 <= place <= len(found):
            return caption(f"there are the tokens 1 to {len(found)}" if found else "")
        one = found[int(place) - 1]
        if one.logprob is None:
            return caption(f"{one.token.text!r} is the first token, so it has no probability")
        lines = [f"{one.token.text!r} {format_percent(math.exp(one.logprob))}, rank {one.rank}"]
        lines += [
            f"{format_percent(math.exp(logprob)):>8}  {text!r}"
            for text, logprob in one.alternatives
        ]
        return caption("\n".join(lines))
