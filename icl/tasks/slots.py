"""The task of finding slots: the words of a text that say when, where, who or what.

What is read, padded and counted follows MASSIVE (FitzGerald et al. 2023, arXiv 2204.08582), whose
exact match asks for the intent and for every tag of a row.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from icl.core.bio import Span, align_marks, find_spans, find_value, read_marks, tag_spans
from icl.core.errors import ParseError
from icl.core.kinds import Kind
from icl.core.label_sets import split_labels
from icl.core.slot_answers import (
    SlotAnswer,
    SlotOutput,
    SlotSource,
    read_slot_answer,
    write_slot_answer,
)
from icl.core.types import Prediction
from icl.tasks import Task
from icl.tasks.parsers import fold, text

__all__ = [
    "SLOTS",
    "LexiconShots",
    "SlotReader",
    "SlotOutcome",
    "count_intents",
    "find_lexicon_slots",
    "list_metrics",
    "make_slot_baselines",
    "name_slots",
    "read_object",
]


SLOTS = Task.of(
    Kind(
        name="slots",
        gold="spans",
        parser="text",
        metrics=("slot_f1", "slot_match", "intent_accuracy"),
        baselines=("no_slots", "vote"),
        needs_stop=True,
        samples="slots",
        starter="slots/marked",
    )
)
"""The slots of a text, and its intent where the template asks for that."""

_FENCE = re.compile(r"\A```\w*\s*\n|\n?```\s*\Z")
_KEY = re.compile(r'"((?:[^"\\]|\\.)*)"\s*:\s*(\[[^\]]*|"(?:[^"\\]|\\.)*)')
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)("|\Z)')


@dataclass(frozen=True, slots=True)
class SlotOutcome:
    """The reading of an output as a row's slots."""

    answer: SlotAnswer
    faults: Mapping[str, int]
    """``broken``: marks or JSON that are none; ``unknown``: names that are no slot's; ``altered``:
    1 where a text with marks has other words than the row; ``invented``: values that do not stand
    in the row."""

    @property
    def value(self) -> str:
        """The answer in its normal form."""
        return write_slot_answer(self.answer)


@dataclass(frozen=True, slots=True)
class SlotReader:
    """Reads outputs about one row as its slots."""

    source: SlotSource
    output: SlotOutput
    names: Mapping[str, str]
    """Slot -> its name in the prompt; empty where any name will do."""
    intent: bool = False
    """Whether the answer names the intent, too: before the first ``|`` or line break of a text
    with marks, or under the key ``intent`` of an object."""
    separator: str = ", "
    """Of slots with a question each: the text between values."""
    empty: str = "none"
    """Of slots with a question each: the text for no value."""

    def read(self, output: str) -> SlotOutcome:
        """Read one output that holds all slots.

        Raises:
            ParseError: it is empty, or holds no JSON object where one is asked for.
        """
        return self._read_object(output) if self.output == "json" else self._read_marks(output)

    def read_each(self, answers: Mapping[str, str]) -> SlotOutcome:
        """Read one output for each slot with a question, by the slot's name.

        Raises:
            ParseError: all of them are empty.
        """
        pairs: list[tuple[str, str]] = []
        if not any(one.strip() for one in answers.values()):
            raise ParseError("empty")
        for name, output in answers.items():
            lines = output.strip().splitlines()
            if not lines or fold(lines[0]) == fold(self.empty):
                continue
            pairs += [(name, value) for value in split_labels(lines[0], self.separator)]
        return self._place(pairs, None, 0)

    def _read_marks(self, output: str) -> SlotOutcome:
        answer = text(output)
        intent: str | None = None
        broken = 0
        if self.intent:
            found = re.split(r"\||[\r\n]", answer, maxsplit=1)
            broken = int(len(found) < 2)
            if not broken:
                intent, answer = found[0].strip() or None, found[1].strip()
        answer = (answer.splitlines() or [""])[0]
        shown = {word: name for name, word in self.names.items()}
        literal = any("[" in token or "]" in token for token in self.source.tokens)
        marked = read_marks(answer, shown if shown else None, literal)
        tags, altered = align_marks(
            marked, self.source.tokens, self.source.merge, self.source.unspaced
        )
        named = tuple(tag if tag == "O" else tag[:2] + shown.get(tag[2:], tag[2:]) for tag in tags)
        faults = {
            "broken": marked.broken + broken,
            "unknown": marked.unknown,
            "altered": int(altered),
        }
        return SlotOutcome(SlotAnswer(named, intent), faults)

    def _read_object(self, output: str) -> SlotOutcome:
        pairs, broken = read_object(output)
        intent: str | None = None
        if self.intent:
            said = [value for name, value in pairs if name == "intent"]
            intent = said[0].strip() or None if said else None
            pairs = [pair for pair in pairs if pair[0] != "intent"]
        return self._place(pairs, intent, broken)

    def _place(
        self, pairs: Sequence[tuple[str, str]], intent: str | None, broken: int
    ) -> SlotOutcome:
        """Give each value its leftmost place in the text that no other value has."""
        shown = {fold(word): name for name, word in self.names.items()}
        tokens = self.source.tokens
        taken: set[int] = set()
        spans: list[Span] = []
        invented: list[str] = []
        unknown = 0
        for word, value in pairs:
            unknown += bool(shown) and fold(word) not in shown
            name = shown.get(fold(word), word)
            place = find_value(tokens, value, taken)
            if place is None:
                invented.append(name)
                continue
            taken.update(range(*place))
            spans.append(Span(name, *place))
        tags = tag_spans(spans, len(tokens), self.source.merge)
        answer = SlotAnswer(tuple(tags), intent, tuple(sorted(invented)))
        faults = {"broken": broken, "unknown": unknown, "invented": len(invented)}
        return SlotOutcome(answer, faults)


