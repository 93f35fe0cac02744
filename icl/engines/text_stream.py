"""A conversion of streamed tokens to text: whole characters only, no part of a stop string."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from icl.core.types import Finish

__all__ = ["TextStream"]


_UNFINISHED = "\ufffd"
"""The character that tokenizers decode the first bytes of an incomplete character to."""


class TextStream:
    """The text of one generation, added token by token.

    Each decoding starts a few tokens back, since tokenizers drop a leading space; the scheme is
    that of text-generation-inference. ``tail`` holds the last tokens of the prompt.

    >>> stream = TextStream(lambda ids: "".join(map(chr, ids)), tail=[], stops=["END"])
    >>> [stream.push(ord(c)) for c in "a EaEND!"]
    ['a', ' ', '', 'Ea', '', '', '', '']
    >>> stream.text, stream.stopped
    ('a Ea', True)
    """

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        tail: Sequence[int],
        stops: Sequence[str],
        begun: str | None = None,
    ) -> None:
        """Start a stream after the tokens ``tail``.

        ``begun`` is text before the first token; if given, leading white space is dropped.
        """
        self._decode = decode
        self._stops = tuple(stop for stop in stops if stop)
        self._ids = list(tail)
        self._start, self._read = 0, len(self._ids)
        self._held = ""
        self.text = ""
        """The text given out so far; after :meth:`close` the whole output."""
        self.stopped = False
        """Whether a stop string was found."""
        self.rest = ""
        """Text after the stop string in the token that completed it."""
        self._trim = begun is not None
        self._give(begun or "")

    @property
    def reasoning(self) -> None:
        """Return None: this stream holds only an answer."""
        return None

    @property
    def seen(self) -> str:
        """The text so far, including what could begin a stop string."""
        return self.text + self._held

    def choose(self, token: int) -> int:
        """Return the next token: here always the one that the model chose."""
        return token

    def finish(self, reason: Finish) -> Finish:
        """Return how the output ended, if generation ended for ``reason``."""
        return "stop" if self.stopped else reason

    def push(self, token: int) -> str:
        """Add a token; return the text that is now certain, often none."""
        self._ids.append(token)
        piece = self._piece()
        if self.stopped or piece.endswith(_UNFINISHED):
            return ""
        if piece:  # else a special token: keep what precedes it as the context of the next
            self._start, self._read = self._read, len(self._ids)
        return self._give(piece)

    def close(self) -> str:
        """Return the rest, such as a partial stop string; an incomplete character is dropped."""
        if self.stopped:
            return ""
        given = self._give(self._piece().rstrip(_UNFINISHED))
        if not self.stopped:
            given += self._held
            self.text += self._held
        self._held, self._read = "", len(self._ids)
        return given

    def _piece(self) -> str:
        known = self._decode(self._ids[self._start : self._read])
        return self._decode(self._ids[self._start :])[len(known) :]

    def _give(self, piece: str) -> str:
        if self._trim:
            piece = piece.lstrip()
            self._trim = not piece
        self._held += piece
        found = [(at + len(stop), at) for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:  # the one complete first, so that token borders do not matter
            self.stopped = True
            end, start = min(found)
            given, self.rest, self._held = self._held[:start], self._held[end:], ""
        else:
            cut = len(self._held) - self._possible_stop()
            given, self._held = self._held[:cut], self._held[cut:]
        self.text += given
        return given

    def _possible_stop(self) -> int:
        """Return the length of the longest end of the held text that begins a stop string."""
        longest = max(map(len, self._stops), default=1) - 1
        for size in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-size:]) for stop in self._stops):
                return size
        return 0
