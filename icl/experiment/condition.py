"""A grid point with everything it needs: rows, pool, template, selector, engine.

The condition's fingerprint hashes what changes an answer and nothing else, so that two
experiments which ask the same share one folder, and B is never reported with A's outputs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from random import Random
from typing import Any

from icl.core.errors import ConfigError, DataError, TemplateError
from icl.core.label_sets import read_labels
from icl.core.registry import did_you_mean, lookup
from icl.core.types import (
    JSON,
    Choice,
    Example,
    Method,
    Prompt,
    Ranking,
    Role,
    Sampling,
    Shot,
    digest,
)
from icl.data import RowSample, hash_data
from icl.data.hints import Hints
from icl.engines.protocol import BudgetEngine, Engine, RenderingEngine
from icl.engines.table import UncountedEngine
from icl.experiment.calibration_prompts import ProbeRow, render_probe
from icl.experiment.constraint import check_engine_forms, make_constraint
from icl.experiment.grid import Point
from icl.experiment.loader import Loader
from icl.experiment.method import choose_method, write_choices
from icl.experiment.request import Request, hash_channel, hash_questions, hash_request
from icl.experiment.shot_order import arrange_shots, simplify_order
from icl.experiment.shots import check_labels, identify_labels, relabel
from icl.experiment.slot_readers import make_slot_reader
from icl.prompts.channel import Channel
from icl.prompts.chat_template import drop_inert
from icl.prompts.template import Template, load_template
from icl.prompts.truncation import FittedPrompt, fit
from icl.selectors import Selector
from icl.tasks import Task
from icl.tasks.constraints import Constraint
from icl.tasks.label_sets import POOL, SetRule, count_mean_labels, make_rule
from icl.tasks.predict import read_gold
from icl.tasks.slots import SlotReader, count_intents, list_metrics, name_slots

__all__ = ["Condition", "Request", "build", "check_answers", "hash_request", "teach_rows"]


_LABEL_REMEDIES: dict[str | None, str] = {
    "shared": "add it under `labels:`",
    "row": "add it under `choice_labels:`, or name there the field that lists each row's labels",
}
FORMAT = 1
"""Version of records; raised when older ones can no longer be reused."""


@dataclass
class Condition:
    """Everything that :func:`icl.running.run.run` needs to answer one grid point."""

    point: Point
    task: Task
    method: Method
    template: Template
    examples: list[Example]
    """The sampled test rows."""
    available: int
    """Number of test rows before sampling."""
    pool: list[Example]
    left_out: int
    """Number of pool rows left out because they, or the same content, are in the test split."""
    selector: Selector | None
    choices: list[Choice]
    """Choices that all examples share; empty if each has its own, and for free text."""
    sampling: Sampling
    engine: Engine
    batch_size: int | None = None
    """Examples in a batch; None lets :func:`icl.running.answer.plan_batches` decide."""
    labels: Mapping[str, int] = field(default_factory=dict)
    """Label -> pool rows in which it is a right answer."""
    ranking: Ranking | None = None
    """Way in which a server's choices are ranked: ``echo``, ``first_token`` or ``generate`` (and
    parsed); None if nothing is ranked, or every token in this process."""
    untaught: int = 0
    """Test rows that the target half of the prompt cannot show: their gold is the raw target."""
    revisions: Mapping[str, str] = field(default_factory=dict)
    """Data set of the hub -> the commit that was read."""
    constraint: Constraint | None = None
    """Constraint on generated answers; None: free text."""
    hints: Hints | None = None
    """Dictionary hints of every row; None: none."""

    @cached_property
    def identity(self) -> dict[str, JSON]:
        """Return everything that changes an answer, and nothing else."""
        rows = self.point.task.rows
        shots: JSON = None
        if self.selector is not None:
            shots = {
                "k": self.point.shots.k,
                "order": self._order_identity(),
                "selector": "fixed" if self.point.shots.file else self.point.shots.select,
                "options": self.selector.identity(),
                "pool": hash_data(self.selector.pool),
                **({"parallel": True} if self.selector.parallel else {}),
                **identify_labels(self.point.shots, self._one_draw),
            }
        return {
            "format": FORMAT,
            "engine": drop_inert(
                self.engine.identity(),
                shots=shots is not None,
                system=self.template.file.system is not None,
            ),
            "method": f"rank:{self.ranking}" if self.ranking else self.method,
            "template": self.template.hash,
            "choices": self._choice_identity(),
            "sampling": self.sampling.identity() if self.method == "generate" else None,
            "shots": shots,
            "rows": [
                rows.data,
                rows.split,
                list(rows.lines or ()),
                self.point.locale,
                list(self.point.pair or ()),
            ],
            **({"revisions": dict(self.revisions)} if self.revisions else {}),
            **({"enricher": self.task.enricher.identity()} if self.task.enricher else {}),
            **({"constrain": self.constraint.identity()} if self.constraint else {}),
            **self._hint_identity(),
            **self._first_token_identity(),
        }

    def _hint_identity(self) -> dict[str, JSON]:
        """Return what changes the hints of queries and shots; nothing without hints."""
        entry = self.point.task.hints
        if self.hints is None or entry is None:
            return {}
        shown = {"in_shots": entry.in_shots} if self.selector is not None else {}
        return {"hints": [self.hints.identity(), shown]}

    def _first_token_identity(self) -> dict[str, JSON]:
        """Mark how tokens of a chat that are one choice are counted: summed, formerly replaced.

        So numbers of that time are not mixed with those of today.
        """
        chat = self.engine.identity().get("api") == "chat"
        return {"first_tokens": "summed"} if self.ranking == "first_token" and chat else {}

    @cached_property
    def order(self) -> str:
        """The simplest order that gives the same prompts as the requested one."""
        assert self.selector is not None
        k, pool = self.point.shots.k, len(self.selector.pool)
        k = pool if k is None or pool < 2 else k
        return simplify_order(self.point.order, k, self.selector.scores_are)

    def _order_identity(self) -> JSON:
        return [self.order, self.point.shots.seed] if self.order == "random" else self.order

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of the identity's hash."""
        return digest(self.identity)[:16]

    @property
    def folder(self) -> str:
        """Name of the condition's folder."""
        return f"{self.task.name}-{self.fingerprint}"

    def count(self, prompt: Prompt) -> int:
        """Count the tokens of a prompt, including special tokens."""
        return len(self.engine.tokens(prompt))

    def _choice_identity(self) -> JSON:
        if self.template.file.kind.labels == "row":
            return {"in_rows": True, "ended": self._ended}
        return [choice.text + choice.end for choice in self.choices]

    @property
    def ranks(self) -> bool:
        """Return whether choices are scored, by either method; otherwise text is generated."""
        return self.method != "generate"

    @property
    def _ended(self) -> bool:
        """Return whether the choices' terminators are scored."""
        return self.method == "rank" and self.point.task.choice_end != "never"

    def set_rule(self, logprobs: Sequence[Sequence[float]]) -> SetRule | None:
        """Make the rule that reads answers with these log-probabilities as sets, if they are."""
        if self.task.kind.gold != "set":
            return None
        head, take = self.template.file.head, self.point.task.take
        return make_rule(head.label_separator, head.no_labels, take or POOL, logprobs, self.labels)

    def answer_rule(
        self, example: Example, logprobs: Sequence[Sequence[float]]
    ) -> SetRule | SlotReader | None:
        """Make what reads the answer to one example, where that is a set of labels or of slots.

        Args:
            example: the row that is answered.
            logprobs: those that a threshold for sets is chosen by.
        """
        if self.task.kind.gold == "spans":
            return make_slot_reader(self.template.file.head, self.template.labels, example)
        return self.set_rule(logprobs)

    @property
    def metrics(self) -> list[str | dict[str, Any]]:
        """Return the metrics of the entry; by default the task's, and that of intents.

        With hints, the metrics of their coverage and use follow.
        """
        entry = self.point.task
        asked: list[str | dict[str, Any]] = list(entry.metrics or ())
        if not asked:
            asked += list_metrics(self.task, self.template.file.head.intent_field is not None)
        if self.hints is not None:
            used = self.method == "generate" and self.task.kind.labels is None
            counted = ["hint_coverage", *(["hint_use", "hint_fit"] if used else [])]
            asked += [name for name in counted if name not in asked]
        return asked

    def choices_of(self, example: Example) -> Sequence[Choice]:
        """Return the choices of an example: its own if the template has them, else shared ones."""
        if self.template.file.kind.labels != "row":
            return self.choices
        if self.method == "channel":
            return Channel(self.template).choices(example)
        made = self.template.choices(example)
        if not self._ended:
            made = [replace(choice, end="") for choice in made]
        return write_choices(self.engine, made)

    @cached_property
    def room(self) -> int:
        """Return the most tokens of a prompt next to the longest answer that all examples share."""
        return self._room(self.choices)

    def _room(self, choices: Sequence[Choice]) -> int:
        answer = self.sampling.max_tokens
        if self.method != "generate":
            texts = [choice.text + choice.end for choice in choices]
            longest = max((self.count(Prompt(text)) for text in texts), default=0)
            answer = max(0, longest - self.count(Prompt(""))) + 1
        if isinstance(self.engine, BudgetEngine):  # answers of an encoder-decoder model stand apart
            return self.engine.room(answer)
        return self.engine.window - answer

    def request(self, example: Example, role: Role = "test") -> Request:
        """Make the request of one example: select shots, render, fit into the window, hash."""
        shots: list[Shot] = []
        if self.selector is not None:
            k = self.point.shots.k
            shots = self.selector.select(example, len(self.selector.pool) if k is None else k)
            own = "" if self.selector.same_for_all else example.id
            numbers = Random(f"{self.point.shots.seed}:order:{own}")
            shots = arrange_shots(shots, self.order, k, numbers)
            shots = self._relabelled(example, shots)
        choices = self.choices_of(example)
        if self.method == "channel":
            return self._channel(example, shots, choices)
        if self.template.file.head.asks_each:
            return self._questions(example, shots)
        room = self.room if choices is self.choices else self._room(choices)
        fitted = fit(self.template, example, shots, self.count, room)
        return self._hashed(example, fitted, choices, role)

    def probe(self, probe: ProbeRow, beside: Request) -> Request:
        """Make the request of a probe, with the shots and choices of the row it belongs to."""
        choices, example = beside.choices, probe.example
        room = self.room if choices is self.choices else self._room(choices)
        if probe.role == "domain":
            prompt = render_probe(probe.role, self.template, example, (), None)
            fitted = FittedPrompt(prompt, [], self.count(prompt))
        else:
            fitted = fit(self.template, example, beside.shots, self.count, room)
        return self._hashed(example, fitted, choices, probe.role)

    def _hashed(
        self, example: Example, fitted: FittedPrompt, choices: Sequence[Choice], role: Role
    ) -> Request:
        prompt, kept, tokens = fitted
        if self.constraint is not None:
            prompt = replace(prompt, form=self.constraint.form(example, choices))
        sampling = self.sampling.identity() if self.method == "generate" else None
        sent = self.engine.sent(prompt) if isinstance(self.engine, RenderingEngine) else prompt.text
        made = hash_request(prompt, choices, sampling, sent)
        return Request(example, prompt, kept, made, tokens, sent, choices, role)

    def _channel(
        self, example: Example, shots: Sequence[Shot], choices: Sequence[Choice]
    ) -> Request:
        """Make a channel request: the same shots for each label, as many as fit the longest one."""
        channel = Channel(self.template)
        scored = write_choices(self.engine, [channel.scored(example)])[
            0
        ].text  # no end: it is an input
        longest = self._longest if choices is self.choices else self._longest_of(choices)
        room = self._room([Choice("", scored)])
        fitted = fit(replace(channel, given=longest), example, shots, self.count, room)
        prompts = [replace(fitted.prompt, query=choice.text) for choice in choices]
        sent = [
            self.engine.sent(prompt) if isinstance(self.engine, RenderingEngine) else prompt.text
            for prompt in prompts
        ]
        return Request(
            example,
            prompts[0],
            fitted.shots,
            hash_channel(sent, scored),
            fitted.tokens,
            sent[0],
            choices,
            prompts=prompts,
            scored=scored,
        )

    def _questions(self, example: Example, shots: Sequence[Shot]) -> Request:
        """Make a request with a question for each slot: the same shots for each of them."""
        template = self.template
        names = list(template.labels)
        if template.file.head.questions == "shots" and shots:
            shown = name_slots(target for shot in shots for target in shot.example.targets[:1])
            names = [name for name in names if name in shown]
        if not names:  # the shots show none: one question keeps the row
            names = list(template.labels)[:1]
        longest = max(names, key=lambda name: self.count(Prompt(template.labels[name])))
        fitted = fit(replace(template, slot=longest), example, shots, self.count, self.room)
        keep = fitted.prompt.shortened[0] if fitted.prompt.shortened else None
        prompts = [
            replace(
                replace(template, slot=name).prompt(example, fitted.shots, keep),
                dropped=fitted.prompt.dropped,
                shortened=fitted.prompt.shortened,
            )
            for name in names
        ]
        sent = [
            self.engine.sent(prompt) if isinstance(self.engine, RenderingEngine) else prompt.text
            for prompt in prompts
        ]
        return Request(
            example,
            prompts[0],
            fitted.shots,
            hash_questions(prompts, self.sampling.identity(), sent),
            fitted.tokens,
            sent[0],
            [Choice(name, template.labels[name]) for name in names],
            prompts=prompts,
        )

    @cached_property
    def _longest(self) -> str:
        return self._longest_of(self.choices)

    def _longest_of(self, choices: Sequence[Choice]) -> str:
        return max((choice.text for choice in choices), key=lambda text: self.count(Prompt(text)))

    def _relabelled(self, example: Example, shots: list[Shot]) -> list[Shot]:
        """Return the shots with the labels that the condition shows."""
        asked = self.point.shots
        if asked.shown_labels == "gold" or self.selector is None:
            return shots
        return relabel(
            self.template, example, shots, asked.shown_labels, asked.seed, self._one_draw
        )

    @property
    def _one_draw(self) -> bool:
        """Return whether all queries have the same shots, which then also have the same labels."""
        return self.selector is not None and self.selector.same_for_all

    def about(self) -> dict[str, JSON]:
        """Return the content of ``condition.json``: enough to render every prompt again."""
        file = self.template.file
        return {
            "fingerprint": self.fingerprint,
            "identity": self.identity,
            "task": self.task.name,
            "method": self.method,
            "sampling": self.sampling.identity() if self.method == "generate" else None,
            "template": {
                "name": file.name,
                "format": self.point.form,
                "text": file.text,
                "language": self.template.language,
                "words": dict(self.template.words),
                "labels": dict(self.template.labels),
                "fallbacks": list(self.template.fallbacks),
            },
            **({"labels": "none"} if self.point.shots.shown_labels == "none" else {}),
            **({"constrain": self.constraint.identity()} if self.constraint else {}),
        }


