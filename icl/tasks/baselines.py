"""Baselines that a score must beat: answers without a model, computed from stored records.

``chance`` draws one of all possible answers, ``majority`` gives the answer that is right in most
rows of the pool, ``vote`` the most frequent label among the shots in the prompt, ``copy`` the
input itself, and ``lead3`` the first three sentences of the document (hard to beat on news:
Nallapati et al. 2017, arXiv 1611.04230). ``no_slots`` finds no slot in any text; there ``vote``
finds the values that stand in the shots (:mod:`icl.tasks.slots`). ``nearest`` does to the word of
the row what its most similar shot does to its own (:mod:`icl.tasks.inflection`).

If answers tie, none is preferred: the score is the expected one for a random draw among them, and
the number of tied answers is stored with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import numpy as np

from icl.core.errors import ConfigError, MetricError
from icl.core.registry import did_you_mean
from icl.core.score_name import ScoreName
from icl.core.segmentation import split_sentences
from icl.core.stats import Metric, Rows, Stats, mean, proportion, score
from icl.core.types import BASELINES, Example, Prediction, Score, signature_text
from icl.tasks import Task
from icl.tasks.parsers import EMPTY

__all__ = [
    "BASELINES",
    "Alternatives",
    "BaselineStats",
    "ChanceMetric",
    "baselines",
    "copy",
    "counts",
    "describe_tie",
    "describe_ties",
    "expect",
    "find_best_sets",
    "find_tied",
    "lead",
    "list_baselines",
    "majority",
    "score_chance",
    "vote",
]


Alternatives = Sequence[Sequence[Prediction]]
"""For each example, the answers that tie; only one if none tie."""

MOST_SETS = 200
"""Most sets of labels that are tried as the one answer to all rows."""
_SHARE = mean((), "").value
"""The function from a summed row to a score for proportions and means of shares, which may be
averaged over tied answers row by row."""


@runtime_checkable
class ChanceMetric(Metric, Protocol):
    """Interface of a metric with an expected score of an answer drawn at random."""

    def chance(self, examples: Sequence[Example], labels: Sequence[Sequence[str]]) -> Stats:
        """Compute each example's expected statistics for an answer drawn from its ``labels``.

        The signature begins with ``chance|``.

        Raises:
            MetricError: an example has no labels to draw from.
        """
        ...


@dataclass(frozen=True, slots=True)
class BaselineStats:
    """The statistics of answers without a model under a metric, one row an example."""

    name: ScoreName
    stats: Stats
    tied: int = 0
    """Answers that tied for ``majority``; rows in which the shots' votes tied for ``vote``."""

    def score(self) -> Score:
        """Compute the score and its interval; chance is exact, so it has none, and n is 0."""
        if self.name.role == "chance":
            return score_chance(self.name, self.stats)
        return replace(score(str(self.name), self.stats, "baseline"), tied=self.tied)


def baselines(
    task: Task,
    metrics: Sequence[Metric],
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    pool_labels: Mapping[str, int],
    labels: Sequence[Sequence[str]],
) -> list[Score]:
    """Score every baseline of the task with every metric, named ``baseline/metric``.

    See :func:`list_baselines`, which has the same arguments.
    """
    found = list_baselines(task, metrics, examples, predictions, pool_labels, labels)
    return [one.score() for one in found]


