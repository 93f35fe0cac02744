"""The contract of engines as one call, for tests of built-in and plug-in engines."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from icl.core.errors import ChoiceError, EngineError, IclError, WindowError
from icl.core.types import FINISHES, ChoiceScore, Output, Prompt, Sampling, canonicalize
from icl.engines.protocol import Engine, RenderingEngine

__all__ = ["CHECKS", "check_engine"]


PROMPTS = (
    Prompt("Utterance: wake me up at nine\nIntent:", query_id="a"),
    Prompt("Matamshi: niamshe saa tatu ✓ 🙂", instruction="Taja nia.", query_id="b"),
    Prompt("金曜日の朝九時に起こして:", query_id="c"),
    Prompt("मुझे सुबह नौ बजे जगाना", shots=(("हाँ", " नहीं"),), query_id="d"),
)
CHOICES = (" alarm set", " play music", " 音楽 ✓")
ALONE = ("金曜日", "alarm set", "volume set", "volume set ")
"""Choices that are ranked alone, each in its own row; some tokens join the white space before
them."""


@dataclass(frozen=True)
class ContractCase:
    """An engine under test, with the sampling and tolerance of the checks."""

    engine: Engine
    sampling: Sampling
    tolerance: float
    """Largest accepted difference of two log-probabilities that should be equal."""
    ranks: bool
    greedy: bool

    def generate(self, prompts: Sequence[Prompt], **changes: object) -> dict[int, list[Output]]:
        """Return outputs by index, in the order in which they came."""
        found: dict[int, list[Output]] = {}
        sampling = replace(self.sampling, **changes)  # type: ignore[arg-type]
        for index, output in self.engine.generate(prompts, sampling):
            found.setdefault(index, []).append(output)
        return found

    def texts(self, prompts: Sequence[Prompt]) -> list[str | None]:
        """Return the first text of each prompt; None if there is none."""
        found = self.generate(prompts)
        return [found[i][0].text if i in found else None for i in range(len(prompts))]

    def scores(self, items: Sequence[tuple[Prompt, str]]) -> list[ChoiceScore]:
        """Return scores in the items' order."""
        found = dict(self.engine.score(items))
        return [found[index] for index in range(len(items))]


def check_engine(
    engine: Engine,
    *,
    max_tokens: int = 8,
    tolerance: float = 1e-3,
    ranks: bool = True,
    greedy: bool = True,
) -> None:
    """Check every promise of :class:`icl.engines.protocol.Engine`.

    Args:
        engine: the engine to check; it gets some fifty short prompts.
        max_tokens: most tokens of each generation.
        tolerance: largest accepted difference of log-probabilities that should be equal.
        ranks: False for an engine that cannot score; ``score`` must then say so.
        greedy: False for one whose greedy texts may differ from call to call.

    Raises:
        AssertionError: one line for each promise that is broken.

    >>> from icl.engines.table import TableEngine
    >>> check_engine(TableEngine(default="hash"))
    """
    checked = ContractCase(engine, Sampling(max_tokens=max_tokens), tolerance, ranks, greedy)
    broken: list[str] = []
    for name, check in CHECKS.items():
        try:
            broken += [f"{name}: {line}" for line in check(checked)]
        except IclError as error:
            broken.append(f"{name}: raised {type(error).__name__}: {error}")
    if broken:
        raise AssertionError(
            f"{type(engine).__name__} breaks {len(broken)} promises of "
            "icl.Engine:\n" + "\n".join(broken)
        )


def _identity(checked: ContractCase) -> Iterator[str]:
    first = checked.engine.identity()
    if canonicalize(first) != canonicalize(checked.engine.identity()):
        yield "differs from call to call"
    if not isinstance(first.get("kind"), str):
        yield "has no text under `kind`"
    window = checked.engine.window
    if not isinstance(window, int) or window < 1:
        yield f"window is {window!r}, not a number of tokens"