def build(point: Point, loader: Loader) -> Condition:
    """Build a condition: load everything that a point names, and check that it fits together.

    Raises:
        ConfigError: the template is of another kind than the task, or shots lack a pool.
        DataError: rows or pool are missing, malformed or empty.
        TemplateError: the template, or a variable it reads, does not exist.
    """
    entry = point.task
    task: Task = lookup("task", entry.task)
    method = entry.method or task.methods[0]
    rows = entry.rows
    template = _template(point, loader)
    if template.file.kind != task.kind:
        raise ConfigError(
            f"the template {template.name!r} is of kind {template.file.kind.name!r}, the task "
            f"{task.name!r} needs {task.kind.name!r}; name another prompt, or change `task:` in "
            "its front matter"
        )
    test = loader.test(point, template)
    pool, left_out = _pool(point, loader, template, test)
    if template.takes_labels:
        found = test.seen.labels.union(*(example.targets for example in pool))
        if task.kind.gold == "set":
            found = set[str]().union(*map(read_labels, found))
        if task.kind.gold == "spans":
            found = set(name_slots(found))
        prompted, labelled = _languages(point)
        names, missing = template.file.pick_labels(labelled or prompted, sorted(found))
        template = replace(template, labels=names, fallbacks=(*template.fallbacks, *missing))
    parser = entry.parser or task.parser
    examples, untaught = teach_rows(template, test.examples)
    taught = [read_gold(one, parser) for one in teach_rows(template, pool)[0]]
    template = replace(template, fallbacks=template.find_fallbacks([*test.examples, *pool]))
    engine = loader.engine(point)
    method, ranking, choices = choose_method(method, template, engine, entry.choice_end != "never")
    rows_known = [*pool, *test.examples]
    base = loader.experiment.base
    constraint = make_constraint(entry, task, method, template, engine, rows_known, base)
    kind = constraint.kind if constraint else None
    sampling = Sampling(**entry.sampling.model_dump(), constrain=kind)
    named = {rows.data, entry.pool.data or rows.data if entry.pool else rows.data}
    made = Condition(
        point=point,
        task=task,
        method=method,
        template=template,
        examples=examples,
        available=test.available,
        pool=pool,
        left_out=left_out,
        selector=loader.selector(point, pool, test.examples, template),
        choices=choices,
        sampling=sampling,
        engine=engine,
        ranking=ranking,
        batch_size=loader.experiment.batch_size,
        labels=_count_labels(task, taught),
        untaught=untaught,
        revisions={name: loader.revisions[name] for name in sorted(named & {*loader.revisions})},
        constraint=constraint,
        hints=loader.hints(point),
    )
    if kind is not None and not isinstance(engine, UncountedEngine):
        check_engine_forms(kind, engine, point.model_name)
    check_answers(made)
    _check_take(made)
    check_labels(point.shots, template, method, engine.identity())
    return made


