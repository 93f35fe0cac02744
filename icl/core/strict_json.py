"""JSON that anybody may have written, read into types: strict, bounded, told in one line."""

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
"""Brackets within one another; Python's own limit, which ends in a RecursionError, is far above."""
MOST_BYTES = 64 << 20
"""Of a line; no prompt, and no answer to one, comes near it."""
MOST_FILE_BYTES = 1 << 30
"""Of a file that is one JSON value: a manifest of a million rows has 20 MB."""

_LONGEST_INT = 4300
"""Digits; Python writes no integer of more."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""How many of something: what every reader of JSON can hold exactly."""
Amount = Annotated[float, msgspec.Meta(ge=0, le=1e15)]
"""Seconds, money and the like."""

_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.S)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_PATH = re.compile(r" - at `(?:key in )?\$\.?(.*)`$", re.S)
_MISSING = re.compile(r"Object missing required field `(.*)`", re.S)


class ShapeError(ValueError):
    """JSON that holds something else than it should; the text says what, and where in it."""


class TornLineError(ShapeError):
    """A text that is no JSON, as a writer leaves it that was killed."""


def decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """Return the decoder of a type; it is made once."""
    made: msgspec.json.Decoder[T] = _decoder(cast(Hashable, kind))
    return made


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def decode(data: bytes, made: msgspec.json.Decoder[T], most: int = MOST_BYTES) -> T:
    """Read JSON text as the type of a decoder.

    Lone surrogates, which text of the web holds and this project writes as they are, are read too.

    Raises:
        TornLineError: it is no JSON.
        ShapeError: too large, nested too deeply, or not of that type.
    """
    if len(data) > most:
        raise ShapeError(f"{len(data):,} bytes, where at most {most:,} are read")
    check_depth(data)
    try:
        return made.decode(data)
    except msgspec.ValidationError as error:
        _leniently(data)  # what is torn further on is no JSON, whatever stands before that
        raise ShapeError(_told(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if b"\xed" not in data and b"\\u" not in data:
            raise TornLineError(_told(error)) from error
    return convert(_leniently(data), made.type)


def convert(value: Any, kind: type[T]) -> T:
    """Check parsed JSON against a type.

    Raises:
        ShapeError: it is something else.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ShapeError(_told(error)) from error
    except UnicodeEncodeError as error:
        raise ShapeError("half of a character where a name is expected") from error


def check_depth(data: bytes) -> None:
    """Refuse text whose brackets stand in one another too deeply; those in strings do not count.

    Raises:
        ShapeError: they do.
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
        path: of the file.
        kind: what it holds.
        repair: what the reader of the message can do.
        missing: the same where there is no such file.

    Raises:
        StoreError: missing, unreadable, no JSON, or something else than a ``kind``.
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
    """Yield (number from 1, line without its end) of a file; blank lines are left out."""
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            yield number, line


def _leniently(data: bytes) -> Any:
    """Read what only the library's own strictness about halves of characters may have refused."""
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


def _told(error: Exception) -> str:
    """Say what msgspec found in a line: the place first, as a reader looks for it.

    >>> _told(ValueError("Expected `int`, got `str` - at `$.conditions[0].labels`"))
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
