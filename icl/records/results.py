"""Read access to a run folder: conditions with their records, predictions, prompts and scores.

A run folder names its conditions in ``manifest.json``; their records are in condition folders
that experiments share.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from icl.calibrators import CalibratedScores, Calibrator, make_calibrator
from icl.core.errors import ConfigError, StoreError, TemplateError
from icl.core.label_sets import list_right_labels
from icl.core.registry import did_you_mean, lookup, names
from icl.core.score_name import primary
from icl.core.slot_answers import SlotAnswer, SlotSource, read_slot_answer
from icl.core.strict_json import read_json
from icl.core.types import (
    JSON,
    Choice,
    Example,
    Prediction,
    Prompt,
    Record,
    Role,
    Score,
    Shot,
    UnscoredRow,
    canonicalize,
    digest,
)
from icl.data import hash_data
from icl.experiment.calibration_prompts import render_probe
from icl.experiment.differences import pick_telling
from icl.experiment.plugins import load_known
from icl.experiment.request import hash_channel, hash_questions, hash_request
from icl.experiment.slot_readers import make_slot_reader
from icl.prompts.channel import Channel
from icl.prompts.chat_template import write_continuation
from icl.prompts.frontmatter import FrontMatter, split_front_matter
from icl.prompts.render_again import HERE, Rendering
from icl.prompts.slot_values import find_source, read_answer
from icl.prompts.template import Template, restore
from icl.records.calibrated import Calibration, CalibrationRecords, calibrate
from icl.records.frames import (
    make_prediction_frame,
    make_score_frame,
    name_setting_column,
    write_prediction_cells,
    write_score_cells,
    write_unscored_cells,
)
from icl.records.manifest import ConditionEntry, Manifest, read_manifest
from icl.records.notebook import MOST_ROWS, describe_score, write_html_table
from icl.records.paths import MANIFEST, MODEL, find_runs, holds_run, holds_search
from icl.records.score_files import read_calibrations, read_scores
from icl.records.store import ConditionStore
from icl.tasks import Task
from icl.tasks.label_sets import POOL, SetRule, make_rule
from icl.tasks.patterns import ParserEntry
from icl.tasks.predict import predict, read_gold
from icl.tasks.slots import SlotReader

__all__ = [
    "ConditionResult",
    "Run",
    "load_run",
    "open_run",
    "find_telling_axes",
    "find_varying_axes",
]


GOLD_ROWS = 20
"""Number of first rows to check for missing gold, as the prompt shows it."""

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class ConditionResult:
    """One condition of a run, read lazily from its folder."""

    entry: ConditionEntry
    """Its entry in the manifest."""
    ids: Sequence[str]
    """Ids of this run's examples, in its order."""
    store: ConditionStore
    scores: tuple[Score, ...] = ()
    calibrations: tuple[Calibration, ...] = ()
    """Summaries of the calibrators applied to it."""
    rendering: Rendering = HERE
    allow_commands: bool = False
    """Whether the programs among the entry's metrics may be started; False by default, because a
    run folder may come from a stranger."""

    @property
    def axes(self) -> dict[str, str]:
        """Its values on the grid's axes."""
        return dict(self.entry.axes)

    @property
    def settings(self) -> dict[str, str]:
        """Its settings by name, one word each: see :attr:`icl.experiment.grid.Point.settings`.

        Raises:
            StoreError: the manifest is of an earlier version, which did not write them.
        """
        if self.entry.settings is None:
            raise StoreError(
                f"{self.store.folder}: its run is of an earlier version and does not list its "
                "settings; run the experiment again, which reuses all answers"
            )
        return dict(self.entry.settings)

    @property
    def setting_cells(self) -> dict[str, str]:
        """Return its settings by their column in tables for programs.

        Those of a run by an earlier version, which did not list its settings, are its axes.
        """
        found = self.entry.settings
        if found is None:
            found = {axis: word for axis, word in self.axes.items() if word}
        return {name_setting_column(name): word for name, word in found.items()}

    @property
    def task(self) -> Task:
        """The registered task."""
        task: Task = lookup("task", self.entry.task)
        return task

    @cached_property
    def records(self) -> dict[str, Record]:
        """Return the records of the run's examples, in its order; unanswered ones are absent."""
        found, left = self.store.complete_records(), self.unscored
        return {name: found[name] for name in self.ids if name in found and name not in left}

    @cached_property
    def unscored(self) -> dict[str, UnscoredRow]:
        """Return the rows without an answer from the model at its last try, in the run's order."""
        found = self.store.unscored()
        return {name: found[name] for name in self.ids if name in found}

    @property
    def n_missing(self) -> int:
        """Return the number of rows that were not sent yet."""
        return len(self.ids) - len(self.records) - len(self.unscored)

    @cached_property
    def examples(self) -> list[Example]:
        """The rows of the records with the answers that count: see :meth:`gold_examples`.

        Raises:
            StoreError: another experiment has since used other rows with the same ids.
        """
        return self.gold_examples()

    def gold_examples(self, parser: ParserEntry | None = None) -> list[Example]:
        """Return the rows of the records with gold, as the named parser reads it, for targets.

        Gold differs from the targets of :attr:`rows` where the prompt's target half changes them.
        """
        return [read_gold(one, parser or self.entry.parser) for one in self.rows]

    @property
    def raw_gold(self) -> int:
        """Count first rows that are scored by raw targets, since an older icl stored no gold."""
        if not (self.store.folder / "condition.json").exists():
            return 0
        if not restore(self.store.condition().template).may_change_targets:
            return 0
        template, count = self.template(), 0
        for row in [row for row in self.rows if not row.gold_texts][:GOLD_ROWS]:
            try:
                count += bool(template.teach(row).gold_texts)
            except TemplateError:  # the run itself has said so
                continue
        return count

    @cached_property
    def rows(self) -> list[Example]:
        """Return the examples with records, in the run's order, as the data has them.

        Raises:
            StoreError: the folder's rows changed since this run, or one of them is missing.
        """
        known = self.store.examples()
        rows = [known[name] for name in self.ids if name in known]
        whole = len(rows) == len(self.ids) and digest(self.ids)[:12] == self.entry.rows
        if whole and self.entry.rows_hash not in (None, hash_data(rows)):
            raise StoreError(
                f"{self.store.folder}: its rows are no longer those of this run: the data changed, "
                "or another experiment calls other data by the same name; run this experiment "
                "again, which computes only what is not the same"
            )
        try:
            return [known[name] for name in self.records]
        except KeyError as error:
            raise self._missing(error) from error

    def predictions(
        self,
        parser: ParserEntry | None = None,
        calibrator: str | Calibrator | CalibratedScores | None = None,
    ) -> list[Prediction]:
        """Parse every record, with the named parser or the condition's own.

        With a calibrator, the value is the choice with the highest calibrated score; of equal ones
        the first.

        Returns:
            One prediction for each record, in the order of :attr:`records`.

        Raises:
            CalibrationError: see :meth:`calibrated`.
            ConfigError: the parser or calibrator is unknown.
        """
        choices = self.store.choices()
        used = parser or self.entry.parser
        plain = [
            predict(record, choices, used, self.answer_rule(record))
            for record in self.records.values()
        ]
        if calibrator is None:
            return plain
        rows = zip(plain, self.records.values(), self.calibrated(calibrator).scores, strict=True)
        return [
            replace(made, value=self.choices(record)[int(scores.argmax())].label)
            for made, record, scores in rows
        ]

    @cached_property
    def set_rule(self) -> SetRule | None:
        """Return the rule that reads records as sets of labels; None if answers are no sets.

        Raises:
            ConfigError: the pool is to choose a threshold, and the manifest knows no label of it.
        """
        # A judge's verdicts are of no registered task.
        if self.entry.task not in names("task") or self.task.kind.gold != "set":
            return None
        if not self.records:
            return SetRule()  # nothing is read, and the folder may not be begun
        kept = self.store.condition().template
        head, _, _ = split_front_matter(kept.text, Path(kept.name))
        return make_rule(
            head.label_separator,
            head.no_labels,
            self.entry.take or POOL,
            [record.logprobs for record in self.records.values()],
            self.entry.pool.labels,
        )

    def right_labels(self, example: Example) -> tuple[str, ...]:
        """List the right labels of a row, each by itself; for free text its right answers."""
        return list_right_labels(example.targets, self.set_rule is not None)

    def predict(self, record: Record) -> Prediction:
        """Read a record's answer by the condition's parser, or the reason why it has none."""
        row = self.unscored.get(record.id)
        if row is not None and not record.outputs and not record.logprobs:
            labels = tuple(label for _, label, _ in record.shots if label is not None)
            return Prediction(record.id, None, f"unscored: {row.error}", labels)
        return predict(record, self.choices(record), self.entry.parser, self.answer_rule(record))

    def answer_rule(self, record: Record) -> SetRule | SlotReader | None:
        """Return what reads a record's answer, where that is a set of labels or of slots.

        Raises:
            StoreError: the row of a record of slots is missing.
        """
        if self._head is None:
            return self.set_rule
        head, labels = self._head
        return make_slot_reader(head, labels, self.example(record))

    @cached_property
    def _head(self) -> tuple[FrontMatter, Mapping[str, str]] | None:
        """The template's front matter and names of slots; None where answers are not slots."""
        if self.entry.task not in names("task") or self.task.kind.gold != "spans":
            return None
        kept = self.store.condition().template
        return split_front_matter(kept.text, Path(kept.name))[0], kept.labels

    @property
    def asks_each(self) -> bool:
        """Return whether a row has a question, and so an output, for each slot."""
        return self._head is not None and self._head[0].asks_each

    def show_answer(self, example: Example, answer: str) -> str:
        """Return an answer, or a target, as a reader wants it: slots as marks in their text."""
        if self._head is None:
            return answer
        return self.slot_source(example).describe(read_slot_answer(answer))

    def slot_source(self, example: Example) -> SlotSource:
        """Return the text and tokens of a row whose answers are slots.

        Raises:
            ConfigError: the answers of this condition are not slots.
        """
        if self._head is None:
            raise ConfigError(
                f"the answers of the task {self.entry.task!r} are not slots; take a condition of a "
                "task of kind slots"
            )
        return find_source(self._head[0], f"example {example.id!r}", example)

    def slot_gold(self, example: Example) -> SlotAnswer:
        """Return the slots that are right for a row, of a shot written by hand too.

        Raises:
            ConfigError: the answers of this condition are not slots.
            DataError: the row has none, or they do not fit its text.
        """
        self.slot_source(example)
        assert self._head is not None
        return read_answer(self._head[0], f"example {example.id!r}", example)

    def calibrator(self, name: str) -> Calibrator:
        """Return the calibrator behind a score's name, as ``batch`` in ``accuracy+batch``.

        Raises:
            ConfigError: no calibrator has this name.
        """
        entries = [*self.entry.calibrate, *(dict(c.entry) for c in self.calibrations)]
        return dict(map(make_calibrator, entries)).get(name) or make_calibrator(name)[1]

    def calibrated(self, calibrator: str | Calibrator | CalibratedScores) -> CalibratedScores:
        """Compute the calibrated scores of every record's choices, in the order of :attr:`records`.

        Scores that are calibrated already are returned unchanged.

        Raises:
            CalibrationError: the choices were not ranked, the calibrator refuses them, or records
                that it needs are missing; the message says how to compute them.
            ConfigError: no calibrator has this name.
        """
        if isinstance(calibrator, CalibratedScores):
            return calibrator
        used = self.calibrator(calibrator) if isinstance(calibrator, str) else calibrator
        shelf = CalibrationRecords(self.store, list(self.records.values()), self.entry.pool)
        return calibrate(used, shelf)

    def probes(self, role: Role) -> ConditionResult:
        """Return the probes of a role as a condition that can be inspected like any other."""
        store = self.store.beside(role)
        return replace(self, store=store, ids=tuple(store.records()), scores=(), calibrations=())

    @property
    def tokens(self) -> int:
        """Tokens of all prompts and answers, counted without sharing common prefixes."""
        return self.store.tokens(self.records.values())

    @property
    def model(self) -> dict[str, Any]:
        """Properties of the model, saved when the first record was computed; empty if none were."""
        path = self.store.folder / MODEL
        return read_json(path, dict[str, Any]) if path.exists() else {}

    @property
    def seconds(self) -> float:
        """Computation time of the condition's records in seconds, those of other runs included."""
        return self.store.timing().get("seconds", 0.0)

    def template(self) -> Template:
        """Return the template as it was when the condition was first run."""
        return self.rendering.template(self.store.condition().template)

    def choices(self, record: Record) -> Sequence[Choice]:
        """Return the choices that a record ranks, in the order of its log-probabilities."""
        return record.choices or self.store.choices()

    def shots(self, record: Record) -> list[Shot]:
        """Return a record's shots, with the labels that were shown.

        Raises:
            StoreError: a shot is missing from the folder.
        """
        pool = self.store.shots()
        bare = self.store.condition().bare_shots
        try:
            return [
                Shot(pool[name], score, "" if bare else label)
                for name, label, score in record.shots
            ]
        except KeyError as error:
            raise self._missing(error) from error

    def gold_example(self, record: Record) -> Example:
        """Return the row that a record answers, with gold for its targets."""
        return read_gold(self.example(record), self.entry.parser)

    def example(self, record: Record) -> Example:
        """Return the row that a record answers, as the data has it.

        Raises:
            StoreError: it is missing from the folder.
        """
        try:
            return self.store.examples()[record.id]
        except KeyError as error:
            raise self._missing(error) from error

    def _missing(self, error: KeyError) -> StoreError:
        return StoreError(
            f"{self.store.folder}/examples.jsonl or shots.jsonl: the example {error} is missing; "
            "run the experiment again"
        )

    def prompt(self, record: Record) -> Prompt:
        """Render a record's prompt again from the files in the folder; see :meth:`prompts`."""
        return self.prompts(record)[0]

    def prompts(self, record: Record) -> list[Prompt]:
        """Render a record's prompts again: one, or one for each choice with the channel method.

        Where each slot is asked about by itself, there is one for each of these.

        Raises:
            StoreError: an example or a shot is missing from the folder.
        """
        shots, template, example = self.shots(record), self.template(), self.example(record)
        keep = record.shortened[0] if record.shortened else None
        if self.entry.method == "channel":
            channel = Channel(template)
            made = [
                replace(channel, given=choice.text).prompt(example, shots)
                for choice in self.choices(record)
            ]
        elif self.asks_each:
            made = [
                replace(template, slot=choice.label).prompt(example, shots, keep)
                for choice in record.choices
            ]
        else:
            made = [render_probe(record.role, template, example, shots, keep)]
        if (constraint := self.store.condition().constraint) is not None:
            form = constraint.form(example, self.choices(record))
            made = [replace(prompt, form=form) for prompt in made]
        return [
            replace(prompt, dropped=record.dropped, shortened=record.shortened) for prompt in made
        ]

    def scored(self, record: Record) -> str | None:
        """Return the input that the channel method scored; None for other methods."""
        if self.entry.method != "channel":
            return None
        text = Channel(self.template()).scored(self.example(record)).text
        return write_continuation(text, self.store.condition().identity.engine)

    def hash_again(self, record: Record) -> str:
        """Compute a record's request hash again from the files in the folder."""
        prompts, scored = self.prompts(record), self.scored(record)
        sent = [self.sent(prompt) for prompt in prompts]
        if scored is not None:
            return hash_channel(sent, scored)
        sampling = self.store.condition().sampling
        if self.asks_each:
            return hash_questions(prompts, sampling, sent)
        return hash_request(prompts[0], self.choices(record), sampling, sent[0])

    def sent(self, prompt: Prompt) -> str:
        """Return the text that was sent for a prompt, rendered without loading the model."""
        return self.rendering.sent(prompt, self.store.condition().identity.engine)

    def holds(self, name: str) -> bool:
        """Return whether there is a record of an example, with an answer or without one."""
        return name in self.records or name in self.unscored

    def record(self, name: str) -> Record:
        """Return the record of an example; that of an unscored row holds no answer.

        Raises:
            StoreError: there is none; the message suggests the closest id.
        """
        if name in self.unscored:
            return self.unscored[name].record
        if name not in self.records:
            raise StoreError(
                f"{self.store.folder.name} has no record {name!r}{did_you_mean(name, self.records)}"
            )
        return self.records[name]