def _count_labels(task: Task, rows: Sequence[Example]) -> Counter[str]:
    """Count the pool rows of each right answer; of slots, those of each intent."""
    if task.kind.gold == "spans":
        return count_intents([example.targets[0] for example in rows if example.targets])
    return Counter(target for example in rows for target in dict.fromkeys(example.targets))


def teach_rows(template: Template, rows: list[Example]) -> tuple[list[Example], int]:
    """Return rows with gold as the prompt shows it, and the number that cannot be shown so.

    A target half may read what only the shots have, such as a reasoning written for them; the
    targets of other rows are then their gold as they are.
    """
    if not template.may_change_targets:
        return rows, 0
    made, left = [], 0
    for row in rows:
        try:
            made.append(template.teach(row))
        except TemplateError:
            made.append(row)
            left += 1
    return made, left


def _template(point: Point, loader: Loader) -> Template:
    """Load the template in the point's languages, with the labels that its file lists.

    Raises:
        ConfigError: labels in the language of rows that name none.
    """
    spoken, labelled = _languages(point)
    return load_template(
        point.prompt,
        language_tag=spoken,
        label_language=labelled,
        base=str(loader.experiment.base),
        form=point.form,
        own=loader.own_forms(),
    )


def _languages(point: Point) -> tuple[str, str | None]:
    """Return the languages of the prompt's words and of the labels; None for that of the words."""
    spoken = point.prompt_language
    labelled = point.task.label_language[0] if point.task.label_language else None
    if spoken == "row":
        spoken = point.row_language or "en"
    if labelled == "row":
        labelled = point.row_language
        if labelled is None:
            raise ConfigError(
                f"the task {point.task.task!r}: label_language: row takes the language of the "
                "rows, which have neither locale nor pair; give them `locale:`, or name the "
                "language, as in `label_language: en`"
            )
    return spoken, labelled