def list_baselines(
    task: Task,
    metrics: Sequence[Metric],
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    pool_labels: Mapping[str, int],
    labels: Sequence[Sequence[str]],
    own: Mapping[str, Alternatives] = MappingProxyType({}),
) -> Iterator[BaselineStats]:
    """Yield every baseline of the task under every metric, with statistics of each example.

    ``predictions`` are those of the model: ``vote`` reads their shots. ``labels`` are those that
    each example may be answered with; ``chance`` is given under metrics that say what it is.
    ``own`` holds the answers of baselines for which the caller knows more than is given here. A
    baseline that the condition has nothing for is left out: ``vote`` where no prediction has
    shots, ``majority`` where ``pool_labels`` is empty.

    Raises:
        ConfigError: the task names an unknown baseline.
        MetricError: see :func:`copy`, :class:`ChanceMetric` and the metrics.
    """
    for baseline in task.baselines:
        if baseline not in BASELINES:
            raise ConfigError(f"unknown baseline {baseline!r}{did_you_mean(baseline, BASELINES)}")
        if baseline == "chance":
            for metric in metrics:
                if isinstance(metric, ChanceMetric):
                    stats = metric.chance(examples, labels)
                    yield BaselineStats(ScoreName(metric.name, role=baseline), stats)
            continue
        answers: Alternatives | None = own.get(baseline)
        if answers is not None or task.kind.gold == "spans":
            pass  # without its own answers there is none of slots
        elif baseline == "majority" and pool_labels:
            answers = majority(examples, pool_labels)
        elif baseline == "vote":
            answers = vote(predictions)
        elif baseline == "copy":
            answers = [(made,) for made in copy(examples)]
        elif baseline == "lead3":
            answers = [(made,) for made in lead(examples)]
        if answers is None:
            continue
        tied = sum(len(row) > 1 for row in answers)
        for metric in metrics:
            name = ScoreName(metric.name, role=baseline)
            if baseline in ("majority", "no_slots"):
                if task.kind.gold == "set":
                    answers = _answer_all(examples, find_best_sets(metric, pool_labels))
                tied = len(answers[0]) if answers and len(answers[0]) > 1 else 0
            yield BaselineStats(name, expect(metric, answers, examples), tied)


def expect(metric: Metric, answers: Alternatives, examples: Sequence[Example]) -> Stats:
    """Compute the expected statistics of answers that may tie, if one of them is drawn.

    Where a score is a mean over rows, each row has the mean over its answers. Where it is not,
    as of F1, it is the mean of the scores of as many systems as answers tie: the first gives
    every example its first answer, and so on, in turn where an example has fewer.

    Raises:
        MetricError: the metric is undefined for an example, or the sequences are not parallel.
    """
    most = max(map(len, answers), default=1)
    if most == 1:
        return metric.stats([row[0] for row in answers], examples)
    # All in one call, since a metric may lay out its columns by the answers that it sees.
    made = metric.stats(
        [answer for row in answers for answer in row],
        [one for row, one in zip(answers, examples, strict=True) for _ in row],
    )
    sizes = np.array([len(row) for row in answers])
    starts = np.cumsum(sizes) - sizes
    if made.value is _SHARE:
        rows = np.add.reduceat(made.rows, starts, axis=0) / sizes[:, None]
        return Stats(rows, made.value, made.signature)
    return _mean_over_systems(made, [starts + place % sizes for place in range(most)])


def _mean_over_systems(made: Stats, systems: Sequence[Rows]) -> Stats:
    """Average the scores of several systems, each given by its rows of ``made``.

    Columns that are the same in several systems are held once: of 60 constant answers most are.
    """
    width = made.rows.shape[1]
    columns: dict[bytes, int] = {}
    held: list[Rows] = []
    places = np.empty((len(systems), width), dtype=int)
    for system, chosen in enumerate(systems):
        rows = made.rows[chosen]
        for column in range(width):
            key = np.ascontiguousarray(rows[:, column]).tobytes()
            if key not in columns:
                columns[key] = len(held)
                held.append(rows[:, column])
            places[system, column] = columns[key]

    def value(row: Rows) -> float | None:
        found = [made.value(row[own]) for own in places]
        known = [one for one in found if one is not None]
        return sum(known) / len(known) if len(known) == len(found) else None

    return Stats(np.stack(held, axis=1), value, made.signature)


