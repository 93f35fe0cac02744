"""Plug-ins that compare predictions with targets: one metric is one file with one class.

A metric gives one row of statistics per example (:class:`icl.core.stats.Stats`); its value is on
the scale from 0 to 100. What all of them check, and the door to sacreBLEU, stand here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from icl.core.errors import ConfigError, MetricError
from icl.core.registry import construct
from icl.core.stats import Metric, Rows, Stats
from icl.core.types import Example, Prediction

__all__ = ["better", "make_metric", "paired", "segment_stats"]


def paired(
    predictions: Sequence[Prediction], examples: Sequence[Example], label: str
) -> list[tuple[Prediction, Example]]:
    """Predictions beside their examples, each with at least one target.

    Raises:
        MetricError: the sequences do not run parallel, or an example has no target.
    """
    if len(predictions) != len(examples):
        raise MetricError(
            f"{label} got {len(predictions)} predictions for {len(examples)} examples: "
            "give one prediction an example, in the same order"
        )
    pairs = list(zip(predictions, examples, strict=True))
    for prediction, example in pairs:
        if prediction.id != example.id:
            raise MetricError(
                f"{label} got prediction {prediction.id!r} for example {example.id!r}: "
                "give both in the same order"
            )
        if not example.targets:
            raise MetricError(
                f"{label} needs a target, and example {example.id!r} has none: "
                "score only rows with gold answers"
            )
    return pairs


def segment_stats(scorer: Any, pairs: Sequence[tuple[Prediction, Example]]) -> Stats:
    """The statistics that a sacreBLEU metric object keeps of each segment.

    Every target is a reference. sacreBLEU wants equally many a segment, and takes None for
    those that are not there. A prediction without a value is an empty hypothesis.
    """

    def value(row: Rows) -> float:
        return float(scorer._compute_score_from_stats(row.tolist()).score)

    if not pairs:
        scorer.num_refs = 0
        return Stats(np.zeros((0, 0)), value, str(scorer.get_signature()))
    most = max(len(example.targets) for _, example in pairs)
    padded = [example.targets + (None,) * (most - len(example.targets)) for _, example in pairs]
    hypotheses = [prediction.value or "" for prediction, _ in pairs]
    streams = list(zip(*padded, strict=True))  # (references, n)
    rows = np.array(scorer._extract_corpus_statistics(hypotheses, streams), dtype=np.float64)
    return Stats(rows, value, str(scorer.get_signature()))


def better(metric: object) -> str:
    """Which values of a metric, or of its class, are better: ``higher``, ``lower`` or ``none``.

    A metric says so in ``better``; ``higher`` where it does not.

    >>> from icl.metrics.ter import TER
    >>> better(TER())
    'lower'
    """
    return str(getattr(metric, "better", "higher"))


def make_metric(entry: str | Mapping[str, Any], where: str = "metrics") -> tuple[str, Metric]:
    """The name of a score and its metric, of an entry under ``metrics:``.

    An entry is a registered name, ``{metric: bleu, tokenize: char}`` with options, or
    ``{command: "…"}`` for an outside program, or ``{judge: {…}}`` for a model; ``name``
    calls the score something else.

    >>> make_metric({"metric": "chrf", "word_order": 0, "name": "plain_chrf"})[0]
    'plain_chrf'

    Raises:
        ConfigError: unknown name or option, or neither ``metric`` nor ``command``.
        MetricError: an option is out of range.
    """
    options = {"metric": entry} if isinstance(entry, str) else dict(entry)
    kind = options.pop("metric", next((k for k in ("command", "judge") if k in options), None))
    title = options.pop("name", None)
    if kind == "judge" and isinstance(asked := options.get("judge"), Mapping):
        options = {**options, **asked}
        del options["judge"]
    if not isinstance(kind, str) or not isinstance(title, str | None) or title == "":
        raise ConfigError(
            f"{where}: a metric is a name, {{metric: NAME, OPTION: …}}, {{command: …}} or {{judge: "
            f"{{…}}}}, with a `name:` if wanted; this is {entry!r}"
        )
    if kind in ("command", "judge") and title is not None:
        options["title"] = title  # so that its errors call it so too
    made: Metric = construct("metric", kind, options, where)
    return title or made.name, made
