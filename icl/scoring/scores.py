"""Scoring of records without a model: predictions, metrics, baselines, calibration.

Scores are added to ``scores.json`` of the run folder; scores with other settings stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from icl.calibrators import Calibrator, make_calibrator, make_calibrators
from icl.core.errors import CalibrationError, CommandError, ConfigError, MetricError
from icl.core.registry import did_you_mean, names
from icl.core.score_name import ScoreName, partial
from icl.core.stats import Metric, Stats, score
from icl.core.types import Example, Prediction, Score, canonicalize, signature_text
from icl.metrics import (
    VerdictMetric,
    asks_judge,
    make_metric,
    starts_program,
)
from icl.metrics.command import check_command_name
from icl.records.calibrated import Calibration
from icl.records.results import ConditionResult, Run
from icl.records.score_files import write_calibrations, write_scores
from icl.scoring.judge_verdicts import judge_scores
from icl.scoring.reliability import ece_scores, ece_stats
from icl.scoring.scope import score_auroc
from icl.scoring.slot_scores import answer_slots
from icl.tasks import OwnAnswers
from icl.tasks.baselines import BaselineStats, counts, list_baselines
from icl.tasks.label_sets import POOL
from icl.tasks.patterns import ParserEntry, make_parser, parser_name

__all__ = [
    "FITTED",
    "parse_calibrator_entry",
    "check_applied",
    "note_commands_left_out",
    "find_metric",
    "list_condition_baselines",
    "make_metrics",
    "score_run",
    "score_calibrators",
]


_METRIC = '{command: "python comet.py {source} {hypothesis} {reference}", name: comet}'
_CALIBRATOR = "{calibrator: vote_mix, weight: 0.5}"


def score_run(
    run: Run,
    metrics: Sequence[str | Mapping[str, Any]] | None = None,
    parser: ParserEntry | None = None,
    calibrators: Sequence[str | Mapping[str, Any]] | None = None,
) -> Run:
    """Score every condition from its records, and add the scores to ``scores.json``.

    External programs that the run's manifest names are started only in a run opened with
    ``load_run(…, allow_commands=True)``, since a run folder may be a stranger's. Those that
    ``metrics`` holds as entries are always started.

    Args:
        run: from :func:`load_run`.
        metrics: names, or entries as in an experiment's YAML (see
            :func:`icl.metrics.make_metric`); those of the experiment by default.
        parser: how generated text is read, a name or an entry with options; the experiment's
            parser by default. Scores by another parser are named ``metric@parser``.
        calibrators: names, or entries (see :func:`icl.calibrators.make_calibrator`); those of the
            experiment by default. Their scores are named ``metric+calibrator``.

    Raises:
        CalibrationError: a calibrator passed here fits no condition, or lacks records; the
            message says how to compute them. All other scores are saved.
        ConfigError: unknown metric, calibrator or parser.
        CommandError: ``metrics`` names an external program of the manifest that is not allowed.
        MetricError: a metric is not defined for the task, or an external program failed. All
            other scores are saved.
    """
    if parser is not None:
        parser = parse_parser_entry(parser)
        make_parser(parser, "--parser")  # refused before anything is scored
    wanted = [make_metrics(condition, metrics) for condition in run.conditions]
    failed: dict[str, MetricError] = {}
    if calibrators is not None:
        calibrators = [parse_calibrator_entry(one) for one in calibrators]
        make_calibrators(calibrators)  # refused before anything is scored
    conditions = tuple(
        _scored(condition, made, parser, failed, calibrators)
        for condition, made in zip(run.conditions, wanted, strict=True)
    )
    write_scores(run.folder, [(c.entry.fingerprint, one) for c in conditions for one in c.scores])
    notes = [
        (c.entry.fingerprint, one)
        for c in conditions
        for one in c.calibrations
        if calibrators is None or not one.refused  # what was only tried is told once
    ]
    if notes:
        write_calibrations(run.folder, notes)
    if calibrators:
        command = run.manifest.command
        again = " ".join(["icl", *command[1:]]) if command[1:2] == ("run",) else ""
        check_applied(conditions, calibrators, again)
    if failed:
        raise MetricError(
            f"{next(iter(failed.values()))} (all other scores of {run.name} are saved)"
        )
    return replace(run, conditions=conditions)


def _scored(
    condition: ConditionResult,
    metrics: Sequence[tuple[str, Metric]],
    parser: ParserEntry | None,
    failed: dict[str, MetricError],
    calibrators: Sequence[str | Mapping[str, Any]] | None,
) -> ConditionResult:
    """Return the condition with its new scores, calibrated ones included."""
    scores = _scores(condition, metrics, parser, failed)
    entries = condition.entry.calibrate if calibrators is None else calibrators
    ranking = partial(condition.entry.ranking)
    named = [(ScoreName(name, ranking=ranking), metric) for name, metric in metrics]
    more, made = score_calibrators(condition, named, entries, failed)
    known = [one for one in condition.calibrations if not one.refused]
    notes = {one.name: one for one in (*known, *made)}
    return replace(
        condition,
        scores=_merged(condition, [*scores, *more]),
        calibrations=tuple(notes.values()),
    )


def make_metrics(
    condition: ConditionResult, asked: Sequence[str | Mapping[str, Any]] | None = None
) -> list[tuple[str, Metric]]:
    """Construct the requested metrics with their score names; by default the experiment's.

    A name may be one that the experiment gave to a metric, unless a registered metric has it.
    If the run does not allow external programs, those of the manifest are left out by default, and
    refused if named.

    Args:
        condition: whose metrics they are.
        asked: names, or entries that the user wrote, which may start programs.

    Raises:
        ConfigError: an unknown metric, or a program with the name of a registered metric.
        CommandError: a name is that of a program of the manifest that is not allowed.
    """
    if asked is None:
        judges = condition.entry.judges or {}
        allowed = condition.allow_commands
        found = [
            (name, metric)
            for name, metric in map(make_metric, condition.entry.metrics)
            if (allowed or not starts_program(metric))
            and (allowed or not asks_judge(metric) or name in judges)
        ]
    else:
        found = [
            find_metric(condition, entry)
            if isinstance(entry, str) and not entry.startswith("{")
            else make_metric(_parsed(entry, "metric", _METRIC))
            for entry in asked
        ]
    for name, metric in found:
        check_command_name(name, metric, "metrics")
    return found


def find_metric(condition: ConditionResult, name: str) -> tuple[str, Metric]:
    """Find the metric of a name, registered or of the experiment; the name is never parsed.

    So a name that a stranger wrote can be looked up safely.

    Raises:
        ConfigError: there is none.
        CommandError: it is an external program, of the manifest or of a registered metric that
            starts one, and is not allowed.
    """
    own: dict[str, tuple[str, Metric]] = {}
    for entry in condition.entry.metrics:
        title, made = make_metric(entry)
        own[title] = _kind(entry), made
    kind, metric = own.get(name, ("", None))
    called = f"the metric {name!r} is a program that the run's manifest names, and not you"
    if name in names("metric") and (kind != name or _poses(name, metric)):
        # Whoever asks for it means it, whatever else is called so here.
        name, metric = make_metric(name)
        called = f"the metric {name!r} starts an outside program"
    if metric is None:
        raise ConfigError(f"unknown metric {name!r}{did_you_mean(name, {*names('metric'), *own})}")
    if starts_program(metric) and not condition.allow_commands:
        raise CommandError(
            f"{called}: {metric.command!r}; read it, then give --allow-commands to start it (in "
            "Python load_run(…, allow_commands=True)); scores that are there need no program"
        )
    return name, metric


def _poses(name: str, metric: Metric | None) -> bool:
    """Return whether a program has the name of another, registered metric."""
    if metric is None:
        return False
    try:
        check_command_name(name, metric, "metrics")
    except ConfigError:
        return True
    return False


def _kind(entry: str | Mapping[str, Any]) -> str:
    """Return the registered name of the class that an entry constructs."""
    if isinstance(entry, str):
        return entry
    return str(entry.get("metric", next((k for k in ("command", "judge") if k in entry), "")))


def note_commands_left_out(run: Run) -> list[str]:
    """Note each external program of the manifest that is not started, and how to allow it."""
    found = {
        name: metric.command
        for condition in run.conditions
        if not condition.allow_commands
        for name, metric in map(make_metric, condition.entry.metrics)
        if starts_program(metric)
    }
    return [
        f"left out: the metric {name!r} is a program that the run's manifest names: {command!r}; "
        "--allow-commands starts it"
        for name, command in found.items()
    ]


def parse_calibrator_entry(given: str | Mapping[str, Any]) -> Any:
    """Parse an entry under ``calibrate:`` written on one line: a name, or a mapping with options.

    >>> parse_calibrator_entry("{calibrator: pmi, fields: [premise]}")
    {'calibrator': 'pmi', 'fields': ['premise']}

    Raises:
        ConfigError: braces that are not YAML.
    """
    return _parsed(given, "calibrator", _CALIBRATOR)


def parse_parser_entry(given: ParserEntry) -> Any:
    """Parse a one-line entry of ``parser:``: a name, or an entry with options in braces.

    >>> parse_parser_entry("{parser: number, match: first}")
    {'parser': 'number', 'match': 'first'}

    Raises:
        ConfigError: braces, but no YAML.
    """
    return _parsed(given, "parser", "'{parser: regex, pattern: \"answer is (.+)\"}'")


def _parsed(entry: str | Mapping[str, Any], what: str, example: str) -> Any:
    """Parse an entry in braces from the command line; return any other entry unchanged."""
    import yaml

    from icl.core.strict_yaml import find_odd_value, load_yaml

    if not isinstance(entry, str) or not entry.startswith("{"):
        return entry
    try:
        made = load_yaml(entry)
    except yaml.YAMLError as error:
        raise ConfigError(f"the {what} {entry!r} is no YAML; write it as in {example}") from error
    if odd := find_odd_value(made):
        raise ConfigError(f"the {what} {entry!r}: {odd}, as in {example}")
    return made


def _merged(condition: ConditionResult, new: Sequence[Score]) -> tuple[Score, ...]:
    """Merge old and new scores; a new one replaces one with the same settings."""
    both = [*condition.scores, *new]
    keys = [(one.name, one.settings.partition(FITTED)[0]) for one in both]
    return tuple(dict(zip(keys, both, strict=True)).values())


def _scores(
    condition: ConditionResult,
    metrics: Sequence[tuple[str, Metric]],
    parser: ParserEntry | None,
    failed: dict[str, MetricError],
) -> list[Score]:
    """Compute scores, baselines and counts; a metric's error is added to ``failed`` by its name."""
    ranked = condition.entry.method != "generate"
    other = parser is not None and not ranked and parser != condition.entry.parser
    reader = parser_name(parser) if other and parser else ""
    used = parser if other and parser else condition.entry.parser
    ranking = None if other else partial(condition.entry.ranking)
    predictions = condition.predictions(parser)
    examples = condition.gold_examples(parser)
    if not predictions:
        return []
    scores: list[Score] = []
    defined: list[Metric] = []
    for name, metric in metrics:
        if starts_program(metric) and name in failed:
            continue  # a program that failed once would fail, or take its time, each time
        try:
            if asks_judge(metric):
                scores += _judged(condition, name, metric, predictions, other)
                continue
            called = str(ScoreName(name, reader, ranking))
            stats = metric.stats(predictions, examples)
            stats = replace(stats, signature=stats.signature + _describe_take(condition))
            scores.append(_signed(score(called, stats), used, ranked))
        except MetricError as error:
            failed.setdefault(name, error)
            continue
        if not starts_program(metric):  # it is slow, and is asked once
            defined.append(metric)
    if not other:
        try:
            found = list_condition_baselines(condition, defined, examples, predictions)
            scores += [one.score() for one in found]
        except MetricError as error:
            failed.setdefault("baselines", error)
    facts = counts(predictions)
    return [*scores, *(replace(one, name=str(ScoreName(one.name, reader))) for one in facts)]