def describe_tie(tied: Score) -> str:
    """Describe the ties behind a baseline's score; empty if there are none.

    >>> describe_tie(Score("majority/accuracy", 1.7, 0.1, 3.4, 60, "", "baseline", tied=60))
    '60 labels tied'
    """
    if not tied.tied:
        return ""
    if ScoreName.of_score(tied).role == "vote":
        return f"labels tied in {tied.tied} of {tied.n} rows"
    return f"{tied.tied} labels tied"


def describe_ties(scores: Iterable[Score]) -> list[str]:
    """Describe the ties behind the baselines of a table, one line each.

    >>> scores = [Score("majority/accuracy", 1.7, 0.1, 3.4, 60, "", "baseline", tied=60)]
    >>> describe_ties(scores)
    ['majority: 60 labels tied, so it is the mean over them']
    """
    found: dict[str, list[Score]] = {}
    for one in scores:
        if one.tied:
            found.setdefault(ScoreName.of_score(one).role, []).append(one)
    lines = []
    for role, tied in found.items():
        few, many = (pick(tied, key=lambda one: one.tied) for pick in (min, max))
        said = describe_tie(many)
        if few.tied < many.tied:
            said = said.replace(str(many.tied), f"{few.tied} to {many.tied}", 1)
        lines.append(f"{role}: {said}, so it is the mean over them")
    return lines


def score_chance(name: ScoreName, stats: Stats) -> Score:
    """Compute the score of an even draw from its expected statistics.

    Exact, so there is no interval, and n is 0: no answer was looked at.
    """
    value = stats.value(stats.rows.sum(axis=0)) if len(stats.rows) else None
    signature = signature_text(stats.signature, "exact")
    return Score(str(name), value, None, None, 0, signature, "baseline")


def find_tied(pool_labels: Mapping[str, int]) -> list[str]:
    """List the most frequent label of the pool, or all that are equally frequent, by name.

    >>> find_tied({"a": 1, "c": 2, "b": 2})
    ['b', 'c']
    """
    most = max(pool_labels.values(), default=0)
    return sorted(label for label, count in pool_labels.items() if count == most)


def majority(examples: Sequence[Example], pool_labels: Mapping[str, int]) -> Alternatives:
    """Answer every example with the most frequent label of the pool; several where they tie.

    Args:
        examples: the rows that are answered.
        pool_labels: label -> pool rows in which it is a right answer.

    Raises:
        MetricError: the pool has no labels.
    """
    if not pool_labels:
        raise MetricError("majority needs labels to count: give the task a pool with labels")
    return _answer_all(examples, find_tied(pool_labels))


def _answer_all(examples: Sequence[Example], answers: Sequence[str]) -> Alternatives:
    return [[Prediction(example.id, answer) for answer in answers] for example in examples]


def find_best_sets(metric: Metric, pool_labels: Mapping[str, int]) -> list[str]:
    """Find the sets of labels that score best as the answer to every row of the pool.

    Every set that the pool has is tried; of more than 200 different ones the most frequent 200.

    Args:
        metric: one of sets of labels.
        pool_labels: set of labels in normal form -> rows of the pool that have it.
    """
    often = sorted(pool_labels, key=lambda one: (-pool_labels[one], one))
    rows = [Example(one, {}, (one,)) for one in often]
    times = np.array([pool_labels[one] for one in often], dtype=np.float64)
    found: list[tuple[float, str]] = []
    for answer in often[:MOST_SETS]:
        stats = metric.stats([Prediction(row.id, answer) for row in rows], rows)
        value = stats.value(times @ stats.rows)
        found.append((0.0 if value is None else round(value, 9), answer))
    best = max((value for value, _ in found), default=0.0)
    return sorted(answer for value, answer in found if value == best)


