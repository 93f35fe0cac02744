"""The registry of plug-ins: a name in an experiment file finds its class.

The built-in classes come in by the same door as a stranger's: an entry point in the group
``icl.<kind>`` of an installed package, or a module named under ``plugins:`` whose classes
carry ``@register(kind, name)``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from keyword import iskeyword
from typing import Any, TypeVar

from icl.core.errors import ConfigError, IclError
from icl.core.option_types import explain_misfit_option

__all__ = ["KINDS", "construct", "did_you_mean", "isolated", "lookup", "names", "register"]


KINDS = ("calibrator", "engine", "format", "metric", "parser", "selector", "task")
"""Kinds of plug-ins; a package announces one in the entry point group ``icl.<kind>``."""

_registered: dict[tuple[str, str], Any] = {}
T = TypeVar("T")


def register(kind: str, name: str) -> Callable[[T], T]:
    """Register a class or function as ``name``; use it as a decorator.

    >>> @register("parser", "shout")
    ... def shout(text: str) -> str:
    ...     return text.upper()
    >>> lookup("parser", "shout")("hi")
    'HI'

    Raises:
        ConfigError: the kind is unknown.
    """
    if kind not in KINDS:
        raise ConfigError(f"unknown kind {kind!r}{did_you_mean(kind, KINDS)}")

    def keep(thing: T) -> T:
        _registered[kind, name] = thing
        return thing

    return keep


@contextmanager
def isolated(empty: bool = False) -> Iterator[None]:
    """Undo, at the end of the block, every registration inside it; for tests of plug-ins.

    Args:
        empty: start with the entry points alone, without earlier registrations.

    >>> with isolated():
    ...     whisper = register("parser", "whisper")(str.lower)
    ...     "whisper" in names("parser")
    True
    >>> "whisper" in names("parser")
    False
    """
    before = dict(_registered)
    if empty:
        _registered.clear()
    try:
        yield
    finally:
        _registered.clear()
        _registered.update(before)


@cache
def _entry_points(kind: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"icl.{kind}")}


def names(kind: str) -> list[str]:
    """List all registered names of a kind, sorted."""
    known = {name for registered, name in _registered if registered == kind}
    return sorted(known | _entry_points(kind).keys())


def lookup(kind: str, name: str) -> Any:
    """Return the class or function registered as ``name``.

    Raises:
        ConfigError: the name is unknown; the message lists the known ones.
    """
    if not isinstance(name, str):
        raise ConfigError(f"a {kind} is a name{did_you_mean('', names(kind))}; given: {name!r}")
    if (kind, name) in _registered:
        return _registered[kind, name]
    points = _entry_points(kind)
    if name not in points:
        raise ConfigError(f"unknown {kind} {name!r}{did_you_mean(name, names(kind))}")
    return points[name].load()


def construct(kind: str, name: str, options: dict[str, Any], where: str) -> Any:
    """Create an instance of a registered class from the options of an experiment file.

    Args:
        kind: one of :data:`KINDS`.
        name: its registered name.
        options: values of the dataclass's fields; a list becomes a tuple.
        where: place in the experiment file, with which messages begin.

    Raises:
        ConfigError: unknown name or option, a missing option, or a value that the class refuses.
    """
    # An option called `lambda` is the field `lambda_`: Python keeps the word for itself.
    options = {key + "_" * iskeyword(key): value for key, value in options.items()}
    made = lookup(kind, name)
    if is_dataclass(made):
        accepted = [spec.name for spec in fields(made) if spec.init]
        for option in options:
            if option not in accepted:
                raise ConfigError(
                    f"{where}: unknown option {option!r} of the {kind} {name!r}"
                    f"{did_you_mean(option, [word.rstrip('_') for word in accepted])}"
                )
        for spec in fields(made):
            given = spec.name in options or not spec.init
            if not given and spec.default is MISSING and spec.default_factory is MISSING:
                raise ConfigError(f"{where}: the {kind} {name!r} needs {spec.name!r}; set it there")
    for option, value in options.items():
        if isinstance(value, list):
            options[option] = tuple(value)
    misfit = explain_misfit_option(made, options) if isinstance(made, type) else None
    try:
        built = made(**options)
    except IclError:
        raise  # a class that checks its options says more than their types do
    except Exception as error:
        told = misfit or f"cannot be made: {error}"
        if misfit is None and not isinstance(error, TypeError):
            raise
        raise ConfigError(f"{where}: the {kind} {name!r}: {told}") from error
    if misfit is not None:
        raise ConfigError(f"{where}: the {kind} {name!r}: {misfit}")
    return built


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of an "unknown name" message: the closest known name, and up to 20 known ones.

    >>> did_you_mean("bm52", ["bm25", "random"])
    ". Did you mean 'bm25'? There are: bm25, random"
    """
    known = sorted(known)
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    guess = f". Did you mean {close[0]!r}?" if close else "."
    shown = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
    return f"{guess} There are: {shown}" if known else guess
