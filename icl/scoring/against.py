"""Comparison of conditions with their baselines, row by row, on the rows that each has answered.

A baseline (``chance``, ``majority``, ``vote``, ``copy``, ``lead3``, ``no_slots``,
``nearest``) answers without a model. What it gets of each row, which may be a share such as 1/60,
is paired with what the model gets of it: so the question is answered by one test, and not by
whether a number lies inside an interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from icl.core.errors import CalibrationError, CommandError, ConfigError, MetricError
from icl.core.registry import did_you_mean
from icl.core.score_name import ScoreName, primary
from icl.core.stats import Metric, Stats
from icl.core.types import BASELINES, signature_text
from icl.metrics import asks_judge, starts_program
from icl.metrics import find_direction as better_of
from icl.records.results import ConditionResult, Run
from icl.scoring.compare import POINTS, Comparison, correct_comparisons
from icl.scoring.pairs import Asked, find_calibrator, find_score_metric, pick_metrics
from icl.scoring.scores import list_condition_baselines
from icl.scoring.significance import Difference, measure_difference, measure_row_difference, power

__all__ = ["STRONGEST", "Margins", "compare_against", "measure_margins", "pick_strongest"]


STRONGEST = "strongest"
"""Word for the baseline with the best score, chosen for each condition."""


@dataclass(frozen=True)
class Margins:
    """Differences of a run's conditions to their baselines; ``b - a`` with ``a`` the baseline.

    A condition is missing where its first metric has no baseline, no better direction, or cannot
    be computed here.
    """

    strongest: Mapping[str, Comparison]
    """Fingerprint -> its strongest baseline; p is corrected (Holm) for the conditions of its task,
    which are the rows of a table."""
    every: Mapping[str, Sequence[Comparison]]
    """Fingerprint -> all of its baselines, the strongest as above, the others uncorrected."""

    def under(self, condition: ConditionResult, score: str) -> Comparison | None:
        """Return a condition's comparison with its strongest baseline by this score, if any."""
        found = self.strongest.get(condition.entry.fingerprint)
        return found if found is not None and found.metric == _plain(score) else None


def compare_against(run: Run, baseline: str = STRONGEST, metrics: Asked = None) -> list[Comparison]:
    """Compare every condition of a run with a baseline that needs no model, paired by row.

    The baseline is ``a`` of each comparison, the condition ``b``. p is corrected (Holm) for all
    comparisons. A condition without this baseline, such as one without shots for ``vote``, is left
    out.

    Args:
        run: from :func:`icl.load_run`.
        baseline: ``vote``, ``majority``, ``chance``, ``copy``, ``lead3``, ``no_slots`` or
            ``nearest``; or ``strongest``: of each condition the one with the best score.
        metrics: names or entries; the first one of each task by default.

    Raises:
        ConfigError: an unknown baseline or metric, or one that no condition has.
        MetricError: a baseline is not defined for the rows.
    """
    known = (*BASELINES, STRONGEST)
    if baseline not in known:
        raise ConfigError(f"unknown baseline {baseline!r}{did_you_mean(baseline, known)}")
    made: list[Comparison] = []
    there: dict[str, None] = {}
    for condition in run.conditions:
        for name, metric in pick_metrics(condition, metrics, run.conditions):
            found = list(_compare_baselines(condition, name, metric))
            there |= dict.fromkeys(one.a for one in found)
            chosen = [one for one in found if one.a == baseline]
            if baseline == STRONGEST:
                chosen = [one for one in [pick_strongest(found)] if one is not None]
            made += [_add_needed(one) for one in chosen]
    if not made:
        raise ConfigError(
            f"{run.name}: no condition has the baseline {baseline!r} under this metric; it has: "
            f"{', '.join(there) or 'none'}"
        )
    return correct_comparisons(made)


