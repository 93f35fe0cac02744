"""A point of the grid with everything loaded: rows, pool, template, selector, engine.

The condition's fingerprint hashes what changes an answer and nothing else, so that two
experiments which ask the same share one folder, and B is never reported with A's outputs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from icl.config import Experiment, Point
from icl.data import DataSpec, Drawn, apart, data_hash, draw, pinned, scan
from icl.engines.chat import without_inert
from icl.entries import PoolEntry, RowsEntry
from icl.errors import ConfigError, DataError
from icl.ledger import Remote
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
    sent: str
    """The text that the engine is sent."""


def request_hash(
    prompt: Prompt, choices: Sequence[Choice], sampling: Mapping[str, JSON] | None, sent: str
) -> str:
    """SHA-256 of what is sent; a record is reused only if it is the same."""
    return digest(
        {
            "prompt": sent,
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
    ranking: str | None = None
    """How a server's choices are ranked: ``echo``, ``first_token`` or ``generate`` (and parsed);
    None where they are not, or by every token in this process."""
    revisions: Mapping[str, str] = field(default_factory=dict)
    """Data set of the hub -> commit that was read."""

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
            "engine": without_inert(
                self.engine.identity(),
                shots=shots is not None,
                system=self.template.file.system is not None,
            ),
            "method": f"rank:{self.ranking}" if self.ranking else self.method,
            "template": self.template.hash,
            "choices": [choice.text + choice.end for choice in self.choices],
            "sampling": self.sampling.identity() if self.method == "generate" else None,
            "shots": shots,
            "rows": [rows.data, rows.split, list(rows.lines or ()), self.point.locale,
                     list(self.point.pair or ())],
            **({"revisions": dict(self.revisions)} if self.revisions else {}),
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
        if self.method == "generate":
            return self.engine.window - self.sampling.max_tokens
        longest = max(self.count(Prompt(choice.text + choice.end)) for choice in self.choices)
        return self.engine.window - (longest - self.count(Prompt(""))) - 1

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
        sent = self.engine.sent(prompt)
        made = request_hash(prompt, self.choices, sampling, sent)
        return Request(example, prompt, kept, made, counted["tokens"], sent)

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
    engines: dict[str, Engine] = field(default_factory=dict)
    """By the point's ``engine_key``, in the order of the grid."""
    _tests: dict[str, Drawn] = field(default_factory=dict)
    _pools: dict[str, tuple[list[Example], int]] = field(default_factory=dict)
    _selectors: dict[str, Selector] = field(default_factory=dict)
    revisions: dict[str, str] = field(default_factory=dict)
    """Name of a data set of the hub -> commit that was read."""

    def _spec(
        self, point: Point, name: str, locale: str | None, rows: RowsEntry | PoolEntry
    ) -> DataSpec:
        """What to read, at a commit that is looked up once for a data set of the hub."""
        given = point.data[name].spec(self.experiment.base, locale, point.pair, rows)
        spec = pinned(replace(given, revision=self.revisions.get(name, given.revision)))
        if spec.format == "hf" and spec.revision:
            self.revisions[name] = spec.revision
        return spec

    def test(self, point: Point, labels: bool) -> Drawn:
        """The test rows drawn, and what was seen of all of them; read once."""
        rows = point.task.rows
        key = canonical([rows.model_dump(), point.locale, list(point.pair or ()), labels])
        if key not in self._tests:
            spec = self._spec(point, rows.data, point.locale, rows)
            self._tests[key] = draw(scan(spec), rows.n, rows.seed, labels)
        return self._tests[key]

    def pool(
        self, point: Point, entry: PoolEntry, locale: str | None, test: Drawn
    ) -> tuple[list[Example], int]:
        """The pool without the test rows, and how many were left out; read once."""
        rows = point.task.rows
        name = entry.data or rows.data
        used = [rows.model_dump(), point.locale, list(point.pair or ())]
        key = canonical([entry.model_dump(), name, locale, used])
        if key not in self._pools:
            spec = self._spec(point, name, locale, entry)
            self._pools[key] = apart(scan(spec), test.seen, name == rows.data, entry.n, entry.seed)
        return self._pools[key]

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
        for key in ("source", "tokenizer"):
            source = values.get(key)
            if isinstance(source, str) and source.startswith((".", "~")):
                values[key] = str((self.experiment.base / Path(source).expanduser()).resolve())
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
        for spec in fields(made):
            given = spec.name in options or not spec.init
            if not given and spec.default is MISSING and spec.default_factory is MISSING:
                raise ConfigError(f"{where}: the {kind} {name!r} needs {spec.name!r}; set it there")
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
    test = loader.test(point, labels=task.kind == "classify")
    pool, left_out = _pool(point, loader, test)
    spoken = point.prompt_language
    if spoken == "row":
        spoken = point.locale or (point.pair[1] if point.pair else "en")
    label_set = sorted(test.seen.labels.union(*(example.targets[:1] for example in pool)))
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
    drawn = [template.answered(example) for example in test.examples]
    pool = [template.answered(example) for example in pool]
    choices = template.choices() if task.kind == "classify" else []
    engine = loader.engine(point)
    ranking = _ranking(engine, choices) if method == "rank" else None
    if ranking == "generate":
        method = "generate"
    if method != "rank" or entry.choice_end == "never":
        choices = [replace(choice, end="") for choice in choices]
    _check_labels(template, drawn)
    choices = [engine.choice(choice) for choice in choices]
    sampling = Sampling(**entry.sampling.model_dump())
    named = {rows.data, entry.pool.data or rows.data if entry.pool else rows.data}
    return Condition(
        point=point, task=task, method=method, template=template, examples=drawn,
        available=test.available, pool=pool, left_out=left_out,
        selector=loader.selector(point, pool), choices=choices,
        sampling=sampling, engine=engine, ranking=ranking,
        batch_size=max(loader.experiment.batch_size, _width(engine) if method != "rank" else 1),
        labels=Counter(example.targets[0] for example in pool if example.targets),
        revisions={name: loader.revisions[name] for name in sorted(named & {*loader.revisions})},
    )  # fmt: skip


def _ranking(engine: Engine, choices: Sequence[Choice]) -> str | None:
    """How a server's engine ranks these choices."""
    if not isinstance(engine, Remote):
        return None
    return engine.ranked_by([choice.text + choice.end for choice in choices])


def _width(engine: Engine) -> int:
    """Examples in a batch at least: a server's slowest answer holds up no more than a quarter."""
    return 4 * engine.concurrency if isinstance(engine, Remote) else 1


def _pool(point: Point, loader: Loader, test: Drawn) -> tuple[list[Example], int]:
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
    pool, left_out = loader.pool(point, entry.pool, locale, test)
    if not pool:
        raise DataError(
            f"the pool of {entry.task!r} is empty: all {left_out} rows of it stand in the test "
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
