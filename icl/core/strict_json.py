"""Strict, bounded reading of JSON from untrusted files into types, with errors of one line."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Hashable, Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import msgspec

from icl.core.errors import StoreError
from icl.core.files import read_plain

__all__ = [
    "Amount",
    "Count",
    "DEEPEST",
    "ShapeError",
    "TornLineError",
    "check_depth",
    "convert",
    "decode",
    "decoder",
    "numbered_lines",
    "read_json",
]


T = TypeVar("T")

DEEPEST = 100
"""Deepest accepted nesting of brackets, far below the depth at which Python's own parser fails."""
MOST_BYTES = 64 << 20
"""Largest accepted line in bytes; no prompt and no answer comes near it."""
MOST_FILE_BYTES = 1 << 30
"""Largest accepted JSON file in bytes; a manifest of a million rows has 20 MB."""

_LONGEST_INT = 4300
"""Most digits of an integer; Python converts no longer ones."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""A number of things; every JSON reader can hold it exactly."""
Amount = Annotated[float, msgspec.Meta(ge=0, le=1e15)]
"""A non-negative number: seconds, money and the like."""

_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.S)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_PATH = re.compile(r" - at `(?:key in )?\$\.?(.*)`$", re.S)
_MISSING = re.compile(r"Object missing required field `(.*)`", re.S)


class ShapeError(ValueError):
    """JSON with other content than expected; the text says what is wrong, and where."""


class TornLineError(ShapeError):
    """Text that is not JSON, such as the line of a writer that was killed."""


def decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """Return the JSON decoder of a type; it is created once and cached."""
    made: msgspec.json.Decoder[T] = _decoder(cast(Hashable, kind))
    return made


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def decode(data: bytes, made: msgspec.json.Decoder[T], most: int = MOST_BYTES) -> T:
    """Parse JSON text as the type of a decoder.

    Lone surrogates, which text from the web contains and icl writes unchanged, are accepted.

    Args:
        data: UTF-8 text.
        made: from :func:`decoder`.
        most: largest accepted size in bytes.

    Raises:
        TornLineError: it is not JSON.
        ShapeError: it is too large, nested too deeply, or not of that type.
    """
    if len(data) > most:
        raise ShapeError(f"{len(data):,} bytes, where at most {most:,} are read")
    check_depth(data)
    try:
        return made.decode(data)
    except msgspec.ValidationError as error:
        _leniently(data)  # what is torn further on is no JSON, whatever stands before that
        raise ShapeError(_describe_problem(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if b"\xed" not in data and b"\\u" not in data:
            raise TornLineError(_describe_problem(error)) from error
    return convert(_leniently(data), made.type)


def convert(value: Any, kind: type[T]) -> T:
    """Convert parsed JSON to a type.

    Raises:
        ShapeError: it does not fit the type.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ShapeError(_describe_problem(error)) from error
    except UnicodeEncodeError as error:
        raise ShapeError(
            "a lone surrogate (half of a character) where a name is expected"
        ) from error


def check_depth(data: bytes) -> None:
    """Raise an error if brackets are nested too deeply; brackets inside strings do not count.

    Raises:
        ShapeError: they are.
    """
    if data.count(b"[") + data.count(b"{") <= DEEPEST:
        return
    depth = 0
    for bracket in _TEXT.sub(b"", data).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEEPEST:
            raise ShapeError(f"nested more than {DEEPEST} brackets deep")


def read_json(
    path: Path, kind: type[T], repair: str = "run the experiment again", missing: str = ""
) -> T:
    """Read a JSON file as a type.

    Args:
        path: the file.
        kind: type of its content.
        repair: what the reader of an error message can do about a broken file.
        missing: what they can do about a missing file.

    Raises:
        StoreError: the file is missing, unreadable, no JSON, or not of that type.
    """
    data = read_plain(path)
    if data is None:
        raise StoreError(f"{path} is missing; {missing or f'{repair} to write it'}")
    try:
        return decode(data, decoder(kind), MOST_FILE_BYTES)
    except TornLineError as error:
        raise StoreError(f"{path} cannot be read: {error}; {repair}") from error
    except ShapeError as error:
        raise StoreError(f"{path}: {error}; {repair}") from error


def numbered_lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (number from 1, line without its end) of every line that is not blank."""
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            yield number, line


def _leniently(data: bytes) -> Any:
    """Parse again with Python's parser, which accepts the lone surrogates that msgspec refuses."""
    try:
        return json.loads(
            data.decode("utf-8", "surrogatepass"),
            parse_constant=_finite,
            parse_float=_finite,
            parse_int=_short,
        )
    except (ValueError, RecursionError) as error:
        raise TornLineError(str(error)) from error


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no number of JSON")
    return value


def _short(text: str) -> int:
    if len(text) > _LONGEST_INT:
        raise ValueError(f"an integer of {len(text):,} digits")
    return int(text)


def _describe_problem(error: Exception) -> str:
    """Rewrite msgspec's error text so that it begins with the place in the JSON.

    >>> _describe_problem(ValueError("Expected `int`, got `str` - at `$.conditions[0].labels`"))
    'conditions[0].labels: expected int, got str'
    """
    text = str(error)
    place = _PATH.search(text)
    where = place[1] if place else ""
    if place:
        text = text[: place.start()]
    if missing := _MISSING.fullmatch(text):
        return f"{where}{'.' if where else ''}{missing[1]} is missing"
    text = text.replace("`", "")
    text = text[:1].lower() + text[1:] if text.startswith("Expected") else text
    return f"{where}: {text}" if where else text
