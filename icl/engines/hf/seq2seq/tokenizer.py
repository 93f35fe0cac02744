"""Tokens of an encoder-decoder model's texts; only the encoder's get special tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from icl.core.errors import ModelError
from icl.core.registry import did_you_mean
from icl.core.types import Token
from icl.engines.tokenizer import Codec, check_characters

__all__ = ["PairCodec"]


class PairCodec(Codec):
    """A tokenizer for both sides, with the tokens that every text of the decoder begins with.

    Prompts get the special tokens of a source text (T5: ``</s>`` at the end, mBART: also a
    language). Choices are tokenized alone, as target text, without special tokens.
    """

    def __init__(self, tokenizer: Any, source_language: str | None, target_language: str | None):
        for attribute, language in (("src_lang", source_language), ("tgt_lang", target_language)):
            if language is not None:
                _set_language(tokenizer, attribute, language)
        super().__init__(tokenizer, "auto")
        self.back = _around(tokenizer, "text", len(self.front))[1]
        """Ids of the special tokens after every text of the encoder."""

    def lead(self, start: int | None, forced: int | None) -> tuple[int, ...]:
        """Return the tokens that a text of the decoder begins with; they are not scored.

        ``start`` is the config's decoder start and ``forced`` the token that the generation
        config forces after it. What the tokenizer puts before a target text comes between these
        two and the text (BART: ``<s>``; mBART-50, NLLB: the language). mBART's first models have
        the language after the end of the text, and their decoder starts with it.

        Raises:
            ModelError: no start, or a language is needed and none is named.
        """
        language = getattr(self.tokenizer, "tgt_lang", None)
        front, back = _around(self.tokenizer, "text_target")
        if front and forced is not None and language is None:
            front = (forced,)
        elif front and language is None and hasattr(self.tokenizer, "tgt_lang"):
            raise ModelError(
                "this model generates many languages; name one, as its tokenizer spells it: "
                f"target_language: {_languages(self.tokenizer)[-1]}"
            )
        if language is not None and len(back) > 1:
            start = back[-1]
        if start is None:
            raise ModelError(
                "the config names no decoder_start_token_id, so the decoder has nothing to begin "
                "with; name the language if the model has several (target_language: …), or add "
                "decoder_start_token_id to its generation_config.json"
            )
        front = front or (() if forced is None else (forced,))
        return front if front[:1] == (start,) else (start, *front)

    def targets(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Token ids of each text by the decoder's rule, without special tokens."""
        for text in texts:
            check_characters(text)
        bare = self.tokenizer(text_target=list(texts), add_special_tokens=False, verbose=False)
        return [tuple(ids) for ids in bare["input_ids"]]

    @property
    def drops_line_breaks(self) -> bool:
        """Return whether line breaks are lost: two lines and one line have the same tokens."""
        apart, joined = self.encode(["a\nb", "a b"])
        return apart == joined

    def tokens(self, text: str) -> list[Token]:
        """Return the encoder's tokens of a text with the characters that each covers.

        A tokenizer without offsets (Marian's) normalizes the text; there a token covers the
        characters where its piece is found, or nothing. The space sign that SentencePiece puts
        before the first word covers nothing either.
        """
        if self.tokenizer.is_fast:
            found = [
                replace(one, text="", end=one.start)
                if piece == _SPACE and text[one.start : one.end].strip()
                else one
                for one, piece in self._with_pieces(super().tokens(text))
            ]
        else:
            check_characters(text)
            ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
            spans = _spans(text, self.tokenizer.convert_ids_to_tokens(ids))
            front = [Token(i, "", 0, 0) for i in self.front]
            cut = zip(ids, spans, strict=True)
            found = front + [Token(i, text[start:end], start, end) for i, (start, end) in cut]
        return found + [Token(i, "", len(text), len(text)) for i in self.back]

    def _with_pieces(self, tokens: Sequence[Token]) -> Iterator[tuple[Token, str]]:
        pieces = self.tokenizer.convert_ids_to_tokens([token.id for token in tokens])
        return zip(tokens, pieces, strict=True)

    def _joined(self, ids: Sequence[int]) -> tuple[int, ...]:
        return super()._joined(tuple(ids)) + self.back


def _around(
    tokenizer: Any, side: str, n_front: int | None = None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the special tokens that a tokenizer puts before and after a text of one side."""
    call: Callable[..., Any] = tokenizer
    added = tuple(call(**{side: "a"})["input_ids"])
    bare = tuple(call(**{side: "a"}, add_special_tokens=False)["input_ids"])
    places = range(len(added) - len(bare) + 1) if n_front is None else [n_front]
    at = next((i for i in places if added[i : i + len(bare)] == bare), 0)
    return added[:at], added[at + len(bare) :]


def _languages(tokenizer: Any) -> list[str]:
    named = getattr(tokenizer, "lang_code_to_token", None)  # M2M100 writes __de__ for de
    return sorted(named or set(tokenizer.all_special_tokens) - _framing(tokenizer))


def _framing(tokenizer: Any) -> set[str]:
    names = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
    return {str(getattr(tokenizer, f"{name}_token", None)) for name in names}


def _set_language(tokenizer: Any, attribute: str, language: str) -> None:
    option = {"src_lang": "source_language", "tgt_lang": "target_language"}[attribute]
    if not hasattr(tokenizer, attribute):
        raise ModelError(
            f"{option} is {language!r}, but the tokenizer of this model knows no languages; leave "
            "it out, and say the language in the prompt, or by prefix"
        )
    known = _languages(tokenizer)
    if language not in known:
        raise ModelError(f"unknown {option} {language!r}{did_you_mean(language, known)}")
    setattr(tokenizer, attribute, language)


_SPACE = "\u2581"
_REACH = 8
"""Characters that normalization may drop or change before a piece that is found."""


def _spans(text: str, pieces: Sequence[str]) -> list[tuple[int, int]]:
    """Find the characters that each SentencePiece piece covers of a text normalized before."""
    spans, place = [], 0
    for piece in pieces:
        core = piece.replace(_SPACE, " ").strip()
        if core:
            at = text.find(core, place, place + _REACH + len(core))
            end = place if at < 0 else at + len(core)
        else:
            end = place + text[place : place + 1].isspace()
        spans.append((place, end))
        place = end
    return spans