def list_condition_baselines(
    condition: ConditionResult,
    metrics: Sequence[Metric],
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
) -> list[BaselineStats]:
    """List a condition's answers without a model, row by row, under each metric.

    Raises:
        ConfigError, MetricError: see :func:`icl.tasks.baselines.list_baselines`.
    """
    shared = [choice.label for choice in condition.store.choices()]
    labels = [
        [choice.label for choice in record.choices] if record.choices else shared
        for record in condition.records.values()
    ]
    task, pool = condition.task, condition.entry.pool.labels
    own: OwnAnswers = answer_slots(condition) if task.kind.gold == "spans" else {}
    if task.answer_alone is not None:
        own = task.answer_alone(examples, _list_shots(condition))
    return list(list_baselines(task, metrics, examples, predictions, pool, labels, own))


def _list_shots(condition: ConditionResult) -> list[list[Example]]:
    """List the shots of each record as the prompt showed them: none where it hid their answers."""
    if condition.store.condition().bare_shots:
        return [[] for _ in condition.records]
    return [
        [shot.example for shot in condition.shots(record)] for record in condition.records.values()
    ]


def _describe_take(condition: ConditionResult) -> str:
    """Describe for the signature which labels of a ranking form a set; empty for one answer."""
    rule = condition.set_rule
    if rule is None or condition.entry.method != "rank":
        return ""
    return f"|take:{condition.entry.take or POOL}"


