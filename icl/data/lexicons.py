"""Bilingual dictionaries: tab-separated tables and dictd files, read as words with translations.

The files of FreeDict (https://freedict.org) and of Debian's packages ``dict-freedict-*`` are dictd:
an ``.index`` of headwords with places in base 64, and the entries in a ``.dict`` or ``.dict.dz``.
"""

from __future__ import annotations

import gzip
import re
import string
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from icl.core.errors import DataError
from icl.core.segmentation import split_words
from icl.core.types import JSON, digest
from icl.data.spec import find_file, read_text_lines

__all__ = [
    "Lexicon",
    "chain_lexicons",
    "fill_languages",
    "read_inflections",
    "read_lexicon",
]


Headword = tuple[str, ...]
"""The words of an entry in lower case, without punctuation."""
COLUMNS = {2: ("word", "senses"), 3: ("word", "pos", "senses")}
"""Number of cells in the first line of a table -> what they are."""
_DIGITS = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
_HEADER = "00database"
_NOTE = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|/[^/]*/|<[^<>]*>|\b\d+\.")


@dataclass(frozen=True)
class Lexicon:
    """A bilingual dictionary in memory.

    >>> made = Lexicon.of("eng-deu", [("good morning", ["guten Morgen"])])
    >>> made.entries[("good", "morning")]
    ('guten Morgen',)
    """

    name: str
    """Its name in the experiment file."""
    entries: dict[Headword, tuple[str, ...]] = field(repr=False)
    """Headword -> its translations, the first of the file first."""
    lemmas: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    """Inflected form -> the headwords that it may be of; empty if no table of forms was given."""

    @classmethod
    def of(cls, name: str, pairs: Iterable[tuple[str, Sequence[str]]]) -> Lexicon:
        """Make a dictionary of (headword, translations) pairs; repeated headwords are joined."""
        entries: dict[Headword, dict[str, None]] = {}
        for word, senses in pairs:
            key = tuple(split_words(word))
            kept = [" ".join(unicodedata.normalize("NFC", sense).split()) for sense in senses]
            if key and any(kept):
                entries.setdefault(key, {}).update(dict.fromkeys(filter(None, kept)))
        return cls(name, {key: tuple(senses) for key, senses in entries.items()})

    @cached_property
    def longest(self) -> int:
        """Most words of a headword."""
        return max(map(len, self.entries), default=0)

    @cached_property
    def headwords(self) -> list[Headword]:
        """The headwords in the order of their letters."""
        return sorted(self.entries)

    @cached_property
    def target_words(self) -> frozenset[str]:
        """The words of all translations."""
        return frozenset(
            word for senses in self.entries.values() for one in senses for word in split_words(one)
        )

    def identity(self) -> JSON:
        """Return the hash of all entries and forms."""
        return [self._hash, digest(sorted(self.lemmas.items()))[:16] if self.lemmas else ""]

    @cached_property
    def _hash(self) -> str:
        return digest(sorted(self.entries.items()))[:16]


def fill_languages(name: str, path: str, tags: Mapping[str, str | None]) -> str:
    """Return a dictionary's path with ``{source}``, ``{target}`` and ``{locale}`` filled in.

    ``{source_code}`` and its like are the tag up to its first ``_`` or ``-``.

    >>> fill_languages("d", "{source_code}-{target_code}.tsv",
    ...                {"source": "eng_Latn", "target": "swh_Latn"})
    'eng-swh.tsv'

    Raises:
        DataError: a placeholder without a value.
    """
    for key, tag in tags.items():
        for placeholder, value in (
            (f"{{{key}}}", tag),
            (f"{{{key}_code}}", tag and re.split("[_-]", tag)[0]),
        ):
            if placeholder not in path:
                continue
            if value is None:
                given = "locale:" if key == "locale" else "pair:"
                raise DataError(
                    f"lexicons.{name}: the path has {placeholder}, and the rows have no {key}; "
                    f"give {given} under rows, or write the file's name"
                )
            path = path.replace(placeholder, value)
    return path


def read_lexicon(
    name: str,
    path: Path,
    columns: Sequence[str] = (),
    tell: Callable[[str], None] | None = None,
) -> Lexicon:
    """Read a dictionary: dictd where the path ends in ``.index``, ``.dict`` or ``.dict.dz``.

    Any other file is a table of words, tabs and translations, the latter parted by semicolons.

    Args:
        name: as the experiment file calls it.
        path: of the table, or of either file of a dictd dictionary.
        columns: what the cells of a table are: ``word``, ``senses``, anything else is skipped.
        tell: called with a line on what was left out.

    Raises:
        DataError: a file is missing or malformed, or holds no entry.
    """
    where = f"lexicons.{name}"
    if path.name.endswith((".index", ".dict", ".dict.dz")):
        if columns:
            raise DataError(f"{where}: a dictd dictionary has no columns; leave out columns:")
        made = Lexicon.of(name, _read_dictd(where, path))
    else:
        made = Lexicon.of(name, _read_table(where, path, columns, tell))
    if not made.entries:
        raise DataError(
            f"{where}: {path} holds no word with a translation; a line is a word, a tab and its "
            "translations"
        )
    return made


