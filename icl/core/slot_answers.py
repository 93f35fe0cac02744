"""Slots of a row: its text in tokens, its gold in any of the usual forms, and one normal form.

An answer is the BIO tags of the tokens, with the intent where one is asked for; its canonical JSON
is what metrics, votes and comparisons see, so that no spelling of it counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeGuard, get_args

from icl.core.bio import (
    OUTSIDE,
    Span,
    find_spans,
    find_value,
    fit_tags,
    is_unspaced,
    locate_tokens,
    read_exact_marks,
    split_tokens,
    tag_spans,
    write_marks,
)
from icl.core.types import JSON, canonicalize

__all__ = [
    "OUTPUTS",
    "SlotAnswer",
    "SlotOutput",
    "SlotSource",
    "read_slot_answer",
    "read_slot_source",
    "read_slot_tags",
    "write_slot_answer",
]


SlotOutput: TypeAlias = Literal["marked", "json", "per_slot"]
"""Way to write slots: marks in the text, an object of values, or a question for each slot."""
OUTPUTS: tuple[SlotOutput, ...] = get_args(SlotOutput)
_TAG = re.compile(r"O|[BIES]-.+", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SlotAnswer:
    """The slots of one row, and its intent."""

    tags: tuple[str, ...]
    """A BIO tag for each token."""
    intent: str | None = None
    """Intent of the answer; None if the task has no intents, or none was found."""
    invented: tuple[str, ...] = ()
    """Names of slots whose value is not in the text, sorted; gold has none."""


def write_slot_answer(answer: SlotAnswer) -> str:
    """Return the normal form of an answer; equal answers have equal ones.

    >>> write_slot_answer(SlotAnswer(("O", "B-time"), "alarm_set"))
    '{"intent":"alarm_set","tags":["O","B-time"]}'
    """
    made: dict[str, JSON] = {"tags": list(answer.tags)}
    if answer.intent is not None:
        made["intent"] = answer.intent
    if answer.invented:
        made["invented"] = sorted(answer.invented)
    return canonicalize(made)


def read_slot_answer(text: str) -> SlotAnswer:
    """Parse what :func:`write_slot_answer` wrote.

    Raises:
        ValueError: it is something else.
    """
    found = json.loads(text)
    if isinstance(found, dict) and found.keys() <= {"tags", "intent", "invented"}:
        tags, intent, invented = found.get("tags"), found.get("intent"), found.get("invented", [])
        if _is_texts(tags) and _is_texts(invented) and isinstance(intent, str | None):
            return SlotAnswer(tuple(tags), intent, tuple(invented))
    raise ValueError(f"{text[:40]!r} is no answer of slots")


def _is_texts(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


@dataclass(frozen=True, slots=True)
class SlotSource:
    """The text of a row, in which slots are."""

    text: str
    tokens: tuple[str, ...]
    unspaced: bool = False
    """Whether its language writes no spaces between words, so that tokens are characters."""
    merge: bool = True
    """Whether slots of one name that touch are one, as in MASSIVE; not where gold is BIO tags."""

    def mark(self, tags: Sequence[str]) -> str:
        """Return the text with ``[name : words]`` for each slot of the tags."""
        return write_marks(self.text, self.tokens, find_spans(tags), self.unspaced)

    def describe(self, answer: SlotAnswer) -> str:
        """Return an answer for readers: ``intent | text with marks``, and what is invented.

        >>> SlotSource("at five", ("at", "five")).describe(SlotAnswer(("O", "B-time"), "alarm"))
        'alarm | at [time : five]'
        """
        intent = f"{answer.intent} | " if answer.intent is not None else ""
        invented = f" (not in the text: {', '.join(answer.invented)})" if answer.invented else ""
        tags = fit_tags(answer.tags, len(self.tokens))
        return f"{intent}{self.mark(tags)}{invented}"

    def values(self, tags: Sequence[str]) -> dict[str, list[str]]:
        """Return name -> words of each slot of the tags, in the order of the text."""
        places = locate_tokens(self.text, self.tokens)
        found: dict[str, list[str]] = {}
        for span in find_spans(tags):
            words = self.text[places[span.start][0] : places[span.end - 1][1]]
            found.setdefault(span.name, []).append(words)
        return found


def read_slot_source(
    fields: Mapping[str, JSON], text_field: str, gold_field: str | None, locale: str | None
) -> SlotSource:
    """Read the text of a row and its tokens: the field ``tokens``, else words or characters.

    Args:
        fields: those of the row.
        text_field: the field that holds the text.
        gold_field: the field that holds the slots; where that lists BIO tags, slots that touch
            stay apart.
        locale: of the row; in Chinese and Japanese tokens are characters.

    Raises:
        ValueError: there is no such text, or ``tokens`` are not those of the text.
    """
    text = fields.get(text_field)
    if not isinstance(text, str):
        raise ValueError(
            f"the field {text_field!r} holds {text!r}, and a text is needed; name the field with "
            "the text under `text_field:`, one of " + ", ".join(sorted(fields))
        )
    listed = fields.get("tokens")
    tagged = gold_field is not None and _is_list_of(fields.get(gold_field), str)
    unspaced = is_unspaced(locale)
    tokens = split_tokens(text, unspaced)
    if _is_list_of(listed, str):
        tokens = [str(token) for token in listed]  # type: ignore[union-attr]
        locate_tokens(text, tokens)
    return SlotSource(text, tuple(tokens), unspaced, not tagged)


def _is_list_of(value: object, kind: type) -> bool:
    return isinstance(value, list | tuple) and bool(value) and isinstance(value[0], kind)


def read_slot_tags(value: Any, source: SlotSource) -> list[str]:
    """Read the gold of a row as BIO tags, one a token.

    Args:
        value: the text with marks; a tag for each token; a list of objects with ``name`` and
            where it is (``start`` and ``end``, characters; ``start_token`` and ``end_token``; or
            its ``text``); or an object of name -> value or values.
        source: the text that it is about.

    >>> source = SlotSource("wake me at five", ("wake", "me", "at", "five"))
    >>> read_slot_tags([{"name": "time", "start": 11, "end": 15}], source)
    ['O', 'O', 'O', 'B-time']

    Raises:
        ValueError: it does not fit the text, or is nothing of this.
    """
    if isinstance(value, str):
        return tag_spans(read_exact_marks(value, source.tokens), len(source.tokens), source.merge)
    if _is_list_of(value, str):
        return _check_tags(value, source)
    if isinstance(value, Mapping):
        pairs = [
            {"name": name, "text": one}
            for name, many in value.items()
            for one in (many if isinstance(many, list | tuple) else [many])
        ]
        value = pairs
    if not isinstance(value, list | tuple):
        raise ValueError(
            f"{value!r} is no slots; accepted: a text with [name : words], a list of BIO tags, a "
            'list of objects such as {"name": "time", "start": 11, "end": 15}, or an object of '
            "name: values"
        )
    places = locate_tokens(source.text, source.tokens)
    taken: dict[int, str] = {}
    spans: list[Span] = []
    for one in value:
        span = _read_span(one, source, places, taken)
        for token in range(span.start, span.end):
            if token in taken:
                raise ValueError(
                    f"the slots {taken[token]!r} and {span.name!r} overlap at "
                    f"{source.tokens[token]!r}, and a word can be in one only"
                )
            taken[token] = span.name
        spans.append(span)
    return tag_spans(spans, len(source.tokens), source.merge)


def _check_tags(tags: Sequence[Any], source: SlotSource) -> list[str]:
    if len(tags) != len(source.tokens):
        raise ValueError(
            f"{len(tags)} tags for the {len(source.tokens)} tokens of {source.text!r}; give one "
            "each, and the tokens themselves in the field `tokens`"
        )
    wrong = next((tag for tag in tags if not isinstance(tag, str) or not _TAG.fullmatch(tag)), None)
    if wrong is not None:
        raise ValueError(f"the tag {wrong!r} is none of {OUTSIDE}, B-NAME, I-NAME, E-NAME, S-NAME")
    return tag_spans(find_spans(tags), len(tags), merge=False)


def _read_span(
    one: Any,
    source: SlotSource,
    places: Sequence[tuple[int, int]],
    taken: Mapping[int, str],
) -> Span:
    """Read one slot of a list; see :func:`read_slot_tags`."""
    name = one.get("name", one.get("label")) if isinstance(one, Mapping) else None
    if not isinstance(one, Mapping) or not isinstance(name, str) or not name.strip():
        raise ValueError(f"the slot {one!r} has no name; give it one under `name`")
    words = one.get("text")
    if {"start_token", "end_token"} <= one.keys():
        start, end = one["start_token"], one["end_token"]
        whole = isinstance(start, int) and isinstance(end, int)
        if not whole or not 0 <= start < end <= len(source.tokens):
            raise ValueError(
                f"the slot {name!r} is said to be tokens {start!r} to {end!r}, and the text has "
                f"{len(source.tokens)}; count from 0, the end is the token behind it"
            )
        found = (start, end)
    elif {"start", "end"} <= one.keys():
        begins = {begin: place for place, (begin, _) in enumerate(places)}
        ends = {last: place + 1 for place, (_, last) in enumerate(places)}
        if one["start"] not in begins or one["end"] not in ends:
            raise ValueError(
                f"the slot {name!r} is said to be characters {one['start']!r} to {one['end']!r} of "
                f"{source.text!r}, where no word begins or ends; count from 0, the end is the "
                "character behind it"
            )
        found = (begins[one["start"]], ends[one["end"]])
    elif isinstance(words, str) and words.strip():
        looked = find_value(source.tokens, words, taken)
        if looked is None:
            raise ValueError(f"the slot {name!r} is {words!r}, which is not in {source.text!r}")
        found = looked
    else:
        raise ValueError(
            f"the slot {name!r} says nothing of where it is; give `start` and `end` (characters), "
            "`start_token` and `end_token`, or its `text`"
        )
    if found[0] >= found[1]:
        raise ValueError(f"the slot {name!r} ends before it begins")
    said = source.text[places[found[0]][0] : places[found[1] - 1][1]]
    if (
        isinstance(words, str)
        and "".join(words.split()).casefold() != "".join(said.split()).casefold()
    ):
        raise ValueError(f"the slot {name!r} is {words!r}, and at its place stands {said!r}")
    return Span(name, *found)