def _signed(one: Score, parser: ParserEntry, ranked: bool) -> Score:
    """Add the options of the parser that read the answers, if any, to a score's signature."""
    if ranked or isinstance(parser, str):
        return one
    settings = f"{one.settings}|parser:{canonicalize(dict(parser))}"
    return replace(one, signature=signature_text(settings, one.interval))


def _judged(
    condition: ConditionResult,
    name: str,
    judge: VerdictMetric,
    predictions: Sequence[Prediction],
    reread: bool,
) -> list[Score]:
    if reread:
        raise MetricError(
            f"{name}: its verdicts are on outputs as the parser {condition.entry.parser!r} "
            "reads them; set parser: in the experiment and run it"
        )
    return judge_scores(condition, name, judge, predictions)


FITTED = "|fitted:"
"""Mark in a signature; the text after it was fitted to data, and may differ next time."""

_SETS = (
    "it corrects which label is the best, and the answers are sets of labels; say under take: of "
    "the task which of them are in a set"
)

Entry = str | Mapping[str, Any]


def score_calibrators(
    condition: ConditionResult,
    metrics: Sequence[tuple[ScoreName, Metric]],
    entries: Sequence[Entry],
    failed: dict[str, MetricError],
) -> tuple[list[Score], list[Calibration]]:
    """Score a condition with calibrators; scores are named ``metric+calibrator``.

    External programs are left out. ``ece``, the expected calibration error, is added to the
    metrics, with its value by chance, its debiased estimate, and ``ece+none`` to compare with.
    There are no scores if choices are not ranked. A metric's error is added to ``failed`` by its
    name.
    """
    scores: list[Score] = []
    notes: list[Calibration] = []
    if not entries or condition.entry.method != "rank" or not condition.records:
        return scores, notes
    used = [one for one in metrics if not starts_program(one[1])]
    for entry in entries:
        name, calibrator = make_calibrator(entry)
        values = {"calibrator": entry} if isinstance(entry, str) else dict(entry)
        if condition.set_rule is not None:
            notes.append(Calibration(name, values, refused=_SETS))
            continue
        try:
            made, note = _applied(condition, used, (name, calibrator), failed)
        except CalibrationError as error:
            notes.append(Calibration(name, values, refused=str(error)))
            continue
        scores += made
        notes.append(replace(note, entry=values))
    if condition.set_rule is not None:
        return scores, notes
    plain, _ = _applied(condition, [], make_calibrator("none"), failed)
    there = {one.name for one in plain}
    return [*plain, *(one for one in scores if one.name not in there)], notes


