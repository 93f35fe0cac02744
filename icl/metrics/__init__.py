"""The base classes and helpers of metrics, which compare predictions with targets.

A metric gives one row of statistics per example (:class:`icl.core.stats.Stats`); its value is on
the scale from 0 to 100. Checks for all of them, and the access to sacreBLEU, are here.

In addition to :class:`icl.core.stats.Metric`, a class may define ``better``, which values are
better (:func:`find_direction`), and ``needs``, its requirements (:func:`needs`): a judge's
``verdicts`` or an external ``program``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeGuard, TypeVar, get_args, runtime_checkable

import numpy as np

from icl.core.errors import ConfigError, MetricError
from icl.core.label_sets import read_labels
from icl.core.registry import construct, lookup
from icl.core.stats import MIN_ROWS, Metric, Rows, Scale, Stats
from icl.core.types import Better, Example, Method, Needs, Prediction, narrow

__all__ = [
    "ProgramMetric",
    "VerdictMetric",
    "asks_judge",
    "check_chance_labels",
    "find_direction",
    "find_label",
    "make_metric",
    "needs",
    "pair_up",
    "read_label_set",
    "collect_segment_stats",
    "starts_program",
]


@runtime_checkable
class ProgramMetric(Metric, Protocol):
    """A metric that starts an external program: ``needs = "program"``.

    Where a stranger's file names it, it starts only for somebody who has allowed that.
    """

    @property
    def command(self) -> str:
        """The command line, as shown to the user who must allow it."""
        ...


@runtime_checkable
class VerdictMetric(Metric, Protocol):
    """A metric computed from a model's verdict on every output: ``needs = "verdicts"``.

    The run generates the verdicts.
    """

    @property
    def prompt(self) -> str:
        """A classify template that reads ``output``, ``reference`` and the row's inputs."""
        ...

    @property
    def model(self) -> str:
        """A name under ``models:``."""
        ...

    @property
    def scores(self) -> Mapping[str, float]:
        """Label of the template -> its value, from 0 to 1."""
        ...

    @property
    def method(self) -> Method:
        """Return how verdicts are obtained: ``rank`` or ``generate``."""
        ...

    @property
    def max_tokens(self) -> int:
        """Most tokens of a generated verdict."""
        ...

    @property
    def human(self) -> str | None:
        """JSON Lines file of human verdicts; None if there is none."""
        ...

    @property
    def signature(self) -> str:
        """Everything that changes the value, except the hashes of model and template."""
        ...

    def judged(self, verdicts: Sequence[str | None], signature: str) -> Stats:
        """Make statistics from verdicts; None is a verdict that could not be parsed."""
        ...


_ABILITIES: dict[str, type] = {"program": ProgramMetric, "verdicts": VerdictMetric}
_T = TypeVar("_T")