@dataclass(frozen=True)
class Run:
    """A run folder with its manifest, conditions and scores."""

    folder: Path
    manifest: Manifest
    conditions: tuple[ConditionResult, ...]
    computed: int = 0
    """Records computed by this call of :func:`icl.run`; 0 for a run that was only read."""
    reused: int = 0

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.manifest.name

    @property
    def called(self) -> str:
        """The run's name in a command: its own name if it is in ``runs``, otherwise its path."""
        return self.name if self.folder.parent == Path("runs") else str(self.folder)

    @property
    def scores(self) -> list[Score]:
        """All scores of all conditions, in their order."""
        return [score for condition in self.conditions for score in condition.scores]

    @property
    def setting_columns(self) -> list[str]:
        """The columns of all settings that any condition has, in their order."""
        return list(dict.fromkeys(name for one in self.conditions for name in one.setting_cells))

    def _front(self, condition: ConditionResult) -> dict[str, JSON]:
        front: dict[str, JSON] = {"run": self.name, "condition": condition.entry.fingerprint}
        return front | dict(condition.setting_cells)

    def score_rows(self) -> Iterator[dict[str, JSON]]:
        """Yield a row for each score: the run, its condition, the settings, then the number."""
        for condition in self.conditions:
            for one in condition.scores:
                yield {**self._front(condition), **write_score_cells(one)}

    def frame(self) -> pandas.DataFrame:
        """Return all scores as a table, one row each.

        Columns, with the names of ``icl report --format csv``: ``run``; ``condition``, the
        fingerprint; every setting, as ``prompt``, ``model``, ``locale``, ``k``, ``select``,
        ``seed``; then score, kind, value, low, high, n, signature and tied. ``k`` and ``seed`` are
        whole numbers (``Int64``), other settings categories in the order of the run, or numbers
        where all are; value, low and high are ``Float64``. What a condition does not have is NA.
        A setting that is called like another column has ``setting.`` in front.

        >>> run.frame().groupby(["score", "k"])["value"].mean()              # doctest: +SKIP
        """
        return make_score_frame(list(self.score_rows()), self.setting_columns)

    def predictions(self, parser: ParserEntry | None = None) -> pandas.DataFrame:
        """Return all answers as a table, one row for each row of each condition.

        Columns: run, condition and the settings as in :meth:`frame`; then ``id``, ``prediction``,
        ``targets`` (a tuple), ``right`` (whether the prediction is one of the targets, letter by
        letter), ``error`` (why there is no prediction), and the other fields of
        :class:`icl.Prediction`. Rows that the model gave no answer to have NA as prediction and
        as ``right``; rows that were not sent yet are left out.

        Args:
            parser: reads generated text; each condition's own by default.

        Raises:
            ConfigError: the parser is unknown.
            StoreError: the folder's rows changed since this run.
        """
        rows: list[dict[str, object]] = []
        for one in self.conditions:
            front = self._front(one)
            pairs = zip(one.predictions(parser), one.gold_examples(parser), strict=True)
            rows += [{**front, **write_prediction_cells(*pair)} for pair in pairs]
            rows += [
                {**front, **write_unscored_cells(row, one.gold_example(row.record))}
                for row in one.unscored.values()
            ]
        return make_prediction_frame(rows, self.setting_columns)

    def _repr_html_(self) -> str:
        """Return a small table for notebooks: each condition with its first score."""
        axes = list(dict.fromkeys([*find_varying_axes(self.conditions), "shots"]))
        begun = "" if self.manifest.finished else ", not finished"
        lines = [
            [
                str(number),
                *(one.axes.get(axis, "") for axis in axes),
                *describe_score(primary(one.scores)),
                str(len(one.records)),
            ]
            for number, one in enumerate(self.conditions[:MOST_ROWS], 1)
        ]
        more = len(self.conditions) - len(lines)
        rest = f"{more} more conditions: .frame() has all" if more else ".frame() has all scores"
        heads = ["#", *axes, "score", "value", "95 % interval", "n"]
        return write_html_table(f"{self.name}{begun}; {rest}", heads, lines)

    def condition(self, name: str) -> ConditionResult:
        """Find a condition by its number from 1, its fingerprint's beginning, or words of its axes.

        Words are those that tables print: ``intent/plain 8 bm25``.

        Raises:
            StoreError: no condition matches, or more than one does.
        """
        # Digits as a keyboard has them: `²` is one to Python too, and a number to nobody.
        digits = name.isascii() and name.isdigit()
        if digits and len(name) < 10 and 1 <= int(name) <= len(self.conditions):
            return self.conditions[int(name) - 1]
        least = name + " " * (digits and len(name) < 4)  # a number, no fingerprint
        found = [c for c in self.conditions if c.entry.fingerprint.startswith(least)]
        wanted = set(name.replace("·", " ").split())
        found = found or [
            c for c in self.conditions if wanted <= set(" ".join(c.axes.values()).split())
        ]
        if len(found) != 1 or not wanted:
            known = [c.entry.fingerprint[:6] for c in self.conditions]
            raise StoreError(
                f"{self.name}: {len(found)} conditions are called {name!r}; use a number from 1 "
                f"to {len(known)}, or the first digits of: {', '.join(known)}"
            )
        return found[0]


