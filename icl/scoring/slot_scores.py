"""Slots of a condition one by one: their scores, what they are confused with, and their baselines.

All of it is made of records, without a model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from icl.core.bio import find_spans, fit_tags
from icl.core.errors import ConfigError
from icl.core.score_name import ScoreName
from icl.core.slot_answers import SlotAnswer, SlotSource, read_slot_answer, write_slot_answer
from icl.core.stats import Rows, Stats, proportion, score
from icl.core.types import Example, Prediction, Record, Score
from icl.metrics.slot_f1 import SlotMatch, count_spans
from icl.records.results import ConditionResult
from icl.tasks.baselines import Alternatives, find_tied, vote
from icl.tasks.slots import LexiconShots, make_slot_baselines

__all__ = [
    "SlotConfusion",
    "SlotPair",
    "SlotRow",
    "SlotScore",
    "answer_slots",
    "confuse_slots",
    "join_match",
    "list_slot_rows",
    "pair_spans",
    "read_slot_row",
    "score_slots",
    "vote_rows",
]


Verdict = Literal["right", "boundary", "name", "missing", "extra", "invented"]
"""Of a span: right; the right name at other words; another name; not found; where gold has none;
or a value that does not stand in the text."""


@dataclass(frozen=True, slots=True)
class SlotRow:
    """A row with its slots, right and answered; what a reader needs to draw them."""

    id: str
    source: SlotSource
    gold: SlotAnswer
    answer: SlotAnswer | None
    """None where the answer could not be parsed."""
    faults: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class SlotPair:
    """A span of gold or of an answer, and the span that it was held against."""

    gold: str | None
    """Name of the right slot; None where gold has none there."""
    said: str | None
    """Name that was answered; None where it was not found."""
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class SlotScore:
    """Precision, recall and F1 of one slot, over all rows of a condition."""

    name: str
    support: int
    """Spans of gold."""
    answered: int
    """Spans of the answers, invented ones included."""
    right: int
    precision: Score
    """Percent with an interval; None where nothing was answered."""
    recall: Score
    """Percent with an interval; None where gold has none."""
    f1: Score
    """Percent with an interval."""


@dataclass(frozen=True, slots=True)
class SlotConfusion:
    """Counts of right slots by the name that answered them."""

    names: tuple[str, ...]
    """Slots of gold and of answers, the most frequent in gold first."""
    counts: Mapping[tuple[str | None, str | None], int]
    """(right, answered) -> spans. None means no slot."""
    verdicts: Mapping[Verdict, int]
    """Spans by what was right or wrong about them."""


def list_slot_rows(condition: ConditionResult) -> list[SlotRow]:
    """List the rows of a condition with gold, in the order of its records.

    Raises:
        ConfigError: its answers are not slots.
        StoreError: a row is missing from the folder.
    """
    answered = zip(condition.predictions(), condition.examples, strict=True)
    return [read_slot_row(condition, one, example) for one, example in answered if example.targets]


def read_slot_row(condition: ConditionResult, prediction: Prediction, example: Example) -> SlotRow:
    """Read one row with gold and its prediction as slots.

    Raises:
        ConfigError: the condition's answers are not slots.
    """
    answer = None if prediction.value is None else read_slot_answer(prediction.value)
    gold = read_slot_answer(example.targets[0])
    source = condition.slot_source(example)
    return SlotRow(example.id, source, gold, answer, prediction.faults)


def score_slots(condition: ConditionResult) -> list[SlotScore]:
    """Score each slot of a condition by itself, those with most spans in gold first.

    Raises:
        ConfigError: its answers are not slots.
    """
    counted = [
        (
            count_spans(row.gold),
            Counter() if row.answer is None else count_spans(row.answer, len(row.gold.tags)),
        )
        for row in list_slot_rows(condition)
    ]
    names = sorted({name for gold, said in counted for name, _, _ in (*gold, *said)})
    found = []
    for name in names:
        table = np.zeros((len(counted), 3))
        for row, (gold, said) in zip(table, counted, strict=True):
            wanted = Counter({key: count for key, count in gold.items() if key[0] == name})
            given = Counter({key: count for key, count in said.items() if key[0] == name})
            row[:] = ((wanted & given).total(), given.total(), wanted.total())
        right, answered, support = table.sum(axis=0).astype(int).tolist()
        scores = [
            score(f"slot_{what}:{name}", Stats(table, value, f"slot_{what}", scale="percent"))
            for what, value in (("precision", _precision), ("recall", _recall), ("f1", _f1))
        ]
        found.append(SlotScore(name, support, answered, right, *scores))
    return sorted(found, key=lambda one: (-one.support, one.name))


def _precision(row: Rows) -> float | None:
    both, said, _ = row.tolist()
    return 100 * both / said if said else None


def _recall(row: Rows) -> float | None:
    both, _, wanted = row.tolist()
    return 100 * both / wanted if wanted else None


def _f1(row: Rows) -> float | None:
    both, said, wanted = row.tolist()
    return 200 * both / (said + wanted) if said + wanted else None


def pair_spans(gold: SlotAnswer, answer: SlotAnswer | None) -> list[SlotPair]:
    """Hold the spans of an answer against those of gold, each against the one that it shares most.

    >>> pair_spans(SlotAnswer(("B-time", "O")), SlotAnswer(("B-date", "O")))
    [SlotPair(gold='time', said='date', verdict='name')]
    """
    wanted = find_spans(gold.tags)
    said = [] if answer is None else find_spans(fit_tags(answer.tags, len(gold.tags)))
    shared = sorted(
        (
            (min(a.end, b.end) - max(a.start, b.start), a.name == b.name, -n, -m)
            for n, a in enumerate(wanted)
            for m, b in enumerate(said)
        ),
        reverse=True,
    )
    match: dict[int, int] = {}
    taken: set[int] = set()
    for common, _, n, m in shared:
        if common > 0 and -n not in match and -m not in taken:
            match[-n] = -m
            taken.add(-m)
    pairs = []
    for n, a in enumerate(wanted):
        if n not in match:
            pairs.append(SlotPair(a.name, None, "missing"))
            continue
        b = said[match[n]]
        verdict: Verdict = "right" if a == b else "boundary" if a.name == b.name else "name"
        pairs.append(SlotPair(a.name, b.name, verdict))
    pairs += [SlotPair(None, b.name, "extra") for m, b in enumerate(said) if m not in taken]
    invented = () if answer is None else answer.invented
    return pairs + [SlotPair(None, name, "invented") for name in invented]


def confuse_slots(condition: ConditionResult) -> SlotConfusion:
    """Count which names are answered for which slots of gold, over all rows of a condition.

    Raises:
        ConfigError: its answers are not slots.
    """
    pairs = [one for row in list_slot_rows(condition) for one in pair_spans(row.gold, row.answer)]
    support = Counter(one.gold for one in pairs if one.gold is not None)
    names = {name for one in pairs for name in (one.gold, one.said) if name is not None}
    return SlotConfusion(
        tuple(sorted(names, key=lambda name: (-support[name], name))),
        Counter((one.gold, one.said) for one in pairs),
        Counter(one.verdict for one in pairs),
    )


def join_match(intents: ConditionResult, slots: ConditionResult) -> Score:
    """Score exact match, intent and every tag, where one condition names intents, another slots.

    Args:
        intents: answers with intents, over the same rows.
        slots: answers with slots.

    Raises:
        ConfigError: they share no row, or the second one's answers are not slots.
    """
    for example in slots.examples[:1]:
        slots.slot_source(example)  # says what is needed where answers are none of slots
    named = {made.id: made.value for made in intents.predictions()}
    right = {example.id: example.targets for example in intents.examples}
    hits = []
    for prediction, example in zip(slots.predictions(), slots.examples, strict=True):
        if example.id not in named:
            continue
        bare = [
            write_slot_answer(replace(read_slot_answer(target), intent=None))
            for target in example.targets
        ]
        value = prediction.value
        if value is not None:
            value = write_slot_answer(replace(read_slot_answer(value), intent=None))
        made = SlotMatch().stats(
            [replace(prediction, value=value)], [replace(example, targets=tuple(bare))]
        )
        tagged = bool(made.rows[0][0])
        hits.append(tagged and named[example.id] in right[example.id])
    if not hits:
        raise ConfigError(
            f"the conditions {intents.entry.folder} and {slots.entry.folder} share no row; take "
            "two of one run with the same rows"
        )
    return score(
        str(ScoreName("slot_match")), proportion(hits, "slot_match|intent:another-condition")
    )


def answer_slots(condition: ConditionResult) -> dict[str, Alternatives]:
    """Answer the rows of a condition of slots without a model, by their shots and the pool.

    Raises:
        ConfigError: its answers are not slots.
        DataError: a shot's slots do not fit its text.
    """
    records = list(condition.records.values())
    bare = condition.store.condition().bare_shots
    shots = [LexiconShots([] if bare else _read_shots(condition, record)) for record in records]
    sources = [condition.slot_source(condition.example(record)) for record in records]
    intents = find_tied(condition.entry.pool.labels)
    return dict(make_slot_baselines([one.id for one in records], sources, shots, intents))


def _read_shots(condition: ConditionResult, record: Record) -> list[tuple[SlotSource, SlotAnswer]]:
    shots = [shot.example for shot in condition.shots(record)]
    return [
        (condition.slot_source(shot), condition.slot_gold(shot)) for shot in shots if shot.targets
    ]


def vote_rows(condition: ConditionResult, predictions: Sequence[Prediction]) -> Alternatives | None:
    """Answer rows by the vote of their shots, whatever the kind of answer; None without shots."""
    if condition.task.kind.gold == "spans":
        return answer_slots(condition).get("vote")
    return vote(predictions)
