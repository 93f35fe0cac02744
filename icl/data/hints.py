"""Dictionary hints: words of a row with their translations, written for a prompt or put in place.

``dipmt`` follows Ghazvininejad, Gonen and Zettlemoyer 2023 (arXiv 2302.07856), ``cod`` the Chain of
Dictionary of Lu et al. 2023 (arXiv 2305.06575), pseudo-shots Wang, Ruder and Neubig 2022 (arXiv
2203.09435).
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal

from icl.core.errors import DataError
from icl.core.segmentation import find_words, split_words
from icl.core.types import JSON, Example, digest
from icl.data.lexicons import Headword, Lexicon

__all__ = [
    "HINT_FIELDS",
    "Control",
    "Dictionary",
    "HintStyle",
    "Hints",
    "Match",
    "PseudoShots",
    "check_direction",
    "count_frequent",
    "find_text_field",
]


Control = Literal["random", "hidden"]
"""``random``: the translations of other words; ``hidden``: looked up and counted, not shown."""
HintStyle = Literal["dipmt", "cod"]
"""Form of the text: each word with its translations, or with a chain through languages."""
HINT_FIELDS = ("hints", "hint_pairs", "hint_lookup")
"""The fields that :class:`Hints` adds to a row."""
FEW_WORDS = 50
"""Fewest words by which the direction of a dictionary can be judged."""
LITTLE = 0.1
"""Share of known words below which a dictionary may be of the wrong direction."""


@dataclass(frozen=True, slots=True)
class Match:
    """Words of a text that a dictionary knows."""

    start: int
    end: int
    words: str
    """The words as the text spells them."""
    chain: tuple[tuple[str, ...], ...]
    """Their translations, by dictionary."""
    size: int
    """Number of words."""

    @property
    def senses(self) -> tuple[str, ...]:
        """The translations in the first dictionary."""
        return self.chain[0]


@dataclass(frozen=True)
class Dictionary:
    """Finds words of a text in dictionaries.

    >>> made = Dictionary((Lexicon.of("x", [("grow", ["kua"]), ("grow up", ["komaa"])]),))
    >>> [(one.words, one.senses) for one in made.find("They grow up.")]
    [('grow up', ('komaa',))]
    """

    lexicons: tuple[Lexicon, ...]
    """The first one decides which words have a hint; with ``chained`` the others go on from it."""
    chained: bool = False
    """Whether a word is looked up in all dictionaries, not only in the first that knows it."""
    senses: int = 3
    """Most translations of a word."""
    shortest_stem: int | None = None
    """Fewest letters of a headword that a longer, unknown word may begin with; None: not tried."""
    control: Control | None = None
    seed: int = 0
    """Draws the translations of other words."""
    skipped: frozenset[str] = field(default=frozenset(), repr=False)
    """Words, in lower case, that are not looked up by themselves."""

    def identity(self) -> dict[str, JSON]:
        """Return everything that changes what is found."""
        return {
            "lexicons": [one.identity() for one in self.lexicons],
            "chained": self.chained,
            "senses": self.senses,
            "shortest_stem": self.shortest_stem,
            "control": [self.control, self.seed] if self.control == "random" else self.control,
            "skipped": digest(sorted(self.skipped))[:16] if self.skipped else None,
        }

    def find(self, text: str) -> list[Match]:
        """List the longest known words from left to right; none overlap."""
        spans = find_words(text)
        words = [text[start:end].lower() for start, end in spans]
        longest = max(one.longest for one in self.lexicons)
        found: list[Match] = []
        place = 0
        while place < len(words):
            for size in range(min(longest, len(words) - place), 0, -1):
                chain = self._translate(tuple(words[place : place + size]))
                if chain:
                    start, end = spans[place][0], spans[place + size - 1][1]
                    found.append(Match(start, end, text[start:end], chain, size))
                    break
            else:
                size = 1
            place += size
        return found

    def count(self, text: str) -> int:
        """Count the words of a text that are looked up."""
        return sum(word not in self.skipped for word in split_words(text))

    def _translate(self, words: Headword) -> tuple[tuple[str, ...], ...]:
        if len(words) == 1 and words[0] in self.skipped:
            return ()
        made = []
        for number, lexicon in enumerate(self.lexicons):
            key = self._headword(lexicon, words)
            if key is not None:
                made.append(self._senses(lexicon, key))
            if made and not self.chained or self.chained and not made and not number:
                break
        return tuple(made)

    def _headword(self, lexicon: Lexicon, words: Headword) -> Headword | None:
        """Return the entry of a form: itself, its lemma, or the longest headword it begins with."""
        if words in lexicon.entries:
            return words
        for lemma in lexicon.lemmas.get(" ".join(words), ()):
            if tuple(lemma.split()) in lexicon.entries:
                return tuple(lemma.split())
        if self.shortest_stem is None or len(words) > 1:
            return None
        whole = words[0]
        for end in range(len(whole) - 1, self.shortest_stem - 1, -1):
            if (whole[:end],) in lexicon.entries:
                return (whole[:end],)
        return None

    def _senses(self, lexicon: Lexicon, key: Headword) -> tuple[str, ...]:
        own = lexicon.entries[key]
        if self.control == "random":
            others = lexicon.headwords
            drawn = Random(f"{self.seed}:{' '.join(key)}").randrange(len(others))
            if others[drawn] == key:
                drawn = (drawn + 1) % len(others)
            own = lexicon.entries[others[drawn]]
        return own[: self.senses]


@dataclass(frozen=True)
class Hints:
    """Adds the dictionary's hints for a row, and what was looked up and found.

    ``hints`` is the text for a prompt, ``hint_pairs`` the same as (word, translations) pairs, and
    ``hint_lookup`` counts the words and keeps the pairs for the metrics, also where none are shown.
    """

    dictionary: Dictionary
    style: HintStyle = "dipmt"
    field: str | None = None
    """Field whose words are looked up; None: the only text."""

    def identity(self) -> JSON:
        """Return everything that changes a hint."""
        return {**self.dictionary.identity(), "style": self.style, "field": self.field}

    def enrich(self, example: Example) -> Example:
        """Return the example with the three fields.

        Raises:
            DataError: there is no such field, or no text in it.
        """
        _, text = find_text_field(example, self.field, "hints")
        found = self.dictionary.find(text)
        first: dict[str, Match] = {}
        for one in found:
            first.setdefault(one.words.lower(), one)
        unique = list(first.values())
        pairs: list[JSON] = [[one.words, list(one.senses)] for one in unique]
        shown = self.dictionary.control != "hidden"
        lookup: dict[str, JSON] = {
            "words": self.dictionary.count(text),
            "known": sum(one.size for one in found),
            "pairs": pairs,
        }
        added: dict[str, JSON] = {
            "hints": self._write(unique) if shown else "",
            "hint_pairs": pairs if shown else [],
            "hint_lookup": lookup,
        }
        return replace(example, fields={**example.fields, **added})

    def _write(self, found: Sequence[Match]) -> str:
        if not found:
            return ""
        if self.style == "cod":
            chains = [
                " means ".join(f'"{word}"' for word in (one.words, *(s[0] for s in one.chain)))
                for one in found
            ]
            return " ".join(f"{chain}." for chain in chains)
        told = (
            f'the word "{one.words}" means ' + ", ".join(f'"{sense}"' for sense in one.senses)
            for one in found
        )
        return f"In this context, {'; '.join(told)}."


@dataclass(frozen=True)
class PseudoShots:
    """Translates a field of rows word by word, to make shots in a language that has none.

    Words that the dictionary does not know stay as they are.
    """

    dictionary: Dictionary
    field: str | None = None
    """Field that is translated; None: the only text."""
    into: str | None = None
    """Field of the answer that the translation becomes; None: it takes the field's own place."""

    def change(self, example: Example) -> Example:
        """Return the row with the translation in its place.

        Raises:
            DataError: there is no such field, or no text in it.
        """
        name, text = find_text_field(example, self.field, "pool.translate")
        made, last = [], 0
        for one in self.dictionary.find(text):
            made += [text[last : one.start], one.senses[0]]
            last = one.end
        new = "".join([*made, text[last:]])
        if self.into is None:
            return replace(example, fields={**example.fields, name: new})
        gold = tuple(dict.fromkeys((*example.gold, self.into)))
        fields = {**example.fields, self.into: new}
        return replace(example, fields=fields, targets=(new,), gold=gold)


