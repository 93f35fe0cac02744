"""Control tokens (begin and end of turns) of a chat template, and text that only spells them.

A row that holds ``<|im_end|>`` must not end its turn. So what turns hold is hidden from the
template while it is rendered, and tokenized by a copy of the tokenizer whose control tokens bear
marks that only the template's own get: in one piece with the text around, offsets unchanged.
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
"""Private-use characters: around the number of a hidden token, and around a token that is meant."""


@dataclass(frozen=True, slots=True)
class MarkedText:
    """A text, and which of the control tokens that it spells are plain text."""

    text: str
    plain: tuple[tuple[int, int], ...] = ()
    """(start, end) of each, in characters."""

    def __add__(self, more: MarkedText) -> MarkedText:
        size = len(self.text)
        return MarkedText(
            self.text + more.text, (*self.plain, *((a + size, b + size) for a, b in more.plain))
        )


def find_control_names(tokenizer: Any, written: str) -> tuple[str, ...]:
    """The control tokens of a tokenizer of transformers under a chat template.

    They are its special tokens, and those added ones that ``written`` (the template) spells;
    other added tokens, such as runs of spaces, are text like any other.
    """
    added = tokenizer.added_tokens_decoder.values()
    names = (str(token.content) for token in added if token.special or token.content in written)
    return tuple(dict.fromkeys(name for name in names if name.strip()))


@dataclass(frozen=True)
class Controls:
    """The texts of control tokens: finding, hiding and showing them.

    >>> controls = Controls(("<end>",))
    >>> marked = controls.shown(f"<user>{controls.hide('a<end>b')}<end>")
    >>> marked.text, marked.plain
    ('<user>a<end>b<end>', ((7, 12),))
    """

    names: tuple[str, ...]

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches any of them, the longest first."""
        longest_first = sorted(self.names, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    def hide(self, text: str) -> str:
        """The text with every control token that it spells replaced by private-use characters.

        Raises:
            EngineError: the text holds these characters itself.
        """
        for taken in (_OPEN, _CLOSE, _MARK):
            if taken in text:
                raise EngineError(
                    f"a row holds the private-use character U+{ord(taken):X}, which stands for "
                    "control tokens here; take it out of the data"
                )
        return self.pattern.sub(lambda found: f"{_OPEN}{self.names.index(found[0])}{_CLOSE}", text)

    def shown(self, rendered: str) -> MarkedText:
        """A rendered text with what was hidden put back, and where it stands."""
        first, *parts = re.split(f"{_OPEN}(\\d+){_CLOSE}", rendered)
        made = MarkedText(first)
        for number, following in zip(parts[::2], parts[1::2], strict=True):
            made += self.plain(self.names[int(number)]) + MarkedText(following)
        return made

    def plain(self, text: str) -> MarkedText:
        """A text of which every control token is plain text."""
        return MarkedText(text, tuple(found.span() for found in self.pattern.finditer(text)))

    def marks(self, text: MarkedText) -> tuple[str, list[int]]:
        """The text with marks around the control tokens that are meant.

        The list has a place for each border between characters of the marked text: the border in
        the text itself.
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
    """Text -> tokens, where control tokens come from the template alone."""

    tokenizer: Any
    """A fast tokenizer of transformers."""
    controls: Controls

    def tokens(self, text: MarkedText) -> list[Token]:
        """The tokens of a text; none are added to it.

        Raises:
            EngineError: the tokenizer makes a control token of plain text, as it should not.
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
        """The tokenizer with marked names of control tokens, and its added ids -> the own ones."""
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