def find_varying_axes(conditions: Sequence[ConditionResult]) -> list[str]:
    """List the axes whose value differs between the conditions, in their first order."""
    axes = dict.fromkeys(axis for one in conditions for axis in one.axes)
    return [axis for axis in axes if len({one.axes.get(axis) for one in conditions}) > 1]


def find_telling_axes(conditions: Sequence[ConditionResult]) -> list[str]:
    """List the varying axes; leave out keys of a task that the other axes make superfluous.

    For places with room for few of them; a table with room shows all.
    """
    return pick_telling(find_varying_axes(conditions), [one.axes for one in conditions])


def load_run(
    folder: str | Path,
    out: str | Path = "runs",
    rendering: Rendering = HERE,
    allow_commands: bool = False,
) -> Run:
    """Open a run, given by its folder or by the experiment's name under ``out``.

    Args:
        folder: path or name.
        out: folder of all runs.
        rendering: makes its prompts again.
        allow_commands: whether scoring and comparing may start the programs that the manifest
            names as metrics; a run folder may be a stranger's.

    Raises:
        StoreError: there is no such run, or its manifest cannot be read.
        ConfigError: a plug-in of the experiment is gone, or is not what this user ran.
    """
    place = Path(folder)
    if not holds_run(place):
        place = Path(out) / folder
    if not holds_run(place):
        for searched in filter(holds_search, (Path(folder), place)):
            raise StoreError(
                f"{str(folder)!r} is a search, and no run: `icl show {folder}` prints what it "
                f"found; its winner becomes a run by: icl run {searched / 'best.yaml'}"
            )
        known = [path.name for path in find_runs(Path(out))]
        raise StoreError(f"no run {str(folder)!r} in {out}{did_you_mean(str(folder), known)}")
    manifest = read_manifest(place)
    if used := manifest.plugins:
        load_known(used.modules, place / used.base, str(place / MANIFEST))
    return open_run(place, manifest, rendering, allow_commands)