def _pool(
    point: Point, loader: Loader, template: Template, test: RowSample
) -> tuple[list[Example], int]:
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
    pool, left_out = loader.pool(point, entry.pool, point.pool_locale, template, test)
    if not pool:
        where = f"all {left_out} of its rows are also test rows"
        if entry.pool.without:
            where = "all of its rows are test rows or are excluded by `without`"
        raise DataError(
            f"the pool of {entry.task!r} is empty: {where}; give it another split or other lines"
        )
    return pool, left_out


def _check_take(condition: Condition) -> None:
    """Refuse a rule for sets of labels where nothing is ranked, and what has no meaning for sets.

    Raises:
        ConfigError: says what is accepted.
    """
    entry, kind = condition.point.task, condition.task.kind
    if kind.gold != "set":
        if entry.take is not None:
            raise ConfigError(
                f"take: {entry.take!r} says which labels of a ranking make a set, and the task "
                f"{entry.task!r} answers with one; remove it, or use a task of kind labels"
            )
        return
    if entry.calibrate:
        raise ConfigError(
            f"calibrate: corrects which label is the best one, and the task {entry.task!r} answers "
            "with a set of them; remove it, and say under take: which labels are in the set"
        )
    if condition.ranks and entry.take in (None, POOL):
        count_mean_labels(condition.labels)  # says what to do without a pool