def _read_table(
    where: str, path: Path, columns: Sequence[str], tell: Callable[[str], None] | None
) -> Iterator[tuple[str, list[str]]]:
    total, left, first = 0, 0, 0
    for number, line in enumerate(read_text_lines(path), 1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = line.rstrip("\r\n").split("\t")
        columns = columns or _guess_columns(where, path, number, cells)
        total += 1
        named = dict(zip(columns, cells, strict=False))
        senses = [one.strip() for one in named.get("senses", "").split(";") if one.strip()]
        if len(cells) != len(columns) or not senses or not split_words(named["word"]):
            left, first = left + 1, first or number
            continue
        yield named["word"], senses
    if left and tell is not None:
        tell(
            f"{where}: {left} of {total} lines are no word with translations and are left out, "
            f"the first is {path.name}:{first}"
        )


def _guess_columns(where: str, path: Path, number: int, cells: Sequence[str]) -> Sequence[str]:
    found = COLUMNS.get(len(cells))
    if found is None:
        raise DataError(
            f"{where}: {path}:{number} has {len(cells)} cells, and 2 (word, senses) or 3 (word, "
            "pos, senses) are known; name them, as in `columns: [word, _, senses, _]`"
        )
    return found


def _read_dictd(where: str, path: Path) -> Iterator[tuple[str, list[str]]]:
    stem = path.name.removesuffix(".dz").removesuffix(".dict").removesuffix(".index")
    index = find_file(path.with_name(f"{stem}.index"))
    plain = path.with_name(f"{stem}.dict")
    packed = path.with_name(f"{stem}.dict.dz")
    try:
        held = plain.read_bytes() if plain.is_file() else gzip.decompress(packed.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{where}: {packed} cannot be read: {error}; get it again") from error
    for number, line in enumerate(read_text_lines(index), 1):
        cells = line.rstrip("\n").split("\t")
        if cells[0].startswith(_HEADER):
            continue
        try:
            word, start, size = cells[0], _read_number(cells[1]), _read_number(cells[2])
            text = held[start : start + size].decode("utf-8")
        except (IndexError, ValueError) as error:
            raise DataError(
                f"{where}: {index}:{number} is no headword with its place and length; get both "
                "files of the dictionary again"
            ) from error
        yield word, _read_entry(text)


def _read_number(digits: str) -> int:
    """Read dictd's base 64, the most significant digit first.

    >>> _read_number("Rn")
    1127
    """
    number = 0
    for digit in digits:
        number = 64 * number + _DIGITS.index(digit)
    return number


def _read_entry(text: str) -> list[str]:
    """Return the translations of an entry: the first line with words below its headword.

    Pronunciations, parts of speech, numbers and remarks in brackets are dropped; what follows in
    further lines explains a translation, unless the line begins with a number.
    """
    lines = text.splitlines()[1:]
    written = [line for line in lines if line.strip()]
    chosen = written[:1] + [line for line in written[1:] if re.match(r"\s*\d+\.\s*\S", line)]
    parts = re.split(r"[;,]", ";".join(_NOTE.sub(" ", line) for line in chosen))
    return [one.strip() for one in parts if split_words(one)]


def read_inflections(name: str, path: Path) -> dict[str, tuple[str, ...]]:
    """Read a table of UniMorph, lemma, tab, form, tab, features: form -> lemmas, in lower case.

    Raises:
        DataError: the file is missing, or a line has fewer than two cells.
    """
    found: dict[str, dict[str, None]] = {}
    for number, line in enumerate(read_text_lines(path), 1):
        if not line.strip():
            continue
        cells = [" ".join(split_words(cell)) for cell in line.split("\t")[:2]]
        if len(cells) < 2:
            raise DataError(
                f"lexicons.{name}: {path}:{number} is no line of UniMorph; write the lemma, a tab, "
                "the form, a tab and the features"
            )
        lemma, form = cells
        found.setdefault(form, {})[lemma] = None
    return {form: tuple(lemmas) for form, lemmas in found.items()}


def chain_lexicons(
    first: Lexicon, second: Lexicon, tell: Callable[[str], None] | None = None
) -> Lexicon:
    """Join two dictionaries through their common language: the translations of translations.

    Args:
        first: from the source language into the pivot.
        second: from the pivot into the target language.
        tell: called with a line on how many headwords were lost.

    Raises:
        DataError: no translation of the first is a headword of the second.
    """
    pairs = []
    for headword, senses in first.entries.items():
        further = [second.entries.get(tuple(split_words(sense)), ()) for sense in senses]
        if any(further):
            pairs.append((" ".join(headword), [one for several in further for one in several]))
    made = Lexicon.of(first.name, pairs)
    if not made.entries:
        raise DataError(
            f"lexicons.{first.name}: no translation in it is a word of {second.name}; `through:` "
            "names a dictionary from its second language into a third"
        )
    if tell is not None:
        tell(
            f"lexicons.{first.name}: {len(made.entries):,} of {len(first.entries):,} words have a "
            f"translation through {second.name}"
        )
    return Lexicon(made.name, made.entries, first.lemmas)
