"""A point of the grid with everything loaded: rows, pool, template, selector, engine.

The condition's fingerprint hashes what changes an answer and nothing else, so that two
experiments which ask the same share one folder, and B is never reported with A's outputs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from icl.config import Experiment, Point
from icl.data import DataSpec, apart, data_hash, load, sample
from icl.errors import ConfigError, DataError
from icl.prompts import Template, fit, load_template
from icl.registry import did_you_mean, lookup
from icl.selectors import Selector
from icl.tasks import Task
from icl.types import JSON, Choice, Engine, Example, Prompt, Sampling, Shot, canonical, digest

__all__ = ["Condition", "Loader", "Request", "build", "request_hash"]

FORMAT = 1
"""Raised when records of older versions can no longer be reused."""


@dataclass(frozen=True)
class Request:
    """One example's prompt as it is sent, and the shots in it."""

    example: Example
    prompt: Prompt
    shots: Sequence[Shot]
    hash: str
    tokens: int


def request_hash(
    prompt: Prompt, choices: Sequence[Choice], sampling: Mapping[str, JSON] | None
) -> str:
    """SHA-256 of what is sent; a record is reused only if it is the same."""
    return digest(
        {
            "prompt": prompt.text,
            "choices": [choice.text + choice.end for choice in choices],
            "stop": list(prompt.stop),
            "sampling": sampling,
        }
    )


@dataclass
class Condition:
    """Everything that :func:`icl.run.run` needs to answer one point of the grid."""

    point: Point
    task: Task
    method: str
    template: Template
    examples: list[Example]
    """The test rows drawn."""
    available: int
    """Test rows there are."""
    pool: list[Example]
    left_out: int
    """Pool rows left out because they, or the same content, stand in the test split."""
    selector: Selector | None
    choices: list[Choice]
    sampling: Sampling
    engine: Engine
    batch_size: int = 8
    labels: Mapping[str, int] = field(default_factory=dict)
    """Label -> how often it stands in the pool."""

    @cached_property
    def identity(self) -> dict[str, JSON]:
        """What changes an answer; everything else stays out."""
        rows = self.point.task.rows
        shots: JSON = None
        if self.selector is not None:
            shots = {
                "k": self.point.shots.k,
                "order": self.point.shots.order,
                "selector": "fixed" if self.point.shots.file else self.point.shots.select,
                "options": self.selector.identity(),
                "pool": data_hash(self.selector.pool),
            }
        return {
            "format": FORMAT,
            "engine": self.engine.identity(),
            "method": self.method,
            "template": self.template.hash,
            "choices": [choice.text + choice.end for choice in self.choices],
            "sampling": self.sampling.identity() if self.method == "generate" else None,
            "shots": shots,
            "rows": [rows.data, rows.split, list(rows.lines or ()), self.point.locale,
                     list(self.point.pair or ())],
        }  # fmt: skip

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of the identity's hash."""
        return digest(self.identity)[:16]

    @property
    def folder(self) -> str:
        """Name of the condition's folder."""
        return f"{self.task.name}-{self.fingerprint}"

    def count(self, prompt: Prompt) -> int:
        """Tokens of a prompt, special tokens included."""
        return len(self.engine.tokens(prompt))

    @cached_property
    def room(self) -> int:
        """Tokens that a prompt may have beside the longest answer."""
        answer = self.sampling.max_tokens
        if self.method != "generate":
            answer = 1 + max(
                self.count(Prompt(choice.text + choice.end)) for choice in self.choices
            )
        if hasattr(self.engine, "room"):  # answers of an encoder-decoder model stand apart
            return int(self.engine.room(answer))
        return self.engine.window - answer

    def sent(self, prompt: Prompt) -> str:
        """A prompt as the engine sends it, where that is not its text alone."""
        return str(self.engine.sent(prompt)) if hasattr(self.engine, "sent") else prompt.text

    def request(self, example: Example) -> Request:
        """Select shots, render, fit into the window, hash."""
        shots: list[Shot] = []
        if self.selector is not None:
            k = self.point.shots.k
            shots = self.selector.select(example, len(self.selector.pool) if k is None else k)
            if self.point.shots.order == "reversed":
                shots.reverse()
        counted: dict[str, int] = {}

        def count(prompt: Prompt) -> int:
            counted["tokens"] = self.count(prompt)
            return counted["tokens"]

        prompt, kept = fit(self.template, example, shots, count, self.room)
        sampling = self.sampling.identity() if self.method == "generate" else None
        made = request_hash(prompt, self.choices, sampling)
        return Request(example, prompt, kept, made, counted["tokens"])

    def about(self) -> dict[str, JSON]:
        """What the condition folder says of itself: enough to render every prompt again."""
        file = self.template.file
        return {
            "fingerprint": self.fingerprint,
            "identity": self.identity,
            "task": self.task.name,
            "method": self.method,
            "sampling": self.sampling.identity() if self.method == "generate" else None,
            "template": {
                "name": file.name,
                "text": file.text,
                "language": self.template.language,
                "words": dict(self.template.words),
                "labels": dict(self.template.labels),
                "fallbacks": list(self.template.fallbacks),
            },
        }