def pair_up(
    predictions: Sequence[Prediction], examples: Sequence[Example], label: str
) -> list[tuple[Prediction, Example]]:
    """Pair predictions with their examples, each of which has at least one target.

    Raises:
        MetricError: the sequences are not parallel, or an example has no target.
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


def read_label_set(answer: str | None, example: str, metric: str) -> frozenset[str] | None:
    """Read the labels of an answer or a target; None for an answer that was not parsed.

    Raises:
        MetricError: it is no set of labels, as :mod:`icl.core.label_sets` writes them.
    """
    if answer is None:
        return None
    try:
        return read_labels(answer)
    except ValueError as error:
        raise MetricError(
            f"{metric} compares sets of labels, and an answer of example {example!r} is "
            f"{answer[:40]!r}; use a task of kind labels"
        ) from error


def check_chance_labels(labels: Sequence[Sequence[str]]) -> str:
    """Count the labels to draw from, in the form of a signature: ``60``, ``2-4``.

    Raises:
        MetricError: an example has none.
    """
    sizes = [len({*own}) for own in labels]
    if not sizes or min(sizes) < 1:
        raise MetricError("chance needs at least one label to draw: give the task labels")
    least, most = min(sizes), max(sizes)
    return f"{least}-{most}" if most > least else f"{least}"


def collect_segment_stats(
    scorer: Any,
    pairs: Sequence[tuple[Prediction, Example]],
    scale: Scale = "percent",
    min_rows: int = MIN_ROWS,
) -> Stats:
    """Collect the statistics of each segment that a sacreBLEU metric object computes.

    Every target is a reference. sacreBLEU expects equally many for each segment, and accepts None
    for missing ones. A prediction without a value is an empty hypothesis.
    """

    def value(row: Rows) -> float:
        return float(scorer._compute_score_from_stats(row.tolist()).score)

    if not pairs:
        scorer.num_refs = 0
        none = np.zeros((0, 0))
        return Stats(none, value, str(scorer.get_signature()), scale=scale, min_rows=min_rows)
    most = max(len(example.targets) for _, example in pairs)
    padded = [example.targets + (None,) * (most - len(example.targets)) for _, example in pairs]
    hypotheses = [prediction.value or "" for prediction, _ in pairs]
    streams = list(zip(*padded, strict=True))  # (references, n)
    rows = np.array(scorer._extract_corpus_statistics(hypotheses, streams), dtype=np.float64)
    return Stats(rows, value, str(scorer.get_signature()), scale=scale, min_rows=min_rows)


def find_label(metric: str, settings: Iterable[str] = ()) -> str:
    """Return the title that tables give to a registered metric's scores of these settings.

    A metric whose options change its label says so in ``label_of``, which reads the settings; for
    several labels all are named.

    >>> find_label("chrf", ["nrefs:1|nc:6|nw:0"]), find_label("chrf")
    ('chrF', 'chrF++')
    """
    made = lookup("metric", metric)
    tell = getattr(made, "label_of", None)
    found = dict.fromkeys(map(tell, settings)) if callable(tell) else {}
    return " / ".join(found) or str(made().label)


def find_direction(metric: object) -> Better:
    """Return which values of a metric, or its class, are better: ``higher``, ``lower``, ``none``.

    A metric says so in ``better``; ``higher`` where it does not.

    >>> from icl.metrics.ter import TER
    >>> find_direction(TER())
    'lower'
    """
    return _stated(metric, "better", "higher", get_args(Better))


def needs(metric: object) -> Needs | None:
    """Return what a metric, or its class, requires: ``verdicts``, ``program``, or None.

    The class declares it in ``needs``; None if it does not.

    >>> from icl.metrics.command import Command
    >>> needs(Command)
    'program'

    Raises:
        ConfigError: it declares another word.
    """
    return _stated(metric, "needs", None, (None, *get_args(Needs)))


def asks_judge(metric: Metric) -> TypeGuard[VerdictMetric]:
    """Return whether a metric needs verdicts, which ``icl run`` gets from a model."""
    return needs(metric) == "verdicts"


def starts_program(metric: Metric) -> TypeGuard[ProgramMetric]:
    """Return whether a metric needs an external program, which is slow and needs consent."""
    return needs(metric) == "program"


def _stated(metric: object, what: str, default: _T, accepted: Sequence[_T]) -> _T:
    """Read an optional attribute of a metric, and check its value."""
    try:
        return narrow(getattr(metric, what, default), accepted, what)
    except ValueError as error:
        kind = metric if isinstance(metric, type) else type(metric)
        raise ConfigError(f"the metric {kind.__name__}: {error}; correct its class") from error


def make_metric(entry: str | Mapping[str, Any], where: str = "metrics") -> tuple[str, Metric]:
    """Construct a metric from its entry under ``metrics:``, with the name of its score.

    An entry is a registered name, ``{metric: bleu, tokenize: char}`` with options,
    ``{command: "…"}`` for an external program, or ``{judge: {…}}`` for a model; ``name`` gives the
    score another name.

    >>> make_metric({"metric": "chrf", "word_order": 0, "name": "plain_chrf"})[0]
    'plain_chrf'

    Raises:
        ConfigError: unknown name or option, or neither ``metric``, ``command`` nor ``judge``.
        MetricError: an option is out of range.
    """
    options = {"metric": entry} if isinstance(entry, str) else dict(entry)
    kind = options.pop("metric", next((k for k in ("command", "judge") if k in options), None))
    title = options.pop("name", None)
    if kind == "judge" and isinstance(said := options.get("judge"), Mapping):
        options = {**options, **said}
        del options["judge"]
    if not isinstance(kind, str) or not isinstance(title, str | None) or title == "":
        raise ConfigError(
            f"{where}: a metric is a name, {{metric: NAME, OPTION: …}}, {{command: …}} or {{judge: "
            f"{{…}}}}, with a `name:` if wanted; this is {entry!r}"
        )
    if kind in ("command", "judge") and title is not None:
        options["title"] = title  # so that its errors call it so too
    made: Metric = construct("metric", kind, options, where)
    asked = _ABILITIES.get(needs(made) or "")
    if asked is not None and not isinstance(made, asked):
        raise ConfigError(
            f"{where}: the metric {kind!r} says that it needs {needs(made)!r} and lacks some of "
            f"what icl.metrics.{asked.__name__} lists; add it to its class"
        )
    return title or made.name, made
