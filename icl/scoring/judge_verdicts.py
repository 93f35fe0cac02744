"""Verdicts of a judge in a run folder, read as records, and the scores computed from them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import repeat

import msgspec

from icl.core.errors import MetricError
from icl.core.stats import Stats, aggregate, proportion, score
from icl.core.strict_json import read_json
from icl.core.types import Prediction, Score
from icl.metrics import VerdictMetric
from icl.metrics.judge import kappa
from icl.records.manifest import JudgeEntry
from icl.records.results import ConditionResult
from icl.records.store import ConditionStore

__all__ = ["HUMAN", "human_text", "judge_parts", "judge_result", "judge_scores"]


HUMAN = "human.json"
"""File in a judge's condition folder with the human verdicts by example id."""


def judge_result(condition: ConditionResult, name: str) -> ConditionResult:
    """Return a judge's verdicts on a condition in the form of a condition.

    Raises:
        MetricError: the judge has not run yet.
    """
    known = _judges(condition)
    if name not in known:
        raise MetricError(
            f"{name}: no verdicts yet; make them: `icl run` with the experiment's file"
        )
    entry = known[name]
    store = ConditionStore(condition.store.folder.parent / entry.folder)
    return ConditionResult(entry.condition(), condition.ids, store, rendering=condition.rendering)


def _verdicts(
    condition: ConditionResult, name: str, predictions: Sequence[Prediction]
) -> dict[str, str | None]:
    """Return example id -> verdict on the current output; None for one that cannot be parsed."""
    judged = judge_result(condition, name)
    asked = judged.store.examples()
    found = {made.id: made.value for made in judged.predictions()}
    right = {
        made.id: found[made.id]
        for made in predictions
        if made.id in found and asked[made.id].fields.get("output") == made.value
    }
    missing = [
        made.id
        for made in predictions
        if made.value is not None and made.id not in {*right, *judged.unscored}
    ]
    if missing:
        raise MetricError(
            f"{name}: {len(missing)} of {len(predictions)} outputs have no verdict, such as "
            f"{missing[0]!r}; make them: `icl run` with the experiment's file"
        )
    return right


def judge_parts(
    conditions: Sequence[ConditionResult],
    name: str,
    judge: VerdictMetric,
    predictions: Sequence[Sequence[Prediction]],
) -> list[Stats]:
    """Make statistics of a judge's verdicts on several conditions, a row for each prediction.

    Raises:
        MetricError: an output has no verdict, or different models or templates judged.
    """
    found = [_verdicts(*pair) for pair in zip(conditions, repeat(name), predictions, strict=False)]
    for condition, said in zip(conditions, predictions, strict=True):
        judged = judge_result(condition, name)
        if left := [made.id for made in said if made.id in judged.unscored]:
            raise MetricError(
                f"{name}: the judge gave no verdict on {len(left)} of {len(said)} outputs, such as "
                f"{left[0]!r}; say `icl run` with the experiment's file to request them again"
            )
    if len({_signature(one, name, judge) for one in conditions}) > 1:
        raise MetricError(
            f"{name}: these were judged by different models or templates, whose verdicts are not "
            "comparable; use one judge for all of them"
        )
    signature = _signature(conditions[0], name, judge)
    return [
        judge.judged([verdicts.get(made.id) for made in said], signature)
        for verdicts, said in zip(found, predictions, strict=True)
    ]


def _judges(condition: ConditionResult) -> Mapping[str, JudgeEntry]:
    return condition.entry.judges or {}


def _signature(condition: ConditionResult, name: str, judge: VerdictMetric) -> str:
    return f"{judge.signature}|hash:{_judges(condition)[name].hash}"


def judge_scores(
    condition: ConditionResult, name: str, judge: VerdictMetric, predictions: Sequence[Prediction]
) -> list[Score]:
    """Compute the scores of a judge's verdicts.

    Returns:
        The judge's score; the share of unreadable verdicts, if there are any; and, with human
        verdicts, percent agreement and Cohen's kappa, each with its interval.

    Raises:
        MetricError: an output has no verdict.
    """
    found = _verdicts(condition, name, predictions)
    left = judge_result(condition, name).unscored  # out of n, as any row without an answer
    predictions = [made for made in predictions if made.id not in left]
    verdicts = [found.get(made.id) for made in predictions]
    scores = [score(name, judge.judged(verdicts, _signature(condition, name, judge)))]
    unread = [made.id in found and found[made.id] is None for made in predictions]
    if any(unread):
        scores.append(score(f"{name}:unread", proportion(unread, "share:unread"), "count"))
    human = _human(condition, name) if judge.human else {}
    values = {made.id: made.value for made in predictions}
    both = [
        (key, (verdict, row.verdict))
        for key, verdict in found.items()
        if verdict is not None
        for row in human.get(key, ())
        if row.output in (None, values[key])
    ]
    if both:
        keys, pairs = zip(*both, strict=True)
        agreed = proportion([one == other for one, other in pairs], "agreement:percent")
        for what, stats in (("human", agreed), ("kappa", kappa(pairs, "kappa:cohen|scale:100"))):
            if len({*keys}) < len(keys):  # several humans on one output say it of one output
                stats = aggregate([(stats, keys)])
            scores.append(score(f"{name}:{what}", stats, "count"))
    return scores


class HumanLine(msgspec.Struct, forbid_unknown_fields=True):
    """A human's verdict on an output."""

    verdict: str
    output: str | None = None
    """The text that it judges; None for any output of the row."""


def _human(condition: ConditionResult, name: str) -> dict[str, list[HumanLine]]:
    path = judge_result(condition, name).store.folder / HUMAN
    return read_json(path, dict[str, list[HumanLine]]) if path.exists() else {}


def human_text(rows: Mapping[str, Sequence[Mapping[str, str]]]) -> str:
    """Write the content of the file :data:`HUMAN`."""
    return json.dumps(rows, ensure_ascii=False, indent=1) + "\n"
