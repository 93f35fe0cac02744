"""Slices: the score of a condition apart for each label, length or value of a field of its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from icl.core.errors import ConfigError
from icl.core.number_text import format_number
from icl.core.registry import did_you_mean
from icl.core.stats import Stats, score
from icl.core.types import Example, Record, Score
from icl.metrics import asks_judge
from icl.records.results import ConditionResult
from icl.scoring.judge_verdicts import judge_parts
from icl.scoring.pairs import find_calibrator, pick_metrics

__all__ = ["Slice", "list_slice_keys", "slices"]


LABEL, CHARACTERS, TOKENS = "label", "characters", "tokens"
FIELD = "field."
"""Prefix of a field that is called like one of the three above."""
MOST_VALUES = 12
"""Most values of a field with a slice each; rows of rarer ones are scored together."""
FEW_NUMBERS = 6
"""Most numbers of a field with a slice each; more of them are put into bins."""
BINS = 4
"""Bins of a length or a number, with about as many rows each."""
_FEWEST_REPEATS = 2
"""Rows for each value of a field, on average, below which the length of the text is taken."""

_Key = Callable[[Example, Record], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Slice:
    """The rows of a condition that have something in common, and their score."""

    name: str
    """Label, value or range that they have in common, as ``refund`` or ``12 to 40``."""
    score: Score
    """The metric over these rows, with its 95 % interval and n."""
    ids: tuple[str, ...]
    """Ids of the rows, in the run's order."""
    whole: bool = False
    """Whether it holds all rows: the slice that the others are read against."""


def list_slice_keys(condition: ConditionResult) -> list[str]:
    """List by what the rows of a condition can be sliced: lengths, labels, and each of its fields.

    A field that is called like one of the others has ``field.`` in front.
    """
    reserved = [CHARACTERS, TOKENS]
    if condition.task.kind.labels is not None and any(one.targets for one in condition.examples):
        reserved.insert(0, LABEL)
    fields = dict.fromkeys(name for one in condition.examples for name in one.fields)
    known = {LABEL, CHARACTERS, TOKENS}
    return [*reserved, *(f"{FIELD}{name}" if name in known else name for name in fields)]


def slices(
    condition: ConditionResult, by: str, metric: str | Mapping[str, Any] | None = None
) -> list[Slice]:
    """Score the rows of a condition apart by a label, a length or a field, from records alone.

    The first slice holds all rows. Labels and values of a field have a slice each, the most
    frequent first, up to twelve; the rows of all others are scored together. Numbers and lengths
    are put into up to four bins with about as many rows each; so are the lengths of a field whose
    texts hardly repeat. A row with several right labels is in the slice of each. The intervals are
    not corrected for the number of slices: of twenty, one misses its value by chance.

    Args:
        condition: a condition of a run.
        by: ``label``, ``characters`` of the row, ``tokens`` of the prompt, or the name of a field.
        metric: the name of a metric, as ``macro_f1`` or ``accuracy+batch``; by default the task's
            first.

    Raises:
        ConfigError: the rows have nothing of that name, or the metric is unknown.
        MetricError: the metric is not defined for a row.

    >>> slices(load_run("quickstart").conditions[0], "label")[1].score.value  # doctest: +SKIP
    """
    known = list_slice_keys(condition)
    if by not in known:
        raise ConfigError(f"the rows cannot be sliced by {by!r}{did_you_mean(by, known)}")
    examples = condition.examples
    if not examples:
        raise ConfigError("no row is answered yet, so there is nothing to slice; run it first")
    name, used = pick_metrics(condition, [metric] if metric else None)[0]
    predictions = condition.predictions(calibrator=find_calibrator(name))
    stats = (
        judge_parts([condition], name, used, [predictions])[0]
        if asks_judge(used)
        else used.stats(predictions, examples)
    )
    found = [_slice("all rows", name, stats, examples, range(len(examples)), whole=True)]
    for key, places in _group(condition, by).items():
        found.append(_slice(key, name, stats, examples, places))
    return found


def _slice(
    key: str,
    name: str,
    stats: Stats,
    examples: Sequence[Example],
    places: Sequence[int],
    whole: bool = False,
) -> Slice:
    own = replace(stats, rows=stats.rows[list(places)])
    return Slice(key, score(name, own), tuple(examples[place].id for place in places), whole)


def _group(condition: ConditionResult, by: str) -> dict[str, list[int]]:
    """Return the places of the rows of each slice, by the slice's name."""
    rows = condition.examples
    if by == LABEL:
        return _by_value([condition.right_labels(one) or ("no right answer",) for one in rows])
    if by == CHARACTERS:
        return _by_bin([_count_characters(one) for one in rows])
    if by == TOKENS:
        return _by_bin([one.prompt_tokens for one in condition.records.values()])
    values = [one.fields.get(by.removeprefix(FIELD)) for one in rows]
    numbers = [one for one in values if isinstance(one, int | float) and not isinstance(one, bool)]
    if len(numbers) == len(values) and len(set(numbers)) > FEW_NUMBERS:
        return _by_bin(numbers)
    texts = [one for one in values if isinstance(one, str)]
    if len(texts) == len(values) and len(values) < _FEWEST_REPEATS * len(set(texts)):
        unit = " characters"
        return {f"{key}{unit}": found for key, found in _by_bin([*map(len, texts)]).items()}
    return _by_value([(_say(one),) for one in values])


def _count_characters(row: Example) -> int:
    return sum(len(value) for value in row.inputs.values() if isinstance(value, str))


def _say(value: object) -> str:
    """Say a field's value in a table."""
    if isinstance(value, str):
        return value or "(empty)"
    if value is None:
        return "(none)"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _by_value(values: Sequence[Sequence[str]]) -> dict[str, list[int]]:
    counts = Counter(one for names in values for one in names)
    order = sorted(counts, key=lambda name: (-counts[name], name))
    own = order if len(order) <= MOST_VALUES else order[: MOST_VALUES - 1]
    found: dict[str, list[int]] = {name: [] for name in own}
    rest = f"{len(order) - len(own)} others"
    for place, names in enumerate(values):
        for name in dict.fromkeys(one if one in found else rest for one in names):
            found.setdefault(name, []).append(place)
    return found


def _by_bin(values: Sequence[float]) -> dict[str, list[int]]:
    """Put numbers into bins with about as many rows each; equal numbers share one."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    bins: list[list[int]] = []
    for rank, place in enumerate(order):
        full = bool(bins) and rank >= len(bins) * len(order) / BINS
        if not bins or (full and values[place] != values[bins[-1][-1]]):
            bins.append([])
        bins[-1].append(place)
    made: dict[str, list[int]] = {}
    for places in bins:
        low, high = (_write(values[place]) for place in (places[0], places[-1]))
        made.setdefault(low if low == high else f"{low} to {high}", []).extend(sorted(places))
    return made


def _write(value: float) -> str:
    return str(value) if isinstance(value, int) else format_number(value, 2)
