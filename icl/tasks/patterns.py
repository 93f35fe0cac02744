"""Parsers with options, which extract a part of the output: a pattern, a number, a JSON value.

An entry under ``parser:`` is a name, or ``{parser: regex, pattern: "…"}`` with options, as for
metrics. A pattern is a user's, and may backtrack for ever, so each search has a time limit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from icl.core.bounded_regex import BoundedRegex
from icl.core.errors import ConfigError, ParseError
from icl.core.read_numbers import find_numbers, plain_number
from icl.core.registry import construct, lookup
from icl.core.types import Choice, canonicalize
from icl.tasks.parsers import text

__all__ = ["JSONParser", "NumberParser", "ParserEntry", "RegexParser", "make_parser", "parser_name"]


ParserEntry: TypeAlias = str | Mapping[str, Any]
"""A registered name, or ``{parser: NAME, OPTION: …}``."""
Parser: TypeAlias = Callable[[str, Sequence[Choice]], str]
Match = Literal["first", "last"]
_EXAMPLE = '{parser: regex, pattern: "answer is (.+)"}'


def make_parser(entry: ParserEntry, where: str = "parser") -> Parser:
    """Return the parser of an entry.

    >>> make_parser({"parser": "number", "match": "first"})("3 of 1,200", ())
    '3'

    Raises:
        ConfigError: unknown name or option, or a value that the parser refuses.
    """
    return _made(entry if isinstance(entry, str) else canonicalize(dict(entry)), where)


@lru_cache(maxsize=256)
def _made(text: str, where: str) -> Parser:
    options: dict[str, Any] = json.loads(text) if text.startswith("{") else {"parser": text}
    name = options.pop("parser", None)
    title = options.pop("name", "x")
    if not isinstance(name, str):
        raise ConfigError(f"{where}: {text} is no parser; write a name, or as in {_EXAMPLE}")
    if not isinstance(title, str) or not re.fullmatch(r"[\w.-]+", title):
        raise ConfigError(
            f"{where}: name: {title!r} cannot call a parser; accepted: letters, digits, . - _"
        )
    found: Any = lookup("parser", name)
    if isinstance(found, type) and is_dataclass(found):
        made: Parser = construct("parser", name, options, where)
        return made
    if options:
        raise ConfigError(
            f"{where}: the parser {name!r} takes no options; leave out {', '.join(options)}"
        )
    plain: Parser = found
    return plain


def parser_name(entry: ParserEntry) -> str:
    """Return the name of a parser in scores and tables: its ``name``, or the registered one.

    >>> parser_name("label"), parser_name({"parser": "regex", "pattern": "x", "name": "final"})
    ('label', 'final')
    """
    return entry if isinstance(entry, str) else str(entry.get("name", entry.get("parser")))


def _check_match(parser: str, match: object) -> None:
    if match not in ("first", "last"):
        raise ConfigError(f"the parser {parser!r}: match is {match!r}; accepted: first, last")


@dataclass(frozen=True)
class RegexParser:
    """A parser for a regular expression: a group of its last match in the output.

    >>> RegexParser("answer is ([0-9,]+)")("The answer is 3. No, the answer is 1,200.", ())
    '1,200'
    """

    pattern: str
    """Regular expression in the syntax of Python's library regex."""
    group: int | str | None = None
    """Number or name; None: the first group that matched, or all of a pattern without groups."""
    match: Match = "last"
    """Match to use if there are several: ``last`` or ``first``."""
    ignore_case: bool = False
    _compiled: BoundedRegex = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_match("regex", self.match)
        made = BoundedRegex(self.pattern, self.ignore_case)
        if self.group is not None and not made.has_group(self.group):
            raise ConfigError(
                f"the pattern {self.pattern!r} has no group {self.group!r}; put what you want in "
                "( ), the first of which is group 1"
            )
        object.__setattr__(self, "_compiled", made)

    def __call__(self, output: str, choices: Sequence[Choice] = ()) -> str:
        """Return the matched text, without outer white space.

        Raises:
            ParseError: the output is empty, or nothing in it matches.
            ConfigError: the pattern works too long on an output.
        """
        answer = text(output)
        found = self._compiled.find(answer, self.group, last=self.match == "last")
        if found is None or not found.strip():
            raise ParseError(f"nothing matches {self.pattern!r}")
        return found.strip()


@dataclass(frozen=True)
class NumberParser:
    """The last number in the output, in plain digits.

    Separators of thousands, currency signs and a plus are left out: ``$1,200.50`` is ``1200.5``.

    >>> NumberParser()("So there are 1,200 pens.", ())
    '1200'
    """

    match: Match = "last"
    """Number to use if there are several: ``last`` or ``first``."""
    decimal: Literal[".", ","] = "."
    """Sign before the fraction; the other sign separates thousands."""

    def __post_init__(self) -> None:
        _check_match("number", self.match)
        if self.decimal not in (".", ","):
            raise ConfigError(
                f'the parser \'number\': decimal is {self.decimal!r}; accepted: "." and ","'
            )

    def __call__(self, output: str, choices: Sequence[Choice] = ()) -> str:
        """Return the number.

        Raises:
            ParseError: the output is empty, or holds no number.
        """
        found = find_numbers(text(output), self.decimal)
        if not found:
            raise ParseError("no number")
        return plain_number(found[-1 if self.match == "last" else 0])


@dataclass(frozen=True)
class JSONParser:
    """A value inside the JSON that an output holds; texts as they are, the rest as JSON.

    The first object or list in the output is read, in a code fence or behind other text too.

    >>> JSONParser("result.label")('Sure: {"result": {"label": "pos"}}', ())
    'pos'
    """

    path: str = ""
    """Keys and indices from 0, joined by dots; empty takes the whole value."""

    def __post_init__(self) -> None:
        if not isinstance(self.path, str):
            raise ConfigError(
                f"the parser 'json': path is {self.path!r}; write keys joined by dots, as in "
                "answer.label"
            )

    def __call__(self, output: str, choices: Sequence[Choice] = ()) -> str:
        """Return the value at the path.

        Raises:
            ParseError: the output is empty, holds no JSON, or nothing is at the path.
        """
        value = _first_json(text(output))
        for part in self.path.split(".") if self.path else ():
            if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
                value = value[int(part)]
            elif isinstance(value, dict) and part in value:
                value = value[part]
            else:
                raise ParseError(f"nothing at {self.path!r}: no {part!r}")
        if value is None or value == "":
            raise ParseError(f"nothing at {self.path!r}: {json.dumps(value)}")
        return value if isinstance(value, str) else canonicalize(value)


def _first_json(answer: str) -> Any:
    """Parse the first JSON object or list in a text, or all of the text if it is JSON."""
    decoder = json.JSONDecoder(parse_constant=_refuse_constant)
    try:
        return decoder.decode(answer)
    except (ValueError, RecursionError):
        pass
    tries = 0
    for place, char in enumerate(answer):
        if char not in "{[":
            continue
        tries += 1
        if tries > _MOST_TRIES:
            break
        try:
            return decoder.raw_decode(answer, place)[0]
        except (ValueError, RecursionError):
            continue
    raise ParseError("no JSON object or list")


_MOST_TRIES = 100
"""Most brackets at which parsing is tried, since each may read to the end of the output."""


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON value")