def read_object(output: str) -> tuple[list[tuple[str, str]], int]:
    """Read the (name, value) pairs of the first JSON object in an output, and count what is broken.

    Of an object that breaks off, or breaks in its middle, the pairs are read that can be. Values
    that are neither texts nor numbers, or lists of these, are left out and counted as broken.

    >>> read_object('Sure: {"time": ["five am"], "date": "friday"} Done.')
    ([('time', 'five am'), ('date', 'friday')], 0)
    >>> read_object('{"time": ["five am", "six')
    ([('time', 'five am'), ('time', 'six')], 1)

    Raises:
        ParseError: the output is empty, or there is no object in it.
    """
    answer = text(_FENCE.sub("", output.strip()))
    start = answer.find("{")
    if start < 0:
        shown = " ".join(answer.split())[:40]
        raise ParseError(f"no JSON object: {shown!r}")
    try:
        found, _ = json.JSONDecoder(object_pairs_hook=_Pairs).raw_decode(answer, start)
    except (ValueError, RecursionError):
        return _read_broken_object(answer[start:]), 1
    pairs: list[tuple[str, str]] = []
    broken = 0
    for name, held in found:
        for one in held if isinstance(held, list) and not isinstance(held, _Pairs) else [held]:
            if one is None or one == "":
                continue
            if isinstance(one, bool) or not isinstance(one, str | int | float):
                broken += 1
                continue
            pairs.append((name, one if isinstance(one, str) else json.dumps(one)))
    return pairs, broken


class _Pairs(list[tuple[str, object]]):
    """The pairs of an object, in which a name may occur twice."""


def _read_broken_object(answer: str) -> list[tuple[str, str]]:
    return [
        (found[1], one[1]) for found in _KEY.finditer(answer) for one in _STRING.finditer(found[2])
    ]


@dataclass(frozen=True, slots=True)
class LexiconShots:
    """The shots of a row as far as a vote over them needs: their texts and answers, in order."""

    shots: Sequence[tuple[SlotSource, SlotAnswer]]

    def slots(self) -> dict[str, Counter[str]]:
        """Count for each value, in lower case and without spaces, the slots that it fills."""
        found: dict[str, Counter[str]] = {}
        for source, answer in self.shots:
            for span in find_spans(answer.tags):
                words = "".join(source.tokens[span.start : span.end]).casefold()
                found.setdefault(words, Counter())[span.name] += 1
        return found

    def intents(self) -> Counter[str]:
        """Count the intents of the shots."""
        return Counter(answer.intent for _, answer in self.shots if answer.intent is not None)


def find_lexicon_slots(source: SlotSource, shots: LexiconShots) -> list[str]:
    """Tag a text by the values of its shots: the longest first, each at its first place.

    A value is given at each of its places that is still free, from the left. Of several slots that
    a value fills in the shots it is given the most frequent, of equally frequent ones the first.

    >>> shot = SlotSource("at five", ("at", "five")), SlotAnswer(("O", "B-time"))
    >>> find_lexicon_slots(SlotSource("five now", ("five", "now")), LexiconShots([shot]))
    ['B-time', 'O']
    """
    known = shots.slots()
    taken: set[int] = set()
    spans: list[Span] = []
    for words in sorted(known, key=lambda one: (-len(one), one)):
        while (place := find_value(source.tokens, words, taken)) is not None:
            taken.update(range(*place))
            spans.append(Span(known[words].most_common(1)[0][0], *place))
    return tag_spans(spans, len(source.tokens), source.merge)


def make_slot_baselines(
    ids: Sequence[str],
    sources: Sequence[SlotSource],
    shots: Sequence[LexiconShots],
    pool_intents: Sequence[str | None],
) -> dict[str, list[list[Prediction]]]:
    """Answer rows without a model: ``no_slots`` leaves all out, ``vote`` takes those of the shots.

    Args:
        ids: those of the rows.
        sources: their texts.
        shots: the shots of each row; ``vote`` is left out where no row has any.
        pool_intents: the intent that most pool rows have, several where they tie, ``[None]``
            where none is asked for or there is no pool.

    Returns:
        Baseline -> for each row its answers, several where intents tie.
    """

    def answers(name: str, tags: Sequence[str], intents: Sequence[str | None]) -> list[Prediction]:
        return [
            Prediction(name, write_slot_answer(SlotAnswer(tuple(tags), intent)))
            for intent in intents or [None]
        ]

    made = {
        "no_slots": [
            answers(name, ["O"] * len(source.tokens), pool_intents)
            for name, source in zip(ids, sources, strict=True)
        ]
    }
    if any(own.shots for own in shots):
        made["vote"] = [
            answers(name, find_lexicon_slots(source, own), list(_find_most(own.intents())))
            for name, source, own in zip(ids, sources, shots, strict=True)
        ]
    return made


def _find_most(votes: Counter[str]) -> Iterator[str]:
    most = max(votes.values(), default=0)
    return (name for name, count in votes.items() if count == most)


def list_metrics(task: Task, intent: bool) -> tuple[str, ...]:
    """List a task's metrics: that of intents only where the answers name one."""
    return tuple(name for name in task.metrics if intent or name != "intent_accuracy")


def name_slots(targets: Iterable[str]) -> list[str]:
    """List the names of the slots in answers in normal form, each once, in their order."""
    answers = map(read_slot_answer, targets)
    return list(dict.fromkeys(span.name for answer in answers for span in find_spans(answer.tags)))


def count_intents(targets: Sequence[str]) -> Counter[str]:
    """Count the intents of answers in normal form."""
    found = (read_slot_answer(target).intent for target in targets)
    return Counter(intent for intent in found if intent is not None)
