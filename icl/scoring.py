"""Records -> predictions -> scores: everything after the model, and without it.

A run folder names its conditions in ``manifest.json``; their records lie in condition folders
that experiments share. Scores are added to ``scores.json``, never replaced by other settings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from icl.errors import ConfigError, ParseError, StoreError
from icl.prompts import Template, template_of
from icl.registry import did_you_mean, lookup, names
from icl.stats import Metric, score
from icl.store import ConditionStore, read_json, replace_file
from icl.tasks import Task
from icl.tasks.baselines import baselines, counts
from icl.types import Choice, Example, Prediction, Prompt, Record, Score, Shot

if TYPE_CHECKING:
    import pandas

__all__ = ["ConditionResult", "Run", "load_run", "predict", "score_run"]


def predict(record: Record, choices: Sequence[Choice], parser: str) -> Prediction:
    """What a record answers: the likeliest choice, or the generated text as a parser reads it.

    Of choices that are equally likely the first one is taken.
    """
    labels = tuple(label for _, label, _ in record.shots if label is not None)
    scores = tuple(score for _, label, score in record.shots if label is not None)
    made = Prediction(record.id, None, "", labels, scores)
    if record.logprobs:
        best = max(range(len(record.logprobs)), key=lambda i: record.logprobs[i])
        return replace(made, value=choices[best].label, error=None)
    output = record.outputs[0]
    try:
        value = lookup("parser", parser)(output.text, choices)
    except ParseError as error:
        return replace(made, error=str(error), finish=output.finish)
    return replace(made, value=value, error=None, finish=output.finish)


@dataclass(frozen=True)
class ConditionResult:
    """One condition of a run, read from its folder."""

    entry: Mapping[str, Any]
    """What the manifest says of it."""
    ids: Sequence[str]
    """Examples that this run asked for."""
    store: ConditionStore
    scores: tuple[Score, ...] = ()

    @property
    def axes(self) -> dict[str, str]:
        """Where it stands in the grid."""
        return dict(self.entry["axes"])

    @property
    def task(self) -> Task:
        """The task, by its registered name."""
        task: Task = lookup("task", self.entry["task"])
        return task

    @cached_property
    def records(self) -> dict[str, Record]:
        """Records of the examples asked for, in the run's order; unanswered ones are absent."""
        found = self.store.records()
        return {name: found[name] for name in self.ids if name in found}

    @cached_property
    def examples(self) -> list[Example]:
        """Examples that have records, in the run's order."""
        known = self.store.examples()
        return [known[name] for name in self.records]

    def predictions(self, parser: str | None = None) -> list[Prediction]:
        """A prediction for every record, by the named parser or the condition's own."""
        choices = self.store.choices()
        used = parser or self.entry["parser"]
        return [predict(record, choices, used) for record in self.records.values()]

    @property
    def tokens(self) -> int:
        """Tokens of prompts and answers, as if nothing were shared."""
        choices = sum(self.store.choice_tokens())
        return sum(
            record.prompt_tokens
            + (sum(record.choice_tokens) or choices)
            + sum(output.output_tokens for output in record.outputs)
            for record in self.records.values()
        )

    @property
    def model(self) -> dict[str, Any]:
        """What the engine found in memory when it computed the first record; empty if nothing."""
        path = self.store.folder / "model.json"
        return dict(read_json(path)) if path.exists() else {}

    @property
    def seconds(self) -> float:
        """Seconds of computing the condition's records, those of other runs included."""
        return self.store.timing().get("seconds", 0.0)

    def template(self) -> Template:
        """The template as it was when the condition was first run."""
        return template_of(self.store.condition()["template"])

    def prompt(self, record: Record) -> Prompt:
        """The record's prompt, rendered again from what the folder keeps.

        Raises:
            StoreError: an example or a shot is no longer in the folder.
        """
        examples, pool = self.store.examples(), self.store.shots()
        try:
            shots = [Shot(pool[name], score) for name, _, score in record.shots]
            prompt = self.template().prompt(examples[record.id], shots)
        except KeyError as error:
            raise StoreError(
                f"{self.store.folder}: the example {error} is missing; run the experiment again"
            ) from error
        return replace(prompt, dropped=record.dropped)

    def record(self, name: str) -> Record:
        """The record of an example.

        Raises:
            StoreError: there is none.
        """
        if name not in self.records:
            raise StoreError(
                f"{self.store.folder.name} has no record {name!r}{did_you_mean(name, self.records)}"
            )
        return self.records[name]


