"""Judges: every output of a condition becomes a row of another condition, which a model judges.

So verdicts are ordinary records: saved batch by batch, resumed, rendered again, and reused only if
exactly the same request would be sent. An output is text of a stranger: it enters the judge's
template only as JSON, inside whose quotes it stays, and the engine neutralises its control tokens
as
those of a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from icl.core.errors import ConfigError, DataError
from icl.core.registry import did_you_mean
from icl.core.types import JSON, Example, Prediction, Sampling, canonicalize, digest
from icl.data import read_json_lines
from icl.engines.ledger import RemoteEngine, sum_spent
from icl.experiment.condition import Condition, Request
from icl.experiment.entries import RowsEntry, SamplingEntry, ShotsEntry, TaskEntry
from icl.experiment.grid import Experiment, Point
from icl.experiment.loader import Loader
from icl.experiment.method import choose_method
from icl.metrics import VerdictMetric, asks_judge, make_metric
from icl.prompts.template import Template, load_template
from icl.records.manifest import ConditionEntry, JudgeEntry
from icl.records.results import ConditionResult
from icl.records.store import ConditionStore
from icl.running.progress import Progress
from icl.scoring.judge_verdicts import HUMAN, human_text
from icl.tasks import Task
from icl.tasks.generic import CLASSIFY
from icl.tasks.patterns import ParserEntry
from icl.tasks.predict import predict, read_gold

__all__ = ["LoadedJudge", "load_judges", "judge_all"]


TASK = Task("judge", CLASSIFY.kind, ("rank", "generate"), "label", (), ())


@dataclass(frozen=True)
class LoadedJudge:
    """A judge with its template, model and human verdicts, ready to judge any condition."""

    name: str
    judge: VerdictMetric
    point: Point
    template: Template
    loader: Loader
    human: Mapping[str, list[dict[str, str]]]

    @classmethod
    def of(cls, name: str, judge: VerdictMetric, loader: Loader) -> LoadedJudge:
        """Load template, model and human verdicts of a judge.

        Raises:
            ConfigError: an unknown model, or a template that does not suit the entry.
            DataError: the file of human verdicts is missing or malformed.
            TemplateError: the template is missing or malformed.
        """
        experiment = loader.experiment
        models = experiment.raw["models"]
        if judge.model not in models:
            raise ConfigError(
                f"{experiment.name}: metrics: {name}: unknown model {judge.model!r}"
                f"{did_you_mean(judge.model, models)}"
            )
        template = load_template(judge.prompt, base=str(experiment.base))
        _check(name, judge, template)
        entry = TaskEntry(
            task="judge",
            prompt=[judge.prompt],
            rows=RowsEntry(data="outputs"),
            method=judge.method,
            sampling=SamplingEntry(max_tokens=judge.max_tokens),
        )
        point = Point(
            judge.model,
            models[judge.model],
            entry,
            judge.prompt,
            None,
            None,
            "en",
            ShotsEntry(k=0),
            {},
            {"judge": name, "prompt": judge.prompt, "model": judge.model},
        )
        return cls(name, judge, point, template, loader, _human(judge, experiment))

    def condition(self, judged: Condition, result: ConditionResult) -> Condition:
        """Make the judge's condition from the parsed outputs of a condition."""
        return self._over(judged, list(_rows(result.examples, result.predictions())))

    def foreseen(self, judged: Condition, store: ConditionStore, todo: set[str]) -> Condition:
        """Make the same condition in advance, with references in place of missing outputs."""
        records, choices = store.complete_records(), store.choices()
        logprobs = [record.logprobs for record in records.values()]
        rows = [read_gold(row, _parser(judged)) for row in judged.examples]
        made = {
            one.id: predict(
                records[one.id], choices, _parser(judged), judged.answer_rule(one, logprobs)
            )
            for one in judged.examples
            if one.id not in todo and one.id in records
        }
        guessed = (
            made.get(row.id) or Prediction(row.id, row.targets[0] if row.targets else "")
            for row in rows
        )
        return self._over(judged, list(_rows(rows, guessed)))

    def _over(self, judged: Condition, examples: list[Example]) -> Condition:
        read_by = _parser(judged)
        parser = read_by if isinstance(read_by, str) else canonicalize(dict(read_by))
        rows = f"{judged.fingerprint}:{parser}"
        task = self.point.task.model_copy(update={"rows": RowsEntry(data=rows)})
        point = Point(**{**vars(self.point), "task": task})
        engine = self.loader.engine(self.point)
        method, ranking, choices = choose_method(self.judge.method, self.template, engine)
        return Condition(
            point=point,
            task=TASK,
            method=method,
            template=self.template,
            examples=examples,
            available=len(examples),
            pool=[],
            left_out=0,
            selector=None,
            choices=choices,
            sampling=Sampling(max_tokens=self.judge.max_tokens),
            engine=engine,
            ranking=ranking,
            batch_size=self.loader.experiment.batch_size,
        )


def _parser(condition: Condition) -> ParserEntry:
    """Return the parser that reads the outputs to judge."""
    return condition.point.task.parser or condition.task.parser


def _rows(examples: Iterable[Example], predictions: Iterable[Prediction]) -> Iterable[Example]:
    """Yield the rows that a judge reads: the row's inputs, the output, and the references."""
    for example, made in zip(examples, predictions, strict=True):
        if made.value is not None:
            own: dict[str, JSON] = {"output": made.value, "references": list(example.targets)}
            if example.targets:
                own["reference"] = example.targets[0]
            yield Example(example.id, {**example.inputs, **own}, meta=example.meta)