def measure_margins(conditions: Sequence[ConditionResult], score: str | None = None) -> Margins:
    """Compare conditions with all of their baselines, by each one's first score or a named one.

    Nothing is refused: what cannot be compared, as with a metric whose plug-in is gone, is missing.
    """
    every: dict[str, list[Comparison]] = {}
    strongest: dict[str, Comparison] = {}
    for task in dict.fromkeys(one.entry.task for one in conditions):
        best: dict[str, Comparison] = {}
        for condition in [one for one in conditions if one.entry.task == task]:
            found = _compare_if_defined(condition, score)
            top = pick_strongest(found)
            if top is not None:
                every[condition.entry.fingerprint] = found
                best[condition.entry.fingerprint] = top
        fixed = correct_comparisons(list(best.values()))
        strongest |= dict(zip(best, fixed, strict=True))
    for name, top in strongest.items():
        every[name] = [top if one.a == top.a else one for one in every[name]]
    return Margins(strongest, every)


def pick_strongest(found: Sequence[Comparison]) -> Comparison | None:
    """Pick the comparison whose baseline scores best; None if none has a score.

    Of equals it is the last one in the order of tasks, which is ``vote`` where there are shots.
    Under a metric of which neither more nor less is better no baseline is the strongest.
    """
    known = [one for one in found if one.value_a is not None and one.better != "none"]
    return max(
        reversed(known),
        # Sums in another order differ in the last digits, and are equal all the same.
        key=lambda one: round(one.value_a or 0.0, 9) * (-1 if one.better == "lower" else 1),
        default=None,
    )


def _compare_if_defined(condition: ConditionResult, score: str | None) -> list[Comparison]:
    first = primary(condition.scores)
    name = score or (first.name if first else "")
    read = ScoreName.of(name, "model")
    if not name or read.parser or not condition.records:
        return []
    try:
        found, metric = find_score_metric(condition, _plain(name))
        return list(_compare_baselines(condition, found, metric))
    except (CalibrationError, CommandError, ConfigError, MetricError):  # scoring has said why
        return []


def _plain(score: str) -> str:
    """Return a score's name without how a server ranked."""
    return str(replace(ScoreName.of(score, "model"), ranking=None))


def _compare_baselines(
    condition: ConditionResult, name: str, metric: Metric
) -> Iterator[Comparison]:
    """Yield a condition's comparison with each baseline that it has by a metric, uncorrected."""
    if starts_program(metric) or asks_judge(metric) or not condition.records:
        return
    predictions = condition.predictions(calibrator=find_calibrator(name))
    examples = condition.examples
    stats = metric.stats(predictions, examples)
    value = stats.value(stats.rows.sum(axis=0))
    ids = [example.id for example in examples]
    where = {axis: word for axis, word in condition.axes.items() if word and axis != "shots"}
    for one in list_condition_baselines(condition, [metric], examples, predictions):
        plain = Comparison(
            name,
            metric.label,
            one.name.role,
            condition.axes.get("shots", ""),
            where,
            len(ids),
            len(ids),
            len(ids),
            value_a=one.stats.value(one.stats.rows.sum(axis=0)),
            value_b=value,
            better=better_of(metric),
            sides=((one.stats, ids), (stats, ids)),
        )
        if plain.value_a is None or value is None:
            problem = f"{plain.title} is undefined for these {plain.n} examples"
            yield replace(plain, problem=problem)
        else:
            yield replace(plain, difference=_measure(one.stats, stats))


def _measure(baseline: Stats, model: Stats) -> Difference:
    """Measure the difference of the model to a baseline, by the test that fits the metric."""
    if model.proportion:
        shares = [side.rows[:, 0] / side.rows[:, 1] for side in (baseline, model)]
        return measure_row_difference(*(side.tolist() for side in shares))
    # The mean over answers that tie knows no scale; it is that of the metric.
    baseline = replace(baseline, scale=model.scale)
    try:
        return measure_difference(baseline, model)
    except MetricError:
        # No interval would hold, and rows with other columns cannot be exchanged either: F1 of
        # few rows, whose columns are the labels that were given.
        values = [side.value(side.rows.sum(axis=0)) or 0.0 for side in (baseline, model)]
        test = signature_text("none", "none")
        return Difference(values[1] - values[0], None, None, None, test, len(model.rows))


def _add_needed(one: Comparison) -> Comparison:
    if one.sides is None or one.problem or one.difference.p is None:
        return one
    (baseline, _), (model, _) = one.sides
    return replace(one, needed=power(replace(baseline, scale=model.scale), model, POINTS))