def _tokens(checked: ContractCase) -> Iterator[str]:
    engine = checked.engine
    for prompt in PROMPTS:
        tokens = engine.tokens(prompt)
        text = engine.sent(prompt) if isinstance(engine, RenderingEngine) else prompt.text
        if any(text[token.start : token.end] != token.text for token in tokens):
            yield f"a token of {prompt.query_id!r} is not the text from its start to its end"
        if any(a.start > b.start for a, b in zip(tokens, tokens[1:], strict=False) if b.text):
            yield f"tokens of {prompt.query_id!r} do not follow each other"
        longer = replace(prompt, query=" ".join([prompt.query] * 8))
        if not 0 < len(tokens) < len(checked.engine.tokens(longer)):
            yield f"{prompt.query_id!r} has {len(tokens)} tokens, and no more when it is longer"


def _outputs(checked: ContractCase) -> Iterator[str]:
    found = checked.generate(PROMPTS)
    if sorted(found) != list(range(len(PROMPTS))) or any(len(o) != 1 for o in found.values()):
        yield f"gives outputs {sorted((i, len(o)) for i, o in found.items())}, not one a prompt"
    for index, (output, *_) in found.items():
        if output.finish not in FINISHES[:3]:
            yield f"finish is {output.finish!r}"
        if not 0 <= output.output_tokens <= checked.sampling.max_tokens:
            yield f"{output.output_tokens} tokens where {checked.sampling.max_tokens} are allowed"
        own = checked.engine.tokens(PROMPTS[index])
        if all(token.id >= 0 for token in own) and output.prompt_tokens != len(own):
            yield f"counts {output.prompt_tokens} tokens of a prompt of {len(own)}"
        if output.sample != 0:
            yield f"the only output of a prompt is sample {output.sample}"
    if checked.generate([]):
        yield "answers no prompts with something"


def _same(checked: ContractCase) -> Iterator[str]:
    if not checked.greedy:
        return
    first = checked.texts(PROMPTS)
    if checked.texts(PROMPTS) != first:
        yield "greedy texts differ from call to call"
    if checked.texts(PROMPTS[::-1])[::-1] != first:
        yield "greedy texts differ in another order: an index does not belong to its prompt"
    if [checked.texts([prompt])[0] for prompt in PROMPTS] != first:
        yield "a prompt sent alone gets another answer"