@dataclass
class Loader:
    """Loads data sets and engines once for a whole experiment."""

    experiment: Experiment
    _rows: dict[str, list[Example]] = field(default_factory=dict)
    engines: dict[str, Engine] = field(default_factory=dict)
    """By the point's ``engine_key``, in the order of the grid."""
    _selectors: dict[str, Selector] = field(default_factory=dict)

    def _spec(
        self, point: Point, name: str, locale: str | None, split: str | None,
        lines: tuple[int, int] | None,
    ) -> DataSpec:  # fmt: skip
        entry = point.data[name]
        source, target = point.pair or (None, None)
        return DataSpec(
            format=entry.format,
            path=self.experiment.base / entry.path,
            locale=locale, source=source, target=target, split=split, lines=lines,
            fields=entry.fields, answer=entry.answer, id=entry.id, gold=tuple(entry.gold),
            encoding=entry.encoding,
        )  # fmt: skip

    def examples(
        self, point: Point, name: str, locale: str | None, split: str | None,
        lines: tuple[int, int] | None,
    ) -> list[Example]:  # fmt: skip
        """All examples of one use of a data set, read once."""
        key = canonical([name, locale, list(point.pair or ()), split, list(lines or ())])
        if key not in self._rows:
            self._rows[key] = load(self._spec(point, name, locale, split, lines))
        return self._rows[key]

    def engine(self, point: Point) -> Engine:
        """The engine of a point's model entry; nothing is loaded into memory by this."""
        if point.engine_key not in self.engines:
            values = dict(point.model)
            kind = values.pop("engine", "hf")
            self.engines[point.engine_key] = _construct(
                "engine", kind, self._placed(values), f"models.{point.model_name}"
            )
        return self.engines[point.engine_key]

    def only(self, engine: Engine) -> None:
        """Let every other engine give its memory back, if it knows how."""
        for other in self.engines.values():
            if other is not engine and hasattr(other, "close"):
                other.close()

    def _placed(self, values: dict[str, Any]) -> dict[str, Any]:
        """A local source is relative to the experiment file, as every path in it."""
        source = values.get("source")
        if isinstance(source, str) and source.startswith((".", "~")):
            values["source"] = str((self.experiment.base / Path(source).expanduser()).resolve())
        return values

    def selector(self, point: Point, pool: Sequence[Example]) -> Selector | None:
        """The fitted selector of a point, or None without shots."""
        shots = point.shots
        options = dict(shots.model_extra or {})
        if shots.file:
            kind, options = "fixed", options | {"file": self.experiment.base / shots.file}
        elif shots.k:
            kind = shots.select
        else:
            return None
        made: Selector = _construct(
            "selector", kind, options | {"seed": shots.seed}, f"shots: {kind}"
        )
        key = canonical([kind, made.identity(), data_hash(pool)])
        if key not in self._selectors:
            made.fit(pool)
            self._selectors[key] = made
        return self._selectors[key]