def find_text_field(example: Example, name: str | None, where: str) -> tuple[str, str]:
    """Return the name and the text, in NFC, of a field of a row; by default of its only text.

    Raises:
        DataError: there is no such field, it holds no text, or several do.
    """
    texts = {
        key: value
        for key, value in example.inputs.items()
        if isinstance(value, str) and key not in HINT_FIELDS
    }
    if name is None and len(texts) == 1:
        name = next(iter(texts))
    if name not in texts:
        shown = ", ".join(texts) or "none"
        said = f"no text in a field {name!r}" if name else "no single text"
        first = next(iter(texts), "source")
        raise DataError(
            f"{where}: example {example.id!r} has {said}; fields with text: {shown}; name one, as "
            f"in `field: {first}`"
        )
    return name, unicodedata.normalize("NFC", texts[name])


def count_frequent(rows: Iterable[Example], field: str | None, number: int) -> frozenset[str]:
    """Return the most frequent words of a field, in lower case; of equals the first by letters."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts.update(split_words(find_text_field(row, field, "hints")[1]))
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return frozenset(ranked[:number])


def check_direction(dictionary: Dictionary, texts: Iterable[str]) -> None:
    """Refuse a dictionary that knows next to no word of the texts, and whose translations do.

    Raises:
        DataError: its columns are swapped, or it is of the other direction.
    """
    words = [word for text in texts for word in split_words(text)]
    if len(words) < FEW_WORDS:
        return
    for lexicon in dictionary.lexicons:
        heads = {word for headword in lexicon.entries for word in headword}
        known = sum(word in heads for word in words)
        turned = sum(word in lexicon.target_words for word in words)
        if known < LITTLE * len(words) and turned > 2 * known and turned >= LITTLE * len(words):
            raise DataError(
                f"lexicons.{lexicon.name}: of {len(words):,} words of the rows it translates "
                f"{known:,}, and {turned:,} stand among its translations: its columns are swapped, "
                "or it is of the other direction; write `columns: [senses, word]` (or `[senses, "
                "pos, word]`), or give the other file"
            )
