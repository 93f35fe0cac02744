"""Regular expressions of users, searched within a time limit, since they may backtrack for ever."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import regex

from icl.core.errors import ConfigError

__all__ = ["MOST_CHARS", "TIMEOUT_S", "BoundedRegex"]


TIMEOUT_S = 1.0
"""Seconds for one search; a sound pattern takes a thousandth of it for 100,000 characters."""
MOST_CHARS = 2000
"""Most characters of a pattern; longer ones may compile for seconds."""


class BoundedRegex:
    """A regular expression whose searches end in time.

    >>> BoundedRegex("([a-z])([0-9])?").find("a1 b", None, last=True)
    'b'
    """

    def __init__(
        self, source: str, ignore_case: bool = False, most_chars: int = MOST_CHARS
    ) -> None:
        if not isinstance(source, str) or len(source) > most_chars:
            said = f"has {len(source):,} characters" if isinstance(source, str) else repr(source)
            raise ConfigError(
                f"pattern: {said}; a text of up to {MOST_CHARS:,} characters is needed, such as "
                '"answer is ([0-9]+)"'
            )
        self.source = source
        try:
            self._made = regex.compile(source, regex.IGNORECASE if ignore_case else 0)
        except (regex.error, RecursionError, OverflowError, MemoryError) as error:
            raise ConfigError(
                f"pattern: {source!r} is no regular expression: {error}; in YAML put it in single "
                "quotes, so that backslashes stay"
            ) from error

    def has_group(self, group: int | str) -> bool:
        """Return whether a match has the group, by number or name; 0 is the whole."""
        if isinstance(group, str):
            return group in self._made.groupindex
        return (
            isinstance(group, int)
            and not isinstance(group, bool)
            and 0 <= group <= self._made.groups
        )

    def find(self, text: str, group: int | str | None = None, *, last: bool = False) -> str | None:
        """Return a group of the first or last match; None if nothing matches.

        Args:
            text: what is searched.
            group: number or name; None takes the first group that matched, or the whole match of
                a pattern without groups.
            last: whether the last of several matches is taken.

        Raises:
            ConfigError: the search did not end in time.
        """
        matches = self._made.finditer(text, timeout=TIMEOUT_S)
        found = None
        try:
            found = next(matches, None)
            while last and (following := next(matches, None)) is not None:
                found = following
        except TimeoutError as error:
            raise ConfigError(
                f"pattern: {self.source!r} worked for more than {TIMEOUT_S:g} s on one answer and "
                "was stopped; write it without a repeat inside a repeat, such as (a+)+"
            ) from error
        if found is None:
            return None
        if group is None:
            groups = [one for one in found.groups() if one]
            return str(groups[0] if groups else found[0])
        return None if found[group] is None else str(found[group])

    def search(self, texts: Iterable[str]) -> Iterator[bool]:
        """Yield whether it matches anywhere in each text, within :data:`TIMEOUT_S` for all of them.

        >>> list(BoundedRegex("[0-9]$").search(["a1", "1a"]))
        [True, False]

        Raises:
            ConfigError: the searches did not end in time.
        """
        ends = time.monotonic() + TIMEOUT_S
        try:
            for text in texts:
                left = ends - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                yield self._made.search(text, timeout=left) is not None
        except TimeoutError as error:
            raise ConfigError(
                f"pattern: {self.source!r} worked for more than {TIMEOUT_S:g} s and was stopped; "
                "write it without a repeat inside a repeat, such as (a+)+"
            ) from error