def _applied(
    condition: ConditionResult,
    metrics: Sequence[tuple[ScoreName, Metric]],
    calibrator: tuple[str, Calibrator],
    failed: dict[str, MetricError],
) -> tuple[list[Score], Calibration]:
    name, used = calibrator
    made = condition.calibrated(used)
    plain, predictions = condition.predictions(), condition.predictions(calibrator=made)
    settings = used.settings() + (f"{FITTED}{made.fitted}" if made.fitted else "")

    def signed(stats: Stats) -> Stats:
        return replace(stats, signature=f"{stats.signature}|{settings}")

    scores = []
    for metric_name, metric in metrics:
        try:
            stats = signed(metric.stats(predictions, condition.examples))
            scores.append(score(str(metric_name.calibrated(name)), stats))
        except MetricError as error:
            failed.setdefault(str(metric_name), error)
    if all(example.targets for example in condition.examples) and condition.set_rule is None:
        scores += ece_scores(name, signed(ece_stats(condition, made)))
    if made.confidence is not None and condition.examples:
        outside = [made.outside in example.targets for example in condition.examples]
        called = str(ScoreName("oos_auroc", calibrator=name))
        scores.append(score_auroc(called, made.confidence, outside, f"oos_auroc|{settings}"))
    pairs = zip(plain, predictions, strict=True)
    return scores, Calibration(
        name,
        {},
        changed=sum(one.value != other.value for one, other in pairs),
        tied=sum(int((row == row.max()).sum() > 1) for row in made.scores),
        fitted=made.fitted,
        notes=made.warnings,
    )


def check_applied(
    conditions: Sequence[ConditionResult], entries: Sequence[Entry], command: str
) -> None:
    """Raise an error if a calibrator could not be applied to any condition.

    Raises:
        CalibrationError: the first reason, with the command that ran the experiment.
    """
    for entry in entries:
        name, _ = make_calibrator(entry)
        found = [c for condition in conditions for c in condition.calibrations if c.name == name]
        if not found:
            raise CalibrationError(
                f"{name}: no condition of this run ranks choices, so there is nothing to calibrate"
            )
        if all(one.refused for one in found):
            missing = "are missing" in str(found[0].refused)
            again = f": {command}" if missing and command else ""
            raise CalibrationError(f"{name}: {found[0].refused}{again}")
