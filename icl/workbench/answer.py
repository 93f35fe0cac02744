"""The model's answer to one request: a ranking or generated text, streamed, with its scores."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass

from icl.core.errors import MetricError
from icl.core.probabilities import label_shares
from icl.core.slot_answers import read_slot_answer
from icl.core.types import (
    Choice,
    ChoiceScore,
    Example,
    Output,
    Prediction,
    Prompt,
    Record,
    Sampling,
)
from icl.engines.protocol import Engine
from icl.experiment.condition import Condition, Request
from icl.metrics import make_metric, starts_program
from icl.reports.slot_view import draw_slots
from icl.tasks.predict import predict, read_gold
from icl.tasks.slots import SlotReader

__all__ = [
    "AnswerProgress",
    "ModelAnswer",
    "GenerationProgress",
    "generated_answer",
    "rank",
    "choice_logprobs",
    "choice_scores",
    "stream",
    "stream_answer",
]


EVERY_S = 0.4
"""Seconds between two states of an answer: a busy browser falls behind if they come faster."""


@dataclass(frozen=True, slots=True)
class GenerationProgress:
    """The state of a generation that is running or finished."""

    text: str
    seconds: float
    """Seconds since the request was sent."""
    output: Output | None = None
    """The finished output; None while generating."""
    tokens_per_s: float | None = None
    """Rate from the first token to the last; None if there are fewer than two."""


@dataclass(frozen=True)
class ModelAnswer:
    """The model's answer to one request, as a record and as a prediction."""

    condition: Condition
    request: Request
    record: Record
    prediction: Prediction
    seconds: float

    def describe(self, value: str) -> str:
        """Return an answer in its normal form for readers: slots as marks in the row's text."""
        reader = self.condition.answer_rule(self.request.example, [])
        if isinstance(reader, SlotReader):
            return reader.source.describe(read_slot_answer(value))
        return value

    @property
    def right(self) -> bool | None:
        """Return whether the answer is one of the targets; None without targets."""
        targets = self.targets
        return self.prediction.value in targets if targets else None

    @property
    def targets(self) -> list[str]:
        """The right answers, without blank ones: a typed row of parallel text may have one."""
        return [target for target in self.example.targets if target.strip()]

    @property
    def example(self) -> Example:
        """The row with the answers that count for its targets."""
        task = self.condition.point.task
        return read_gold(self.request.example, task.parser or self.condition.task.parser)

    @property
    def ranking(self) -> list[tuple[str, float]]:
        """(label, share of the choices' probability), most probable first; empty for free text."""
        if not self.record.logprobs:
            return []
        labels = [choice.label for choice in self.request.choices]
        pairs = zip(labels, label_shares(self.record.logprobs), strict=True)
        return sorted(pairs, key=lambda pair: -pair[1])

    @property
    def slots(self) -> str:
        """The slots, answered and right ones where they are known, as HTML; empty where none are.

        See :func:`icl.reports.slot_view.draw_slots`.
        """
        reader = self.condition.answer_rule(self.request.example, [])
        if not isinstance(reader, SlotReader):
            return ""
        gold = read_slot_answer(self.targets[0]) if self.targets else None
        value = self.prediction.value
        said = None if value is None else read_slot_answer(value)
        return draw_slots(reader.source, gold, said, self.prediction.faults)

    def scores(self) -> tuple[dict[str, float], list[str]]:
        """Compute each metric of the task for this row, with the reason where one has no value.

        Outside programs are not started for one row.
        """
        example = self.example
        found: dict[str, float] = {}
        notes: list[str] = []
        if not self.targets:
            return found, ["the row has no right answer to compare with"]
        for given in self.condition.metrics:
            name, metric = make_metric(given)
            if starts_program(metric):
                notes.append(f"{name} is an external program: icl run starts it")
                continue
            try:
                stats = metric.stats([self.prediction], [example])
            except MetricError as error:
                notes.append(f"{name}: {error}")
                continue
            value = stats.value(stats.rows.sum(axis=0))
            if value is not None:
                found[metric.label] = value
        return found, notes


@dataclass(frozen=True, slots=True)
class AnswerProgress:
    """The state of a generated answer, which may take several prompts."""

    text: str
    """The text of all prompts so far, each after its slot's name if there are slots."""
    step: GenerationProgress
    """The state of the prompt that is being continued."""
    answer: ModelAnswer | None
    """The finished answer; None while generating, and if it was stopped."""