def vote(predictions: Sequence[Prediction]) -> Alternatives | None:
    """Answer with the most frequent label among each prediction's shots; several where they tie.

    Of equally frequent labels the one with the higher sum of retrieval scores wins, where
    there are any. A prediction without shots gets no value, and counts as wrong; None is returned
    where none has shots.
    """
    if not any(prediction.shot_labels for prediction in predictions):
        return None
    return [
        [Prediction(prediction.id, label) for label in _most_voted(prediction)]
        if prediction.shot_labels
        else [Prediction(prediction.id, None, "no shots")]
        for prediction in predictions
    ]


def copy(examples: Sequence[Example], field: str = "source") -> list[Prediction]:
    """Predict the input field of each example as its answer.

    Raises:
        MetricError: an example has no such field, or it is not a string.
    """
    return [Prediction(example.id, _read(example, field, "copy")) for example in examples]


def lead(examples: Sequence[Example], field: str = "document", n: int = 3) -> list[Prediction]:
    """Predict the first ``n`` sentences of a field of each example, as its summary.

    Raises:
        MetricError: an example has no such field, or it is not a string.
    """
    return [
        Prediction(example.id, " ".join(split_sentences(_read(example, field, f"lead{n}"))[:n]))
        for example in examples
    ]


def _read(example: Example, field: str, baseline: str) -> str:
    value = example.fields.get(field)
    if not isinstance(value, str):
        raise MetricError(
            f"the {baseline} baseline reads the field {field!r} as text, and example "
            f"{example.id!r} has {', '.join(sorted(example.fields)) or 'no fields'}: "
            f"call the column of inputs {field!r}"
        )
    return value


def counts(predictions: Sequence[Prediction]) -> list[Score]:
    """Compute percentages of outputs: ``unparsed``, ``empty``, ``over_length`` and ``unended``.

    Empty and unended outputs are among the unparsed; over length are those that met
    ``max_tokens``, unended those that met it, or an end of text, while still reasoning. Each has
    Wilson's interval, and is None without predictions. Where they occur: ``filtered`` and
    ``refused`` (by a server's content filter, or by the model), ``shortened`` (prompts whose
    marked span was cut to fit the window) and, over several samples a prompt, ``tied`` votes and
    the mean ``agreement``, the share of samples that gave the answer taken. Of slots also each
    fault of an answer that could be read: ``broken``, ``unknown``, ``altered``, ``invented``.
    """
    facts = {
        "unparsed": [prediction.value is None for prediction in predictions],
        "empty": [prediction.error == EMPTY for prediction in predictions],
        "over_length": [prediction.finish == "length" for prediction in predictions],
        "unended": [prediction.finish == "reasoning" for prediction in predictions],
    }
    for name in dict.fromkeys(name for made in predictions for name in made.faults):
        facts[name] = [prediction.faults.get(name, 0) > 0 for prediction in predictions]
    for name, finish in (("filtered", "filter"), ("refused", "refusal")):
        if any(hits := [prediction.finish == finish for prediction in predictions]):
            facts[name] = hits
    if any(prediction.shortened for prediction in predictions):
        facts["shortened"] = [prediction.shortened for prediction in predictions]
    several = any(prediction.samples > 1 for prediction in predictions)
    if several:
        facts["tied"] = [prediction.tied for prediction in predictions]
    made = [score(name, proportion(hits, f"share:{name}"), "count") for name, hits in facts.items()]
    if several:
        shares = [prediction.votes / prediction.samples for prediction in predictions]
        made.append(score("agreement", mean(shares, "share:agreement"), "count"))
    return made


def _most_voted(prediction: Prediction) -> list[str]:
    """List the labels with most votes and, of those, most support, in the order of the shots."""
    votes = Counter(prediction.shot_labels)
    support: dict[str, float] = dict.fromkeys(votes, 0.0)
    # Selectors without retrieval scores leave shot_scores empty or None.
    for label, retrieval in zip(prediction.shot_labels, prediction.shot_scores, strict=False):
        support[label] += retrieval or 0.0
    best = max((votes[label], support[label]) for label in votes)
    return [label for label in votes if (votes[label], support[label]) == best]
