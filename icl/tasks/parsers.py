"""Parsers: functions that read generated text as an answer.

A parser returns the answer or raises :class:`icl.core.errors.ParseError` with a short reason; the
caller keeps and counts those rows. Labels are compared after folding: white space collapsed, outer
quotes and final punctuation removed, case folded, Unicode NFC.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence

from icl.core.errors import ChoiceError, ParseError
from icl.core.extraction import normalise_value
from icl.core.types import Choice, canonicalize

__all__ = ["EMPTY", "fields", "first_line", "fold", "label", "label_prefix", "text"]


EMPTY = "empty"
"""The reason given for an output that has only white space."""
QUOTES = "\"'`´“”„‟‘’‚‛«»‹›「」『』〝〞〟＂＇"
FINAL = ".,;:!?…。．｡、，；：！？،؛؟۔।॥።፧։"
"""Full stops and similar signs of Latin, CJK, Arabic, Devanagari, Ethiopic and Armenian script."""


_FENCE = re.compile(r"\A```\w*\n|\n?```\s*\Z")
_BULLET = re.compile(r"(?:[-*•–]|\d+[.)])\s+(.*)")
_PAIR = re.compile(r"([^:：{}\[\]]{1,60})[:：]\s*(.*)")


def text(output: str, choices: Sequence[Choice] = ()) -> str:
    """Return the whole output without outer white space.

    >>> text(" Habari ya asubuhi. ")
    'Habari ya asubuhi.'

    Raises:
        ParseError: nothing is left (``empty``).
    """
    answer = output.strip()
    if not answer:
        raise ParseError(EMPTY)
    return answer


def first_line(output: str, choices: Sequence[Choice] = ()) -> str:
    r"""Return the first line that is not blank, without outer white space.

    Lines end in ``\n``, ``\r\n`` or ``\r``.

    >>> first_line("\n Habari.\nEnglish: Hello.")
    'Habari.'

    Raises:
        ParseError: there is no such line (``empty``).
    """
    return re.split(r"[\r\n]", text(output), maxsplit=1)[0].rstrip()


def label(output: str, choices: Sequence[Choice]) -> str:
    r"""Return the label of the choice whose text equals the output's first line, after folding.

    >>> label('"Set Alarm."\nUtterance:', [Choice("alarm_set", " set alarm")])
    'alarm_set'

    Raises:
        ParseError: the output is empty, or its first line is no choice or, after folding,
            more than one.
        ChoiceError: there are no choices.
    """
    line = first_line(output)
    _check_choices(choices, "label")
    exact = [choice.label for choice in choices if choice.text.strip() == line]
    if len(exact) == 1:
        return exact[0]
    folded = fold(line)
    found = [choice.label for choice in choices if fold(choice.text) == folded]
    return _only(found, line)


def label_prefix(output: str, choices: Sequence[Choice]) -> str:
    """Return the label of the longest choice that the output begins with, after folding.

    The choice must end at a word border: not before a letter, mark, digit or underscore.

    >>> label_prefix("Set alarm for six", [Choice("alarm_set", " set alarm")])
    'alarm_set'

    Raises:
        ParseError: the output is empty, or begins with no choice or with two that are alike
            after folding.
        ChoiceError: there are no choices.
    """
    answer = text(output)
    _check_choices(choices, "label_prefix")
    folded = fold(answer)
    longest = 0
    found: list[str] = []
    for choice in choices:
        start = fold(choice.text)
        if len(start) < max(longest, 1) or not _begins(folded, start):
            continue
        if len(start) > longest:
            longest, found = len(start), []
        found.append(choice.label)
    return _only(found, answer)


def fields(output: str, choices: Sequence[Choice] = ()) -> str:
    r"""Return the items that an output lists, as canonical JSON in normal form.

    The form is that of :mod:`icl.core.extraction`. Accepted are a JSON object or list (in a code
    fence too; text after it is ignored), lines of ``key: value``, and lines that begin with ``-``,
    ``*``, ``•`` or ``1.``; ``none`` alone is an empty list.

    >>> fields("who: Ann\nwhere: Rome"), fields('{"who": "Ann"}')
    ('{"where":["Rome"],"who":["Ann"]}', '{"who":["Ann"]}')

    Raises:
        ParseError: empty, broken JSON, or none of these forms.
    """
    answer = text(_FENCE.sub("", output.strip()))
    if answer.startswith(("{", "[")):
        try:
            found, _ = json.JSONDecoder().raw_decode(answer)
        except (ValueError, RecursionError) as error:
            fault = (
                f"{error.msg} at character {error.pos + 1}"
                if isinstance(error, json.JSONDecodeError)
                else "nested too deeply"
            )
            raise ParseError(f"broken JSON: {fault}: {_short(answer)!r}") from error
        return canonicalize(normalise_value(found))
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    if [line.casefold().rstrip(FINAL) for line in lines] == ["none"]:
        return "[]"
    bullets = [_BULLET.match(line) for line in lines]
    if all(bullets):
        return canonicalize(normalise_value([found[1] for found in bullets if found]))
    pairs = [_PAIR.match(line) for line in lines]
    wrong = next((line for line, found in zip(lines, pairs, strict=True) if not found), None)
    if wrong is not None:
        raise ParseError(f"neither JSON, `key: value` lines nor a list: {_short(wrong)!r}")
    held: dict[str, list[str]] = {}
    for pair in pairs:
        if pair is not None:
            held.setdefault(pair[1].strip(), []).append(pair[2])
    return canonicalize(normalise_value(held))


def fold(string: str) -> str:
    """Normalise white space, outer quotes, final punctuation, case and NFC to compare labels.

    >>> fold(' "Set  Alarm". ')
    'set alarm'
    """
    spaced = " ".join(string.split())
    bare = spaced.lstrip(QUOTES + " ").rstrip(QUOTES + FINAL + " ")
    return unicodedata.normalize("NFC", bare.casefold())


def _begins(folded: str, start: str) -> bool:
    if not folded.startswith(start):
        return False
    after = folded[len(start) : len(start) + 1]
    return not after or (after != "_" and unicodedata.category(after)[0] not in "LMN")


def _only(found: Sequence[str], output: str) -> str:
    if not found:
        raise ParseError(f"no choice: {_short(output)!r}")
    if len(found) > 1:
        raise ParseError(f"{_short(output)!r} reads as {' and as '.join(found[:3])}")
    return found[0]


def _short(string: str, chars: int = 40) -> str:
    spaced = " ".join(string.split())
    return spaced if len(spaced) <= chars else spaced[: chars - 1] + "…"


def _check_choices(choices: Sequence[Choice], parser: str) -> None:
    if not choices:
        raise ChoiceError(
            f"the parser {parser!r} got no choices: give the template labels, "
            "or use the parser first_line or text"
        )