def stream(
    engine: Engine,
    prompt: Prompt,
    sampling: Sampling,
    stop: threading.Event,
    every_s: float = 0.1,
) -> Iterator[GenerationProgress]:
    """Generate for one prompt in a thread; yield the text so far every ``every_s`` seconds.

    Closing the iterator stops the generation and waits until the engine is free.

    Raises:
        IclError: what the engine raised.
    """
    pieces: list[str] = []
    times: list[float] = []
    began = time.perf_counter()

    def hear(_: int, piece: str) -> None:
        pieces.append(piece)
        times.append(time.perf_counter())

    def work() -> Output:
        ((_, output),) = engine.generate([prompt], sampling, hear, stop)
        return output

    with ThreadPoolExecutor(1, "generate") as pool:
        future = pool.submit(work)
        try:
            while not future.done():
                wait([future], timeout=every_s)
                yield GenerationProgress("".join(pieces), time.perf_counter() - began)
        finally:
            if not future.done():  # the iterator was closed
                stop.set()
        output = future.result()
    ended = time.perf_counter()
    rate = None
    if times and output.output_tokens > 1 and times[-1] > times[0]:
        rate = (output.output_tokens - 1) / (times[-1] - times[0])
    yield GenerationProgress(output.text, ended - began, output, rate)


def stream_answer(
    condition: Condition, request: Request, stop: threading.Event
) -> Iterator[AnswerProgress]:
    """Generate for each prompt of a request in turn; yield all text so far.

    A request has one prompt, or one for each slot. The answer comes with the last output, unless
    one was stopped.

    Raises:
        IclError: what the engine raised.
    """
    outputs: list[Output] = []
    seconds, before = 0.0, ""
    for place, prompt in enumerate(request.to_generate):
        text = before + (f"{request.choices[place].text}:" if request.prompts else "")
        for step in stream(condition.engine, prompt, condition.sampling, stop, EVERY_S):
            answer = None
            if step.output is not None:
                outputs.append(step.output)
                seconds += step.seconds
                stopped = step.output.finish == "cancelled"
                if len(outputs) == len(request.to_generate) and not stopped:
                    answer = generated_answer(condition, request, outputs, seconds)
            yield AnswerProgress(text + step.text, step, answer)
        if stop.is_set():
            return
        before = f"{text}{step.text}\n"


def choice_scores(engine: Engine, items: Sequence[tuple[Prompt, str]]) -> list[ChoiceScore]:
    """Score continuations of prompts; return the scores in the order of the items."""
    return [made for _, made in sorted(engine.score(items), key=lambda pair: pair[0])]


def choice_logprobs(engine: Engine, asked: Sequence[tuple[Prompt, Choice]]) -> list[float]:
    """Return the log-probability of each choice after its prompt, in the order given."""
    items = [(prompt, choice.text + choice.end) for prompt, choice in asked]
    return [made.logprob for made in choice_scores(engine, items)]


def rank(condition: Condition, request: Request) -> ModelAnswer:
    """Score every choice of the request and answer with the most probable one."""
    began = time.perf_counter()
    found = choice_scores(condition.engine, request.items)
    return _make_answer(condition, request, time.perf_counter() - began, found)


def generated_answer(
    condition: Condition, request: Request, outputs: Sequence[Output], seconds: float
) -> ModelAnswer:
    """Make the answer of a finished generation: one output, or one for each slot."""
    return _make_answer(condition, request, seconds, outputs=tuple(outputs))


def _make_answer(
    condition: Condition,
    request: Request,
    seconds: float,
    scores: Sequence[ChoiceScore] = (),
    outputs: tuple[Output, ...] = (),
) -> ModelAnswer:
    label = condition.template.shown_label
    record = Record(
        request.example.id,
        condition.fingerprint,
        request.hash,
        tuple((shot.example.id, label(shot), shot.score) for shot in request.shots),
        request.prompt.dropped,
        request.tokens,
        outputs,
        tuple(made.logprob for made in scores),
        tuple(made.tokens for made in scores),
        choices=() if condition.choices else tuple(request.choices),
        shortened=request.prompt.shortened,
    )
    parser = condition.point.task.parser or condition.task.parser
    rule = condition.answer_rule(request.example, [record.logprobs])
    return ModelAnswer(
        condition, request, record, predict(record, condition.choices, parser, rule), seconds
    )