@dataclass(frozen=True)
class Run:
    """A run folder, with everything that was computed."""

    folder: Path
    manifest: Mapping[str, Any]
    conditions: tuple[ConditionResult, ...]
    computed: int = 0
    """Records that the last call computed; the others were there."""
    reused: int = 0

    @property
    def name(self) -> str:
        """The experiment's name."""
        return str(self.manifest["name"])

    @property
    def scores(self) -> list[Score]:
        """All scores of all conditions."""
        return [score for condition in self.conditions for score in condition.scores]

    def frame(self) -> pandas.DataFrame:
        """One row a score: the condition's axes, then name, value, low, high, n, signature."""
        import pandas

        rows = [
            {**condition.axes, "condition": condition.entry["fingerprint"], **asdict(score)}
            for condition in self.conditions
            for score in condition.scores
        ]
        return pandas.DataFrame(rows)

    def condition(self, name: str) -> ConditionResult:
        """The condition of that number, counted from 1, or whose fingerprint begins so.

        Raises:
            StoreError: none, or more than one.
        """
        if name.isdigit() and 1 <= int(name) <= len(self.conditions):
            return self.conditions[int(name) - 1]
        found = [c for c in self.conditions if c.entry["fingerprint"].startswith(name)]
        if len(found) != 1:
            known = [c.entry["fingerprint"][:6] for c in self.conditions]
            raise StoreError(
                f"{self.name}: {len(found)} conditions are called {name!r}; use a number from 1 "
                f"to {len(known)}, or the first digits of: {', '.join(known)}"
            )
        return found[0]


def load_run(folder: str | Path, out: str | Path = "runs") -> Run:
    """Read a run folder, given by its path or by the experiment's name under ``out``.

    Raises:
        StoreError: there is no such run, or its manifest cannot be read.
    """
    place = Path(folder)
    if not (place / "manifest.json").is_file():
        place = Path(out) / folder
    if not (place / "manifest.json").is_file():
        known = sorted(path.parent.name for path in Path(out).glob("*/manifest.json"))
        raise StoreError(f"no run {str(folder)!r} in {out}{did_you_mean(str(folder), known)}")
    manifest = read_json(place / "manifest.json")
    root = place.parent / "conditions"
    kept = read_json(place / "scores.json") if (place / "scores.json").exists() else []
    conditions = tuple(
        ConditionResult(
            entry,
            manifest["rows"][entry["rows"]],
            ConditionStore(root / entry["folder"]),
            tuple(
                Score(**row["score"]) for row in kept if row["condition"] == entry["fingerprint"]
            ),
        )
        for entry in manifest["conditions"]
    )
    return Run(place, manifest, conditions)


def score_run(run: Run, metrics: Sequence[str] | None = None, parser: str | None = None) -> Run:
    """Score every condition from its records and add the scores to ``scores.json``.

    Args:
        run: from :func:`load_run`.
        metrics: registered names; those of the experiment by default.
        parser: how generated text is read; the experiment's parser by default. Scores made
            with another parser are named ``metric@parser``.

    Raises:
        ConfigError: unknown metric or parser.
        MetricError: a metric is not defined for the task.
    """
    if parser is not None and parser not in names("parser"):
        raise ConfigError(f"unknown parser {parser!r}{did_you_mean(parser, names('parser'))}")
    conditions = tuple(
        replace(condition, scores=_merged(condition, _scores(condition, metrics, parser)))
        for condition in run.conditions
    )
    rows = [
        {"condition": condition.entry["fingerprint"], "score": asdict(score)}
        for condition in conditions
        for score in condition.scores
    ]
    body = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    replace_file(run.folder / "scores.json", f"[\n{body}\n]\n")
    return replace(run, conditions=conditions)


def _merged(condition: ConditionResult, new: Sequence[Score]) -> tuple[Score, ...]:
    """Old and new scores; a new one takes the place of one with the same settings."""
    both = [*condition.scores, *new]
    return tuple({(one.name, one.signature.split("|ci:")[0]): one for one in both}.values())


def _scores(
    condition: ConditionResult, metrics: Sequence[str] | None, parser: str | None
) -> list[Score]:
    ranked = condition.entry["method"] == "rank"
    other = parser is not None and not ranked and parser != condition.entry["parser"]
    suffix = f"@{parser}" if other else ""
    wanted = metrics or condition.entry["metrics"]
    made: list[Metric] = [lookup("metric", name)() for name in wanted]
    predictions = condition.predictions(parser)
    examples = condition.examples
    if not predictions:
        return []
    scores = [score(metric.name + suffix, metric.stats(predictions, examples)) for metric in made]
    plain = baselines(
        condition.task, made, examples, predictions, condition.entry["pool"]["labels"],
        max(len(condition.store.choices()), condition.entry["labels"]),
    ) if not other else []  # fmt: skip
    facts = [replace(fact, name=fact.name + suffix) for fact in counts(predictions)]
    return [*scores, *plain, *facts]
