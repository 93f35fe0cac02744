"""The locales of a data set on disk, and the names by which an experiment asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from icl.core.errors import ConfigError, DataError
from icl.core.languages import find_language
from icl.data.flores_ntrex import pick_language
from icl.data.spec import DataSpec
from icl.data.survey import list_path_values

__all__ = ["ALL", "is_pattern", "list_locales", "pick_locales"]


ALL = "all"
"""The name for every locale that is on disk."""
_SIGNS = frozenset("*?[")
"""Characters that make a name a pattern."""


def list_locales(spec: DataSpec) -> list[str]:
    """List the locales by which a data set is divided into files, sorted.

    Returns an empty list where they are not known: on the hub, or where one file holds all rows.

    Raises:
        DataError: the folder of the data set does not exist, or has no such file.
    """
    return list(list_path_values(spec).get("locale", ()))


def is_pattern(name: str) -> bool:
    """Return whether a name means several locales: ``all``, or a pattern as ``*-IN``."""
    return name == ALL or bool(_SIGNS & {*name})


def pick_locales(names: Sequence[str], known: Sequence[str], data: str) -> list[str]:
    """Return the locales that names mean, each once, in the order of the names.

    A name is a locale, ``all``, a pattern, or the language in another spelling. One whose language
    is not there is returned as it is: the reader of the data says what it lacks.

    Args:
        names: as the experiment has them.
        known: the locales on disk, from :func:`list_locales`.
        data: the data set in words, for messages.

    >>> pick_locales(["sw", "*-IN"], ["en-US", "hi-IN", "sw-KE", "ta-IN"], "MASSIVE")
    ['sw-KE', 'hi-IN', 'ta-IN']

    Raises:
        ConfigError: a pattern fits no locale; a language is there in other regions, or in several.
    """
    found: dict[str, None] = {}
    for name in names:
        some = _match(name, known, data) if is_pattern(name) else [_pick(name, known, data)]
        found.update(dict.fromkeys(some))
    return list(found)


def _match(pattern: str, known: Sequence[str], data: str) -> list[str]:
    """Return the locales that a pattern fits, whatever the case of its letters."""
    if not known:
        raise ConfigError(
            f"locale: {pattern}: the files of {data} are not named by locale, so none can be "
            "listed; write the locales, as in `locale: [en-US, sw-KE]`"
        )
    wanted = pattern.lower()
    found = [one for one in known if pattern == ALL or fnmatchcase(one.lower(), wanted)]
    if not found:
        raise ConfigError(
            f"locale: {pattern}: no locale of {data} is called so; there are: {', '.join(known)}"
        )
    return found


def _pick(name: str, known: Sequence[str], data: str) -> str:
    """Return the locale that a name spells; the name itself where none is of its language."""
    if name in known or not known:
        return name
    same = _of_language(name, known)
    found = _of_region(name, same)
    if same and not found:
        raise ConfigError(
            f"no locale {name!r} in {data}. Did you mean {' or '.join(map(repr, same))}?"
        )
    try:
        return pick_language(name, found, data) if found else name
    except DataError as error:  # several fit, or none is in the script that was asked for
        raise ConfigError(f"locale: {error}") from error


def _of_language(name: str, known: Sequence[str]) -> list[str]:
    code = _find_code(name)
    return [one for one in known if code is not None and _find_code(one) == code]


def _of_region(name: str, known: Sequence[str]) -> list[str]:
    """Return the locales of a name's region, if it has one: en-GB is no en-US."""
    import langcodes

    if not known:
        return []
    region = langcodes.Language.get(name).territory
    regions = {one: langcodes.Language.get(one).territory for one in known}
    return [one for one in known if None in (region, regions[one]) or regions[one] == region]


def _find_code(locale: str) -> str | None:
    """Return the shortest code of a locale's language; None if it is the tag of none."""
    try:
        return find_language(locale).code
    except DataError:
        return None
