"""Ensembles: several conditions combined into one answer per row, from their records.

Averaging the probabilities of the choices over prompts follows Jiang et al. 2020
(https://aclanthology.org/2020.tacl-1.28), taking the answer of the most Wang et al. 2023
(https://arxiv.org/abs/2203.11171, self-consistency).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from icl.core.errors import ConfigError
from icl.core.probabilities import Floats, normalise
from icl.core.stats import score
from icl.core.types import Prediction, Record, Score
from icl.records.results import ConditionResult, Run
from icl.scoring.compare import Comparison, compare_sides, correct_comparisons
from icl.scoring.pairs import (
    Asked,
    Side,
    find_calibrator,
    find_shared_axes,
    make_side,
    pick_metrics,
)
from icl.scoring.sensitivity import groups, name_over

__all__ = ["compare_ensemble", "ensemble", "ensemble_side"]


def compare_ensemble(run: Run, over: Sequence[str], metrics: Asked = None) -> list[Comparison]:
    """Compare each condition with the ensemble of those that differ from it only in ``over``.

    Args:
        run: from :func:`icl.records.results.load_run`.
        over: settings whose values are combined: ``["prompt"]``, ``["prompt", "seed"]``.
        metrics: names or entries; the first one of each task by default.

    Raises:
        ConfigError: an unknown setting or metric, no two conditions that differ only in ``over``,
            no common examples, or different choices.
        CalibrationError: ``accuracy+NAME`` of answers that were not ranked, or of a calibrator
            whose records are missing.
    """
    found = groups(run, over)
    if not found:
        raise ConfigError(
            f"{run.name}: no two conditions differ only in {', '.join(over)}: nothing to average"
        )
    made = []
    for group in found:
        where = find_shared_axes(group[0], group[1])
        for member in group[2:]:
            where = {axis: word for axis, word in where.items() if member.axes.get(axis) == word}
        for name, metric in pick_metrics(group[0], metrics, run.conditions):
            calibrator = find_calibrator(name)
            together = ensemble_side(group, f"ensemble of {len(group)}", calibrator)
            for one in group:
                member_side = make_side(one, name_over(one, over), calibrator=calibrator)
                made.append(compare_sides(together, member_side, name, metric, where))
    return correct_comparisons(made)


def ensemble(conditions: Sequence[ConditionResult], metric: str | None = None) -> Score:
    """Score the combined answer of conditions, from their records.

    The score is named ``accuracy+ensemble``; see :func:`ensemble_side` for how answers are
    combined.

    Raises:
        ConfigError: fewer than two conditions, no common examples, different choices, or an
            unknown metric.
        MetricError: the metric is not defined for an example.
    """
    _check_several(conditions)
    name, measure = pick_metrics(conditions[0], [metric] if metric else None)[0]
    made = ensemble_side(conditions, calibrator=find_calibrator(name))
    stats = measure.stats(list(made.predictions.values()), list(made.examples.values()))
    signature = f"{stats.signature}|ensemble:{len(conditions)}"
    return score(f"{name}+ensemble", replace(stats, signature=signature))


def ensemble_side(
    conditions: Sequence[ConditionResult], name: str = "ensemble", calibrator: str | None = None
) -> Side:
    """Combine conditions into one side of a comparison, on their common examples.

    Ranked choices: the choice with the highest mean probability, each condition's probabilities
    of the choices adding up to one; with a calibrator, those that it makes of them. Written
    answers, and sets of labels: the value that most conditions give, of equals the one of the
    earliest condition; those that could not be parsed have no vote.

    Raises:
        ConfigError: fewer than two conditions, no common examples, or different choices.
        CalibrationError: a calibrator's records are missing, or the answers were not ranked.
    """
    _check_several(conditions)
    sides = [make_side(condition) for condition in conditions]
    scores = [_scores(condition, calibrator) for condition in conditions]
    ids = sorted(set.intersection(*(set(one.examples) for one in sides)))
    if not ids:
        raise ConfigError("an ensemble needs common examples, and its conditions have none")
    predictions = {}
    for key in ids:
        records = [condition.records[key] for condition in conditions]
        ranked = all(record.logprobs for record in records)
        if ranked and conditions[0].set_rule is None:
            value: str | None = _most_likely(conditions, records, [one[key] for one in scores])
        else:
            given = [one.predictions[key].value for one in sides]
            votes = Counter(answer for answer in given if answer is not None)
            value = votes.most_common(1)[0][0] if votes else None
        predictions[key] = Prediction(
            key, value, "no member has an answer" if value is None else None
        )
    first = sides[0]
    rows = {key: first.rows[key] for key in ids}
    return Side(name, {key: first.examples[key] for key in ids}, predictions, rows=rows)


def _check_several(conditions: Sequence[ConditionResult]) -> None:
    if len(conditions) < 2:
        raise ConfigError(
            f"an ensemble needs two conditions or more, and this is {len(conditions)}: name a "
            "setting that has several values"
        )


def _scores(condition: ConditionResult, calibrator: str | None) -> dict[str, Floats]:
    """Return example id -> scores of its choices, whose softmax is the condition's distribution."""
    if calibrator is None:
        return {key: np.array(record.logprobs) for key, record in condition.records.items()}
    return dict(zip(condition.records, condition.calibrated(calibrator).scores, strict=True))


def _most_likely(
    conditions: Sequence[ConditionResult], records: Sequence[Record], scores: Sequence[Floats]
) -> str:
    """Return the label with the highest mean probability; on a tie the first."""
    labels = [choice.label for choice in conditions[0].choices(records[0])]
    total = np.zeros(len(labels))
    for condition, record, given in zip(conditions, records, scores, strict=True):
        known = {choice.label: i for i, choice in enumerate(condition.choices(record))}
        if known.keys() != set(labels):
            raise ConfigError(
                f"the conditions rank other choices for example {record.id!r}; an ensemble needs "
                "the same labels in all of them"
            )
        total += np.exp(normalise(given[[known[label] for label in labels]]))
    return labels[int(total.argmax())]
