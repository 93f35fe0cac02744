"""Text <-> token ids by a model's own tokenizer, with one rule for the begin-of-text token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from icl.core.errors import EngineError, ModelError
from icl.core.types import Token

__all__ = ["Codec", "check_characters"]


def check_characters(text: str) -> None:
    """Refuse a text with half a character, which no tokenizer can read.

    Raises:
        EngineError: naming it, its place and the words before it.

    >>> check_characters("\N{GRINNING FACE}")
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        before = text[max(0, error.start - 20) : error.start]
        raise EngineError(
            f"a text has half a character (the surrogate U+{ord(text[error.start]):04X}) at place "
            f"{error.start + 1:,}, after {before!r}, which no tokenizer reads; repair the row in "
            "its data file: the two halves of an emoji belong together"
        ) from error


class Codec:
    """A tokenizer with the special tokens in front of every text; none are added at its end."""

    def __init__(self, tokenizer: Any, bos: str) -> None:
        self.tokenizer = tokenizer
        self.bos_id: int | None = tokenizer.bos_token_id
        self.front = self._front(bos)
        """Ids of the special tokens in front of every text."""

    @property
    def start(self) -> int | None:
        """The token before the first one of a text without BOS, as in lm-evaluation-harness."""
        eos: int | None = self.tokenizer.eos_token_id
        return self.bos_id if self.bos_id is not None else eos

    def _front(self, bos: str) -> tuple[int, ...]:
        added = tuple(self.tokenizer("a")["input_ids"])
        bare = tuple(self.tokenizer("a", add_special_tokens=False)["input_ids"])
        starts = (i for i in range(len(added)) if added[i : i + len(bare)] == bare)
        front = added[: next(starts, 0)]
        if bos == "never":
            return ()
        if bos == "always" and not front:
            if self.bos_id is None:
                raise ModelError("bos is 'always', but the tokenizer has no BOS; set bos to 'auto'")
            return (self.bos_id,)
        return front

    def encode(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Return the token ids of each text, with the special tokens in front.

        Raises:
            EngineError: a text itself begins with BOS, which would then occur twice, or holds half
                a character.
        """
        for text in texts:
            check_characters(text)
        bare = self.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        return [self._joined(tuple(ids)) for ids in bare]

    def tokens(self, text: str) -> list[Token]:
        """Return the tokens of a text with the characters that each covers."""
        if not self.tokenizer.is_fast:
            raise EngineError(
                f"{type(self.tokenizer).__name__} does not report which characters a token covers; "
                "save the model with a fast tokenizer (tokenizer.json)"
            )
        check_characters(text)
        found = self.tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        ids = tuple(found["input_ids"])
        front = [Token(i, "", 0, 0) for i in self._joined(ids)[: len(self.front)]]
        spans = zip(ids, found["offset_mapping"], strict=True)
        return front + [Token(i, text[start:end], start, end) for i, (start, end) in spans]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids without special tokens, white space unchanged."""
        text = self.tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(text)

    def _joined(self, ids: tuple[int, ...]) -> tuple[int, ...]:
        """Put the special tokens in front; BOS must be there only once."""
        if self.bos_id in self.front and ids[:1] == (self.bos_id,):
            raise EngineError(
                f"the prompt begins with {self.tokenizer.bos_token!r}, which the tokenizer adds "
                "anyway; delete it from the template, or set bos: never"
            )
        return self.front + ids
