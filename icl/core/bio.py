"""Slots of a text: its word tokens, spans of them as BIO tags, and ``[name : words]`` marks.

The conventions are those of MASSIVE (FitzGerald et al. 2023, arXiv 2204.08582): words by white
space, Chinese and Japanese by character, and slots of one name that touch are one. Chunks are
those of seqeval's default mode (https://github.com/chakki-works/seqeval), as ``conlleval`` counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

__all__ = [
    "OUTSIDE",
    "Chunk",
    "SlotText",
    "Span",
    "align_marks",
    "find_chunks",
    "find_spans",
    "find_value",
    "fit_tags",
    "is_unspaced",
    "locate_tokens",
    "read_exact_marks",
    "read_marks",
    "split_tokens",
    "tag_spans",
    "write_marks",
]


OUTSIDE = "O"
"""The tag of a token that is in no slot."""
_MARK = re.compile(r"\[([^\[\]:：]*)[:：]([^\[\]]*)\]")
_OPENING = re.compile(r"\[(?:\s*[^\[\]:：\s]+\s*[:：])?")
_UNIT = re.compile(r"\w+|[^\w\s]")
_UNSPACED = ("zh", "ja")


@dataclass(frozen=True, slots=True)
class Span:
    """A slot of a text, by its tokens."""

    name: str
    start: int
    """Its first token, from 0."""
    end: int
    """The token behind its last."""


Chunk = tuple[str, int, int]
"""(name, first token, last token), as seqeval writes it."""


@dataclass(frozen=True, slots=True)
class SlotText:
    """A text with marks as it was read: pieces of text, each with the slot that it is in."""

    pieces: tuple[tuple[str, str | None], ...]
    """(text, slot name or None), in order; a piece has the spaces at its ends that the text has."""
    broken: int = 0
    """Brackets that make no mark."""
    unknown: int = 0
    """Marks whose name is none of the known ones."""

    @property
    def text(self) -> str:
        """The text without its marks."""
        return "".join(text for text, _ in self.pieces)


def is_unspaced(locale: str | None) -> bool:
    """Return whether the tokens of a locale are characters: in Chinese and in Japanese.

    >>> is_unspaced("zh-CN"), is_unspaced("th-TH"), is_unspaced(None)
    (True, False, False)
    """
    return locale is not None and re.split(r"[-_]", locale.casefold())[0] in _UNSPACED


def split_tokens(text: str, unspaced: bool = False) -> list[str]:
    """Split a text into tokens by white space; where no spaces are written, into characters.

    Words in ASCII that stand between spaces are one token there, too.

    >>> split_tokens("olly 关灯", unspaced=True)
    ['olly', '关', '灯']
    """
    words = text.split()
    if not unspaced:
        return words
    return [token for word in words for token in ([word] if word.isascii() else word)]


def tag_spans(spans: Iterable[Span], length: int, merge: bool = True) -> list[str]:
    """Write spans as BIO tags, one a token.

    Args:
        spans: slots of the text; where two overlap, a token keeps the first one's.
        length: number of tokens.
        merge: whether spans of one name that touch are one, as in MASSIVE.

    >>> tag_spans([Span("time", 1, 2), Span("time", 2, 3)], 4)
    ['O', 'B-time', 'I-time', 'O']
    >>> tag_spans([Span("time", 1, 2), Span("time", 2, 3)], 4, merge=False)
    ['O', 'B-time', 'B-time', 'O']
    """
    owner: list[tuple[int, str] | None] = [None] * length
    for number, span in enumerate(spans):
        for place in range(max(span.start, 0), min(span.end, length)):
            if owner[place] is None:
                owner[place] = (number, span.name)
    tags = []
    before: tuple[int, str] | None = None
    for own in owner:
        if own is None:
            tags.append(OUTSIDE)
        else:
            same = before is not None and (before[1] == own[1] if merge else before == own)
            tags.append(f"{'I' if same else 'B'}-{own[1]}")
        before = own
    return tags


def find_chunks(tags: Sequence[str]) -> list[Chunk]:
    """List the slots that tags name, by the rules of seqeval's default mode.

    Any tag begins a slot where none of its name goes on; so does ``I-`` behind ``O`` or behind
    another name, and ``E-`` and ``S-`` end one.

    >>> find_chunks(["O", "I-time", "I-time", "B-time", "I-date"])
    [('time', 1, 2), ('time', 3, 3), ('date', 4, 4)]
    """
    chunks: list[Chunk] = []
    begin: int | None = None
    before, name_before = OUTSIDE, ""
    for place, tag in enumerate([*tags, OUTSIDE]):
        kind, name = tag[:1] or OUTSIDE, tag[1:].partition("-")[2] or tag[1:] or "_"
        if kind == OUTSIDE:
            name = ""
        goes_on = (
            begin is not None and name == name_before and kind in "IE" and before in ("B", "I")
        )
        if begin is not None and not goes_on:
            chunks.append((name_before, begin, place - 1))
            begin = None
        if kind != OUTSIDE and begin is None:
            begin = place
        before, name_before = kind, name
    return chunks


def find_spans(tags: Sequence[str]) -> list[Span]:
    """List the slots that tags name as spans; see :func:`find_chunks`."""
    return [Span(name, start, last + 1) for name, start, last in find_chunks(tags)]


def fit_tags(tags: Sequence[str], length: int) -> list[str]:
    """Pad tags with O, or cut them, to a length.

    >>> fit_tags(["B-time"], 2), fit_tags(["O", "B-time"], 1)
    (['B-time', 'O'], ['O'])
    """
    return [*tags[:length], *[OUTSIDE] * (length - len(tags))]


def read_marks(text: str, known: Collection[str] | None = None, literal: bool = False) -> SlotText:
    """Read the marks of a text that may be broken; nothing of its words is lost.

    A bracket that makes no mark is taken away with the name behind it, and counted as broken; the
    words stay. Of marks in marks the inner ones count. A mark with a name that is not known stays
    one, and is counted.

    Args:
        text: words with ``[name : words]`` among them; spaces around name and words do not count.
        known: names of slots, or None where any name will do; case does not count.
        literal: whether brackets that make no mark are text, as where the source has some.

    >>> read_marks("wake me at [time : five am").pieces
    (('wake me at  five am', None),)
    """
    names = None if known is None else {_fold(name): name for name in known}
    pieces: list[tuple[str, str | None]] = []
    broken = unknown = end = 0
    for found in _MARK.finditer(text):
        name, words = found[1].strip(), found[2].strip()
        if not name or not words:
            continue
        before, count = (text[end : found.start()], 0)
        if not literal:
            before, count = _unbracket(before)
        broken += count
        if names is not None:
            unknown += _fold(name) not in names
            name = names.get(_fold(name), name)
        pieces += [(before, None), (words, name)]
        end = found.end()
    rest, count = (text[end:], 0) if literal else _unbracket(text[end:])
    shown = tuple(piece for piece in [*pieces, (rest, None)] if piece[0])
    return SlotText(shown, broken + count, unknown)


def _fold(name: str) -> str:
    return " ".join(name.casefold().split())


def _unbracket(text: str) -> tuple[str, int]:
    """Take brackets that make no mark from a text; return how many they were."""
    bare, opened = _OPENING.subn("", text)
    return bare.replace("]", ""), opened + bare.count("]")


def align_marks(
    marked: SlotText, tokens: Sequence[str], merge: bool = True, unspaced: bool = False
) -> tuple[list[str], bool]:
    """Carry the slots of a text with marks over to the tokens of its source.

    White space does not count. Where letters differ, words (characters where no spaces are
    written) are aligned, so that a word that is missing, added or changed moves no slot: what is
    missing is O, and what is changed has the slot of what stands in its place.

    Returns:
        BIO tags, one a token, and whether the words are others than the source's.

    >>> align_marks(read_marks("wake at [time : 5 am]"), "wake me at five am".split())
    (['O', 'O', 'O', 'B-time', 'I-time'], True)
    """
    own: list[tuple[str, int | None]] = []
    slots: list[str] = []
    for text, name in marked.pieces:
        number = None
        if name is not None:
            number = len(slots)
            slots.append(name)
        own += [(letter, number) for letter in text if not letter.isspace()]
    wanted = [
        (letter, place)
        for place, token in enumerate(tokens)
        for letter in token
        if not letter.isspace()
    ]
    altered = [letter for letter, _ in own] != [letter for letter, _ in wanted]
    if altered:
        numbers = _align_units(marked, tokens, unspaced)
    else:
        numbers = _take_first(
            len(tokens), [(place, own[at][1]) for at, (_, place) in enumerate(wanted)]
        )
    spans: list[Span] = []
    for place, number in enumerate(numbers):
        if number is None:
            continue
        if place and numbers[place - 1] == number:
            spans[-1] = Span(slots[number], spans[-1].start, place + 1)
        else:
            spans.append(Span(slots[number], place, place + 1))
    return tag_spans(spans, len(tokens), merge), altered


def _take_first(length: int, pairs: Iterable[tuple[int, int | None]]) -> list[int | None]:
    """Return for each token the mark of its first letter, or of its first word."""
    firsts: dict[int, int | None] = {}
    for token, number in pairs:
        firsts.setdefault(token, number)
    return [firsts.get(token) for token in range(length)]


def _align_units(marked: SlotText, tokens: Sequence[str], unspaced: bool) -> list[int | None]:
    """Return for each token the number of the mark that it is in, by an alignment of words."""
    own: list[tuple[str, int | None]] = []
    number = -1
    for text, name in marked.pieces:
        number += name is not None
        own += [(unit, number if name is not None else None) for unit in _units(text, unspaced)]
    wanted = [
        (unit, place) for place, token in enumerate(tokens) for unit in _units(token, unspaced)
    ]
    given: list[int | None] = [None] * len(wanted)
    match = SequenceMatcher(
        None, [unit for unit, _ in wanted], [unit for unit, _ in own], autojunk=False
    )
    for kind, low, high, start, end in match.get_opcodes():
        if kind in ("equal", "replace"):
            for place in range(low, high):
                given[place] = own[start + (place - low) * (end - start) // (high - low)][1]
    places = [token for _, token in wanted]
    return _take_first(len(tokens), zip(places, given, strict=True))


def _units(text: str, unspaced: bool) -> list[str]:
    if unspaced:
        return [letter for letter in text if not letter.isspace()]
    return _UNIT.findall(text.casefold())


def read_exact_marks(text: str, tokens: Sequence[str]) -> list[Span]:
    """Read the marks of an annotation, which must hold exactly the tokens, in order.

    White space around marks does not count.

    >>> read_exact_marks("[date : 这周] [time : 五点] 叫我", list("这周五点叫我"))
    [Span(name='date', start=0, end=2), Span(name='time', start=2, end=4)]

    Raises:
        ValueError: a bracket that makes no mark, words other than the tokens, or a mark that
            begins or ends inside a token; the message says which.
    """
    literal = any("[" in token or "]" in token for token in tokens)
    found = read_marks(text, literal=literal)
    if found.broken:
        raise ValueError(f"{text!r} has a bracket that makes no [name : words]")
    letters = "".join(found.text.split())
    wanted = "".join("".join(token.split()) for token in tokens)
    if letters != wanted:
        place = next(
            (n for n, (a, b) in enumerate(zip(letters, wanted, strict=False)) if a != b),
            min(len(letters), len(wanted)),
        )
        raise ValueError(
            f"without its marks {text!r} differs from {' '.join(tokens)!r} at letter {place + 1}: "
            f"{letters[place : place + 10]!r} in place of {wanted[place : place + 10]!r}"
        )
    borders = {0: 0}
    at = 0
    for place, token in enumerate(tokens, start=1):
        at += len("".join(token.split()))
        borders[at] = place
    spans = []
    at = 0
    for piece, name in found.pieces:
        begin, at = at, at + len("".join(piece.split()))
        if name is None:
            continue
        if begin not in borders or at not in borders:
            raise ValueError(f"the mark [{name} : {piece}] of {text!r} cuts a word")
        spans.append(Span(name, borders[begin], borders[at]))
    return spans


def locate_tokens(text: str, tokens: Sequence[str]) -> list[tuple[int, int]]:
    """Return the (start, end) characters of each token in its text.

    >>> locate_tokens("rain today?", ["rain", "today", "?"])
    [(0, 4), (5, 10), (10, 11)]

    Raises:
        ValueError: the text has something else than the tokens and white space.
    """
    places = []
    end = 0
    for token in tokens:
        start = text.find(token, end)
        if start < 0 or text[end:start].strip():
            raise ValueError(
                f"the token {token!r} does not come next in {text!r}, at character {end + 1}"
            )
        end = start + len(token)
        places.append((start, end))
    if rest := text[end:].strip():
        raise ValueError(f"{text!r} goes on behind its last token: {rest!r}")
    return places


def write_marks(
    text: str, tokens: Sequence[str], spans: Iterable[Span], unspaced: bool = False
) -> str:
    """Return the text with ``[name : words]`` around each span, and nothing else changed.

    Where no spaces are written, a mark gets one before and behind it, as in MASSIVE.

    >>> text = "wake me at five am"
    >>> write_marks(text, text.split(), [Span("time", 3, 5)])
    'wake me at [time : five am]'

    Raises:
        ValueError: see :func:`locate_tokens`.
    """
    places = locate_tokens(text, tokens)
    shown = ""
    end = 0
    for span in sorted(spans, key=lambda span: span.start):
        start, last = places[span.start][0], places[span.end - 1][1]
        before = text[end:start]
        if unspaced and shown + before and not (shown + before)[-1].isspace():
            before += " "
        shown += f"{before}[{span.name} : {text[start:last]}]"
        end = last
        if unspaced and text[end:] and not text[end].isspace():
            shown += " "
    return shown + text[end:]


def find_value(
    tokens: Sequence[str], value: str, taken: Collection[int] = ()
) -> tuple[int, int] | None:
    """Return the (start, end) tokens of the leftmost place of a value that no other value has.

    White space does not count, and case only where the same letters stand elsewhere.

    Args:
        tokens: those of the text.
        value: words of it.
        taken: tokens that another value has.

    >>> find_value("five to five".split(), "five", taken={0})
    (2, 3)
    """
    bare = "".join(value.split())
    return _find(tokens, bare, taken, str) or _find(tokens, bare, taken, str.casefold)


def _find(
    tokens: Sequence[str], bare: str, taken: Collection[int], fold: Callable[[str], str]
) -> tuple[int, int] | None:
    wanted = fold(bare)
    for start in range(len(tokens) if wanted else 0):
        said = ""
        for end in range(start, len(tokens)):
            said += fold("".join(tokens[end].split()))
            if end in taken or not wanted.startswith(said):
                break
            if said == wanted:
                return start, end + 1
    return None