def open_run(
    place: Path,
    manifest: Manifest,
    rendering: Rendering = HERE,
    allow_commands: bool = False,
) -> Run:
    """Open a run folder whose manifest is already read or created."""
    scores, calibrations = read_scores(place), read_calibrations(place)
    conditions = tuple(
        ConditionResult(
            entry,
            manifest.rows[entry.rows],
            ConditionStore.of(place.parent, entry.folder),
            scores.get(entry.fingerprint, ()),
            calibrations.get(entry.fingerprint, ()),
            rendering,
            allow_commands,
        )
        for entry in manifest.conditions
    )
    return Run(place, manifest, number_alike(conditions))


def number_alike(conditions: Sequence[ConditionResult]) -> tuple[ConditionResult, ...]:
    """Give conditions of one task an axis ``condition`` if their other axes are the same.

    Their run is of an earlier version, which named fewer axes; a number is its place in the run.
    """
    found: dict[tuple[str, str], list[int]] = {}
    for place, one in enumerate(conditions):
        found.setdefault((one.entry.task, canonicalize(one.axes)), []).append(place)
    made = list(conditions)
    for places in found.values():
        for place in places if len(places) > 1 else ():
            entry, more = made[place].entry, {"condition": f"#{place + 1}"}
            settings = None if entry.settings is None else {**entry.settings, **more}
            changed = replace(entry, axes={**entry.axes, **more}, settings=settings)
            made[place] = replace(made[place], entry=changed)
    return tuple(made)
