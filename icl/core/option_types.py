"""A check of plug-in options against the types of their fields, with error text in plain words."""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = ["describe_type", "explain_misfit_option"]


_WORDS: Mapping[Any, tuple[str, str]] = {
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("a text", "texts"),
    bool: ("true or false", "truth values"),
    Path: ("a path", "paths"),
    types.NoneType: ("null", "nulls"),
    Any: ("anything", "anything"),
}
"""Type -> its name in the singular and in the plural."""


def explain_misfit_option(made: type, options: Mapping[str, Any]) -> str | None:
    """Return the error for the first option of another type than its field; None if all fit.

    >>> from icl.metrics.chrf import ChrF
    >>> explain_misfit_option(ChrF, {"beta": "x"})
    "beta: 'x' is not accepted; accepted: a whole number"
    """
    from pydantic import ValidationError

    known = _adapters(made)
    for name, value in options.items():
        if name not in known:
            continue
        hint, adapter = known[name]
        try:
            adapter.validate_python(value, strict=True)
        except ValidationError:
            shown = repr(list(value) if isinstance(value, tuple) else value)
            shown = shown if len(shown) <= 80 else f"{shown[:80]}…"
            title = name.rstrip("_")
            return f"{title}: {shown} is not accepted; accepted: {describe_type(hint)}"
    return None


@cache
def _adapters(made: type) -> dict[str, tuple[Any, TypeAdapter[Any]]]:
    """Map each field to its type and to the adapter that checks its values.

    Left out are types that a file cannot name, such as a class of the plug-in's own, and those that
    only a type checker can see.
    """
    from pydantic import ConfigDict, TypeAdapter

    config = ConfigDict(arbitrary_types_allowed=True)
    found = {}
    for spec in fields(made) if is_dataclass(made) else ():
        hint = _hint_of(made, spec.name) if spec.init else None
        if hint is not None and _is_plain(hint):
            taken: Any = Path | str if hint is Path else hint
            found[spec.name] = hint, TypeAdapter(taken, config=config)
    return found


def _hint_of(made: type, name: str) -> Any:
    """Resolve the type of a field; return None if only a type checker imports its name."""
    owner = next(one for one in made.__mro__ if name in one.__dict__.get("__annotations__", {}))
    alone = types.SimpleNamespace(__annotations__={name: owner.__annotations__[name]})
    try:
        hints = get_type_hints(alone, vars(sys.modules[owner.__module__]), include_extras=True)
    except NameError:
        return None
    return hints[name]


def _is_plain(hint: Any) -> bool:
    """Return whether a type consists of types that YAML has."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is None:
        return hint in _WORDS or hint is ...
    return origin is Literal or all(map(_is_plain, inner[:1] if origin is Annotated else inner))


def describe_type(hint: Any, several: bool = False) -> str:
    """Describe a type in the words of an experiment file.

    >>> from collections.abc import Mapping
    >>> describe_type(Mapping[str, float] | None)
    'a mapping of texts to numbers, or null'
    """
    origin, inner = get_origin(hint), get_args(hint)
    if hint in _WORDS:
        return _WORDS[hint][several]
    if origin is Annotated:
        return describe_type(inner[0], several)
    if origin is Literal:
        return " or ".join(map(str, inner))
    if origin in (Union, types.UnionType):
        return ", or ".join(dict.fromkeys(describe_type(one, several) for one in inner))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        key, value = (describe_type(one, several=True) for one in inner)
        return f"{'mappings' if several else 'a mapping'} of {key} to {value}"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        words = " and ".join(dict.fromkeys(describe_type(i, True) for i in inner if i is not ...))
        many = f"{len(inner)} " if ... not in inner and len(inner) > 1 else ""
        return f"{'lists' if several else 'a list'} of {many}{words}"
    raise AssertionError(f"{hint} is none of the types that YAML has")