def _construct(kind: str, name: str, options: dict[str, Any], where: str) -> Any:
    """An instance of a plug-in class; its dataclass fields are what may be given."""
    made = lookup(kind, name)
    if is_dataclass(made):
        accepted = [spec.name for spec in fields(made) if spec.init]
        for option in options:
            if option not in accepted:
                raise ConfigError(
                    f"{where}: unknown option {option!r} of the {kind} {name!r}"
                    f"{did_you_mean(option, accepted)}"
                )
    for option, value in options.items():
        if isinstance(value, list):
            options[option] = tuple(value)
    try:
        return made(**options)
    except TypeError as error:
        raise ConfigError(f"{where}: the {kind} {name!r} cannot be made: {error}") from error


def build(point: Point, loader: Loader) -> Condition:
    """Load what a point names and check that it fits together.

    Raises:
        ConfigError: the template is of another kind than the task, or shots without a pool.
        DataError: rows or pool are missing, malformed or empty.
        TemplateError: the template, or a variable it reads, is not there.
    """
    entry = point.task
    task: Task = lookup("task", entry.task)
    method = entry.method or task.methods[0]
    rows = entry.rows
    test = loader.examples(point, rows.data, point.locale, rows.split, rows.lines)
    pool, left_out = _pool(point, loader, test)
    spoken = point.prompt_language
    if spoken == "row":
        spoken = point.locale or (point.pair[1] if point.pair else "en")
    label_set = sorted({target for example in (*test, *pool) for target in example.targets[:1]})
    template = load_template(
        point.prompt,
        language_tag=spoken,
        label_language=entry.label_language,
        label_set=label_set,
        base=str(loader.experiment.base),
    )
    if template.file.kind != task.kind:
        raise ConfigError(
            f"the template {template.name!r} is of kind {template.file.kind!r}, the task "
            f"{task.name!r} needs {task.kind!r}; name another prompt, or change `task:` in its "
            "front matter"
        )
    test = [template.answered(example) for example in test]
    pool = [template.answered(example) for example in pool]
    drawn = sample(test, rows.n, rows.seed)
    choices = template.choices() if task.kind == "classify" else []
    if method != "rank" or entry.choice_end == "never":
        choices = [replace(choice, end="") for choice in choices]
    _check_labels(template, drawn)
    sampling = Sampling(**entry.sampling.model_dump())
    return Condition(
        point=point, task=task, method=method, template=template, examples=drawn,
        available=len(test), pool=pool, left_out=left_out,
        selector=loader.selector(point, pool), choices=choices,
        sampling=sampling, engine=loader.engine(point),
        batch_size=loader.experiment.batch_size,
        labels=Counter(example.targets[0] for example in pool if example.targets),
    )  # fmt: skip


def _pool(point: Point, loader: Loader, test: Sequence[Example]) -> tuple[list[Example], int]:
    entry = point.task
    if entry.pool is None:
        if point.shots.k and not point.shots.file:
            raise ConfigError(
                f"the task {entry.task!r} asks for {point.shots.k} shots but has no pool; add "
                "`pool: {split: train}`, or `pool: {lines: [121, 180]}` for a set without splits"
            )
        return [], 0
    name = entry.pool.data or entry.rows.data
    if name not in point.data:
        raise ConfigError(f"unknown data {name!r}{did_you_mean(name, point.data)}")
    locale = point.locale if entry.pool.locale == "same" else entry.pool.locale
    rows = loader.examples(point, name, locale, entry.pool.split, entry.pool.lines)
    pool, left_out = apart(rows, test, same_source=name == entry.rows.data)
    if not pool:
        raise DataError(
            f"the pool of {entry.task!r} is empty: all {len(rows)} rows of it stand in the test "
            "rows too; give it a split or lines of its own"
        )
    return pool, left_out


def _check_labels(template: Template, examples: Sequence[Example]) -> None:
    for example in examples:
        label = template.label(example)
        if label is not None and label not in template.labels:
            raise DataError(
                f"example {example.id!r} has the label {label!r}, which is not among the "
                f"{len(template.labels)} labels of {template.name}; add it under `labels:`"
                f"{did_you_mean(label, template.labels)}"
            )
