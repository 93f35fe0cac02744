"""What a number must beat: answers that need no model, made from stored facts alone.

``chance`` draws labels evenly, ``majority`` gives the pool's most frequent label, ``vote`` the
most frequent label among the shots that the model saw, ``copy`` the input itself, and ``lead3``
the first three sentences of the document (hard to beat on news: Nallapati et al. 2017, arXiv
1611.04230).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from icl.core.errors import ConfigError, MetricError
from icl.core.registry import did_you_mean
from icl.core.score_name import ScoreName
from icl.core.segmentation import split_sentences
from icl.core.stats import Metric, mean, proportion, score
from icl.core.types import BASELINES, Example, Prediction, Score, signature_text
from icl.tasks import Task
from icl.tasks.parsers import EMPTY

__all__ = ["BASELINES", "baselines", "chance", "copy", "counts", "lead", "majority", "vote"]


def baselines(
    task: Task,
    metrics: Sequence[Metric],
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    pool_labels: Mapping[str, int],
    n_labels: int | Sequence[int],
) -> list[Score]:
    """Every baseline of the task under every metric, named ``baseline/metric``.

    ``predictions`` are those of the model: ``vote`` reads their shots. ``chance`` is given for
    accuracy alone. A baseline that the condition has nothing for is left out: ``vote`` where
    no prediction has shots, ``majority`` where ``pool_labels`` is empty.

    Raises:
        ConfigError: the task names an unknown baseline.
        MetricError: see :func:`copy`, :func:`chance` and the metrics.
    """
    scores: list[Score] = []
    for baseline in task.baselines:
        if baseline not in BASELINES:
            raise ConfigError(f"unknown baseline {baseline!r}{did_you_mean(baseline, BASELINES)}")
        if baseline == "chance":
            if any(metric.name == "accuracy" for metric in metrics):
                scores.append(chance(n_labels))
            continue
        answers: list[Prediction] | None = None
        if baseline == "majority" and pool_labels:
            answers = majority(examples, pool_labels)
        elif baseline == "vote":
            answers = vote(predictions)
        elif baseline == "copy":
            answers = copy(examples)
        elif baseline == "lead3":
            answers = lead(examples)
        if answers is not None:
            scores += [
                score(
                    str(ScoreName(metric.name, role=baseline)),
                    metric.stats(answers, examples),
                    "baseline",
                )
                for metric in metrics
            ]
    return scores


def chance(n_labels: int | Sequence[int]) -> Score:
    """Expected accuracy in percent of drawing one of ``n_labels`` labels evenly.

    Where each example has its own choices, ``n_labels`` are their numbers. Exact, so there is no
    interval, and n is 0: no answer was looked at.

    >>> chance(60).value
    1.6666666666666667

    Raises:
        MetricError: there are no labels.
    """
    sizes = [n_labels] if isinstance(n_labels, int) else n_labels
    if not sizes or min(sizes) < 1:
        raise MetricError(f"chance needs at least one label, got {n_labels}: give the task labels")
    shown = f"{min(sizes)}" + (f"-{max(sizes)}" if max(sizes) > min(sizes) else "")
    signature = signature_text(f"chance|labels:{shown}", "exact")
    value = 100 * sum(1 / size for size in sizes) / len(sizes)
    name = ScoreName("accuracy", role="chance")
    return Score(str(name), value, None, None, 0, signature, "baseline")


def majority(examples: Sequence[Example], pool_labels: Mapping[str, int]) -> list[Prediction]:
    """The most frequent label of the pool for every example; of equals the first by name.

    Raises:
        MetricError: the pool has no labels.
    """
    if not pool_labels:
        raise MetricError("majority needs labels to count: give the task a pool with labels")
    top = min(pool_labels, key=lambda label: (-pool_labels[label], label))
    return [Prediction(example.id, top) for example in examples]


def vote(predictions: Sequence[Prediction]) -> list[Prediction] | None:
    """The most frequent label among the shots of each prediction.

    Of equally frequent labels the one with the higher sum of retrieval scores wins, where
    there are any, then the one that comes first among the shots. A prediction without shots
    gets no value, and counts as wrong; None is returned where none has shots.
    """
    if not any(prediction.shot_labels for prediction in predictions):
        return None
    return [
        Prediction(prediction.id, _most_voted(prediction))
        if prediction.shot_labels
        else Prediction(prediction.id, None, "no shots")
        for prediction in predictions
    ]


def copy(examples: Sequence[Example], field: str = "source") -> list[Prediction]:
    """The input field of each example as its answer.

    Raises:
        MetricError: an example has no such field, or it is no string.
    """
    return [Prediction(example.id, _read(example, field, "copy")) for example in examples]


def lead(examples: Sequence[Example], field: str = "document", n: int = 3) -> list[Prediction]:
    """The first ``n`` sentences of a field of each example, as its summary.

    Raises:
        MetricError: an example has no such field, or it is no string.
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
    """Percentages of outputs that are ``unparsed``, ``empty``, ``over_length`` and ``unended``.

    Empty and unended outputs are among the unparsed; over length are those that met
    ``max_tokens``, unended those that met it, or an end of text, while still reasoning. Each has
    Wilson's interval, and is None without predictions. Where they occur: ``shortened``
    (prompts whose marked span was cut to fit the window) and, over several samples a prompt,
    ``tied`` votes and the mean ``agreement``, the share of samples that gave the answer taken.
    """
    facts = {
        "unparsed": [prediction.value is None for prediction in predictions],
        "empty": [prediction.error == EMPTY for prediction in predictions],
        "over_length": [prediction.finish == "length" for prediction in predictions],
        "unended": [prediction.finish == "reasoning" for prediction in predictions],
    }
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


def _most_voted(prediction: Prediction) -> str:
    votes = Counter(prediction.shot_labels)
    support: dict[str, float] = dict.fromkeys(votes, 0.0)
    # Selectors without retrieval scores leave shot_scores empty or None.
    for label, retrieval in zip(prediction.shot_labels, prediction.shot_scores, strict=False):
        support[label] += retrieval or 0.0
    # max keeps the first of equals, and Counter the order of the shots.
    return max(votes, key=lambda label: (votes[label], support[label]))