def _check_questions(condition: Condition) -> None:
    """Refuse questions about single slots where there is nothing to ask, or several answers.

    Raises:
        ConfigError: several samples are asked for, or no slot is known.
    """
    template = condition.template
    if not template.file.head.asks_each:
        return
    if condition.sampling.n > 1:
        raise ConfigError(
            f"sampling: n: {condition.sampling.n} samples of each answer, and {template.name} asks "
            "a question for each slot; write n: 1, or a template with `output: marked`"
        )
    if not template.labels:
        raise ConfigError(
            f"{template.name} asks a question for each slot, and neither the rows nor the pool "
            "have one; list them under `labels:`"
        )


def _check_slot_names(condition: Condition) -> None:
    """Check that each row has a text, and no slot that the template does not list.

    Raises:
        DataError: says which row and slot.
    """
    labels = condition.template.labels
    for example in (*condition.examples, *condition.pool):
        make_slot_reader(condition.template.file.head, labels, example)
        for name in name_slots(example.targets):
            if name not in labels:
                raise DataError(
                    f"example {example.id!r} has the slot {name!r}, which is not among the "
                    f"{len(labels)} slots of {condition.template.name}; add it under `labels:`, or "
                    f"leave `labels:` out to take those of the data{did_you_mean(name, labels)}"
                )