def _check(name: str, judge: VerdictMetric, template: Template) -> None:
    file = template.file
    if file.kind != CLASSIFY.kind or not template.labels:
        raise ConfigError(
            f"metrics: {name}: the judge's template {file.name!r} must be of kind 'classify' and "
            'list its verdicts, as in `labels: {"yes": "yes", "no": "no"}`'
        )
    if set(template.labels) != set(judge.scores):
        raise ConfigError(
            f"metrics: {name}: {file.name} has the verdicts {', '.join(template.labels)}, and "
            f"scores: counts {', '.join(judge.scores)}; give each verdict its number"
        )
    halves = [half for half in (file.system, file.instruction, file.input, file.query) if half]
    if not any("output" in half.names for half in halves):
        raise ConfigError(
            f"metrics: {name}: {file.name} does not read `output`, so there is nothing to judge"
        )
    for half in halves:
        for line in half.unquoted("output"):
            raise ConfigError(
                f"{half.where}:{line}: an output may hold anything, and could pass for the judge's "
                "own instructions; write it as {{ output | json }}, in whose quotes it stays"
            )


def _human(judge: VerdictMetric, experiment: Experiment) -> dict[str, list[dict[str, str]]]:
    """Read example id -> its human verdicts."""
    if judge.human is None:
        return {}
    path = experiment.base / Path(judge.human).expanduser()
    found: dict[str, list[dict[str, str]]] = {}
    for line, row in read_json_lines(path):
        where = f"{path}:{line}"
        unknown = [key for key in row if key not in ("id", "verdict", "output")]
        if unknown or not isinstance(row.get("id"), str):
            raise DataError(
                f'{where}: a human verdict is {{"id": "…", "verdict": "…"}}, with "output" if it '
                f"is on one text alone; this is {row!r}"
            )
        if row.get("verdict") not in judge.scores:
            guess = did_you_mean(str(row.get("verdict")), judge.scores)
            raise DataError(f"{where}: unknown verdict {row.get('verdict')!r}{guess}")
        found.setdefault(row["id"], []).append({k: v for k, v in row.items() if k != "id"})
    return found


def load_judges(conditions: Sequence[Condition], loader: Loader) -> dict[str, list[LoadedJudge]]:
    """Load the judges of each condition by fingerprint; a judge of several is loaded once."""
    known: dict[str, LoadedJudge] = {}
    found: dict[str, list[LoadedJudge]] = {}
    for condition in conditions:
        entry = condition.point.task
        for given in entry.metrics or ():
            name, metric = make_metric(given)
            if asks_judge(metric):
                key = repr((name, metric))
                if key not in known:
                    known[key] = LoadedJudge.of(name, metric, loader)
                found.setdefault(condition.fingerprint, []).append(known[key])
    return found


def judge_all(
    judges: Mapping[str, list[LoadedJudge]],
    conditions: Sequence[tuple[Condition, ConditionEntry]],
    rows: Mapping[str, Sequence[str]],
    root: Path,
    shown: Progress,
    complete: Callable[[Condition, ConditionStore, Mapping[str, Request], Progress], object],
) -> list[ConditionEntry]:
    """Judge every condition by all judges that it names, model by model.

    Args:
        judges: from :func:`load_judges`.
        conditions: with their manifest entries.
        rows: the manifest's example ids by the entry's ``rows``.
        root: folder of all runs.
        shown: display for notes: a model that judges itself, human verdicts on other rows.
        complete: answers the requests of a condition in its store.

    Returns:
        The entries, with the places of the verdicts.
    """
    asked = [
        (bench, condition, entry)
        for condition, entry in conditions
        for bench in judges.get(condition.fingerprint, ())
    ]
    for name in dict.fromkeys(b.name for b, c, _ in asked if b.judge.model == c.point.model_name):
        shown.note(
            f"{name}: a model judges its own outputs, and models favour those; name another model"
        )
    verdicts: dict[str, dict[str, JudgeEntry]] = {}
    for bench, condition, entry in sorted(asked, key=lambda one: one[0].point.engine_key):
        kept = ConditionStore.of(root, condition.folder)
        made = bench.condition(condition, ConditionResult(entry, rows[entry.rows], kept))
        store = ConditionStore.of(root, made.folder)
        if made.examples:
            bench.loader.only(made.engine)
            if isinstance(made.engine, RemoteEngine):
                made.engine.spent += sum_spent(store.folder)
            requests = {example.id: made.request(example) for example in made.examples}
            complete(made, store, requests, shown)
        strange = [key for key in bench.human if key not in rows[entry.rows]]
        if strange:
            shown.note(
                f"{bench.name}: {len(strange)} of {len(bench.human)} rows with human verdicts are "
                f"none of this run, such as {strange[0]!r}"
            )
        if bench.human:
            store.replace(HUMAN, human_text(bench.human))
        verdicts.setdefault(entry.fingerprint, {})[bench.name] = _entry(bench, made)
    return [replace(entry, judges=verdicts.get(entry.fingerprint)) for _, entry in conditions]


def _entry(bench: LoadedJudge, made: Condition) -> JudgeEntry:
    """Make the manifest's entry of a judge's verdicts on a condition."""
    identity = made.identity
    return JudgeEntry(
        axes=dict(bench.point.axes),
        fingerprint=made.fingerprint,
        folder=made.folder,
        method=made.method,
        parser=TASK.parser,
        hash=digest([identity["engine"], identity["template"]])[:12],
    )
