"""Records -> predictions -> scores: everything after the model, and without it.

Scores are added to ``scores.json`` of the run folder, never replaced by other settings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from icl.calibrated_scores import FITTED, check_applied, with_calibrators
from icl.calibrators import make_all
from icl.errors import ConfigError, MetricError
from icl.metrics import make
from icl.metrics.command import Command
from icl.metrics.judge import Judge
from icl.registry import did_you_mean, names
from icl.results import ConditionResult, Run
from icl.stats import Metric, score
from icl.store import replace_file
from icl.tasks.baselines import baselines, counts
from icl.types import Prediction, Score
from icl.verdicts import judge_scores

__all__ = ["calibrator_entry", "metrics_of", "score_run"]

WAYS = {"first_token": "@first_token", "generate": "@written"}
"""Choices that a server ranked otherwise than by all their tokens have columns of their own."""

_METRIC = '{command: "python comet.py {source} {hypothesis} {reference}", name: comet}'
_CALIBRATOR = "{calibrator: vote_mix, weight: 0.5}"


def score_run(
    run: Run,
    metrics: Sequence[str | Mapping[str, Any]] | None = None,
    parser: str | None = None,
    outside: bool = False,
    calibrators: Sequence[str | Mapping[str, Any]] | None = None,
) -> Run:
    """Score every condition from its records and add the scores to ``scores.json``.

    Args:
        run: from :func:`load_run`.
        metrics: names, or entries as :func:`icl.metrics.make` reads them, in an experiment's YAML
            too; those of the experiment by default.
        parser: how generated text is read; the experiment's parser by default. Scores made
            with another parser are named ``metric@parser``.
        outside: whether to start the outside programs that the run's manifest names. Without it
            they are started only where ``metrics`` names them: a run folder may be a stranger's.

        calibrators: names, or entries as :func:`icl.calibrators.make` reads them; those of the
            experiment by default. Their scores are named ``metric+calibrator``.

    Raises:
        CalibrationError: a calibrator that was asked for here fits no condition, or lacks records;
            the message says what computes them. All other scores are kept.
        ConfigError: unknown metric, calibrator or parser.
        MetricError: a metric is not defined for the task, or an outside program failed. All
            other scores are kept.
    """
    if parser is not None and parser not in names("parser"):
        raise ConfigError(f"unknown parser {parser!r}{did_you_mean(parser, names('parser'))}")
    wanted = [metrics_of(condition, metrics, outside) for condition in run.conditions]
    failed: dict[str, MetricError] = {}
    if calibrators is not None:
        calibrators = [calibrator_entry(one) for one in calibrators]
        make_all(calibrators)  # refused before anything is scored
    conditions = tuple(
        _scored(condition, made, parser, failed, calibrators)
        for condition, made in zip(run.conditions, wanted, strict=True)
    )
    scores = [(c, {"score": asdict(one)}) for c in conditions for one in c.scores]
    _write(run.folder / "scores.json", scores)
    notes = [
        (c, {"calibration": asdict(one)})
        for c in conditions
        for one in c.calibrations
        if calibrators is None or not one.refused  # what was only tried is told once
    ]
    if notes:
        _write(run.folder / "calibrations.json", notes)
    if calibrators:
        command = run.manifest.get("command", ())
        again = " ".join(["icl", *command[1:]]) if command[1:2] == ["run"] else ""
        check_applied(conditions, calibrators, again)
    if failed:
        raise MetricError(
            f"{next(iter(failed.values()))} (all other scores of {run.name} are kept)"
        )
    return replace(run, conditions=conditions)


def _write(path: Path, found: Sequence[tuple[ConditionResult, Mapping[str, Any]]]) -> None:
    rows = [{"condition": condition.entry["fingerprint"], **row} for condition, row in found]
    body = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    replace_file(path, f"[\n{body}\n]\n", path.parent.parent)


def _scored(
    condition: ConditionResult,
    metrics: Sequence[tuple[str, Metric]],
    parser: str | None,
    failed: dict[str, MetricError],
    calibrators: Sequence[str | Mapping[str, Any]] | None,
) -> ConditionResult:
    """The condition with its scores, the calibrated ones beside them."""
    scores = _scores(condition, metrics, parser, failed)
    entries = condition.entry.get("calibrate", ()) if calibrators is None else calibrators
    suffix = WAYS.get(condition.entry.get("ranking") or "", "")
    named = [(name + suffix, metric) for name, metric in metrics]
    more, made = with_calibrators(condition, named, entries, failed)
    known = [one for one in condition.calibrations if not one.refused]
    notes = {one.name: one for one in (*known, *made)}
    return replace(
        condition,
        scores=_merged(condition, [*scores, *more]),
        calibrations=tuple(notes.values()),
    )


def metrics_of(
    condition: ConditionResult,
    asked: Sequence[str | Mapping[str, Any]] | None = None,
    outside: bool = False,
) -> list[tuple[str, Metric]]:
    """The metrics asked for, each with the name of its score; those of the experiment by default.

    A name may be one that the experiment gave to an outside program.

    Raises:
        ConfigError: an unknown metric.
    """
    entries = [make(entry) for entry in condition.entry["metrics"]]
    if asked is None:
        judges = condition.entry.get("judges") or {}
        return [
            (name, metric)
            for name, metric in entries
            if (outside or not isinstance(metric, Command))
            and (outside or not isinstance(metric, Judge) or name in judges)
        ]
    own = {name: (name, metric) for name, metric in entries}
    found = []
    for entry in asked:
        if isinstance(entry, str) and entry in own:
            found.append(own[entry])
        elif isinstance(entry, str) and entry.startswith("{"):
            found.append(make(_parsed(entry, "metric", _METRIC)))
        elif isinstance(entry, str) and entry not in names("metric"):
            known = {*names("metric"), *own}
            raise ConfigError(f"unknown metric {entry!r}{did_you_mean(entry, known)}")
        else:
            found.append(make(entry))
    return found


def calibrator_entry(given: str | Mapping[str, Any]) -> Any:
    """An entry under ``calibrate:`` as it is written on one line: a name, or with options.

    >>> calibrator_entry("{calibrator: pmi, fields: [premise]}")
    {'calibrator': 'pmi', 'fields': ['premise']}

    Raises:
        ConfigError: braces, but no YAML.
    """
    return _parsed(given, "calibrator", _CALIBRATOR)


def _parsed(entry: str | Mapping[str, Any], what: str, example: str) -> Any:
    """An entry with options as it is written on the command line; all others as they are."""
    import yaml

    if not isinstance(entry, str) or not entry.startswith("{"):
        return entry
    try:
        return yaml.safe_load(entry)
    except yaml.YAMLError as error:
        raise ConfigError(f"the {what} {entry!r} is no YAML; write it as in {example}") from error


def _merged(condition: ConditionResult, new: Sequence[Score]) -> tuple[Score, ...]:
    """Old and new scores; a new one takes the place of one with the same settings."""
    both = [*condition.scores, *new]
    keys = [(one.name, one.signature.split("|ci:")[0].split(FITTED)[0]) for one in both]
    return tuple(dict(zip(keys, both, strict=True)).values())


def _scores(
    condition: ConditionResult,
    metrics: Sequence[tuple[str, Metric]],
    parser: str | None,
    failed: dict[str, MetricError],
) -> list[Score]:
    """Scores, baselines and counts; what a metric refuses is added to ``failed`` by its name."""
    ranked = condition.entry["method"] != "generate"
    other = parser is not None and not ranked and parser != condition.entry["parser"]
    suffix = f"@{parser}" if other else WAYS.get(condition.entry.get("ranking") or "", "")
    predictions = condition.predictions(parser)
    examples = condition.examples
    if not predictions:
        return []
    scores: list[Score] = []
    defined: list[Metric] = []
    for name, metric in metrics:
        if isinstance(metric, Command) and name in failed:
            continue  # a program that failed once would fail, or take its time, each time
        try:
            if isinstance(metric, Judge):
                scores += _judged(condition, name, metric, predictions, other)
                continue
            scores.append(score(name + suffix, metric.stats(predictions, examples)))
        except MetricError as error:
            failed.setdefault(name, error)
            continue
        if not isinstance(metric, Command):  # a program is slow, and is asked once
            defined.append(metric)
    if not other:
        sizes = [len(condition.choices(record)) for record in condition.records.values()]
        try:
            scores += baselines(
            condition.task, defined, examples, predictions, condition.entry["pool"]["labels"],
            sizes if condition.entry["labels"] == 0 else condition.entry["labels"],
            )  # fmt: skip
        except MetricError as error:
            failed.setdefault("baselines", error)
    mark = suffix if other else ""
    return [*scores, *(replace(fact, name=fact.name + mark) for fact in counts(predictions))]


def _judged(
    condition: ConditionResult, name: str, judge: Judge, predictions: Sequence[Prediction],
    reread: bool,
) -> list[Score]:  # fmt: skip
    if reread:
        raise MetricError(
            f"{name}: its verdicts are on outputs as the parser {condition.entry['parser']!r} "
            "reads them; set parser: in the experiment and run it"
        )
    return judge_scores(condition, name, judge, predictions)