def check_answers(condition: Condition) -> None:
    """Check that right answers are among the choices, and that choices of every row are distinct.

    Raises:
        DataError: a row, which the message names, whose answer is none of them, or one of whose
            fields has a name that the template reads as something else.
    """
    template = condition.template
    kind = template.file.kind
    like_it: set[tuple[object, ...]] = set()
    for example in (*condition.examples, *condition.pool):
        form = (*example.fields, None, *example.gold, None, *example.meta)
        if form in like_it and not {"target", "targets"} & example.fields.keys():
            continue  # only these are told by what they hold
        like_it.add(form)
        if (found := template.find_concealed(example)) is not None:
            name, place = found
            raise DataError(
                f"{place}: reads {name!r}, which is a reserved name, and example {example.id!r} "
                f"has a field {name!r} that it hides; rename the field in the data, as in "
                f"`fields: {{own_{name}: {name}}}` besides the others you need, and read "
                f"`own_{name}`"
            )
    if kind.gold == "spans":
        _check_slot_names(condition)
        _check_questions(condition)
    if kind.gold == "items":
        for example in (*condition.examples, *condition.pool):
            if example.targets and template.file.head.label_field not in example.fields:
                raise DataError(
                    f"example {example.id!r}: a task of kind {kind.name!r} compares fields, so the "
                    f"front matter of {template.name} must name the field that holds them, as in "
                    "`label_field: entities`"
                )
    for example in condition.examples if kind.labels is not None else ():
        labels = template.labels
        if kind.labels == "row":
            labels = {choice.label: choice.text for choice in condition.choices_of(example)}
        label = next((one for one in template.gold_labels(example) if one not in labels), None)
        if label is not None:
            whose = "of" if kind.labels == "shared" else "that it has under"
            raise DataError(
                f"example {example.id!r} has the label {label!r}, which is not among the "
                f"{len(labels)} labels {whose} {template.name}; "
                f"{_LABEL_REMEDIES[kind.labels]}"
                f"{did_you_mean(label, labels)}"
            )
