"""The splitting of text in any script into words and sentences, by rules without a model.

Text in scripts without spaces between words (those for which sacreBLEU has its ``char`` tokenizer)
is split into characters with their marks, as is usual for ROUGE in Chinese and Thai.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Any

__all__ = ["find_words", "shorten", "split_sentences", "split_words"]


UNSPACED = (
    *("Han", "Hiragana", "Katakana", "Bopomofo", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan"),
    *("Tai_Le", "New_Tai_Lue", "Tai_Tham", "Tai_Viet", "Balinese", "Javanese"),
)
"""Unicode scripts without spaces between words."""
_CLOSING = r"[\"'”’»)\]」』）》]*"
_END = re.compile(
    rf"[.!?…]+{_CLOSING}(?=\s+(?P<next>\S))|[。｡！？।॥؟۔።]+{_CLOSING}|(?=\s*\n)|$(?![\s\S])"
)
_ABBREVIATED = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|No|Nr|vs|bzw|z\. ?B|e\.g|i\.e)|\b[A-ZÀ-Þ])\Z"
)
"""Text before a full stop that does not end a sentence: titles, initials and a few others."""


@lru_cache(maxsize=1)
def _word() -> Any:
    import regex

    unspaced = "".join(rf"\p{{Script={name}}}" for name in UNSPACED)
    # U+30FC lengthens a kana; U+200C and U+200D stand inside Persian and Indic words.
    return regex.compile(
        rf"(?V1)[[{unspaced}]&&[\p{{L}}\p{{M}}\p{{N}}]][\p{{M}}\u30fc]*"
        rf"|[[\p{{L}}\p{{M}}\p{{N}}\u200c\u200d]--[{unspaced}]]+"
    )


def split_words(text: str) -> list[str]:
    """Return the words in lower case, without punctuation; characters in scripts without spaces.

    For ASCII text these are the tokens of the library rouge_score.

    >>> split_words("It's 5 °C."), split_words("東京へ")
    (['it', 's', '5', 'c'], ['東', '京', 'へ'])
    """
    found: list[str] = _word().findall(unicodedata.normalize("NFC", text.lower()))
    return found


def find_words(text: str) -> list[tuple[int, int]]:
    """Return where the words of a text begin and end, as :func:`split_words` finds them.

    >>> find_words("It's 5 °C.")
    [(0, 2), (3, 4), (5, 6), (8, 9)]
    """
    return [found.span() for found in _word().finditer(text)]


@lru_cache(maxsize=8)
def _sentence_ends(text: str) -> tuple[int, ...]:
    """Return the end index of each sentence, its final punctuation included."""
    ends: list[int] = []
    for found in _END.finditer(text):
        following = found["next"]
        abbreviated = found[0] == "." and _ABBREVIATED.search(text, 0, found.start())
        if following is not None and (following.islower() or abbreviated):
            continue
        begin = ends[-1] if ends else 0
        if text[begin : found.end()].strip():
            ends.append(found.end())
    return tuple(ends)


@lru_cache(maxsize=8)
def _word_ends(text: str) -> tuple[int, ...]:
    return tuple(found.end() for found in _word().finditer(text))


def split_sentences(text: str) -> list[str]:
    """Split into sentences, at final punctuation and line ends; outer white space is removed.

    >>> split_sentences("Dr. Bo came. He left!")
    ['Dr. Bo came.', 'He left!']
    """
    borders = [0, *_sentence_ends(text)]
    return [text[a:b].strip() for a, b in zip(borders, borders[1:], strict=False)]


def shorten(text: str, chars: int) -> str:
    """Return as many whole sentences from the beginning as fit into ``chars`` characters.

    If not even the first sentence is so short, the longest beginning of whole words; empty if
    not even one word is.

    >>> shorten("One two. Three four.", 12), shorten("One two. Three four.", 5)
    ('One two.', 'One')
    """
    if chars >= len(text):
        return text
    for ends in (_sentence_ends(text), _word_ends(text)):
        within = [end for end in ends if end <= chars]
        if within:
            return text[: within[-1]]
    return ""
