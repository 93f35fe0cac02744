"""Speeds of models on this machine, learned from every run and stored in the cache folder.

The file holds a bounded number of models; one that is missing or damaged is the same as an empty
one, since every run learns the speeds anew.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from icl.core.errors import StoreError
from icl.core.files import find_cache_dir, replace_file
from icl.core.strict_json import Amount, read_json
from icl.core.types import digest
from icl.engines.protocol import Engine, ForecastEngine, TokenWork
from icl.experiment.condition import Condition
from icl.records.store import ConditionStore

__all__ = ["AnswerLength", "Speed", "SpeedFile", "SpeedLearner", "name_answers"]


logger = logging.getLogger(__name__)

MOST_MODELS = 100
"""Most models in the file; the least recently used one is dropped first."""
MOST_TASKS = 50
"""Most tasks per model with a stored length of answers."""
MOST_SECONDS = 600.0
"""Seconds of work over which a speed is averaged; older work counts half, and half again."""


@dataclass(frozen=True, slots=True)
class AnswerLength:
    """The number of answers to prompts of one kind, and the tokens of all of them."""

    answers: Amount = 0
    tokens: Amount = 0


@dataclass(frozen=True, slots=True)
class Speed:
    """The speed of one model on this machine: tokens with their seconds, and lengths of answers."""

    prefill_tokens: Amount = 0
    prefill_s: Amount = 0
    decode_tokens: Amount = 0
    decode_s: Amount = 0
    lengths: dict[str, AnswerLength] = field(default_factory=dict)
    """Kind of prompts, from :func:`name_answers` -> length of their answers."""

    @classmethod
    def of(cls, work: TokenWork) -> Speed:
        """Make the speed at which work was done."""
        return cls(work.prefill_tokens, work.prefill_s, work.decode_tokens, work.decode_s)

    def seconds(self, work: TokenWork) -> float | None:
        """Return the seconds for some work; None if the model has done none like it."""
        found = 0.0
        for tokens, known, seconds in (
            (work.prefill_tokens, self.prefill_tokens, self.prefill_s),
            (work.decode_tokens, self.decode_tokens, self.decode_s),
        ):
            if tokens > 0 and not (known and seconds):
                return None
            found += tokens * seconds / known if tokens > 0 else 0
        return found

    def mean_length(self, kind: str, most: int) -> float | None:
        """Return the mean tokens of an answer, at most ``most``; None if there was none."""
        seen = self.lengths.get(kind)
        return min(most, seen.tokens / seen.answers) if seen and seen.answers else None

    def learn(self, work: TokenWork, lengths: Mapping[str, AnswerLength]) -> Speed:
        """Return this speed with more work in it; old work counts less than new."""
        prefill = _blend(self.prefill_tokens, self.prefill_s, work.prefill_tokens, work.prefill_s)
        decode = _blend(self.decode_tokens, self.decode_s, work.decode_tokens, work.decode_s)
        known = {kind: one for kind, one in self.lengths.items() if kind not in lengths}
        together = list({**known, **lengths}.items())[-MOST_TASKS:]
        return Speed(*prefill, *decode, dict(together))


def _blend(tokens: float, seconds: float, more: float, more_s: float) -> tuple[float, float]:
    """Add tokens and seconds, halving those of before until they leave room for the new ones."""
    while seconds > 0 and seconds + more_s > MOST_SECONDS:
        tokens, seconds = tokens / 2, seconds / 2
        if seconds < 1:
            break
    return tokens + more, seconds + more_s


def name_answers(condition: Condition) -> str:
    """Name the kind of prompts that are answered at about the same length: a task, with shots."""
    k = condition.point.shots.k if condition.selector is not None else 0
    return f"{condition.task.name} {'with' if k else 'without'} shots"


class SpeedFile:
    """The file ``speeds.json`` with the speed of each model.

    >>> SpeedFile(Path("nowhere/speeds.json")).find({"weights": "abc"})
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or find_cache_dir() / "speeds.json"

    def find(self, identity: Mapping[str, object]) -> Speed | None:
        """Return the speed of a model, from :meth:`ForecastEngine.speed_identity`, if known."""
        return self._read().get(_key(identity))

    def learn(
        self,
        identity: Mapping[str, object],
        work: TokenWork,
        lengths: Mapping[str, AnswerLength] | None = None,
    ) -> None:
        """Add work to a model's speed; a folder that cannot be written to is logged."""
        known = self._read()
        key = _key(identity)
        known[key] = known.pop(key, Speed()).learn(work, lengths or {})
        models = dict(list(known.items())[-MOST_MODELS:])
        text = json.dumps({key: asdict(speed) for key, speed in models.items()}, indent=1)
        try:
            replace_file(self.path, text + "\n")
        except StoreError as error:
            logger.warning("speeds of models are not remembered: %s", error)

    def _read(self) -> dict[str, Speed]:
        if not self.path.exists():
            return {}
        try:
            return read_json(self.path, dict[str, Speed], "delete it; the next run writes it again")
        except StoreError as error:
            logger.warning("speeds of models are learned again: %s", error)
            return {}


def _key(identity: Mapping[str, object]) -> str:
    return digest(dict(identity))[:24]


class SpeedLearner:
    """A recorder of one run: the speed of each engine, and the length of its answers.

    Use it as ``with learner.learning():`` around the work, and :meth:`follow` each engine.
    """

    def __init__(self, file: SpeedFile | None = None) -> None:
        self.file = file or SpeedFile()
        self.before: dict[int, tuple[ForecastEngine, TokenWork]] = {}
        self.lengths: dict[int, dict[str, AnswerLength]] = {}

    def follow(self, engine: Engine) -> None:
        """Follow an engine from now on, if it times its work."""
        if isinstance(engine, ForecastEngine) and id(engine) not in self.before:
            self.before[id(engine)] = engine, engine.work_so_far()

    @contextmanager
    def learning(self) -> Iterator[None]:
        """Save the speeds at the end of the block, also if an error ended it."""
        try:
            yield
        finally:
            for key, (engine, before) in self.before.items():
                work = engine.work_so_far() - before
                if work.prefill_tokens or work.decode_tokens:
                    self.file.learn(engine.speed_identity(), work, self.lengths.get(key))

    def note_answers(self, condition: Condition, store: ConditionStore) -> None:
        """Note the lengths of a condition's answers, if it generates texts."""
        if condition.ranks or id(condition.engine) not in self.before:
            return
        outputs = [one for record in store.records().values() for one in record.outputs]
        lengths = self.lengths.setdefault(id(condition.engine), {})
        kind = name_answers(condition)
        seen = lengths.get(kind, AnswerLength())
        lengths[kind] = replace(
            seen,
            answers=seen.answers + len(outputs),
            tokens=seen.tokens + sum(output.output_tokens for output in outputs),
        )