def _stops(checked: ContractCase) -> Iterator[str]:
    if not checked.greedy:
        return
    prompt = PROMPTS[0]
    (text,) = checked.texts([prompt])
    if text is None or len(text) < 3:
        return
    stop = text[len(text) // 2]
    for name, stopped, more in (
        ("the prompt's", replace(prompt, stop=("", stop)), {}),
        ("the sampling's", prompt, {"stop": (stop,)}),
    ):
        output = checked.generate([stopped], **more)[0][0]
        if output.text != text[: text.index(stop)]:
            yield f"{name} stop {stop!r}: {output.text!r} is not {text!r} up to it"
        if output.finish != "stop":
            yield f"{name} stop string ended it, and finish is {output.finish!r}"


def _stream(checked: ContractCase) -> Iterator[str]:
    heard: dict[int, str] = {}

    def hear(index: int, piece: str) -> None:
        heard[index] = heard.get(index, "") + piece

    for index, output in checked.engine.generate(PROMPTS, checked.sampling, hear):
        if heard.get(index, "") != output.text:
            yield f"streamed {heard.get(index, '')!r}, answered {output.text!r}"


def _samples(checked: ContractCase) -> Iterator[str]:
    found = checked.generate(PROMPTS[:2], n=3, temperature=1.0, seed=1)
    for outputs in found.values():
        if sorted(output.sample for output in outputs) != [0, 1, 2]:
            yield f"three samples are numbered {[output.sample for output in outputs]}"
    if len(found) != 2:
        yield f"{len(found)} of 2 prompts have samples"


def _cancel(checked: ContractCase) -> Iterator[str]:
    stop = threading.Event()
    stop.set()
    found = Counter(
        index
        for index, output in checked.engine.generate(PROMPTS, checked.sampling, None, stop)
        if output.finish == "cancelled"
    )
    if found != Counter(range(len(PROMPTS))):
        yield f"a stop that is set from the start cancels {dict(found)}, not each prompt once"
    running = checked.engine.generate(PROMPTS, checked.sampling)
    next(iter(running))
    close = getattr(running, "close", None)
    if close is not None:
        close()
    if len(checked.generate(PROMPTS[:1])) != 1:
        yield "does not answer after an iterator was closed early"


def _long(checked: ContractCase) -> Iterator[str]:
    long = Prompt("word " * (checked.engine.window + 8), query_id="long")
    try:
        list(checked.engine.generate([long], checked.sampling))
        yield "a prompt longer than the window is answered"
    except WindowError as error:
        if "\n" in str(error) or not str(error):
            yield f"the error of a long prompt is not one line: {str(error)!r}"


def _empty(checked: ContractCase) -> Iterator[str]:
    try:
        found = checked.generate([Prompt("")])
    except EngineError as error:
        if not str(error):
            yield "an empty prompt is refused without a word"
        return
    if list(found) != [0]:
        yield f"an empty prompt has outputs {list(found)}"


def _errors(checked: ContractCase) -> Iterator[str]:
    for wrong in ({"max_tokens": 0}, {"n": 2, "temperature": 0.0}):
        try:
            checked.generate(PROMPTS[:1], **wrong)
            yield f"sampling {wrong} is accepted"
        except EngineError:
            pass


def _scores(checked: ContractCase) -> Iterator[str]:
    items = [(prompt, choice) for prompt in PROMPTS for choice in CHOICES]
    if not checked.ranks:
        try:
            list(checked.engine.score(items))
            yield "scores, although it declares that it cannot rank"
        except EngineError:
            pass
        return
    found = list(checked.engine.score(items))
    if sorted(index for index, _ in found) != list(range(len(items))):
        yield f"scores have the indices {sorted(index for index, _ in found)}, not each item's"
        return
    for index, score in found:
        choice = items[index][1]
        if not (math.isfinite(score.logprob) and score.logprob <= 0 and score.tokens >= 1):
            yield f"{choice!r} has log-probability {score.logprob} of {score.tokens} tokens"
        if (score.chars, score.bytes) != (len(choice), len(choice.encode())):
            yield f"{choice!r} has {score.chars} characters in {score.bytes} bytes"
    first = [score.logprob for score in checked.scores(items)]
    for name, other in (
        ("in another order", checked.scores(items[::-1])[::-1]),
        ("again", checked.scores(items)),
        (
            "a prompt at a time",
            [
                s
                for i in range(0, len(items), len(CHOICES))
                for s in checked.scores(items[i : i + len(CHOICES)])
            ],
        ),
    ):
        worst = max(abs(a - b.logprob) for a, b in zip(first, other, strict=True))
        if worst > checked.tolerance:
            yield f"asked {name}, log-probabilities differ by {worst:.2g}"
    if list(checked.engine.score([])):
        yield "scores nothing as something"


def _apart(checked: ContractCase) -> Iterator[str]:
    if not checked.ranks:
        return
    rows = [(Prompt("Utterance: wake me up\nIntent: ", query_id=text), text) for text in ALONE]
    together = checked.scores(rows)
    for row, found in zip(rows, together, strict=True):
        (alone,), text = checked.scores([row]), row[1]
        if abs(found.logprob - alone.logprob) > checked.tolerance or found.tokens != alone.tokens:
            yield (
                f"{text!r} has log-probability {alone.logprob:.6g} of {alone.tokens} tokens, and "
                f"{found.logprob:.6g} of {found.tokens} where other rows send the same prompt"
            )


def _choices(checked: ContractCase) -> Iterator[str]:
    try:
        list(checked.engine.score([(PROMPTS[0], ""), (PROMPTS[0], " a")]))
        yield "an empty choice is scored"
    except ChoiceError:
        pass
    except EngineError:
        if checked.ranks:
            yield "an empty choice is no ChoiceError"


CHECKS: dict[str, Callable[[ContractCase], Iterator[str]]] = {
    "identity": _identity,
    "tokens": _tokens,
    "outputs": _outputs,
    "determinism and order": _same,
    "stop strings": _stops,
    "streaming": _stream,
    "samples": _samples,
    "cancelling": _cancel,
    "long prompts": _long,
    "empty prompts": _empty,
    "errors": _errors,
    "scores": _scores,
    "rows of the same prompt": _apart,
    "empty choices": _choices,
}
"""Promise -> its check, which yields a line for each violation."""
