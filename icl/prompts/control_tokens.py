"""Control tokens of a chat template (begin and end of turns), and text that merely spells them.

A row that contains ``<|im_end|>`` must not end its turn. So the content of turns is hidden from the
template while it is rendered. It is then tokenized by a copy of the tokenizer in which the names of
control tokens carry marks that only the template's own tokens receive, so that a text and its
surroundings are tokenized in one piece, with unchanged offsets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from icl.core.errors import EngineError
from icl.core.types import Token

__all__ = ["ControlCodec", "Controls", "MarkedText", "find_control_names"]


_OPEN, _CLOSE, _MARK = "\U000f2000", "\U000f2001", "\U000f2002"
"""Private-use characters around the number of a hidden token, and around an intended token."""


@dataclass(frozen=True, slots=True)
class MarkedText:
    """A text, and the positions at which a control token's name is plain text."""

    text: str
    plain: tuple[tuple[int, int], ...] = ()
    """(start, end) of each, in characters."""

    def __add__(self, more: MarkedText) -> MarkedText:
        size = len(self.text)
        return MarkedText(
            self.text + more.text, (*self.plain, *((a + size, b + size) for a, b in more.plain))
        )


def find_control_names(tokenizer: Any, written: str) -> tuple[str, ...]:
    """Find the control tokens of a transformers tokenizer that uses a chat template.

    These are its special tokens, and added tokens that ``written`` (the template) spells. Other
    added tokens, such as runs of spaces, are ordinary text.
    """
    added = tokenizer.added_tokens_decoder.values()
    names = (str(token.content) for token in added if token.special or token.content in written)
    return tuple(dict.fromkeys(name for name in names if name.strip()))


@dataclass(frozen=True)
class Controls:
    """Names of control tokens, with functions that find, hide and restore them in text.

    >>> controls = Controls(("<end>",))
    >>> marked = controls.shown(f"<user>{controls.hide('a<end>b')}<end>")
    >>> marked.text, marked.plain
    ('<user>a<end>b<end>', ((7, 12),))
    """

    names: tuple[str, ...]

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Regular expression that matches any of them, the longest first."""
        longest_first = sorted(self.names, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    def hide(self, text: str) -> str:
        """Replace every control token that a text spells by private-use characters.

        Raises:
            EngineError: the text contains these characters itself.
        """
        for taken in (_OPEN, _CLOSE, _MARK):
            if taken in text:
                raise EngineError(
                    f"a row holds the private-use character U+{ord(taken):X}, which icl uses "
                    "for control tokens; remove it from the data"
                )
        return self.pattern.sub(lambda found: f"{_OPEN}{self.names.index(found[0])}{_CLOSE}", text)

    def shown(self, rendered: str) -> MarkedText:
        """Put hidden names back into a rendered text, marked as plain text."""
        first, *parts = re.split(f"{_OPEN}(\\d+){_CLOSE}", rendered)
        made = MarkedText(first)
        for number, following in zip(parts[::2], parts[1::2], strict=True):
            made += self.plain(self.names[int(number)]) + MarkedText(following)
        return made

    def plain(self, text: str) -> MarkedText:
        """Mark every control token in a text as plain text."""
        return MarkedText(text, tuple(found.span() for found in self.pattern.finditer(text)))

    def marks(self, text: MarkedText) -> tuple[str, list[int]]:
        """Put marks around the control tokens that are not plain text.

        Returns:
            The marked text; and for each border between its characters, the border in ``text``.
        """
        pieces: list[str] = []
        places: list[int] = []
        at, size = 0, len(text.text)
        for begin, end in (*text.plain, (size, size)):
            for found in self.pattern.finditer(text.text, at, begin):
                pieces.append(f"{text.text[at : found.start()]}{_MARK}{found[0]}{_MARK}")
                places += [*range(at, found.start()), found.start()]
                places += [*range(*found.span()), found.end()]
                at = found.end()
            pieces.append(text.text[at:end])
            places += range(at, end)
            at = end
        return "".join(pieces), [*places, size]


@dataclass
class ControlCodec:
    """A tokenizer for which only the template's control tokens are control tokens."""

    tokenizer: Any
    """A fast tokenizer of transformers."""
    controls: Controls

    def tokens(self, text: MarkedText) -> list[Token]:
        """Tokenize a text without adding special tokens.

        Raises:
            EngineError: the tokenizer turns plain text into a control token.
        """
        if not text.plain:
            found = self.tokenizer(
                text.text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
            )
            pairs = zip(found["input_ids"], found["offset_mapping"], strict=True)
            return [Token(i, text.text[start:end], start, end) for i, (start, end) in pairs]
        marked, places = self.controls.marks(text)
        backend, own = self._copy
        found = backend.encode(marked, add_special_tokens=False)
        made = []
        for i, (begin, end) in zip(found.ids, found.offsets, strict=True):
            start, stop = places[begin], places[end]
            made.append(Token(own.get(i, i), text.text[start:stop], start, stop))
        self._check(text, made)
        return made

    @cached_property
    def _copy(self) -> tuple[Any, dict[int, int]]:
        """A copy of the tokenizer with marked control names, and its added ids -> original ids."""
        from tokenizers import Tokenizer

        config = json.loads(self.tokenizer.backend_tokenizer.to_str())
        config["truncation"] = config["padding"] = config["post_processor"] = None
        ids: dict[str, int] = {}
        for token in config["added_tokens"]:
            if token["content"] in self.controls.names:
                token["content"] = f"{_MARK}{token['content']}{_MARK}"
            ids[token["content"]] = token["id"]
        backend: Any = Tokenizer.from_str(json.dumps(config))
        made: dict[int, int] = {backend.token_to_id(name): i for name, i in ids.items()}
        return backend, made

    def _check(self, text: MarkedText, tokens: Sequence[Token]) -> None:
        ids = {self.tokenizer.convert_tokens_to_ids(name) for name in self.controls.names}
        for token in tokens:
            inside = any(a < token.end and token.start < b for a, b in text.plain)
            if inside and token.id in ids:
                raise EngineError(
                    f"a row spells {token.text!r}, which this tokenizer cannot send as plain text; "
                    "take it out of the data"
                )
